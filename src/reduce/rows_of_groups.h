#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "reduce/row_selection.h"
#include "reduce/spec.h"
#include "reduce/value_store.h"

namespace tidegate::reduce {

/// Some columns of all rows with their groups; at the end in the order of groups and, within each,
/// of the order columns. Rows that compare equal stand as they came.
class RowsOfGroups {
 public:
  RowsOfGroups(uint32_t value, std::vector<OrderColumn> order,
               const std::vector<batch::ColumnType>& input)
      : value_column_(value), order_(std::move(order)), value_(input[value]) {
    for (const OrderColumn& by : order_) by_.emplace_back(input[by.column]);
  }

  void grow(uint32_t groups) { count_ = groups; }
  void add(const GroupedRows& in, bool skip_null) {
    const batch::ColumnView& value = in.rows.column(value_column_);
    rows_.clear();
    each_row(in, [&](size_t row, uint32_t group) {
      if (skip_null && !value.is_valid(row)) return;
      rows_.push_back(static_cast<uint32_t>(row));
      groups_.push_back(group);
    });
    const auto all = static_cast<uint32_t>(groups_.size());
    auto at = static_cast<uint32_t>(all - rows_.size());
    value_.grow(all);
    for (ValueStore& by : by_) by.grow(all);
    for (const uint32_t row : rows_) {
      value_.set(at, value, row);
      for (size_t i = 0; i < by_.size(); ++i) by_[i].set(at, in.rows.column(order_[i].column), row);
      ++at;
    }
  }
  /// Before the rows are looked at.
  void arrange() {
    if (!ends_.empty()) return;
    ends_.assign(size_t{count_} + 1, 0);
    for (const uint32_t group : groups_) ++ends_[group + 1];
    for (size_t group = 1; group < ends_.size(); ++group) ends_[group] += ends_[group - 1];
    sorted_.resize(groups_.size());
    for (uint32_t i = 0; i < groups_.size(); ++i) sorted_[ends_[groups_[i]]++] = i;
    // ends_[g] was where group g begins and has moved to where it ends.
    if (order_.empty()) return;
    for (uint32_t group = 0; group < count_; ++group)
      std::stable_sort(sorted_.begin() + begin_of(group), sorted_.begin() + ends_[group],
                       [&](uint32_t a, uint32_t b) { return compare(a, b) < 0; });
  }
  bool empty() const { return groups_.empty(); }
  size_t size(uint32_t group) const { return ends_[group] - static_cast<size_t>(begin_of(group)); }
  /// The rows of a group and, right behind them, those of the next ones.
  const uint32_t* rows(uint32_t group) const { return sorted_.data() + begin_of(group); }
  const ValueStore& values() const { return value_; }

  /// What stands for the order at the end is counted from the beginning.
  uint64_t bytes() const {
    uint64_t bytes = value_.bytes() + groups_.capacity() * 8 + uint64_t{count_} * 4;
    for (const ValueStore& by : by_) bytes += by.bytes();
    return bytes;
  }
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const {
    const bool grows = groups_.size() + rows > groups_.capacity();
    uint64_t bytes = value_.bytes_after(rows) + text_bytes * (1 + by_.size()) + rows * 4 +
                     groups_.capacity() * 8 + uint64_t{count_} * 4;
    if (grows) bytes += (2 * groups_.capacity() + rows) * 8;
    for (const ValueStore& by : by_) bytes += by.bytes_after(rows);
    return bytes;
  }
  void clear() {
    count_ = 0;
    groups_.clear();
    sorted_.clear();
    ends_.clear();
    value_.clear();
    for (ValueStore& by : by_) by.clear();
  }

 private:
  ptrdiff_t begin_of(uint32_t group) const { return group == 0 ? 0 : ends_[group - 1]; }
  int compare(uint32_t left, uint32_t right) const {
    for (size_t i = 0; i < by_.size(); ++i) {
      const bool left_null = by_[i].is_null(left), right_null = by_[i].is_null(right);
      if (left_null || right_null) {
        if (left_null && right_null) continue;
        return left_null == order_[i].nulls_first ? -1 : 1;
      }
      const int order = by_[i].compare(left, right);
      if (order != 0) return order_[i].descending ? -order : order;
    }
    return 0;
  }

  uint32_t value_column_;
  std::vector<OrderColumn> order_;
  ValueStore value_;
  std::vector<ValueStore> by_;
  uint32_t count_ = 0;
  std::vector<uint32_t> groups_;  ///< of each row
  std::vector<uint32_t> sorted_;
  std::vector<uint32_t> ends_;  ///< by group, in sorted_
  std::vector<uint32_t> rows_;
};

/// Where a quantile of `size` values lies as DuckDB has it: the smallest value that at least that
/// share of the values does not exceed. A quantile of at most nine decimal digits is taken as the
/// decimal that was written.
size_t discrete_index(double quantile, size_t size);

}  // namespace tidegate::reduce
