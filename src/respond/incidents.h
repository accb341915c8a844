#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/failure.h"
#include "journal/journal.h"

namespace tidegate {

/// How a run ended for an output.
struct OutputEnd {
  std::string output;
  std::string pipeline;
  std::string run;
  bool healed = false;             ///< its rows are right: published, or as they were
  std::optional<Failure> failure;  ///< else why not; nothing: it was not the run's fault
  int64_t failed_us = 0;           ///< when that was first seen; 0: just now
  std::string generation;          ///< healed: what stands
};

/// Opens an incident for an output that a run could not bring up to date, adds to the one that is
/// open, or closes it. Nothing is committed.
Status record_incident(Journal& journal, const OutputEnd& end);

/// The sequence that an incident's story begins after: that before the start of the run that opened
/// it, or before its own first event.
Result<uint64_t> first_event_of(Journal& journal, const IncidentHead& incident);

}  // namespace tidegate
