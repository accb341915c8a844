#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "batch/chunk_view.h"
#include "shuffle/bucket_scan.h"
#include "sort/row_buffer.h"

namespace tidegate::sort {

/// One pass over some columns of rows that an ExternalSort has put in order (its `cursor`). Holds a
/// slice of rows, or a block of the spilled run. Not thread-safe.
class SortedCursor {
 public:
  /// Rows of a slice at most; every slice of rows in memory but the last has as many.
  static constexpr uint32_t kSliceRows = 2'048;

  /// Of rows in memory, in this order.
  SortedCursor(const RowBuffer& rows, const std::vector<uint32_t>& order,
               std::vector<uint32_t> columns);
  /// Of a run.
  SortedCursor(shuffle::BucketTable run, std::vector<uint32_t> columns);
  SortedCursor(const SortedCursor&) = delete;
  SortedCursor& operator=(const SortedCursor&) = delete;

  /// The number of rows in `views` (by place among the columns), valid until the next call; 0 at
  /// the end.
  Result<uint32_t> next(std::vector<batch::ColumnView>& views);

 private:
  Result<uint32_t> next_of_run(std::vector<batch::ColumnView>& views);

  std::vector<uint32_t> columns_;
  const RowBuffer* rows_ = nullptr;
  const std::vector<uint32_t>* order_ = nullptr;
  size_t at_ = 0;  ///< the next row in memory
  RowBuffer::Output output_;

  shuffle::BucketTable run_;
  std::optional<shuffle::BucketScan> scan_;
  std::vector<batch::ColumnView> block_;
  uint32_t block_rows_ = 0, block_at_ = 0;
};

}  // namespace tidegate::sort
