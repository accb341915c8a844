#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "batch/chunk_view.h"
#include "sort/run_sort.h"
#include "sort/sorted_cursor.h"
#include "sql/sql.h"

namespace tidegate::sort {

struct SortOptions {
  uint64_t memory_bytes = 0;    ///< of rows, keys and, while runs are merged, their readers
  std::string spill_directory;  ///< where runs go that do not fit
};

struct SortCounts {
  uint64_t rows = 0;
  uint64_t runs = 0;    ///< spilled; 0: all rows were sorted in memory
  uint64_t merges = 0;  ///< of runs into longer runs, before the last merge
  uint64_t spilled_bytes = 0;
  uint64_t peak_bytes = 0;
};

/// Sorts rows under a bound: in memory, or in sorted runs that are spilled as map outputs and
/// merged. Rows of equal keys keep the order in which they were added, so that the result depends
/// on the rows alone and never on the bound. `add` all rows, `finish`, then `next` until it gives
/// none. A row that alone is larger than the bound is a failure of class memory ("sort.memory").
/// Not thread-safe.
///
/// Rows that are read several times are sorted by `finish_for_cursors` in place of `finish`: then
/// each `cursor` is a pass of its own, and `next` is not called.
class ExternalSort {
 public:
  static Result<std::unique_ptr<ExternalSort>> create(Effects& effects, sql::Schema schema,
                                                      std::vector<batch::ColumnType> types,
                                                      const SortOrder& order, SortOptions options);
  ~ExternalSort();

  /// Copies the rows.
  Status add(const batch::RowsView& rows);
  /// No `add` after it.
  Status finish();
  /// The number of rows in `views`, valid until the next call; 0 at the end.
  Result<uint32_t> next(std::vector<batch::ColumnView>& views);
  /// What was spilled becomes one run, of which each cursor is one reader: memory for cursors is
  /// theirs, the sort then holds none.
  Status finish_for_cursors();
  /// A pass over some columns; the sort outlives it. `memory_bytes`: of its blocks, if runs were
  /// spilled.
  std::unique_ptr<SortedCursor> cursor(std::vector<uint32_t> columns, uint64_t memory_bytes) const;
  /// Forgets the rows, removes what was spilled of them, and begins anew. Cursors go before.
  Status reset();
  const SortCounts& counts() const { return counts_; }

 private:
  class RunReader;
  class Merge;
  struct Run {
    std::string path;
    uint64_t rows = 0;
  };

  ExternalSort(Effects& effects, sql::Schema schema, std::vector<batch::ColumnType> types,
               KeyMaker maker, SortOptions options);
  uint64_t held_bytes() const;
  uint64_t held_bytes_after(size_t rows, uint64_t bytes) const;
  /// The end of a slice of rows from `begin` on whose texts and keys are of bounded size.
  size_t slice_end(const batch::RowsView& rows, size_t begin, uint64_t& bytes) const;
  uint32_t next_sorted(std::vector<batch::ColumnView>& views);
  void sort_in_memory();
  Status spill();
  /// Writes what `pull` gives to a new run.
  template <typename Pull>
  Result<Run> write_run(Pull pull);
  Result<std::unique_ptr<Merge>> open_merge(const std::vector<Run>& runs);
  Status merge_down(uint64_t runs_max);
  uint64_t fan_in() const;
  shuffle::BucketTable table_of(const Run& run, uint64_t memory_bytes) const;

  Effects& effects_;
  sql::Schema schema_;
  std::vector<batch::ColumnType> types_;
  KeyMaker maker_;
  SortOptions options_;
  bool texts_ = false;  ///< some column is of variable length
  uint64_t writer_bytes_ = 0;
  uint64_t rows_bytes_max_ = 0;  ///< of rows in memory with their keys and order
  SortCounts counts_;
  SlabPool pool_;
  RowBuffer buffer_;
  std::vector<uint32_t> all_columns_;
  KeyColumn keys_;
  KeyBatch batch_;
  std::vector<uint32_t> order_;
  size_t emitted_ = 0;
  RowBuffer::Output output_;
  std::vector<Run> runs_;
  std::unique_ptr<Merge> merge_;
};

}  // namespace tidegate::sort
