#pragma once

#include <cstdint>

#include "batch/type.h"

struct _duckdb_vector;

namespace tidegate::reduce {

/// Makes a row of a flat vector NULL. `validity` is the vector's mask, null before the first NULL.
void set_null(_duckdb_vector* vector, uint64_t*& validity, uint64_t row);
/// Where a flat vector's values of a fixed size lie.
char* values_of(_duckdb_vector* vector);
/// Copies a text into a vector of VARCHAR or BLOB.
void set_text(_duckdb_vector* vector, uint64_t row, const char* text, uint64_t size);

/// Makes -0.0 0.0 and each NaN the same one, as GroupTable gives them, in the first `count` values
/// of that storage.
void settle_reals(batch::Storage storage, uint64_t count, _duckdb_vector* vector);

}  // namespace tidegate::reduce
