#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "reduce/spec.h"
#include "shuffle/shuffle.h"
#include "sql/sql.h"

namespace tidegate::reduce {

/// Where a kernel's rows come from: buckets of map outputs whose schema is the kernel's input, each
/// bucket reduced by itself, or one pass of a SELECT.
struct KernelInput {
  std::vector<MapOutputRef> files = {};
  uint32_t bucket_begin = 0;
  uint32_t bucket_end = 0;
  uint64_t scan_bytes = 0;  ///< bound of a reader's blocks
  /// Set: read this instead. Called again where the rows do not fit at once.
  std::function<Result<std::unique_ptr<sql::Stream>>()> stream = {};
};

struct KernelOptions {
  uint64_t memory_bytes = 0;    ///< of tables and, while rows are split, of their buffers
  std::string spill_directory;  ///< where rows that do not fit are split into more buckets
  /// `skew: split`: what one key's rows hold is sorted on disk where it does not fit.
  bool splits_keys = false;
  /// The `memory` of a stage whose kernels have so much each and which can pass one value of so
  /// many bytes on; 0: there is none. Not set: not known.
  std::function<uint64_t(uint64_t memory_bytes, uint64_t value_bytes)> stage_memory = {};
  std::function<void(uint64_t rows)> progress = {};  ///< called with rows as they are taken in
};

/// What a kernel did, filled while its table is scanned.
struct KernelCounts {
  uint64_t rows_in = 0;
  uint64_t rows_out = 0;
  uint64_t splits = 0;      ///< buckets whose rows were split again
  uint64_t heavy_keys = 0;  ///< parts of buckets whose values were sorted on disk
  uint64_t spilled_bytes = 0;
  uint64_t peak_bytes = 0;  ///< of the kernel's memory
};

/// Makes spec.name a table of `connection` that gives the kernel's result, once, and returns the
/// name of the table function behind it. A stream is read
/// through at once; buckets are read as the table is scanned. Rows that do not fit in the kernel's
/// memory are split by other bits of their keys' hash into files of the spill directory, again if
/// need be; a key whose rows alone do not fit is a failure of class memory ("reduce.memory"),
/// unless options.splits_keys and its aggregates can spill. Failures travel through DuckDB as those
/// of bucket tables do (map_output_failure).
Result<std::string> register_kernel(sql::Connection& connection, Effects& effects,
                                    const KernelSpec& spec, KernelInput input,
                                    KernelOptions options, std::shared_ptr<KernelCounts> counts);

}  // namespace tidegate::reduce
