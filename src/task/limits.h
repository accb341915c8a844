#pragma once

#include <cstdint>

#include "base/effects.h"
#include "task/spec.h"

namespace tidegate {

/// How a task's bound is shared out inside its process. The sum stays below the bound by what an
/// idle worker takes.
struct MemoryShares {
  uint64_t duckdb_bytes = 0;
  uint64_t writer_bytes = 0;   ///< all map output writers together, or what splits rows by value
  uint64_t scan_bytes = 0;     ///< each open scan of buckets
  uint64_t kernel_bytes = 0;   ///< each kernel
  uint64_t sort_bytes = 0;     ///< each sort, one after the other
  uint64_t parquet_bytes = 0;  ///< each Parquet file that is written, one after the other
  uint64_t combine_bytes = 0;  ///< what aggregates before the shuffle
};
MemoryShares split_memory(const TaskSpec& spec);

/// The least bound, in whole MiB, that leaves each of the task's kernels so much, and DuckDB and
/// what writes the result enough for one value of so many bytes. 0: there is none, as writers have
/// a share that does not grow for ever.
uint64_t memory_for_value(const TaskSpec& spec, uint64_t kernel_bytes, uint64_t value_bytes);

/// The most of a bound that may aggregate rows before a shuffle.
uint64_t combine_bytes(uint64_t memory_bytes);

/// The most of a bound that may hold one side of a join.
uint64_t lookup_bytes(uint64_t memory_bytes);

/// A worker that idles above this share of its last bound gives its freed memory back; if that is
/// not enough, it is replaced.
inline constexpr uint64_t kIdleShare = 2;

/// Resident bytes of this process now, and at most so far (VmHWM, reset by reset_peak_rss).
uint64_t rss_bytes(Effects& effects);
uint64_t peak_rss_bytes(Effects& effects);
void reset_peak_rss(Effects& effects);

/// The inner wall: address space may grow by `bytes` from what is in use now; nothing under a
/// sanitizer, which reserves terabytes. A crossing shows as a clean allocation failure.
void set_address_space_wall(Effects& effects, uint64_t bytes);
void lift_address_space_wall();

}  // namespace tidegate
