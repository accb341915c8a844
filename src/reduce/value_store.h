#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/failure.h"
#include "batch/chunk_view.h"
#include "batch/type.h"

struct _duckdb_vector;

namespace tidegate::reduce {

/// DuckDB's order of two valid values of a type: below zero, zero or above. NaN is the greatest and
/// equal to itself, -0.0 equals 0.0, text goes by its bytes, ENUMs by their index, intervals by
/// their normal form. Not for nested types and other types whose order is not that of their
/// storage.
int compare_values(batch::Storage storage, const void* left, const void* right);

/// One value of a column for each group; NULL until it is set. Text that was replaced is given back
/// when it is more than what is held.
class ValueStore {
 public:
  explicit ValueStore(batch::ColumnType type);
  ~ValueStore();
  ValueStore(ValueStore&&) = default;
  ValueStore(const ValueStore&) = delete;
  ValueStore& operator=(const ValueStore&) = delete;

  void grow(uint32_t groups);
  void set(uint32_t group, const batch::ColumnView& column, size_t row);
  /// As `set` for each: groups[i] gets the value of rows[i], one after the other.
  void set_each(const uint32_t* groups, const uint32_t* rows, size_t count,
                const batch::ColumnView& column);
  /// The values by group, of a storage that is a T. Whether one is valid is beside it.
  template <typename T>
  T* values() {
    return reinterpret_cast<T*>(values_.data());
  }
  bool is_null(uint32_t group) const { return !(valid_[group / 64] >> (group % 64) & 1); }
  const void* value(uint32_t group) const { return values_.data() + size_t{group} * width_; }
  /// Of the stored value and a row's, both valid: as compare_values.
  int compare(uint32_t group, const batch::ColumnView& column, size_t row) const {
    return compare_values(type_.storage, value(group),
                          static_cast<const char*>(column.data) + row * width_);
  }
  /// Of the values of two groups, both valid.
  int compare(uint32_t left, uint32_t right) const {
    return compare_values(type_.storage, value(left), value(right));
  }
  /// Writes the values of these groups to the first rows of a DuckDB vector.
  Status emit(const uint32_t* groups, uint32_t count, _duckdb_vector* vector) const;
  uint64_t bytes() const { return values_.capacity() + valid_.capacity() * 8 + text_bytes_; }
  uint64_t bytes_after(size_t rows) const {
    const bool grows = values_.size() + rows * width_ > values_.capacity();
    return bytes() + (grows ? 2 * values_.capacity() + rows * width_ : 0);
  }
  void clear();

 private:
  bool all_inline(const uint32_t* rows, size_t count, const batch::ColumnView& column) const;
  template <typename T>
  void copy_in(const uint32_t* groups, const uint32_t* rows, size_t count, const void* from);
  template <typename T>
  void copy_out(const uint32_t* groups, uint32_t count, void* out) const;

  batch::ColumnType type_;
  uint32_t width_;
  std::vector<char> values_;  ///< width_ bytes a group; StringRef for text
  std::vector<uint64_t> valid_;
  uint64_t text_bytes_ = 0;  ///< of texts beyond what a StringRef holds, each malloc'ed
};

}  // namespace tidegate::reduce
