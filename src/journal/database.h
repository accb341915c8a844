#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/sqlite_vfs.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tidegate {

class Database;

/// One prepared statement of a Database, which must outlive it and keeps it for the next use of the
/// same text. Parameters count from 1, columns from 0. Text given to `bind` is copied.
class Statement {
 public:
  Statement(Database& database, sqlite3_stmt* raw) : database_(&database), raw_(raw) {}
  Statement(Statement&& other) noexcept
      : database_(other.database_), raw_(std::exchange(other.raw_, nullptr)) {}
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  Statement& bind(int index, int64_t value);
  Statement& bind(int index, uint64_t value) { return bind(index, static_cast<int64_t>(value)); }
  Statement& bind(int index, std::string_view text);
  Statement& bind_blob(int index, std::string_view bytes);
  /// True while there is a row.
  Result<bool> step();
  /// Runs to the end and makes the statement ready for the next use.
  Status run();
  void reset();
  int64_t integer(int column) const;
  /// Text or blob, as bytes.
  std::string text(int column) const;

 private:
  Database* database_;
  sqlite3_stmt* raw_;
};

/// One SQLite connection through our VFS. Errors come as failures: journal.corrupt (data),
/// journal.busy (transient), journal.read_only, journal.missing (dependency), or the class of the
/// disk's failure below.
class Database {
 public:
  enum class Mode : uint8_t { kRead, kWrite, kMemory, kSalvage };
  /// kRead may still roll a crashed writer's journal back if the file may be written. `path` is
  /// not used for kMemory. kSalvage reads what is left of a damaged file. Lock waits are bounded by
  /// kBusyMs.
  static Result<std::unique_ptr<Database>> open(Effects& effects, const std::string& path,
                                                Mode mode);
  static constexpr int kBusyMs = 5000;
  ~Database();

  /// Statements that are made once; those of a transaction go through `prepare`.
  Status execute(const char* sql);
  Result<Statement> prepare(std::string_view sql);
  /// The first column of the first row as a number; a failure if there is no row.
  Result<int64_t> number(std::string_view sql);
  /// Copies all of `from` into this database.
  Status copy_from(Database& from);
  bool in_transaction() const;

  const SqliteVfs& vfs() const { return vfs_; }
  const std::string& path() const { return path_; }
  /// The failure for the newest error of this connection.
  Failure failure(std::string_view doing);

 private:
  friend class Statement;
  /// So many statements are kept for their next use.
  static constexpr size_t kIdleMax = 64;

  Database(Effects& effects, std::string path) : vfs_(effects), path_(std::move(path)) {}
  /// Takes back a statement that nobody uses any more.
  void give_back(sqlite3_stmt* statement);

  SqliteVfs vfs_;
  std::string path_;
  sqlite3* raw_ = nullptr;
  std::map<std::string, sqlite3_stmt*, std::less<>> idle_;
};

/// A transaction that is rolled back unless it was committed.
class Transaction {
 public:
  /// `immediate` takes the writer's lock at once.
  static Result<Transaction> begin(Database& database, bool immediate);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace tidegate
