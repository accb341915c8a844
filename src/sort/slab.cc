#include "sort/slab.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace tidegate::sort {

Slab allocate_slab(size_t bytes) {
  const size_t size = slab_bytes(bytes == 0 ? 1 : bytes);
  Slab slab(static_cast<char*>(std::aligned_alloc(kSlabBytes, size)));
  if (!slab) throw std::bad_alloc();
  (void)::madvise(slab.get(), size, MADV_HUGEPAGE);
  return slab;
}

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
  return Slab(slab.release(), SlabDeleter{this});
}

}  // namespace tidegate::sort
