#include "journal/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

namespace tidegate {

Statement::~Statement() {
  if (raw_) database_->give_back(raw_);
}

Statement& Statement::bind(int index, int64_t value) {
  sqlite3_bind_int64(raw_, index, value);
  return *this;
}

Statement& Statement::bind(int index, std::string_view text) {
  sqlite3_bind_text64(raw_, index, text.data() ? text.data() : "", text.size(), SQLITE_TRANSIENT,
                      SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_blob(int index, std::string_view bytes) {
  sqlite3_bind_blob64(raw_, index, bytes.data() ? bytes.data() : "", bytes.size(),
                      SQLITE_TRANSIENT);
  return *this;
}

Result<bool> Statement::step() {
  const int rc = sqlite3_step(raw_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  Failure failure = database_->failure("use");
  sqlite3_reset(raw_);
  return std::unexpected(std::move(failure));
}

Status Statement::run() {
  auto row = step();
  reset();
  if (!row) return std::unexpected(std::move(row).error());
  return {};
}

void Statement::reset() {
  sqlite3_reset(raw_);
  sqlite3_clear_bindings(raw_);
}

int64_t Statement::integer(int column) const { return sqlite3_column_int64(raw_, column); }

std::string Statement::text(int column) const {
  const void* bytes = sqlite3_column_blob(raw_, column);
  const int size = sqlite3_column_bytes(raw_, column);
  return bytes ? std::string(static_cast<const char*>(bytes), static_cast<size_t>(size)) : "";
}

Result<std::unique_ptr<Database>> Database::open(Effects& effects, const std::string& path,
                                                 Mode mode) {
  std::unique_ptr<Database> db(new Database(effects, path));
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  if (mode == Mode::kWrite) flags |= SQLITE_OPEN_CREATE;
  if (mode == Mode::kMemory) flags |= SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY;
  const char* name = mode == Mode::kMemory ? ":memory:" : path.c_str();
  if (sqlite3_open_v2(name, &db->raw_, flags, db->vfs_.name()) != SQLITE_OK)
    return std::unexpected(db->failure("open"));
  sqlite3_extended_result_codes(db->raw_, 1);
  sqlite3_busy_timeout(db->raw_, kBusyMs);
  // Nothing that SQLite could be led to do by a crafted file is wanted here.
  sqlite3_db_config(db->raw_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db->raw_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  TG_TRY(db->execute("PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON"));
  if (mode == Mode::kWrite) {
    // PERSIST: the commit is the zeroed header of the rollback journal, itself fsynced: four
    // fsyncs, none of them of the directory. DELETE would need a fifth (EXTRA) to be as durable.
    TG_TRY(
        db->execute("PRAGMA page_size=4096; PRAGMA synchronous=FULL; PRAGMA journal_mode=PERSIST;"
                    "PRAGMA journal_size_limit=4194304"));
  } else if (mode == Mode::kSalvage) {
    // A file shorter than its header says is refused unless the schema may be written.
    sqlite3_db_config(db->raw_, SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
    TG_TRY(
        db->execute("PRAGMA writable_schema=ON; PRAGMA query_only=ON; PRAGMA cell_size_check=OFF"));
  } else if (mode == Mode::kRead) {
    TG_TRY(db->execute("PRAGMA query_only=ON"));
  }
  return db;
}

Database::~Database() {
  for (const auto& [sql, statement] : idle_) sqlite3_finalize(statement);
  sqlite3_close(raw_);
}

void Database::give_back(sqlite3_stmt* statement) {
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  if (idle_.size() < kIdleMax && idle_.try_emplace(sqlite3_sql(statement), statement).second)
    return;
  sqlite3_finalize(statement);
}

Status Database::execute(const char* sql) {
  if (sqlite3_exec(raw_, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    return std::unexpected(failure("use"));
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  if (const auto idle = idle_.find(sql); idle != idle_.end()) {
    sqlite3_stmt* raw = idle->second;
    idle_.erase(idle);
    return Statement(*this, raw);
  }
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v3(raw_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                         &raw, nullptr) != SQLITE_OK)
    return std::unexpected(failure("use"));
  return Statement(*this, raw);
}

Result<int64_t> Database::number(std::string_view sql) {
  TG_ASSIGN(Statement statement, prepare(sql));
  TG_ASSIGN(const bool row, statement.step());
  if (!row)
    return fail(FailureClass::kData, "journal.corrupt",
                fmt::format("the journal lacks a row that it must have: \"{}\"", path_));
  return statement.integer(0);
}

Status Database::copy_from(Database& from) {
  sqlite3_backup* backup = sqlite3_backup_init(raw_, "main", from.raw_, "main");
  if (!backup) return std::unexpected(failure("copy"));
  const int rc = sqlite3_backup_step(backup, -1);
  sqlite3_backup_finish(backup);
  if (rc == SQLITE_DONE) return {};
  if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
    return fail(FailureClass::kTransient, "journal.busy",
                fmt::format("the journal is busy: \"{}\"", from.path_));
  return std::unexpected(from.failure("copy"));
}

bool Database::in_transaction() const { return sqlite3_get_autocommit(raw_) == 0; }

Failure Database::failure(std::string_view doing) {
  const int extended = raw_ ? sqlite3_extended_errcode(raw_) : SQLITE_NOMEM;
  const char* text = raw_ ? sqlite3_errmsg(raw_) : "out of memory";
  std::string message = fmt::format("cannot {} the journal \"{}\": {}", doing, path_, text);
  std::optional<Failure> below = vfs_.take_failure();
  auto made = [&](FailureClass cls, const char* code) {
    Failure result{cls, code, message};
    if (below) result.cause = std::make_shared<const Failure>(*below);
    return result;
  };
  // Our statements are right: a table or column that they miss is missing from the file.
  if ((extended & 0xff) == SQLITE_ERROR && std::string_view(text).starts_with("no such"))
    return made(FailureClass::kData, "journal.corrupt");
  switch (extended & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return made(FailureClass::kData, "journal.corrupt");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return made(FailureClass::kTransient, "journal.busy");
    case SQLITE_READONLY:
      return made(FailureClass::kDependency, "journal.read_only");
    case SQLITE_FULL:
      return made(FailureClass::kDisk, "disk.no_space");
    case SQLITE_NOMEM:
      return made(FailureClass::kMemory, "memory.system");
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      if (below) return made(below->cls, below->code.c_str());
      // SQLite cannot open what it finds no room for in its own limits, or a short file.
      return made(FailureClass::kDisk, "journal.io");
    default:
      return made(FailureClass::kDefect, "journal.sql");
  }
}

Result<Transaction> Transaction::begin(Database& database, bool immediate) {
  TG_ASSIGN(Statement begin, database.prepare(immediate ? "BEGIN IMMEDIATE" : "BEGIN"));
  TG_TRY(begin.run());
  return Transaction(database);
}

Transaction::~Transaction() {
  // After some errors SQLite has rolled back by itself.
  if (database_ && database_->in_transaction()) (void)database_->execute("ROLLBACK");
}

Status Transaction::commit() {
  TG_ASSIGN(Statement commit, database_->prepare("COMMIT"));
  TG_TRY(commit.run());
  database_ = nullptr;
  return {};
}

}  // namespace tidegate
