#include "reduce/emit.h"

#include "duckdb.h"

namespace tidegate::reduce {

void set_null(duckdb_vector vector, uint64_t*& validity, uint64_t row) {
  if (validity == nullptr) {
    duckdb_vector_ensure_validity_writable(vector);
    validity = duckdb_vector_get_validity(vector);
  }
  validity[row / 64] &= ~(uint64_t{1} << (row % 64));
}

}  // namespace tidegate::reduce
