#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "batch/chunk_view.h"
#include "sql/sql.h"

namespace tidegate {

/// A column that rows are hashed by, and the type it is hashed as (equal values of both sides of a
/// join meet in one bucket only if they are hashed as one type; docs/architecture.md).
struct HashKey {
  uint32_t column = 0;
  std::string type;
};

struct MapOutputOptions {
  sql::Schema schema;
  /// What rows are hashed by and, in `append`, put into buckets by; empty: all go to bucket 0.
  /// Their readers compare the sum of these hashes.
  std::vector<HashKey> keys;
  uint32_t buckets = 1;  ///< 1..65,536
  std::string attempt;   ///< token; stands in the file and is asked for by readers
  uint64_t memory_bytes = uint64_t{64} << 20;  ///< bound of all buffers of this writer
};

struct MapOutputSummary {
  uint64_t rows = 0;
  uint64_t bytes = 0;          ///< of the file
  std::string content_digest;  ///< hex64: of the rows in order, not of the attempt
  std::vector<uint64_t> bucket_rows;
  std::vector<uint64_t> bucket_bytes;
  std::vector<uint64_t> bucket_content;  ///< digests of the rows in order; 0: no rows
  uint64_t memory_peak_bytes = 0;        ///< the most that the writer's buffers took
};

/// Writes one map output: rows hashed into buckets, encoded, checksummed, one file.
/// Rows of one bucket keep their order. Deterministic: the same chunks give the same bytes but for
/// the attempt token. Not fsynced: a torn file is found by its checksums and made again.
class MapOutputWriter {
 public:
  static Result<std::unique_ptr<MapOutputWriter>> create(Effects& effects, const std::string& path,
                                                         MapOutputOptions options);
  virtual ~MapOutputWriter() = default;
  /// Copies the chunk's rows; the caller keeps the chunk.
  virtual Status append(_duckdb_data_chunk* chunk) = 0;
  /// Adds rows whose buckets the caller has chosen; `types` are those of the schema.
  virtual Status append_to(const std::vector<batch::ColumnType>& types, const batch::RowsView& rows,
                           const uint32_t* row_buckets) = 0;
  /// Writes the footer and closes. No call after it.
  virtual Result<MapOutputSummary> finish() = 0;
};

/// One map output as a reader names it: exactly this attempt, or a failure of class lost.
struct MapOutputRef {
  std::string path;
  std::string attempt;
};

/// Makes `name` a table of `connection` that streams buckets [bucket_begin, bucket_end) of these
/// files, in file order, then bucket order, then row order. May be scanned any number of times,
/// also within one statement; projection is pushed down. Holds at most `memory_bytes` of blocks for
/// each scan. Every block's checksum is verified before a row of it is used, and at the end of each
/// bucket that its rows and their keys were those that were written; a missing, torn, foreign or
/// altered file fails the statement with a text from which `map_output_failure` gets
/// the failure (class lost) back. `effects` must outlive the database. Works before and after
/// Database::lock(). The planner is told the row count if the files can be read at this moment.
Status register_bucket_table(sql::Connection& connection, Effects& effects, const std::string& name,
                             const sql::Schema& schema, std::vector<MapOutputRef> files,
                             uint32_t bucket_begin, uint32_t bucket_end, uint64_t memory_bytes);

/// The failure that a bucket table raised inside DuckDB, recovered from DuckDB's message; the
/// given one if it was none of ours. `path` of the lost file stands in its message.
Failure map_output_failure(const Failure& from_duckdb);

/// Rows, buckets and schema from a file's footer (verified).
struct MapOutputInfo {
  sql::Schema schema;
  std::vector<HashKey> keys;
  std::string attempt;
  uint32_t buckets = 0;
  uint64_t rows = 0;
  std::vector<uint64_t> bucket_rows;
  std::vector<uint64_t> bucket_bytes;
};
Result<MapOutputInfo> read_map_output_info(Effects& effects, const std::string& path);

}  // namespace tidegate
