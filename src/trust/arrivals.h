#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "journal/records.h"

namespace tidegate {

/// How far one source, or all sources of an output, are complete: the latest event time T such that
/// the declared share of what was expected up to T has arrived and was processed.
struct CompleteUpTo {
  enum class Kind : uint8_t {
    kTime,      ///< up to time_us
    kClosed,    ///< all that will ever be expected is there: never ages
    kTimeless,  ///< all that was listed is there, but no time was stated with it
    kNone,      ///< at no time the share is reached
    kUnknown,   ///< how the source arrives is not known
  };
  Kind kind = Kind::kUnknown;
  int64_t time_us = 0;   ///< not capped by now
  std::string why = {};  ///< for kNone and kUnknown
};

/// For one source. What cannot be known of the record (which of the expected periods are missing
/// beyond the first) is assumed at its worst, so T is never too late. Quarantined rows count as
/// missing.
CompleteUpTo complete_up_to(const SourceArrival& arrival, double share);

/// The earliest of all sources. A timeless source does not bound it, as long as another states a
/// time.
CompleteUpTo complete_up_to(const std::vector<SourceArrival>& arrivals, double share);

/// Until when what is expected counts for the promise of completeness.
struct CompleteScope {
  double share = 1;
  std::optional<int64_t> max_age_us;  ///< a period may be this late before it counts as missing
  std::optional<int64_t> through_us;  ///< only what was expected up to here counts
};

/// How much of what was expected of one source is there, counted at `now_us`.
struct Completeness {
  enum class Kind : uint8_t { kOk, kShort, kUnknown };
  Kind kind = Kind::kUnknown;
  uint64_t expected = 0;
  double arrived = 0;  ///< without the share that was quarantined
  std::string message = {};
  std::optional<int64_t> short_at_us = {};  ///< when it falls short unless more arrives
};
Completeness count_complete(const SourceArrival& arrival, const CompleteScope& scope,
                            int64_t now_us);

}  // namespace tidegate
