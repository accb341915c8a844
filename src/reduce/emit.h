#pragma once

#include <cstdint>

struct _duckdb_vector;

namespace tidegate::reduce {

/// Makes a row of a flat vector NULL. `validity` is the vector's mask, null before the first NULL.
void set_null(_duckdb_vector* vector, uint64_t*& validity, uint64_t row);
/// Where a flat vector's values of a fixed size lie.
char* values_of(_duckdb_vector* vector);
/// Copies a text into a vector of VARCHAR or BLOB.
void set_text(_duckdb_vector* vector, uint64_t row, const char* text, uint64_t size);

}  // namespace tidegate::reduce
