#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "journal/records.h"
#include "trust/trust.h"

namespace tidegate {

/// An output that this one was made from, as it stands now.
struct UpstreamEvidence {
  std::string output;
  std::string read_generation;      ///< what this one was made from
  bool read_was_rejected = false;   ///< that generation was rolled back or rejected since
  std::string standing_generation;  ///< what stands now
  Verdict verdict = Verdict::kUnknown;
  std::optional<int64_t> changes_at_us;
  std::string changes_to;
};

/// All that a verdict rests on, gathered; from here on it is a function of the time alone.
struct Evidence {
  GenerationRecord record;
  TrustPart intact;                    ///< what the disk said
  std::vector<std::string> doubts;     ///< why the journal's word is not enough: each is unknown
  std::vector<std::string> incidents;  ///< that are open: each is a warning
  std::vector<UpstreamEvidence> upstream;
  int64_t newest_event_us = 0;
};

struct Judgement {
  std::vector<TrustPart> parts;
  std::optional<int64_t> watermark_us;
};

/// How each promise stands at that time.
Judgement judge_at(const Evidence& evidence, int64_t now_us);

/// The first moment after `now_us` at which the verdict is another one by itself, and that verdict.
struct Change {
  int64_t at_us = 0;
  Verdict to = Verdict::kUnknown;
};
std::optional<Change> next_change(const Evidence& evidence, int64_t now_us);

}  // namespace tidegate
