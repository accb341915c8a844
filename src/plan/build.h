#pragma once

#include "base/effects.h"
#include "journal/journal.h"
#include "plan/plan.h"

namespace tidegate {

/// Bucket counts follow from the data and the bound, never from the number of workers.
inline constexpr uint64_t kBucketBytesMin = uint64_t{8} << 20;
inline constexpr uint64_t kBucketBytesMax = uint64_t{64} << 20;
inline constexpr uint32_t kBucketsMax = 4096;

/// A kernel takes its buckets one after the other, so that they can be small while tasks are few:
/// a bucket's table should lie in the processor's second-level cache, and a task opens a DuckDB.
inline constexpr uint64_t kKernelTaskBytes = uint64_t{256} << 20;
inline constexpr uint32_t kKernelTasksMin = 8;
inline constexpr uint64_t kKernelBucketBytes = uint64_t{4} << 20;
inline constexpr uint64_t kKernelBucketBytesMax = uint64_t{32} << 20;
inline constexpr uint32_t kKernelBucketsFine = 256;
/// Windows are sorted: each row lies there with its key and is moved, which takes the cache of so
/// many rows of a table.
inline constexpr uint32_t kWindowBucketsTimes = 4;

/// Tasks, and buckets in all, of a kernel over that many bytes in memory: powers of two.
uint32_t choose_kernel_tasks(uint64_t bytes);
uint32_t choose_kernel_buckets(uint64_t bytes);

/// The number of buckets for that many bytes in memory under a bound: a power of two.
uint32_t choose_buckets(uint64_t bytes, uint64_t memory_bytes);

/// Keeps an earlier choice while the data stays within a quarter and four times of it.
uint32_t sticky_buckets(uint32_t before, uint32_t now);

/// Makes plan.graph and plan.groups from the checked stages and the snapshots. Rows are sampled by
/// `scratch`.
Status build_groups(Effects& effects, Plan& plan, Journal* journal, sql::Connection& scratch);

}  // namespace tidegate
