#pragma once

#include <cstdint>
#include <vector>

#include "batch/chunk_view.h"
#include "reduce/spec.h"
#include "reduce/value_store.h"

namespace tidegate::reduce {

/// The order columns of one row a group, compared with those of other rows.
class RowOrder {
 public:
  RowOrder(std::vector<OrderColumn> order, const std::vector<batch::ColumnType>& input)
      : order_(std::move(order)) {
    for (const OrderColumn& column : order_) values_.emplace_back(input[column.column]);
  }

  void grow(uint32_t groups) {
    for (ValueStore& values : values_) values.grow(groups);
  }
  void set(uint32_t group, const batch::RowsView& rows, size_t row) {
    for (size_t i = 0; i < order_.size(); ++i)
      values_[i].set(group, rows.column(order_[i].column), row);
  }
  /// Below zero if the stored row stands before this one, above if after, zero if neither.
  int compare(uint32_t group, const batch::RowsView& rows, size_t row) const {
    for (size_t i = 0; i < order_.size(); ++i) {
      const batch::ColumnView& column = rows.column(order_[i].column);
      const bool left_null = values_[i].is_null(group);
      const bool right_null = !column.is_valid(row);
      if (left_null || right_null) {
        if (left_null && right_null) continue;
        return left_null == order_[i].nulls_first ? -1 : 1;
      }
      const int order = values_[i].compare(group, column, row);
      if (order != 0) return order_[i].descending ? -order : order;
    }
    return 0;
  }
  uint64_t bytes() const {
    uint64_t bytes = 0;
    for (const ValueStore& values : values_) bytes += values.bytes();
    return bytes;
  }
  uint64_t bytes_after(size_t rows) const {
    uint64_t bytes = 0;
    for (const ValueStore& values : values_) bytes += values.bytes_after(rows);
    return bytes;
  }
  void clear() {
    for (ValueStore& values : values_) values.clear();
  }

 private:
  std::vector<OrderColumn> order_;
  std::vector<ValueStore> values_;
};

}  // namespace tidegate::reduce
