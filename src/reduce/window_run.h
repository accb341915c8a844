#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "batch/type.h"
#include "reduce/kernel_rows.h"
#include "reduce/kernel_table.h"
#include "reduce/window_fold.h"
#include "reduce/window_slice.h"
#include "shuffle/bucket_scan.h"
#include "sort/external_sort.h"

namespace tidegate::reduce {

/// Window functions over the rows of a bucket, bucket after bucket. The rows are sorted by the keys
/// and the order; then readers go over them, each a pass of its own, and what a function needs of
/// rows before or behind the current one is what a reader that is behind or ahead has just read:
///
///   the rows themselves   row numbers, ranks, and what ends with the row (ROWS)
///   a leader a depth      at the end of the row's peers or partition: aggregates of those frames,
///                         how many rows there are (cume_dist, percent_rank, ntile)
///   a follower an offset  so many rows behind or ahead: lag, lead
///
/// So no partition and no peers are ever held, whatever their size. What is held: the sort's
/// memory; of each reader a slice of rows, or, once rows were spilled, a block of the one sorted
/// run; of each fold one state. One thread.
class WindowRun final : public KernelRows {
 public:
  WindowRun(Effects& effects, KernelSpec spec, std::vector<batch::ColumnType> types,
            KernelInput input, KernelOptions options, std::shared_ptr<KernelCounts> counts);
  ~WindowRun() override;

  /// Takes its rows from another run, a bucket at a time, whatever its input: those columns of its
  /// result, by way of a chunk that has their types. Before the first call of what follows.
  void read(WindowRun& before, const std::vector<uint32_t>& columns, _duckdb_data_chunk* chunk);

  Status start() override;
  Status fill(const std::vector<uint32_t>& columns, _duckdb_data_chunk* chunk) override;

 private:
  class Leader;
  class Follower;
  /// A column of the result that is asked for.
  struct Asked {
    uint32_t place = 0;   ///< of the chunk
    uint32_t column = 0;  ///< of the input, or a window function's number
    std::unique_ptr<Fold> fold = {};
    int64_t rank = 0;  ///< of the row before
  };

  void look_at(const std::vector<uint32_t>& columns);
  Leader& leader(uint32_t depth);
  /// Sorts the next bucket's rows; false if there is none.
  Result<bool> next_part();
  /// Writes rows of that bucket; none at its end.
  Status fill_part(_duckdb_data_chunk* chunk);
  uint64_t slice_bytes() const;
  Result<std::unique_ptr<sort::ExternalSort>> open_sort();
  Status sort_stream();
  Status sort_bucket(uint32_t bucket);
  Status sort_before();
  Status open_readers();
  std::unique_ptr<SliceReader> open_reader(uint32_t depth, std::vector<uint32_t> columns);
  void number_rows();
  void write_number(Asked& asked, _duckdb_data_chunk* chunk);
  Status write(_duckdb_data_chunk* chunk);

  Effects& effects_;
  KernelSpec spec_;
  std::vector<batch::ColumnType> types_;
  KernelInput input_;
  KernelOptions options_;
  std::shared_ptr<KernelCounts> counts_;
  uint32_t bucket_ = 0;          ///< of the input, the next
  WindowRun* before_ = nullptr;  ///< what the rows come from, if not from the input
  _duckdb_data_chunk* chunk_before_ = nullptr;
  bool done_ = false;
  std::unique_ptr<sort::ExternalSort> sort_;

  bool looked_ = false;
  std::vector<Asked> plain_, numbers_, folds_;
  std::vector<std::unique_ptr<Leader>> leaders_;
  std::vector<std::unique_ptr<Follower>> followers_;
  uint32_t depth_ = 0;  ///< of what is asked for by the rows themselves
  std::vector<uint32_t> columns_;

  std::unique_ptr<SliceReader> rows_;
  std::vector<int64_t> row_numbers_;  ///< of the slice, in its partition, from 1 on
  std::vector<uint64_t> partitions_;  ///< of the slice, counted
  uint64_t partition_ = 0;
};

}  // namespace tidegate::reduce
