#pragma once

#include <cstdint>
#include <vector>

#include "batch/chunk_view.h"
#include "batch/type.h"
#include "reduce/arena.h"

struct _duckdb_vector;

namespace tidegate::reduce {

/// Some columns of rows that are kept, in the form in which blocks are viewed.
class StoredRows {
 public:
  explicit StoredRows(std::vector<batch::ColumnType> types);
  /// `views` are the columns' views.
  void append(const batch::ColumnView* views, uint32_t rows);
  uint32_t size() const { return rows_; }
  batch::ColumnView column(size_t index) const;
  uint64_t bytes() const;
  /// The most that is held while `rows` more are taken in, of at most `text_bytes` of text.
  uint64_t bytes_after(uint32_t rows, uint64_t text_bytes) const;
  /// Forgets the rows; the fixed memory is kept.
  void clear();

 private:
  struct Column {
    batch::ColumnType type;
    uint32_t width = 0;
    std::vector<char> values;
    std::vector<uint64_t> validity;
    bool has_null = false;
  };
  std::vector<Column> columns_;
  Arena texts_;
  uint32_t rows_ = 0;
};

/// Bytes of the texts that do not lie in their references.
uint64_t text_bytes(const batch::ColumnType& type, const batch::ColumnView& view, uint32_t rows);

inline constexpr uint32_t kNoRow = UINT32_MAX;

/// Writes rows of a column to the first rows of a flat vector; kNoRow is NULL.
void gather(const batch::ColumnType& type, const batch::ColumnView& from, const uint32_t* rows,
            uint32_t count, _duckdb_vector* vector);
/// The same, from `other` where `rows` has none.
void gather_either(const batch::ColumnType& type, const batch::ColumnView& from,
                   const uint32_t* rows, const batch::ColumnView& other, const uint32_t* other_rows,
                   uint32_t count, _duckdb_vector* vector);

}  // namespace tidegate::reduce
