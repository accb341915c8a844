#pragma once

#include <cstddef>
#include <cstdint>

#include "batch/chunk_view.h"

namespace tidegate::reduce {

/// Rows of a batch on their way into accumulators: `groups[row]` is a row's group. With `picked`,
/// only those rows count (ascending), else all.
struct GroupedRows {
  batch::RowsView rows = {};
  const uint32_t* groups = nullptr;
  const uint32_t* picked = nullptr;
  size_t picked_count = 0;

  size_t count() const { return picked != nullptr ? picked_count : rows.rows; }
};

/// Calls `take(row, group)` for each row whose value in `column` is not NULL, and `skip()` once if
/// there are others.
template <typename Take, typename Skip>
inline void each_valid(const GroupedRows& in, const batch::ColumnView& column, Take take,
                       Skip skip) {
  const uint32_t* groups = in.groups;
  if (in.picked == nullptr && column.validity == nullptr) {
    for (size_t row = 0; row < in.rows.rows; ++row) take(row, groups[row]);
    return;
  }
  bool skipped = false;
  if (in.picked == nullptr) {
    for (size_t row = 0; row < in.rows.rows; ++row) {
      if (column.is_valid(row)) {
        take(row, groups[row]);
      } else {
        skipped = true;
      }
    }
  } else {
    skipped = in.picked_count < in.rows.rows;
    for (size_t i = 0; i < in.picked_count; ++i) {
      const uint32_t row = in.picked[i];
      if (column.is_valid(row)) {
        take(row, groups[row]);
      } else {
        skipped = true;
      }
    }
  }
  if (skipped) skip();
}

/// The same for every row, NULL or not.
template <typename Take>
inline void each_row(const GroupedRows& in, Take take) {
  if (in.picked == nullptr) {
    for (size_t row = 0; row < in.rows.rows; ++row) take(row, in.groups[row]);
  } else {
    for (size_t i = 0; i < in.picked_count; ++i) take(in.picked[i], in.groups[in.picked[i]]);
  }
}

}  // namespace tidegate::reduce
