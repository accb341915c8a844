#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/failure.h"
#include "journal/journal.h"

namespace tidegate {

/// How an output stands after a run, or after it was looked at.
struct OutputEnd {
  std::string output;
  std::string pipeline;
  std::string run;
  bool healed = false;             ///< its rows are right: published, or as they were
  std::optional<Failure> failure;  ///< else why not; nothing: it was not the run's fault
  int64_t failed_us = 0;           ///< when that was first seen; 0: just now
  std::string generation;          ///< healed: what stands
  std::string stands;   ///< not healed: the generation that serves meanwhile, unharmed; "": none
  std::string command;  ///< that a person may mend it by, e.g. "tidegate rollback out"; "": none
};

/// Opens an incident for an output that is not as it should be, adds to the one that is open, or
/// closes it. Nothing is committed. The number of the one that is open then; 0: none.
Result<uint64_t> record_incident(Journal& journal, const OutputEnd& end);

/// The incident that is open for an output, the newest if there are several.
Result<std::optional<IncidentHead>> open_incident(Journal& journal, const std::string& output);

/// How long it took, in microseconds; absent: not yet, or not known. `detect` is counted from the
/// first failure to the opening, the others from the opening.
struct IncidentTimes {
  std::optional<int64_t> detect_us;
  std::optional<int64_t> notify_us;    ///< until the first notification of it was sent
  std::optional<int64_t> mitigate_us;  ///< until readers had a generation that is right
  std::optional<int64_t> repair_us;    ///< until it was closed
};

/// The times of these incidents, in their order. Reads the events after the oldest of them once, at
/// most EventQuery::kMostMax.
Result<std::vector<IncidentTimes>> times_of(Journal& journal,
                                            const std::vector<IncidentHead>& incidents);

/// The sequence that an incident's story begins after: that before the start of the run that opened
/// it, or before its own first event.
Result<uint64_t> first_event_of(Journal& journal, const IncidentHead& incident);

}  // namespace tidegate
