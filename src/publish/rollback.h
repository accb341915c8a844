#pragma once

#include <cstdint>
#include <string>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/journal.h"
#include "publish/place.h"

namespace tidegate {

struct RollbackReport {
  std::string from;
  std::string to;
  bool damaged = false;  ///< files of `from` were not as published: its rows may come again
};

/// Makes an earlier generation stand again: a swap like any other, by a new entry of the log. The
/// target is hashed before, and the generation that stands if it is the newer one. That one is
/// rejected: none is rolled back to it, and its identity is not published again unless forced or
/// its files were damaged. Going forward to a rejected one takes the rejection back. `to` is a
/// generation ("000041-1f9c") or its number ("41"); empty: the newest before the standing one that
/// was not rejected. What it appends to the journal is committed. Failures: publish.rollback_none
/// (there is no such generation on disk), publish.broken (the target's bytes are not as published),
/// publish.fenced, publish.lost_race, publish.uncertain.
Result<RollbackReport> rollback_output(Effects& effects, Journal& journal, const OutputPlace& place,
                                       const std::string& state_id, uint64_t fence,
                                       const std::string& run, const std::string& to);

/// The event of a rollback that the log has, for whoever journals it.
Status append_rolled_back(Journal& journal, const std::string& output, const std::string& from,
                          const std::string& to, bool damaged, const std::string& run);

}  // namespace tidegate
