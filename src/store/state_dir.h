#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/effects.h"
#include "base/failure.h"

namespace tidegate {

/// The state directory on disk:
///
///     version        magic, version and the directory's random identifier; a newer one is refused
///     journal.db     the events (module journal)
///     lock           flocked by the conductor; says who holds it
///     fence          the newest fencing token, rewritten in place
///     results/ab/IDENTITY/ATTEMPT/    finished results (store/results.h)
///     spill/ATTEMPT/                  attempts in flight, each flocked by its worker
///
/// A value: it holds paths and the identifier, no descriptor. Cheap to copy.
class StateDir {
 public:
  enum class Mode : uint8_t { kRead, kWrite };

  /// kWrite makes the directory durable if there is none; kRead fails with state.missing then.
  /// Failures: state.newer (made by a newer tidegate: nothing was touched), state.corrupt (its
  /// version file cannot be read as one), state.read_only (kWrite, and it cannot be written to),
  /// state.foreign (not empty and no state directory). `path` should be absolute: workers use it.
  static Result<StateDir> open(Effects& effects, const std::string& path, Mode mode);

  const std::string& path() const { return path_; }
  /// 16 hex digits, drawn when the directory was made; stays with it when it is moved.
  const std::string& id() const { return id_; }
  std::string results() const { return path_join(path_, "results"); }
  std::string spill() const { return path_join(path_, "spill"); }

 private:
  std::string path_;
  std::string id_;
};

/// Who holds the conductor's lock, as the lock file says.
struct LockHolder {
  int64_t pid = 0;
  std::string host;
  std::string command;
  int64_t since_us = 0;
};

/// The conductor's lock on a state directory, held until it goes. One conductor a directory.
class ConductorLock {
 public:
  /// Takes the lock and the next fencing token. A second conductor gets state.locked (class
  /// dependency), whose message says who holds it and since when.
  static Result<ConductorLock> take(Effects& effects, const StateDir& state,
                                    const std::string& command);

  /// Grows with every conductor that takes the lock, also across a state directory that was
  /// restored from a backup: it is at least the wall clock in microseconds. Durable.
  uint64_t fence() const { return fence_; }

 private:
  Fd fd_;
  uint64_t fence_ = 0;
};

/// Removes the attempts in spill/ whose worker is gone (its flock is free). What a living worker
/// holds stays. Returns how many were removed. Called by the holder of the lock at start-up.
Result<size_t> clean_spill(Effects& effects, const StateDir& state);

}  // namespace tidegate
