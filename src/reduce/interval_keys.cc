#include "reduce/interval_keys.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "duckdb.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::RowsView;
using batch::Storage;

}  // namespace

IntervalKeys::IntervalKeys(const std::vector<ColumnType>& types, uint32_t keys)
    : types_(types.begin(), types.begin() + keys) {
  for (uint32_t i = 0; i < keys; ++i)
    if (types_[i].storage == Storage::kInterval) intervals_.push_back({.column = i});
}

std::vector<ColumnType> IntervalKeys::table_types() const {
  std::vector<ColumnType> out = types_;
  for (const Key& key : intervals_) {
    out[key.column].storage = Storage::kI128;
    out[key.column].meaning = batch::Meaning::kInteger;
  }
  return out;
}

const ColumnView* IntervalKeys::table_columns(const RowsView& rows) {
  if (intervals_.empty()) return rows.columns;
  columns_.assign(rows.columns, rows.columns + types_.size());
  for (Key& key : intervals_) {
    const Interval* from = static_cast<const Interval*>(rows.column(key.column).data);
    key.normal.resize(rows.rows);
    for (size_t row = 0; row < rows.rows; ++row) key.normal[row] = from[row].normal();
    columns_[key.column].data = key.normal.data();
  }
  return columns_.data();
}

void IntervalKeys::take(const RowsView& rows, const uint32_t* groups, uint32_t count) {
  constexpr Interval kNone{std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::max(),
                           std::numeric_limits<int64_t>::max()};
  for (Key& key : intervals_) {
    key.least.grow(count, kNone);
    const Interval* from = static_cast<const Interval*>(rows.column(key.column).data);
    for (size_t row = 0; row < rows.rows; ++row)
      key.least[groups[row]] = std::min(key.least[groups[row]], from[row]);
  }
}

void IntervalKeys::emit(uint32_t key, uint32_t begin, uint32_t count, duckdb_vector vector) const {
  for (const Key& one : intervals_)
    if (one.column == key)
      std::memcpy(duckdb_vector_get_data(vector), one.least.data() + begin,
                  count * sizeof(Interval));
}

uint64_t IntervalKeys::bytes() const {
  uint64_t bytes = 0;
  for (const Key& key : intervals_) bytes += key.least.bytes() + key.normal.capacity() * 16;
  return bytes;
}

uint64_t IntervalKeys::bytes_after(size_t rows) const {
  uint64_t bytes = 0;
  for (const Key& key : intervals_)
    bytes += key.least.bytes_after(rows) + std::max(key.normal.capacity(), rows) * 16;
  return bytes;
}

void IntervalKeys::clear() {
  for (Key& key : intervals_) key.least.clear();
}

}  // namespace tidegate::reduce
