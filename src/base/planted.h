#pragma once

#include <cstdint>

namespace tidegate {

/// Mistakes that a test plants, to see whether the simulation finds them. Only a build with the
/// unit tests (TIDEGATE_PLANTED) has them.
enum class Mistake : uint8_t {
  kNone,
  kGenerationNotSynced,    ///< a generation's files are not fsynced
  kCommitNotSynced,        ///< the directory of the commit log is not
  kJournalNotSynced,       ///< SQLite's fsync does nothing
  kPublishedBeforeCommit,  ///< the journal says "published" before the commit is made
  kUncertainIsDone,        ///< a commit whose answer was lost counts without being read back
  kResultNotHashed,        ///< a result is published without comparing its checksum
  kChecksIgnored,          ///< a failed check refuses nothing
  kNotRecovered,           ///< what an earlier conductor left is not put in order
  kLostNotMadeAgain,       ///< the producer of what is lost does not run again
  kCompletionTwice,        ///< a second completion of a task counts again
  kInputsNotInName,        ///< a task's name does not depend on what it reads
  kStandingDropped,        ///< the generation that stands is among the old ones
  kForeignWriterNotSeen,   ///< another process wrote to the journal, and we go on
};
inline constexpr int kMistakes = static_cast<int>(Mistake::kForeignWriterNotSeen) + 1;

#ifdef TIDEGATE_PLANTED
inline Mistake planted_mistake = Mistake::kNone;
inline bool planted(Mistake mistake) { return planted_mistake == mistake; }
#else
constexpr bool planted(Mistake) { return false; }
#endif

}  // namespace tidegate
