#include "reduce/emit.h"

#include <cmath>
#include <limits>

#include "duckdb.h"

namespace tidegate::reduce {
namespace {

template <typename T>
void settle_as(uint64_t count, duckdb_vector vector) {
  T* values = static_cast<T*>(duckdb_vector_get_data(vector));
  for (uint64_t i = 0; i < count; ++i) {
    if (values[i] == 0) values[i] = 0;
    if (std::isnan(values[i])) values[i] = std::numeric_limits<T>::quiet_NaN();
  }
}

}  // namespace

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

void settle_reals(batch::Storage storage, uint64_t count, duckdb_vector vector) {
  if (storage == batch::Storage::kF32) settle_as<float>(count, vector);
  if (storage == batch::Storage::kF64) settle_as<double>(count, vector);
}

}  // namespace tidegate::reduce
