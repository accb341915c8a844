#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/failure.h"
#include "contract/contract.h"
#include "journal/journal.h"
#include "respond/incidents.h"
#include "respond/story.h"

namespace tidegate {

/// One thing that may go wrong: what the system does by itself, what it did last time and whether
/// it worked, what a person has to do.
struct RunbookRow {
  std::string what;       ///< a class ("transient"), or in words ("its checks refuse it")
  std::string by_itself;  ///< from the contract
  uint64_t times = 0;     ///< how often it happened, as far as was looked back
  uint64_t healed = 0;    ///< and how often the system mended it by itself
  std::optional<FailureStory> last;
  std::string to_do;
};

/// A stage, an output, or tasks of no declared stage.
struct RunbookPart {
  std::string kind;  ///< "stage", "output", "tasks"
  std::string name;
  std::string about;  ///< a sentence of the contract
  std::vector<RunbookRow> rows;
};

struct Runbook {
  std::string pipeline;
  std::string owner;
  std::string file;
  uint64_t runs = 0;      ///< that were looked at
  int64_t oldest_us = 0;  ///< start of the oldest of them; 0: none
  std::vector<RunbookPart> parts;
  std::vector<IncidentHead> incidents;  ///< newest first
  std::vector<IncidentTimes> times;     ///< of these
  std::vector<std::string> notify;      ///< as the contract writes them: references, never secrets
};

/// Runs that are looked back on, newest first, and incidents that are listed.
inline constexpr size_t kRunbookRunsMax = 200;
inline constexpr size_t kRunbookIncidentsMax = 20;

/// From the contract and from what happened before. `journal` may be nullptr: nothing has, then. Of
/// runs in which nothing failed no event is read.
Result<Runbook> make_runbook(const Pipeline& contract, const std::string& file, Journal* journal);

/// As Markdown.
std::string render(const Runbook& runbook);
/// As one JSON object, a line without a newline: docs/cli.md has its fields.
std::string to_json(const Runbook& runbook);

}  // namespace tidegate
