#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/records.h"

namespace tidegate {

/// Which generation of one output a commit leaves standing.
struct CommitMember {
  std::string output;
  std::string directory;    ///< name of the output's root, within the parent that a set shares
  GenerationRecord record;  ///< with checks; its files' stats are those of stage time
};

/// A generation that was rolled back: none is rolled back to it, and its identity is not published
/// again unless forced.
struct RejectedGeneration {
  std::string output;
  std::string generation;
  std::string identity;  ///< "" if its files were damaged, which says nothing against its rows
};

enum class CommitKind : uint8_t {
  kPublish,   ///< new generations
  kRollback,  ///< an older generation stands again
  kAbandon,   ///< takes the number of a staged generation that was never committed; changes nothing
};
std::string_view to_string(CommitKind kind);

/// One entry of a commit log: log/000042.json. The newest entry says what stands; each says it in
/// full, so that a reader needs exactly one.
struct Commit {
  uint64_t number = 0;
  uint64_t previous = 0;  ///< number of the entry that this one replaces; 0: none
  CommitKind kind = CommitKind::kPublish;
  std::string run;
  uint64_t fence = 0;
  int64_t committed_us = 0;
  std::string rollback_output;               ///< kRollback: the output that was taken back ...
  std::string rollback_from;                 ///< ... and its generation that stood before
  std::string set_directory;                 ///< publish_together: name in the set's gen/; else ""
  std::vector<CommitMember> members;         ///< what stands after it
  std::vector<RejectedGeneration> rejected;  ///< all that are rejected after it, oldest first

  const CommitMember* member(std::string_view output) const;
};

/// The log of commits of one output, or of one pipeline's outputs together. An entry is made by
/// link(2) under a name that only its predecessor determines, so of any number of conductors that
/// saw the same predecessor exactly one commits. Entries are never changed.
class CommitLog {
 public:
  /// Entries stay for this many further commits: who slept longer between check and link is told
  /// that it lost although its name had become free again.
  static constexpr uint64_t kEntriesKept = 1000;
  static constexpr size_t kRejectedMax = 256;

  CommitLog(Effects& effects, std::string directory)
      : effects_(&effects), directory_(std::move(directory)) {}

  const std::string& directory() const { return directory_; }
  /// Numbers of all entries, ascending; none if there is no log.
  Result<std::vector<uint64_t>> numbers();
  /// The entry that says what stands, or nothing. publish.log_corrupt (class data) if it cannot be
  /// read as one, publish.newer if a newer tidegate wrote it.
  Result<std::optional<Commit>> newest();
  Result<Commit> read(uint64_t number);
  /// Calls `visit` for entries from the newest down until it returns false.
  Status each(const std::function<bool(const Commit&)>& visit);
  /// Writes the entry aside, fsyncs it, links it to its name, fsyncs the directory. False: another
  /// conductor has that number. publish.uncertain (class uncertain) if it is linked but perhaps not
  /// durable: recover before anything else.
  Result<bool> append(const Commit& commit);
  /// Removes entries beyond kEntriesKept and what writers left aside.
  Status prune();
  Status remove_leftovers();

 private:
  std::string path_of(uint64_t number) const;

  Effects* effects_;
  std::string directory_;
};

}  // namespace tidegate
