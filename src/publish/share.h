#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/journal.h"
#include "publish/commit_log.h"
#include "publish/place.h"
#include "publish/publication.h"

namespace tidegate {

/// The files of the generation that stands: a new generation that has the same bytes links them
/// under its own names instead of a second copy.
///
/// Their bytes were hashed and fsynced when they were published. One whose stat is as journaled
/// since is linked unread, which is why a generation's `hashed_us` is that of the oldest bytes in
/// it; any other is read again, and left alone if it is not as published.
class StandingFiles {
 public:
  /// `standing` is the output's entry in the newest commit, or null: nothing stands.
  static Result<StandingFiles> of(Effects& effects, Journal& journal, const OutputPlace& place,
                                  const CommitMember* standing);

  /// Links a file of the wanted bytes to `path`: true if there is one. What cannot be linked is as
  /// good as not there.
  bool link(const StagedFile& wanted, const std::string& path);

  const std::string& generation() const { return record_.generation; }
  /// When the oldest bytes that were linked unread were hashed; nothing if all were read.
  std::optional<int64_t> hashed_us() const { return hashed_us_; }

 private:
  explicit StandingFiles(Effects& effects) : effects_(&effects) {}
  bool is_whole(const GenerationFile& file, const std::string& path, bool as_journaled);

  Effects* effects_;
  std::string directory_;
  GenerationRecord record_;
  std::map<std::string, std::vector<size_t>, std::less<>> by_xxh3_;  ///< into the record's files
  bool proven_ = false;  ///< the journal vouches for the record's stats
  std::optional<int64_t> hashed_us_;
};

/// What is about to make or remove links of files that the standing generation may share. Links
/// move ctimes; where nothing else moved, the journal gets the new ones without the files being
/// read.
class LinkChange {
 public:
  /// Before the change: remembers whether every file of what stands is as journaled.
  static Result<LinkChange> begin(Effects& effects, Journal& journal, const OutputPlace& place);
  /// After it: journals stats that moved ("output_reaudited", committed). A file that differs in
  /// more than ctime and links, or that was not as journaled before, is read (refresh_stats).
  Status settle(const std::string& run);

 private:
  LinkChange(Effects& effects, Journal& journal, OutputPlace place)
      : effects_(&effects), journal_(&journal), place_(std::move(place)) {}

  Effects* effects_;
  Journal* journal_;
  OutputPlace place_;
  std::optional<GenerationRecord> record_;  ///< if every file was as journaled
};

}  // namespace tidegate
