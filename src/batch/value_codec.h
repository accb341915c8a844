#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/failure.h"
#include "batch/type.h"

struct _duckdb_vector;

namespace tidegate::batch {

/// A flat DuckDB vector taken apart, its children included, so that values are reached without a
/// call into DuckDB. Valid as long as the vector.
struct VectorTree {
  const void* data = nullptr;
  const uint64_t* validity = nullptr;
  std::vector<VectorTree> children = {};

  static VectorTree of(const ColumnType& type, _duckdb_vector* vector);
  bool is_valid(size_t row) const {
    return validity == nullptr || ((validity[row / 64] >> (row % 64)) & 1) != 0;
  }
};

/// Appends a row's value: a presence byte; then fixed width as it lies in memory, text as length
/// and bytes, lists as count and elements, arrays and structs their parts, unions tag and member.
/// Equal values give equal bytes.
void encode_value(const ColumnType& type, const VectorTree& tree, size_t row, std::string& out);

/// The canonical form of an encoded value, for hashing: NaNs are one NaN, -0.0 is 0.0, intervals
/// are their normalised length. Values that DuckDB calls equal give equal bytes.
Result<std::string> canonical_value(const ColumnType& type, std::string_view encoded);

/// Writes an encoded value to row `row` of a DuckDB vector of that type. Bytes that are no value
/// of the type are a lost failure "batch.value". `vector` must be writable and flat.
Status decode_value(const ColumnType& type, std::string_view encoded, _duckdb_vector* vector,
                    size_t row);

/// Makes a row of a flat vector NULL, with all that is in it.
void set_value_null(const ColumnType& type, _duckdb_vector* vector, size_t row);

}  // namespace tidegate::batch
