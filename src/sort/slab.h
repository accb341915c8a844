#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace tidegate::sort {

struct SlabDeleter {
  void operator()(char* memory) const { std::free(memory); }
};
/// Uninitialised memory that is read here and there: in huge pages where the system gives them, so
/// that neither faults nor address translation cost much.
using Slab = std::unique_ptr<char, SlabDeleter>;

/// What slabs come in.
inline constexpr size_t kSlabBytes = size_t{2} << 20;
inline constexpr size_t slab_bytes(size_t bytes) {
  return (bytes + kSlabBytes - 1) / kSlabBytes * kSlabBytes;
}
/// Throws std::bad_alloc.
Slab allocate_slab(size_t bytes);

}  // namespace tidegate::sort
