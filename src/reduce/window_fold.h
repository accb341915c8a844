#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "base/failure.h"
#include "batch/type.h"
#include "reduce/spec.h"
#include "reduce/window_slice.h"

namespace tidegate::reduce {

/// Values that a fold has given, as a column.
class FoldValues {
 public:
  /// Forgets what there was; there will be at most so many.
  void begin(size_t most, size_t width) {
    if (data_.size() < most * width) data_.resize(most * width);
    valid_.assign((most + 63) / 64, ~uint64_t{0});
    count_ = 0;
    any_null_ = false;
  }
  template <typename T>
  void push(const T& value, bool valid) {
    std::memcpy(data_.data() + count_ * sizeof value, &value, sizeof value);
    if (!valid) {
      valid_[count_ / 64] &= ~(uint64_t{1} << (count_ % 64));
      any_null_ = true;
    }
    ++count_;
  }
  uint32_t size() const { return static_cast<uint32_t>(count_); }
  batch::ColumnView view() const { return {data_.data(), any_null_ ? valid_.data() : nullptr}; }

 private:
  std::vector<char> data_;
  std::vector<uint64_t> valid_;
  size_t count_ = 0;
  bool any_null_ = false;
};

/// An aggregate, or the first, last or nth value, over the rows of a partition from its beginning
/// on. Holds one state, whatever the size of the partition.
class Fold {
 public:
  /// For a kAggregate or a kFirstValue, kLastValue, kNthValue that is supported over these types.
  static std::unique_ptr<Fold> create(const WindowFunction& window,
                                      const std::vector<batch::ColumnType>& types);
  virtual ~Fold() = default;

  /// Takes a slice; `values` are those after each of its rows.
  virtual Status each_row(const Slice& slice) = 0;
  /// Takes a slice; `values` are those of the groups that ended before one of its rows. A group is
  /// what agrees in so many order columns.
  virtual Status each_group(const Slice& slice, uint32_t depth) = 0;
  /// No more rows: `values` is that of the last group.
  virtual void end() = 0;
  /// Before the slice goes: texts are copied that are still needed. Values so far go with it.
  virtual void keep() = 0;

  const FoldValues& values() const { return values_; }
  /// Of the values.
  const batch::ColumnType& type() const { return type_; }

 protected:
  explicit Fold(batch::ColumnType type) : type_(std::move(type)) {}
  batch::ColumnType type_;
  FoldValues values_;
};

}  // namespace tidegate::reduce
