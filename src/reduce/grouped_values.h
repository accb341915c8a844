#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "reduce/accumulator.h"
#include "sort/external_sort.h"
#include "sort/sort_key.h"
#include "sql/sql.h"

namespace tidegate::reduce {

/// Where an aggregate puts the values of groups that do not fit in memory.
struct SpillSpace {
  Effects* effects = nullptr;
  std::string directory;
  uint64_t memory_bytes = 0;  ///< of one aggregate's values
  /// The `memory` of a stage that leaves so much to one aggregate's values and can pass a result of
  /// so many bytes on; 0: there is none. Not set: not known.
  std::function<uint64_t(uint64_t memory_bytes, uint64_t result_bytes)> stage_memory = {};
};

/// Some columns of rows with the group of each and, if asked, the number of each row, sorted by
/// group and by some of the columns. Rows that compare equal stand as they came.
class GroupedValues {
 public:
  struct Rules {
    std::vector<uint32_t> columns = {};  ///< of the kernel's input
    sort::SortOrder order = {};          ///< by places in `columns`
    bool arrivals = false;               ///< the last column: when a row came
    std::optional<uint32_t> filter = {};
    bool skip_null = false;  ///< in the first column
  };
  GroupedValues(Rules rules, const sql::Schema& schema, const std::vector<batch::ColumnType>& input,
                SpillSpace space);

  void grow(uint32_t groups) {
    sizes_.grow(groups);
    if (is_text_) text_bytes_.grow(groups);
  }
  Status add(const GroupedRows& in);
  uint64_t size(uint32_t group) const { return sizes_[group]; }
  /// What the first column's values take at most, as DuckDB has them.
  uint64_t value_bytes(uint32_t group) const {
    return sizes_[group] * batch::slot_bytes(types_[1]) + (is_text_ ? text_bytes_[group] : 0);
  }
  uint32_t groups() const { return static_cast<uint32_t>(sizes_.size()); }

  /// To the next row; false at the end. After the first call no `add`.
  Result<bool> step();
  /// The number of rows in `views`, the group's first, valid until the next call; 0 at the end.
  /// `fresh` are those that differ from the row before. Not to be mixed with `step`.
  Result<uint32_t> next_block(std::vector<uint32_t>& fresh);
  const std::vector<batch::ColumnView>& views() const { return views_; }
  uint32_t group() const { return static_cast<const uint32_t*>(views_[0].data)[row_]; }
  const batch::ColumnView& column(size_t place) const { return views_[place + 1]; }
  uint32_t row() const { return row_; }
  /// Whether `step` will give other views.
  bool is_last_of_views() const { return row_ + 1 >= rows_; }
  uint64_t arrival() const { return static_cast<const uint64_t*>(views_.back().data)[row_]; }
  /// Whether the row differs from the one before in its group or what it is ordered by.
  bool is_new() const { return is_new_; }
  const std::vector<batch::ColumnType>& types() const { return types_; }  ///< the group first

  uint64_t bytes() const { return space_.memory_bytes + sizes_.bytes() + text_bytes_.bytes(); }
  uint64_t bytes_after(size_t rows) const {
    return space_.memory_bytes + sizes_.bytes_after(rows) +
           (is_text_ ? text_bytes_.bytes_after(rows) : 0);
  }
  void clear();

 private:
  Status open();
  Status load();
  batch::ColumnView gather(const batch::ColumnView& from, size_t place);

  Rules rules_;
  sql::Schema schema_;  ///< of what is sorted
  std::vector<batch::ColumnType> types_;
  SpillSpace space_;
  PerGroup<uint64_t> sizes_;
  PerGroup<uint64_t> text_bytes_;  ///< of the first column beyond what lies in its slots
  bool is_text_ = false;
  std::unique_ptr<sort::ExternalSort> sort_;
  uint64_t arrived_ = 0;
  // Rows on their way in.
  std::vector<uint32_t> picked_, groups_;
  std::vector<uint64_t> arrivals_;
  std::vector<std::vector<char>> values_;
  std::vector<std::vector<uint64_t>> validity_;
  std::vector<batch::ColumnView> in_;
  // Rows on their way out.
  bool reads_ = false;
  std::vector<batch::ColumnView> views_;
  uint32_t rows_ = 0, row_ = 0;
  std::optional<sort::KeyMaker> maker_;
  sort::KeyBatch keys_;
  std::string last_key_;
  bool is_new_ = false;
};

}  // namespace tidegate::reduce
