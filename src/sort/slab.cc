#include "sort/slab.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace tidegate::sort {

namespace {

/// One thread uses slabs: a worker's.
std::vector<char*> freed;
uint64_t freed_bytes_max = 0;

}  // namespace

void keep_freed_slabs(uint64_t bytes_max) {
  freed_bytes_max = bytes_max;
  freed.reserve(bytes_max / kSlabBytes);
}

uint64_t freed_slab_bytes() { return freed.size() * kSlabBytes; }

#if defined(__SANITIZE_ADDRESS__)

void return_freed_slabs() {}

Slab allocate_slab(size_t bytes) {
  const size_t size = slab_bytes(bytes == 0 ? 1 : bytes);
  char* memory = static_cast<char*>(std::aligned_alloc(kSlabBytes, size));
  if (memory == nullptr) throw std::bad_alloc();
  return Slab(memory, SlabDeleter{nullptr, size});
}

void free_slab(char* memory, size_t) { std::free(memory); }

#else

void return_freed_slabs() {
  for (char* memory : freed) (void)::munmap(memory, kSlabBytes);
  freed.clear();
}

Slab allocate_slab(size_t bytes) {
  const size_t size = slab_bytes(bytes == 0 ? 1 : bytes);
  if (size == kSlabBytes && !freed.empty()) {
    char* memory = freed.back();
    freed.pop_back();
    return Slab(memory, SlabDeleter{nullptr, size});
  }
  // Mapped with room to be aligned in; what lies before and after goes back at once.
  const size_t mapped = size + kSlabBytes;
  void* begin = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) throw std::bad_alloc();
  const size_t before = (kSlabBytes - reinterpret_cast<uintptr_t>(begin) % kSlabBytes) % kSlabBytes;
  char* memory = static_cast<char*>(begin) + before;
  if (before > 0) (void)::munmap(begin, before);
  if (before < kSlabBytes) (void)::munmap(memory + size, kSlabBytes - before);
  (void)::madvise(memory, size, MADV_HUGEPAGE);
  return Slab(memory, SlabDeleter{nullptr, size});
}

void free_slab(char* memory, size_t bytes) {
  if (bytes == kSlabBytes && (freed.size() + 1) * kSlabBytes <= freed_bytes_max)
    freed.push_back(memory);
  else
    (void)::munmap(memory, bytes);
}

#endif

Slab SlabPool::take(size_t bytes) {
  const size_t size = slab_bytes(bytes == 0 ? 1 : bytes);
  if (size != kSlabBytes) {
    idle_.resize(idle_.size() - std::min(idle_.size(), size / kSlabBytes));
    return allocate_slab(size);
  }
  Slab slab;
  if (idle_.empty()) {
    slab = allocate_slab(size);
    // Room for it to come back to, which a destructor could not make.
    idle_.reserve(++given_);
  } else {
    slab = std::move(idle_.back());
    idle_.pop_back();
  }
  return Slab(slab.release(), SlabDeleter{this, size});
}

}  // namespace tidegate::sort
