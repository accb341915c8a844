#pragma once

#include <cstdint>

#include "base/failure.h"
#include "batch/chunk_view.h"
#include "batch/type.h"

struct _duckdb_vector;

namespace tidegate::reduce {

// Values of a column to rows of a flat DuckDB vector from `at` on, which were not written before.
// Nested values that do not decode are a lost failure "batch.value".

/// Rows [begin, begin + count).
Status copy_rows(const batch::ColumnType& type, const batch::ColumnView& from, uint32_t begin,
                 uint32_t count, _duckdb_vector* vector, uint32_t at);
/// Rows by their numbers; kNoRow (stored_rows.h) is NULL, or not written if `skips`.
Status gather_rows(const batch::ColumnType& type, const batch::ColumnView& from,
                   const uint32_t* rows, uint32_t count, _duckdb_vector* vector, uint32_t at,
                   bool skips = false);

}  // namespace tidegate::reduce
