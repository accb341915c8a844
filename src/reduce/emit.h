#pragma once

#include <cstdint>

#include "duckdb.h"

namespace tidegate::reduce {

/// Makes a row of a flat vector NULL. `validity` is the vector's mask, null before the first NULL.
inline void set_null(duckdb_vector vector, uint64_t*& validity, uint64_t row) {
  if (validity == nullptr) {
    duckdb_vector_ensure_validity_writable(vector);
    validity = duckdb_vector_get_validity(vector);
  }
  validity[row / 64] &= ~(uint64_t{1} << (row % 64));
}

}  // namespace tidegate::reduce
