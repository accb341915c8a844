#pragma once

#include <cstdint>
#include <string>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/database.h"

namespace tidegate {

/// What a salvage did.
struct Salvage {
  std::string lost;  ///< in words: from which event on, and why
  uint64_t kept_events = 0;
  std::string damaged_file;  ///< where the damaged file lies now
};

/// Puts a new journal in the place of the damaged one at `path`: its events up to the first that is
/// broken or cannot be read, heads made again, and "journal_recovered" as the last event. The
/// damaged file stays as PATH.damaged-N. Whatever moment the process dies, PATH is either the
/// damaged file or the whole new one. A failure (journal.corrupt) that says what to do if not a
/// single event can be read.
Result<Salvage> salvage_journal(Effects& effects, const std::string& path);

/// What copy_proven_events took over.
struct ProvenCopy {
  uint64_t events = 0;
  std::string hash;  ///< of the last one
  int64_t newest_time_us = 0;
  std::string wrong;  ///< why it ended before the end; "" if it did not
};

/// Copies the events of `from` up to the first that is broken or cannot be read, and what they mean
/// for the heads, into `to`, an empty journal, in the caller's transaction.
Result<ProvenCopy> copy_proven_events(Database& from, Database& to);

/// Makes the tables of an empty journal in the caller's transaction.
Status create_journal_tables(Database& database);

/// user_version and application_id of our journals.
inline constexpr int64_t kJournalVersion = 1;
inline constexpr int64_t kJournalApplicationId = 0x5447'4a31;  // "TGJ1"

}  // namespace tidegate
