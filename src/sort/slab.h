#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace tidegate::sort {

class SlabPool;
struct SlabDeleter {
  SlabPool* pool = nullptr;  ///< takes it back
  size_t bytes = 0;
  void operator()(char* memory) const;
};
/// Uninitialised memory that is read here and there: in huge pages where the system gives them, so
/// that neither faults nor address translation cost much. Mapped beside the heap, in which pieces
/// of such alignment leave holes that count as mapped.
using Slab = std::unique_ptr<char, SlabDeleter>;

/// What slabs come in.
inline constexpr size_t kSlabBytes = size_t{2} << 20;
inline constexpr size_t slab_bytes(size_t bytes) {
  return (bytes + kSlabBytes - 1) / kSlabBytes * kSlabBytes;
}
/// Throws std::bad_alloc.
Slab allocate_slab(size_t bytes);
void free_slab(char* memory, size_t bytes);
/// Slabs of kSlabBytes that are freed stay with the process for the next ones, up to `bytes_max` of
/// them. Without effect under a sanitizer.
void keep_freed_slabs(uint64_t bytes_max);
/// Bytes of those, and giving them back.
uint64_t freed_slab_bytes();
void return_freed_slabs();

/// Keeps slabs of kSlabBytes that were given back, as new pages cost more than what is done with
/// them. What lies idle makes way for larger slabs: idle and in use never are more than what was in
/// use at once, up to kSlabBytes. Outlives its slabs. Not thread-safe.
class SlabPool {
 public:
  SlabPool() = default;
  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;
  /// As allocate_slab.
  Slab take(size_t bytes);
  /// Frees what lies idle.
  void release() { idle_.clear(); }

 private:
  friend struct SlabDeleter;
  std::vector<Slab> idle_;
  size_t given_ = 0;  ///< slabs that may come back at once, at most
};

inline void SlabDeleter::operator()(char* memory) const {
  if (pool != nullptr)
    pool->idle_.emplace_back(memory, SlabDeleter{nullptr, bytes});
  else
    free_slab(memory, bytes);
}

}  // namespace tidegate::sort
