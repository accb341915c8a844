#pragma once

#include <cstdint>
#include <vector>

#include "base/failure.h"

struct _duckdb_data_chunk;

namespace tidegate::reduce {

/// What gives a kernel's result once: groups (KernelRun) or windows (WindowRun).
class KernelRows {
 public:
  virtual ~KernelRows() = default;
  /// Reads a stream through; nothing for buckets.
  virtual Status start() = 0;
  /// Writes the next result rows to the chunk, whose vectors are `columns` of the result
  /// (UINT32_MAX: left alone), the same in each call; no rows at the end.
  virtual Status fill(const std::vector<uint32_t>& columns, _duckdb_data_chunk* chunk) = 0;
};

}  // namespace tidegate::reduce
