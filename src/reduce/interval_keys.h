#pragma once

#include <cstdint>
#include <vector>

#include "batch/chunk_view.h"
#include "batch/type.h"
#include "reduce/accumulator.h"
#include "reduce/interval.h"

struct _duckdb_vector;

namespace tidegate::reduce {

/// INTERVALs among the keys of a kernel: the table of groups gets their normal form (interval.h),
/// and a group's key is given as the least of the forms that its rows had, whichever of them came
/// first. Costs nothing where no key is an INTERVAL.
class IntervalKeys {
 public:
  /// The first `keys` of these columns are the keys.
  IntervalKeys(const std::vector<batch::ColumnType>& types, uint32_t keys);

  /// The keys' types in the table, and their columns, valid until the next call.
  std::vector<batch::ColumnType> table_types() const;
  const batch::ColumnView* table_columns(const batch::RowsView& rows);

  /// Notes the forms of rows whose groups are below `count`.
  void take(const batch::RowsView& rows, const uint32_t* groups, uint32_t count);
  /// Writes the forms of groups over what the table gave, if that key is an INTERVAL.
  void emit(uint32_t key, uint32_t begin, uint32_t count, _duckdb_vector* vector) const;

  uint64_t bytes() const;
  uint64_t bytes_after(size_t rows) const;
  void clear();

 private:
  struct Key {
    uint32_t column = 0;
    PerGroup<Interval> least = {};
    std::vector<batch::int128> normal = {};  ///< of the current rows
  };

  std::vector<batch::ColumnType> types_;
  std::vector<Key> intervals_;
  std::vector<batch::ColumnView> columns_;
};

}  // namespace tidegate::reduce
