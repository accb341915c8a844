#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "batch/chunk_view.h"
#include "batch/type.h"
#include "reduce/spec.h"
#include "sort/sorted_cursor.h"

namespace tidegate::reduce {

/// Some rows of a window's input, in its order.
struct Slice {
  uint32_t rows = 0;
  std::vector<batch::ColumnView> columns;  ///< by column of the spec's input, if it is read
  /// How far a row agrees with the one before it: 0 where another partition begins, else the first
  /// of the order's columns (from 1 on) that differs, or one more than were compared. So a row
  /// begins peers by the first n order columns where its level is at most n.
  std::vector<uint32_t> levels;
};

/// Reads slices and compares neighbouring rows: NULL equals NULL, NaN equals NaN, -0.0 equals 0.0,
/// a month 30 days.
class SliceReader {
 public:
  /// The columns that a reader of `columns` needs to compare keys and the first `depth` order
  /// columns, too.
  static std::vector<uint32_t> with_compared(const KernelSpec& spec, uint32_t depth,
                                             std::vector<uint32_t> columns);
  /// `columns` as above, those that the cursor reads. All but the cursor outlive the reader.
  SliceReader(const KernelSpec& spec, const std::vector<batch::ColumnType>& types, uint32_t depth,
              std::vector<uint32_t> columns, std::unique_ptr<sort::SortedCursor> cursor);

  /// `slice` is the next one, valid until the next call; without rows at the end.
  Status next();
  const Slice& slice() const { return slice_; }

 private:
  struct Compared {
    uint32_t column = 0;
    uint32_t level = 0;
    bool was_valid = false;  ///< the last row's value, before the slice
    char before[16] = {};
    std::string text = {};
  };
  void compare(const Compared& compared);
  template <typename T>
  void compare_as(const Compared& compared);
  void keep_last();

  const std::vector<batch::ColumnType>& types_;
  std::vector<uint32_t> columns_;
  std::unique_ptr<sort::SortedCursor> cursor_;
  std::vector<batch::ColumnView> views_;
  std::vector<Compared> compared_;  ///< from the last order column to the first key
  uint32_t same_ = 0;               ///< the level of a row that differs in nothing
  bool begun_ = false;
  Slice slice_;
};

}  // namespace tidegate::reduce
