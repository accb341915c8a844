#pragma once

#include <cstdint>

struct _duckdb_vector;

namespace tidegate::reduce {

/// Makes a row of a flat vector NULL. `validity` is the vector's mask, null before the first NULL.
void set_null(_duckdb_vector* vector, uint64_t*& validity, uint64_t row);

}  // namespace tidegate::reduce
