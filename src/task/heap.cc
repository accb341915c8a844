#include "task/heap.h"

#include <dlfcn.h>
#include <malloc.h>

#include <atomic>

#include "sort/slab.h"

namespace tidegate {
namespace {

std::atomic<bool> keeps{false};

#if !defined(__SANITIZE_ADDRESS__)
/// Of slabs, which are mapped beside the heap.
constexpr uint64_t kSlabBytesMax = uint64_t{1} << 30;
/// Larger blocks are mapped by themselves: the most that glibc takes.
constexpr int kMapBytes = 32 << 20;

int trim() {
  using Trim = int (*)(size_t);
  static const auto next = reinterpret_cast<Trim>(::dlsym(RTLD_NEXT, "malloc_trim"));
  return next ? next(0) : 0;
}
#endif

}  // namespace

#if defined(__SANITIZE_ADDRESS__)

void keep_freed_memory() { keeps = true; }
void return_freed_memory() {}
uint64_t freed_memory_bytes() { return 0; }

#else

void keep_freed_memory() {
  keeps = true;
  (void)::mallopt(M_MMAP_THRESHOLD, kMapBytes);
  (void)::mallopt(M_TRIM_THRESHOLD, INT32_MAX);
  sort::keep_freed_slabs(kSlabBytesMax);
}

void return_freed_memory() {
  sort::return_freed_slabs();
  (void)trim();
}

uint64_t freed_memory_bytes() { return ::mallinfo2().fordblks + sort::freed_slab_bytes(); }

#endif

}  // namespace tidegate

#if !defined(__SANITIZE_ADDRESS__)
/// Found before glibc's own by libraries that are loaded later (the executable exports it).
extern "C" __attribute__((visibility("default"))) int malloc_trim(size_t) {
  return tidegate::keeps ? 0 : tidegate::trim();
}
#endif
