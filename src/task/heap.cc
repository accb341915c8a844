#include "task/heap.h"

#include <dlfcn.h>
#include <malloc.h>

#include <atomic>

namespace tidegate {
namespace {

std::atomic<bool> keeps{false};

#if !defined(__SANITIZE_ADDRESS__)
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
}

void return_freed_memory() { (void)trim(); }

uint64_t freed_memory_bytes() { return ::mallinfo2().fordblks; }

#endif

}  // namespace tidegate

#if !defined(__SANITIZE_ADDRESS__)
/// Found before glibc's own by libraries that are loaded later (the executable exports it).
extern "C" __attribute__((visibility("default"))) int malloc_trim(size_t) {
  return tidegate::keeps ? 0 : tidegate::trim();
}
#endif
