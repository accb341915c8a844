#pragma once

#include <vector>

#include "contract/contract.h"
#include "source/snapshot.h"

namespace tidegate {

inline constexpr uint64_t kPartitionBytesDefault = uint64_t{512} << 20;
/// For tasks that aggregate rows before a shuffle: the fewer there are, the fewer give on a state
/// for the same key.
inline constexpr uint64_t kCombinedPartitionBytes = uint64_t{2} << 30;
inline constexpr uint64_t kPartitionBytesMin = uint64_t{4} << 20;
inline constexpr size_t kFilesPerPartitionMax = 1'000;
inline constexpr size_t kPartitionsMax = 1'000'000;

/// The bytes a partition should have: as the source says, else an eighth of the whole, rounded down
/// to a power of two and held between 4 MiB and `most`. Eight partitions and more keep the workers
/// busy on small data; the number of workers plays no part (identities must not depend on it), and
/// the rounding keeps the cuts where they are while the data grows by less than twice.
uint64_t partition_target(const Source& source, uint64_t total_bytes,
                          uint64_t most = kPartitionBytesDefault);

/// Cuts the snapshot's files into partitions of about `target` bytes that hold all rows once, in
/// file order.
/// - A Parquet file of more than the target and several row groups: runs of row groups of about
///   the target, cut within the file alone.
/// - A file of half the target and more: a partition of its own.
/// - Smaller neighbours are read together. Where a run ends depends on the names in it only, by
///   their hash, so that a file more or less moves the cuts near it and no others.
/// CSV and JSON files are never cut. Empty Parquet files are read with their neighbours.
std::vector<Partition> cut_partitions(const SourceSnapshot& snapshot, uint64_t target);

}  // namespace tidegate
