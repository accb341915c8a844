#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/failure.h"
#include "journal/journal.h"

namespace tidegate {

/// One failure as the journal tells it: what was seen, what was done about it, how it ended.
struct FailureStory {
  Failure failure;                ///< where.stage and where.partition are set for a task's
  std::string run;                ///< "" if it was none's
  std::string identity;           ///< of the task; "" for an output's
  std::string output;             ///< for an output's; "" for a task's
  uint64_t sequence = 0;          ///< of the event that told it first
  int64_t time_us = 0;            ///< when that was
  uint64_t times = 1;             ///< how often it was seen
  std::vector<std::string> done;  ///< what the system did, in order, a sentence each
  enum class End : uint8_t {
    kOpen,     ///< nothing more is known: the run goes on, or its conductor died
    kHealed,   ///< what was tried next succeeded
    kUnhealed  ///< it was not: the task failed, or the output was refused
  };
  End end = End::kOpen;
};

/// Stories that one answer has at most; the first ones are kept.
inline constexpr size_t kStoriesMax = 100;

/// The failures that these events tell, in order. Events of several runs may be mixed.
std::vector<FailureStory> tell_stories(const std::vector<Event>& events);
/// Those of a run. Reads its events in pages. Failures are the journal's.
Result<std::vector<FailureStory>> stories_of_run(Journal& journal, const std::string& run);
/// Those of an incident: of its pipeline's runs from the one that opened it until it was closed, as
/// far as they concern its output or a task. Failures are the journal's.
Result<std::vector<FailureStory>> stories_of_incident(Journal& journal,
                                                      const IncidentHead& incident);

/// Evidence, class, rule, what was done, and what a person should do: some lines, indented.
std::string render(const FailureStory& story);
/// The same as a JSON object, one line without a newline: docs/cli.md has its fields.
std::string to_json(const FailureStory& story);
/// What a code means and asks for, for a failure that is only a code. "" if it is not listed.
std::string render_code(const std::string& code);
/// The same as a JSON object.
std::string code_json(const std::string& code);

}  // namespace tidegate
