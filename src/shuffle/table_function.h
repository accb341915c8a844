#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/failure.h"
#include "sql/sql.h"

struct _duckdb_data_chunk;

namespace tidegate::shuffle {

/// Stands for a column that no vector is read of, as in a count of rows.
inline constexpr uint32_t kNoColumn = UINT32_MAX;

/// One pass over the rows of a table, by one thread.
class TableScan {
 public:
  virtual ~TableScan() = default;
  /// Fills `chunk` with up to a vector of rows; none at the end.
  virtual Status fill(_duckdb_data_chunk* chunk) = 0;
};

/// Rows of ours that DuckDB reads as a table, in our order. Lives as long as the database.
class TableFunction {
 public:
  virtual ~TableFunction() = default;
  /// `columns` are those of the schema to produce, in the order of the chunks' vectors.
  virtual Result<std::unique_ptr<TableScan>> open(std::vector<uint32_t> columns) = 0;
};

/// Makes `table` readable under `name`, a temporary view; one of that name before is replaced.
/// `rows` is how many there are, for DuckDB's planner. Gives the name of the function behind it,
/// which begins with "tidegate_" and `kind`. What its scans fail with keeps class and code
/// (map_output_failure). Refused by DuckDB: a defect "shuffle.register".
Result<std::string> register_table(sql::Connection& connection, const std::string& name,
                                   const std::string& kind, const sql::Schema& schema,
                                   std::unique_ptr<TableFunction> table,
                                   std::optional<uint64_t> rows = {});

}  // namespace tidegate::shuffle
