#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/journal.h"
#include "publish/place.h"

namespace tidegate {

struct RecoverReport {
  std::vector<std::string> removed;  ///< generations that were staged and never committed
  std::string rolled_forward;        ///< a commit that the journal did not know of, or ""
  bool current_repaired = false;
  bool unproven = false;            ///< published, but the journal knows nothing: audit_output
  std::vector<std::string> broken;  ///< what the files of a commit to be rolled forward lack
};

/// Makes an output's disk and the journal agree after whatever ended the conductor before: disk
/// first, then forward. What was staged and not committed goes (its number is taken by an entry of
/// kind abandon first, so that its conductor, should it still sleep, loses); `current` is made
/// right; a commit whose audit is journaled but whose publication is not is hashed and journaled.
/// A commit without a journaled audit is never vouched for: the output stays unknown until
/// audit_output. Called by the holder of the conductor's lock, before anything else and after each
/// failure of class uncertain. Idempotent; costs a few stats if there is nothing to do. What it
/// appends is committed.
Result<RecoverReport> recover_output(Effects& effects, Journal& journal, const OutputPlace& place,
                                     const std::string& state_id, uint64_t fence,
                                     const std::string& run);

}  // namespace tidegate
