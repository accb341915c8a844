#include "sort/sorted_cursor.h"

#include <algorithm>

namespace tidegate::sort {

SortedCursor::SortedCursor(const RowBuffer& rows, const std::vector<uint32_t>& order,
                           std::vector<uint32_t> columns)
    : columns_(std::move(columns)), rows_(&rows), order_(&order) {
  output_.resize(columns_.size());
}

SortedCursor::SortedCursor(shuffle::BucketTable run, std::vector<uint32_t> columns)
    : columns_(std::move(columns)), run_(std::move(run)) {
  scan_.emplace(run_, columns_);
}

Result<uint32_t> SortedCursor::next(std::vector<batch::ColumnView>& views) {
  if (scan_) return next_of_run(views);
  const auto count = static_cast<uint32_t>(std::min<size_t>(kSliceRows, order_->size() - at_));
  if (count == 0) return 0;
  rows_->gather(columns_, order_->data() + at_, count, output_);
  at_ += count;
  views = output_.views;
  return count;
}

/// Slices of a block begin at whole words of its bitmaps.
Result<uint32_t> SortedCursor::next_of_run(std::vector<batch::ColumnView>& views) {
  static_assert(kSliceRows % 64 == 0);
  if (block_at_ == block_rows_) {
    TG_ASSIGN(block_rows_, scan_->next(block_));
    block_at_ = 0;
    if (block_rows_ == 0) return 0;
  }
  const uint32_t count = std::min(kSliceRows, block_rows_ - block_at_);
  views.resize(columns_.size());
  for (size_t i = 0; i < columns_.size(); ++i)
    views[i] = block_[i].from(block_at_, batch::slot_bytes(run_.types[columns_[i]]));
  block_at_ += count;
  return count;
}

}  // namespace tidegate::sort
