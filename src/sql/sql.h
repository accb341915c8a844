#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"

// Opaque handles of DuckDB's C API; only sql/*.cc and batch/*.cc include duckdb.h.
struct _duckdb_database;
struct _duckdb_connection;
struct _duckdb_data_chunk;
struct _duckdb_logical_type;

namespace tidegate::sql {

/// The DuckDB version that tidegate is built and tested with.
inline constexpr const char* kDuckdbVersion = "v1.5.5";

/// Loads libduckdb (from TIDEGATE_DUCKDB if set, else beside the executable, else ../lib/tidegate,
/// else as the linker finds it) and checks its version. Commands that need no SQL never call it.
/// Idempotent; thread-safe.
Status load_library();

/// A column's name and its type as DuckDB writes it ("DECIMAL(12,2)", "STRUCT(a INTEGER)").
struct Column {
  std::string name;
  std::string type;
  bool operator==(const Column&) const = default;
};
using Schema = std::vector<Column>;

/// How a database is opened. Everything is in memory; spilling goes to `temp_directory`.
struct OpenOptions {
  uint64_t memory_bytes = uint64_t{256} << 20;  ///< DuckDB's own limit: a planning figure, no bound
  int threads = 1;
  std::string temp_directory = {};  ///< empty: no spilling
  uint64_t temp_bytes_max = uint64_t{1} << 40;
  std::vector<std::string> allowed_paths = {};        ///< files that SQL may read
  std::vector<std::string> allowed_directories = {};  ///< directories, read and write
};

class Connection;
class Stream;

/// One in-memory DuckDB. Opened with extensions, persistent secrets and autoloading off and
/// TimeZone UTC. Move-only through unique_ptr; not thread-safe, one connection a thread.
class Database {
 public:
  static Result<std::unique_ptr<Database>> open(const OpenOptions& options);
  ~Database();
  /// Limits one that was opened without options ahead of its use, as if opened with these (which
  /// must have its number of threads). Before anything else is done with it.
  Status limit(const OpenOptions& options);
  /// Takes file access beyond the allowed paths away and locks the configuration, for good.
  Status lock();
  Result<std::unique_ptr<Connection>> connect();
  _duckdb_database* raw() const { return raw_; }

 private:
  Database() = default;
  _duckdb_database* raw_ = nullptr;
  OpenOptions options_;
  bool locked_ = false;
};

/// All rows of a small answer as text; an absent value is NULL.
struct Table {
  struct Cell {
    bool null = true;
    std::string text;
  };
  Schema schema;
  std::vector<std::vector<Cell>> rows;
  /// Cell (0,0) as text, "" if there is none or it is NULL.
  std::string scalar() const;
};

class Connection {
 public:
  ~Connection();
  /// Runs one statement and drops its rows.
  Status execute(const std::string& sql);
  /// Runs one statement and reads at most `rows_max` rows as text (a failure
  /// "sql.too_many_rows" beyond).
  Result<Table> query(const std::string& sql, size_t rows_max = 1'000'000);
  /// Runs one statement and streams its chunks.
  Result<std::unique_ptr<Stream>> stream(const std::string& sql);
  /// Runs one SELECT and gives its chunks to `take`, on this thread and from inside of DuckDB:
  /// nothing is copied on the way, which for text a stream does. A chunk is DuckDB's again after
  /// the call, and `take` must not use this connection. What `take` fails with, this fails with.
  Status push(const std::string& sql, const std::function<Status(_duckdb_data_chunk*)>& take);
  /// Runs one statement in small steps on this thread, calling `between` after each; returns cell
  /// (0,0) as text (COPY's row count).
  Result<std::string> execute_in_steps(const std::string& sql,
                                       const std::function<void()>& between);
  /// Names and types of a SELECT's columns, without running it.
  Result<Schema> describe(const std::string& sql);
  /// The logical type of that text. The caller destroys it (destroy_type).
  Result<_duckdb_logical_type*> make_type(const std::string& type);
  /// Ends a running statement from another thread; it fails with code "sql.interrupted".
  void interrupt();
  _duckdb_connection* raw() const { return raw_; }

 private:
  friend class Database;
  struct Taker;
  Connection();
  _duckdb_connection* raw_ = nullptr;
  std::unique_ptr<Taker> taker_;  ///< once something was pushed
};

/// A running SELECT. Chunks come in DuckDB's order; with one thread that order repeats.
class Stream {
 public:
  ~Stream();
  const Schema& schema() const { return schema_; }
  /// The next chunk (caller destroys with destroy_chunk), or null at the end. An error in the
  /// middle is a failure, never a quiet end.
  Result<_duckdb_data_chunk*> next();

 private:
  friend class Connection;
  Stream() = default;
  struct State;
  std::unique_ptr<State> state_;
  Schema schema_;
};

void destroy_chunk(_duckdb_data_chunk* chunk);
uint64_t chunk_rows(_duckdb_data_chunk* chunk);
void destroy_type(_duckdb_logical_type* type);
/// A logical type as DuckDB writes it.
std::string type_text(_duckdb_logical_type* type);

/// The failure for a DuckDB error: class and code by error type and text ("sql.binder",
/// "sql.out_of_memory", "sql.conversion", ...); message without DuckDB's stack or hints.
Failure classify(int error_type, std::string_view text);

}  // namespace tidegate::sql
