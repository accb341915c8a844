#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/failure.h"
#include "batch/chunk_view.h"
#include "batch/type.h"

struct _duckdb_vector;

namespace tidegate::reduce {

/// Numbers the distinct combinations of key columns in order of first appearance. Keys are equal
/// as DuckDB's GROUP BY has them: NULL is a value, NaN equals NaN, -0.0 equals 0.0 and is given
/// back as 0.0. Open addressing with prefetch; keys of up to 16 bytes lie in the slots themselves.
class GroupTable {
 public:
  static constexpr uint32_t kGroupsMax = uint32_t{1} << 31;
  static constexpr uint32_t kNoGroup = UINT32_MAX;

  /// Without key columns there is one group, which the first row makes.
  static std::unique_ptr<GroupTable> create(std::vector<batch::ColumnType> keys);
  virtual ~GroupTable() = default;

  /// The group of each row. `keys` are the key columns' views.
  virtual void find_or_add(const batch::ColumnView* keys, size_t rows, uint32_t* groups) = 0;
  /// The same without adding: kNoGroup where there is none.
  virtual void find(const batch::ColumnView* keys, size_t rows, uint32_t* groups) = 0;
  virtual uint32_t size() const = 0;
  /// Bytes held, and at most held after `rows` more distinct rows of at most `text_bytes` of text.
  virtual uint64_t bytes() const = 0;
  virtual uint64_t bytes_after(size_t rows, uint64_t text_bytes) const = 0;
  /// Writes column `key` of these groups to the first rows of a DuckDB vector.
  virtual void emit(size_t key, const uint32_t* groups, uint32_t count,
                    _duckdb_vector* vector) const = 0;
  /// Forgets all groups, keeps the memory.
  virtual void clear() = 0;
};

}  // namespace tidegate::reduce
