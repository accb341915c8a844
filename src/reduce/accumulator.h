#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/failure.h"
#include "batch/type.h"
#include "reduce/growing.h"
#include "reduce/row_selection.h"
#include "reduce/spec.h"
#include "reduce/state_rows.h"

struct _duckdb_vector;

namespace tidegate::reduce {

/// The states of one aggregate, one a group, and how rows change them.
class Accumulator {
 public:
  /// `aggregate` must be supported over columns of these types (spec.h). Small states are kept in
  /// `states`, which grow before the accumulator does, are cleared with it, and counted elsewhere.
  static std::unique_ptr<Accumulator> create(const Aggregate& aggregate,
                                             const std::vector<batch::ColumnType>& input,
                                             StateRows& states);
  virtual ~Accumulator() = default;
  /// There are `groups` groups from now on; new ones have seen nothing.
  virtual void grow(uint32_t groups) = 0;
  /// Takes rows in; `grow` was called with all their groups. A sum beyond 128 bits is a data
  /// failure "reduce.overflow".
  virtual Status update(const GroupedRows& rows) = 0;
  /// Writes the results of groups [begin, begin + count) to the first rows of a DuckDB vector.
  virtual Status emit(uint32_t begin, uint32_t count, _duckdb_vector* vector) = 0;
  /// How many of those groups' results may be asked for at once, 1 or more, for what they take.
  virtual uint32_t emit_max(uint32_t /*begin*/, uint32_t count) const { return count; }
  /// Bytes held, and at most held once `rows` more rows with `text_bytes` of text were taken in.
  virtual uint64_t bytes() const = 0;
  virtual uint64_t bytes_after(size_t rows, uint64_t text_bytes) const = 0;
  /// Forgets all groups.
  virtual void clear() = 0;
};

// How `create` finds the kinds; one file each.
std::unique_ptr<Accumulator> make_sum(const Aggregate& aggregate, const batch::ColumnType& type,
                                      StateRows& states);
std::unique_ptr<Accumulator> make_list(const Aggregate& aggregate,
                                       const std::vector<batch::ColumnType>& input);
std::unique_ptr<Accumulator> make_mode(uint32_t column, const batch::ColumnType& type);
std::unique_ptr<Accumulator> make_moments(const Aggregate& aggregate,
                                          const batch::ColumnType& type);
std::unique_ptr<Accumulator> make_approx_count(const Aggregate& aggregate,
                                               const batch::ColumnType& type, StateRows& states);
std::unique_ptr<Accumulator> make_merge(const Aggregate& aggregate, StateRows& states);
std::unique_ptr<Accumulator> make_choice(const Aggregate& aggregate,
                                         const std::vector<batch::ColumnType>& input);
std::unique_ptr<Accumulator> make_collector(const Aggregate& aggregate,
                                            const batch::ColumnType& type);

/// Null where that aggregate with DISTINCT has none of its own.
std::unique_ptr<Accumulator> make_distinct_count(const Aggregate& aggregate,
                                                 const std::vector<batch::ColumnType>& input);

/// Lets only some rows through to `inner`: those of a FILTER, then of each group each value of the
/// `distinct` columns once (none: all rows). NULL is no value of one column, unless `nulls`, but
/// may be part of one of several.
std::unique_ptr<Accumulator> make_picking(std::unique_ptr<Accumulator> inner,
                                          std::optional<uint32_t> filter,
                                          const std::vector<uint32_t>& distinct, bool nulls,
                                          const std::vector<batch::ColumnType>& input);

/// A vector with an element a group, and its bytes.
template <typename T>
class PerGroup {
 public:
  void grow(uint32_t groups, T value = T{}) { values_.resize(groups, value); }
  T& operator[](uint32_t group) { return values_[group]; }
  const T& operator[](uint32_t group) const { return values_[group]; }
  size_t size() const { return values_.size(); }
  const T* data() const { return values_.data(); }
  T* data() { return values_.data(); }
  uint64_t bytes() const { return values_.bytes(); }
  uint64_t bytes_after(size_t rows) const { return values_.bytes_after(rows); }
  void clear() { values_.clear(); }

 private:
  Growing<T> values_;
};

/// Which groups have seen a value. Costs nothing while every row had one.
class Seen {
 public:
  /// Before a batch: groups that are there from now on.
  void grow(uint32_t groups) {
    before_ = after_;
    after_ = groups;
    if (tracked_) seen_.grow(groups);
  }
  /// During a batch, before its rows are marked: some of them have no value.
  void track() {
    if (tracked_) return;
    tracked_ = true;
    // Whatever was there before this batch has had a value with each of its rows.
    seen_.grow(before_, 1);
    seen_.grow(after_, 0);
  }
  bool tracked() const { return tracked_; }
  void mark(uint32_t group) { seen_[group] = 1; }
  bool has(uint32_t group) const { return !tracked_ || seen_[group] != 0; }
  uint64_t bytes() const { return seen_.bytes(); }
  /// Also if the next rows have to be tracked.
  uint64_t bytes_after(size_t rows) const { return seen_.bytes() + after_ + rows; }
  void clear() {
    tracked_ = false;
    before_ = after_ = 0;
    seen_.clear();
  }

 private:
  bool tracked_ = false;
  uint32_t before_ = 0, after_ = 0;
  PerGroup<uint8_t> seen_;
};

/// True if some row of the selection has no value in `column`, or is not picked.
inline bool skips_some(const GroupedRows& in, const batch::ColumnView& column) {
  if (in.picked != nullptr) return true;
  if (column.validity == nullptr) return false;
  for (size_t row = 0; row < in.rows.rows; ++row)
    if (!column.is_valid(row)) return true;
  return false;
}

}  // namespace tidegate::reduce
