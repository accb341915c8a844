#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "store/state_dir.h"

namespace tidegate {

/// One file of a finished result.
struct ResultFile {
  std::string name;  ///< within the result's directory
  uint64_t rows = 0;
  uint64_t bytes = 0;
  std::string xxh3;  ///< of the whole file, hex64
};

/// A finished result: immutable files under results/ab/IDENTITY/ATTEMPT/ and what result.json
/// says of them. Readers check the checksums as they read; nothing here was fsynced.
struct StoredResult {
  std::string identity;
  std::string attempt;
  std::string directory;  ///< absolute if the state directory's path is
  std::vector<ResultFile> files;
  uint64_t rows = 0;
  std::string data;  ///< the task's own summary, a JSON object as text
  /// The file of that name, or null.
  const ResultFile* file(std::string_view name) const;
};

/// An attempt in flight: a directory under spill/ that this process has flocked, so that no
/// clean-up takes it while the worker lives. Goes without a trace on disk if never sealed
/// (clean_spill removes it once the lock is free).
class Attempt {
 public:
  /// `identity` is 64 hex digits, `attempt` 1..64 of [A-Za-z0-9_-], unique for ever (state.name
  /// else). An attempt of that name in flight is a failure (file.exists).
  static Result<Attempt> begin(Effects& effects, const StateDir& state, const std::string& identity,
                               const std::string& attempt);

  /// Where the worker writes its files; flat.
  const std::string& directory() const { return directory_; }

  /// Ends the attempt: files become 0444, those without a checksum are hashed, sizes are taken
  /// from disk, result.json is written last and the directory renamed into results/. A result of
  /// the same identity and attempt that already stands is kept, and returned. Not fsynced: a result
  /// that a power cut tore is found by its checksums and made again.
  Result<StoredResult> seal(std::vector<ResultFile> files, uint64_t rows, const std::string& data);

  /// Removes the directory.
  Status drop();

 private:
  Effects* effects_ = nullptr;
  std::string state_path_;
  std::string identity_;
  std::string attempt_;
  std::string directory_;
  Fd lock_;
};

/// results/ab/IDENTITY/ATTEMPT
std::string result_directory(const StateDir& state, std::string_view identity,
                             std::string_view attempt);

/// Whether the result stands, by one stat of its result.json: a result appears and goes as a whole
/// by rename, so this is enough to plan with (a thousand cost a few milliseconds). Whoever reads
/// the bytes uses find_result and checks them.
Result<bool> has_result(Effects& effects, const StateDir& state, std::string_view identity,
                        std::string_view attempt);

/// The result with its files' sizes checked by stat against result.json. Nothing if it is missing,
/// torn, of another version or not of that name: then it is made again.
Result<std::optional<StoredResult>> find_result(Effects& effects, const StateDir& state,
                                                std::string_view identity,
                                                std::string_view attempt);

/// The result of that identity which counts although its event was lost: the whole one with the
/// smallest attempt name, so that everyone who looks adopts the same.
Result<std::optional<StoredResult>> adopt_result(Effects& effects, const StateDir& state,
                                                 std::string_view identity);

/// What eviction must keep: a result by identity, or one attempt of it.
struct NeededResult {
  std::string identity;
  std::string attempt = {};  ///< empty: every attempt
};

struct EvictionLimits {
  uint64_t bytes_max = UINT64_MAX;  ///< of all results together, needed ones included
  int64_t age_us_max = INT64_MAX;   ///< an unneeded result older than this goes in any case
  bool dry_run = false;             ///< only report what would go
};

struct EvictionReport {
  size_t results_kept = 0;
  size_t results_removed = 0;
  uint64_t bytes_kept = 0;
  uint64_t bytes_removed = 0;
  std::vector<std::string> identities_gone;  ///< of which no result is left
};

/// Drops results that nobody needs, oldest first, until the limits hold. Each is renamed out of
/// results/ before anything in it is unlinked, so that no reader sees half of one. Called by the
/// holder of the conductor's lock. Unlinking a file that a published generation shares changes its
/// ctime: call refresh_stats (module publish) after.
Result<EvictionReport> evict_results(Effects& effects, const StateDir& state,
                                     const std::vector<NeededResult>& needed,
                                     const EvictionLimits& limits);

}  // namespace tidegate
