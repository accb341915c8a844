#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "batch/type.h"
#include "sql/sql.h"

struct _duckdb_vector;

namespace tidegate::fuzz {

/// Types of every storage and meaning; the first byte of a seed is an index of these. New ones go
/// to the end.
const std::vector<std::string>& block_types();
/// Nested types, for `value`.
const std::vector<std::string>& value_types();
/// Columns of the map outputs among the seeds.
const sql::Schema& file_types();

/// A database, opened on first use. Aborts if there is no library.
sql::Connection& connection();

/// A chunk of some types, used again and again.
class TypedChunk {
 public:
  explicit TypedChunk(const std::vector<std::string>& types);
  ~TypedChunk();
  TypedChunk(const TypedChunk&) = delete;
  TypedChunk& operator=(const TypedChunk&) = delete;

  const std::vector<batch::ColumnType>& types() const { return types_; }
  _duckdb_data_chunk* raw() const { return raw_; }
  _duckdb_vector* vector(size_t column) const;
  void reset();
  void set_rows(uint64_t rows);
  /// The value's encoding, bit by bit.
  std::string value(size_t column, size_t row) const;
  /// Appends a number for each of a column's first rows that stands for all bits of the value.
  void digests(size_t column, size_t rows, std::vector<uint64_t>& out) const;

 private:
  std::vector<batch::ColumnType> types_;
  std::vector<_duckdb_logical_type*> logical_;
  _duckdb_data_chunk* raw_ = nullptr;
};

/// The chunk of one type of a list, made on first use and kept.
TypedChunk& chunk_of(const std::vector<std::string>& types, size_t index);

}  // namespace tidegate::fuzz
