#include "source/partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"

namespace tidegate {
namespace {

/// A name that DuckDB's row-number column cannot be told from.
bool can_slice(const InputFile& file) {
  if (!file.columns) return false;
  return std::none_of(file.columns->begin(), file.columns->end(), [](const sql::Column& column) {
    return to_lower_ascii(column.name) == "file_row_number";
  });
}

class Cutter {
 public:
  Cutter(const SourceSnapshot& snapshot, uint64_t target) : snapshot_(snapshot), target_(target) {}

  std::vector<Partition> cut() {
    for (uint32_t i = 0; i < snapshot_.files.size(); ++i) {
      const InputFile& file = snapshot_.files[i];
      const bool large = file.stat.size > target_;
      if (large && file.row_groups.size() > 1 && can_slice(file)) {
        close();
        slice(i, file);
      } else if (file.stat.size >= target_ / 2) {
        close();
        add(i);
        close();
      } else {
        add(i);
        if (ends_run(file)) close();
      }
    }
    close();
    return std::move(partitions_);
  }

 private:
  void add(uint32_t index) {
    const InputFile& file = snapshot_.files[index];
    open_.slices.push_back({index, 0, -1});
    open_.bytes += file.stat.size;
    open_.rows += file.rows;
    open_.rows_known &= file.rows_known;
  }

  /// By chance of the name: a run of small files ends after half a target on average once it has
  /// half, and always at one and a half.
  bool ends_run(const InputFile& file) const {
    if (open_.slices.size() >= kFilesPerPartitionMax) return true;
    if (open_.bytes < target_ / 2) return false;
    if (open_.bytes >= target_ + target_ / 2) return true;
    const double chance = 2.0 * static_cast<double>(std::max<uint64_t>(file.stat.size, 1)) /
                          static_cast<double>(target_);
    return static_cast<double>(xxh3_64(file.name) >> 11) * 0x1.0p-53 < chance;
  }

  void slice(uint32_t index, const InputFile& file) {
    size_t begin = 0;
    uint64_t bytes = 0;
    for (size_t g = 0; g <= file.row_groups.size(); ++g) {
      const bool end = g == file.row_groups.size();
      if (end || (bytes > 0 && bytes + file.row_groups[g].bytes / 2 > target_)) {
        const RowGroup& first = file.row_groups[begin];
        const RowGroup& last = file.row_groups[g - 1];
        const uint64_t row_end = last.row_begin + last.rows;
        open_.slices = {{index, static_cast<int64_t>(first.row_begin),
                         begin == 0 && end ? -1 : static_cast<int64_t>(row_end)}};
        open_.bytes = bytes;
        open_.rows = row_end - first.row_begin;
        close();
        begin = g;
        bytes = 0;
      }
      if (!end) bytes += file.row_groups[g].bytes;
    }
  }

  void close() {
    if (!open_.slices.empty()) partitions_.push_back(std::move(open_));
    open_ = Partition{};
    open_.rows_known = true;
  }

  const SourceSnapshot& snapshot_;
  const uint64_t target_;
  Partition open_ = {.rows_known = true};
  std::vector<Partition> partitions_;
};

std::string label_of(const SourceSnapshot& snapshot, const Partition& partition) {
  const auto name = [&](const FileSlice& slice) {
    return path_basename(snapshot.files[slice.file].name);
  };
  const FileSlice& first = partition.slices.front();
  if (partition.slices.size() > 1)
    return fmt::format("{} .. {} ({} files)", name(first), name(partition.slices.back()),
                       format_count(partition.slices.size()));
  if (first.whole()) return name(first);
  return fmt::format("{} rows {}..{}", name(first),
                     format_count(static_cast<uint64_t>(first.row_begin)),
                     format_count(static_cast<uint64_t>(first.row_end)));
}

/// All that decides a partition's rows but the files and ranges.
std::string recipe_digest(const SourceSnapshot& snapshot) {
  IdentityHash hash;
  hash.add("tidegate.recipe.1").add(to_string(snapshot.recipe.format));
  hash.add(uint64_t{snapshot.recipe.set_aside_bad_rows});
  hash.add(uint64_t{snapshot.recipe.options.size()});
  auto options = snapshot.recipe.options;
  std::sort(options.begin(), options.end());
  for (const auto& [name, value] : options) hash.add(name).add(value);
  hash.add(uint64_t{snapshot.schema.size()});
  for (const sql::Column& column : snapshot.schema) hash.add(column.name).add(column.type);
  return hash.hex();
}

}  // namespace

uint64_t partition_target(const Source& source, uint64_t total_bytes, uint64_t most) {
  if (source.partition_bytes) return std::max<uint64_t>(source.partition_bytes->value, 1);
  return std::clamp(std::bit_floor(total_bytes / 8), kPartitionBytesMin, most);
}

std::vector<Partition> cut_partitions(const SourceSnapshot& snapshot, uint64_t target) {
  std::vector<Partition> partitions = Cutter(snapshot, target).cut();
  const std::string recipe = recipe_digest(snapshot);
  for (Partition& partition : partitions) {
    partition.label = label_of(snapshot, partition);
    IdentityHash hash;
    hash.add("tidegate.partition.1").add(recipe).add(uint64_t{partition.slices.size()});
    for (const FileSlice& slice : partition.slices)
      hash.add(snapshot.files[slice.file].identity)
          .add(static_cast<uint64_t>(slice.row_begin))
          .add(static_cast<uint64_t>(slice.row_end));
    partition.identity = hash.hex();
  }
  return partitions;
}

}  // namespace tidegate
