#include "sort/slab.h"

#include <sys/mman.h>

#include <new>

namespace tidegate::sort {

Slab allocate_slab(size_t bytes) {
  const size_t size = slab_bytes(bytes == 0 ? 1 : bytes);
  Slab slab(static_cast<char*>(std::aligned_alloc(kSlabBytes, size)));
  if (!slab) throw std::bad_alloc();
  (void)::madvise(slab.get(), size, MADV_HUGEPAGE);
  return slab;
}

}  // namespace tidegate::sort
