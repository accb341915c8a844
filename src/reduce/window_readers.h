#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "reduce/window_fold.h"
#include "reduce/window_run.h"
#include "reduce/window_slice.h"

// Internal to window_*.cc: the readers beside the one that gives the rows.
namespace tidegate::reduce {

/// Reads ahead to the end of each group of rows that agree in `depth` order columns (0: of each
/// partition), so that its rows can be given what is known there.
class WindowRun::Leader {
 public:
  explicit Leader(uint32_t depth) : depth_(depth) {}

  uint32_t depth() const { return depth_; }
  void add(Asked asked) { asked_.push_back(std::move(asked)); }
  /// Before the first row of a bucket. `reader` compares `depth` columns.
  void open(std::unique_ptr<SliceReader> reader);
  void close() { reader_.reset(); }
  /// Writes what is asked for, for a slice of the rows, and notes `ends`.
  Status write(const Slice& slice, _duckdb_data_chunk* chunk);
  /// Of each row of that slice: the rows from its partition's first to its group's last.
  const std::vector<int64_t>& ends() const { return ends_; }
  std::vector<uint32_t> arguments(const KernelSpec& spec) const;
  void make_folds(const KernelSpec& spec, const std::vector<batch::ColumnType>& types);

 private:
  Status advance();
  Status flush(uint32_t begin, uint32_t end, _duckdb_data_chunk* chunk);

  uint32_t depth_;
  std::vector<Asked> asked_;
  std::unique_ptr<SliceReader> reader_;
  bool ended_ = false, begun_ = false;
  int64_t partition_rows_ = 0;       ///< read so far
  std::vector<int64_t> group_ends_;  ///< of the groups that ended in the slice
  int64_t group_ = -1;               ///< the current row's, among those
  std::vector<uint32_t> groups_;     ///< by row of the rows' slice
  std::vector<int64_t> ends_;
};

/// Reads so many rows behind the current one, or ahead of it.
class WindowRun::Follower {
 public:
  Follower(uint64_t offset, bool ahead) : offset_(offset), ahead_(ahead) {}

  bool is(uint64_t offset, bool ahead) const { return offset_ == offset && ahead_ == ahead; }
  bool ahead() const { return ahead_; }
  void add(Asked asked) { asked_.push_back(std::move(asked)); }
  /// `reader` compares keys, if it is ahead.
  Status open(std::unique_ptr<SliceReader> reader);
  void close() { reader_.reset(); }
  Status write(const Slice& slice, const std::vector<int64_t>& row_numbers,
               const std::vector<uint64_t>& partitions, const KernelSpec& spec,
               const std::vector<batch::ColumnType>& types, _duckdb_data_chunk* chunk);
  std::vector<uint32_t> arguments(const KernelSpec& spec) const;

 private:
  Status next();

  uint64_t offset_;
  bool ahead_;
  std::vector<Asked> asked_;
  std::unique_ptr<SliceReader> reader_;
  uint64_t behind_ = 0;  ///< rows that are still to pass before the first is read
  uint32_t at_ = 0;      ///< in the slice
  uint64_t partition_ = 0;
  std::vector<uint64_t> partitions_;  ///< of the slice, counted
  std::vector<uint32_t> sources_;
};

/// Counts partitions on; `before` is the number of the last row's.
void count_partitions(const Slice& slice, uint64_t& before, std::vector<uint64_t>& out);

}  // namespace tidegate::reduce
