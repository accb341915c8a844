#include "reduce/growing.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace tidegate::reduce {
namespace {

constexpr size_t kCapacityFirst = 256;
constexpr size_t kLine = 64;  // of the processor's caches
constexpr size_t kHugePage = size_t{2} << 20;

size_t in_units(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

#if defined(__SANITIZE_ADDRESS__)

constexpr bool is_mapped(size_t) { return false; }
char* map(size_t) { return nullptr; }
char* remap(char*, size_t, size_t) { return nullptr; }
void unmap(char*, size_t) {}

#else

constexpr bool is_mapped(size_t capacity) { return capacity >= GrowingBytes::kMapBytes; }

/// Address space with room for `bytes` at a multiple of a huge page, which `at` is.
struct Reserved {
  char* begin = nullptr;
  size_t size = 0;
  char* at = nullptr;

  explicit Reserved(size_t bytes) : size(bytes + kHugePage) {
    void* found = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED) return;
    begin = static_cast<char*>(found);
    at = begin + (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  }
  /// Gives back what lies around `bytes` bytes at `at`.
  void trim(size_t bytes) const {
    if (at > begin) (void)::munmap(begin, static_cast<size_t>(at - begin));
    const char* end = begin + size;
    if (end > at + bytes) (void)::munmap(at + bytes, static_cast<size_t>(end - (at + bytes)));
  }
};

/// Null where there is none.
char* map(size_t bytes) {
  const Reserved reserved(bytes);
  if (reserved.at == nullptr) return nullptr;
  reserved.trim(bytes);
  if (::mprotect(reserved.at, bytes, PROT_READ | PROT_WRITE) != 0) {
    (void)::munmap(reserved.at, bytes);
    return nullptr;
  }
  (void)::madvise(reserved.at, bytes, MADV_HUGEPAGE);
  return reserved.at;
}

/// Where huge pages can move as such, if there is address space for that; else anywhere.
char* remap(char* from, size_t before, size_t bytes) {
  void* to = ::mremap(from, before, bytes, 0);
  if (to != MAP_FAILED) return from;
  const Reserved reserved(bytes);
  if (reserved.at != nullptr) {
    to = ::mremap(from, before, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, reserved.at);
    reserved.trim(to == MAP_FAILED ? 0 : bytes);
  }
  if (to == MAP_FAILED) to = ::mremap(from, before, bytes, MREMAP_MAYMOVE);
  return to == MAP_FAILED ? nullptr : static_cast<char*>(to);
}

void unmap(char* memory, size_t bytes) { (void)::munmap(memory, bytes); }

#endif

void release(char* memory, size_t capacity) {
  if (is_mapped(capacity))
    unmap(memory, capacity);
  else
    std::free(memory);
}

}  // namespace

size_t GrowingBytes::capacity_for(size_t bytes) const {
  const size_t doubled = std::max({bytes, 2 * capacity_, kCapacityFirst});
  if (doubled < kMapBytes) return in_units(doubled, kLine);
  return in_units(std::max({bytes, capacity_ + capacity_ / 8, kMapBytes}), kHugePage);
}

GrowingBytes::~GrowingBytes() { release(data_, capacity_); }

void GrowingBytes::grow(size_t capacity) {
  char* data = nullptr;
  if (is_mapped(capacity) && is_mapped(capacity_)) {
    data = remap(data_, capacity_, capacity);
  } else {
    data = is_mapped(capacity) ? map(capacity)
                               : static_cast<char*>(std::aligned_alloc(kLine, capacity));
    if (data != nullptr && capacity_ > 0) {
      std::memcpy(data, data_, capacity_);
      release(data_, capacity_);
    }
  }
  if (data == nullptr) throw std::bad_alloc();
  data_ = data;
  capacity_ = capacity;
}

}  // namespace tidegate::reduce
