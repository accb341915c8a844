#pragma once

#include <cstdint>
#include <string>

#include "source/snapshot.h"

namespace tidegate {

/// How a file's bytes are packed around its text.
enum class Packing : uint8_t { kNone, kGzip, kZstd };

/// As the recipe's `compression` says, else by the ending: .gz, .zst. Parquet is none.
Packing packing_of(const ReadRecipe& recipe, const std::string& path);

/// Reads a packed file to its end and compares what its format says of itself: that it is whole,
/// and the checksums (CRC-32 and length of gzip; zstd's, where the writer gave one). DuckDB's
/// readers check none of that: half a file is fewer rows to them. A file that is not whole is a
/// failure source.not_whole (class data) with the reason. Memory: 512 KiB and the format's window.
Status check_packed_file(Effects& effects, const std::string& path, Packing packing);

/// check_packed_file of all packed files of a partition; a failure is source.bad_file.
Status check_packed_files(Effects& effects, const SourceSnapshot& snapshot,
                          const Partition& partition);

}  // namespace tidegate
