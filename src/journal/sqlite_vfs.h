#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/effects.h"
#include "base/failure.h"

namespace tidegate {

/// SQLite's way to the disk, the clock and randomness, through an Effects: the main database and
/// its rollback journal, nothing else (no WAL, no shared memory, no temporary files).
///
/// Locks are SQLite's usual byte ranges, so the sqlite3 tool may read beside us, but taken on the
/// open file description (F_OFD_SETLK): two connections of one process exclude each other too, and
/// closing one does not drop the locks of the other.
///
/// An object serves one connection and must outlive it. Not thread-safe.
class SqliteVfs {
 public:
  explicit SqliteVfs(Effects& effects);
  ~SqliteVfs();
  SqliteVfs(const SqliteVfs&) = delete;
  SqliteVfs& operator=(const SqliteVfs&) = delete;

  /// What to give to sqlite3_open_v2.
  const char* name() const;
  uint64_t fsyncs() const;
  int64_t fsync_us() const;
  /// The newest failure of Effects below SQLite, which only knows "I/O error"; forgets it.
  std::optional<Failure> take_failure();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace tidegate
