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

char* values_of(duckdb_vector vector) { return static_cast<char*>(duckdb_vector_get_data(vector)); }

void set_text(duckdb_vector vector, uint64_t row, const char* text, uint64_t size) {
  duckdb_unsafe_vector_assign_string_element_len(vector, row, text, size);
}

}  // namespace tidegate::reduce
