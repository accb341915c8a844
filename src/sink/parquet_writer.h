#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/effects.h"
#include "batch/chunk_view.h"
#include "sql/sql.h"

namespace tidegate::sink {

struct ParquetOptions {
  /// The columns as they are published (sql::parquet_schema); a type that is published as another
  /// may stand here, too.
  sql::Schema schema;
  std::string compression = "zstd";  ///< "zstd" (level 1), "snappy" or "none"
  /// What the writer may hold. A row group ends early where it would hold more; a single value, and
  /// the 1,024 rows between two looks, may go beyond it.
  uint64_t memory_bytes = uint64_t{64} << 20;
  uint64_t row_group_rows_max = uint64_t{512} << 10;
  uint64_t page_rows_max = uint64_t{32} << 10;
};

struct ParquetSummary {
  uint64_t rows = 0;
  uint64_t bytes = 0;
  std::string xxh3;  ///< of the whole file, as hash_file has it
  uint64_t row_groups = 0;
  uint64_t memory_peak_bytes = 0;
};

/// True if rows of this schema can be written: flat columns all. `schema` is that of the rows as
/// they are appended, which may be published as another type where that loses nothing: HUGEINT and
/// UHUGEINT, TIMESTAMP_S and TIMESTAMP_MS, ENUM. What stands for other types (BIT, BIGNUM, TIME_NS)
/// must be made before (sql::parquet_select); nested types and TIME WITH TIME ZONE are refused.
bool can_write(const sql::Schema& schema);

/// Writes rows to a Parquet file that has the schema DuckDB's COPY would give it, readable by
/// everything that reads format 2.8 (BYTE_STREAM_SPLIT). Rows stay in their order. The same rows
/// and options make the same bytes, however the rows are cut into appends. Column by column and row
/// group by row group it measures on the first page what pays: dictionary, deltas, byte streams,
/// compression. Not thread-safe. Not fsynced.
class ParquetWriter {
 public:
  /// Makes a new file ("file.exists" if there is one). `types` are those of the rows, a column of
  /// the schema each; a pair that can_write refuses is a defect failure "parquet.type".
  static Result<std::unique_ptr<ParquetWriter>> create(Effects& effects, const std::string& path,
                                                       ParquetOptions options,
                                                       const std::vector<batch::ColumnType>& types);
  ~ParquetWriter();
  /// A value that cannot be published (a HUGEINT of 39 digits, a negative INTERVAL) is a data
  /// failure "parquet.value". After a failure the file is of no use, and so is the writer: every
  /// call gives the failure again. The caller removes the file.
  Status append(const batch::RowsView& rows);
  /// Ends the file. The writer may not be used after.
  Result<ParquetSummary> finish();
  /// Bytes that the writer holds now.
  uint64_t held_bytes() const;

 private:
  struct State;
  explicit ParquetWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidegate::sink
