#pragma once

#include "journal/journal.h"
#include "plan/plan.h"

namespace tidegate {

/// Bucket counts follow from the data and the bound, never from the number of workers.
inline constexpr uint64_t kBucketBytesMin = uint64_t{8} << 20;
inline constexpr uint64_t kBucketBytesMax = uint64_t{64} << 20;
inline constexpr uint32_t kBucketsMax = 4096;

/// The number of buckets for that many bytes in memory under a bound: a power of two.
uint32_t choose_buckets(uint64_t bytes, uint64_t memory_bytes);

/// Keeps an earlier choice while the data stays within a quarter and four times of it.
uint32_t sticky_buckets(uint32_t before, uint32_t now);

/// Makes plan.graph and plan.groups from the checked stages and the snapshots.
Status build_groups(Plan& plan, Journal* journal);

}  // namespace tidegate
