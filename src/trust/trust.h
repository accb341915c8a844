#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/journal.h"

namespace tidegate {

enum class Verdict : uint8_t { kTrusted, kDegraded, kUntrusted, kUnknown };
/// "TRUSTED", "DEGRADED", "UNTRUSTED", "UNKNOWN".
std::string_view to_string(Verdict verdict);

/// One promise and how it stands.
struct TrustPart {
  std::string part;     ///< fresh, complete, verified, intact, upstream, unbroken
  std::string status;   ///< ok, warn, fail, error, unknown, skip
  std::string message;  ///< one line for a person
};

struct TrustAnswer {
  std::string output;
  std::string generation;  ///< "" if none is known
  Verdict verdict = Verdict::kUnknown;
  std::optional<int64_t> watermark_us;   ///< complete up to here, never later than now
  std::optional<int64_t> changes_at_us;  ///< when the verdict changes by itself ...
  std::string changes_to;                ///< ... and to what
  std::vector<TrustPart> reasons;
  std::string path;  ///< absolute directory of the generation's files
};

struct TrustOptions {
  std::optional<int64_t> at_us;  ///< answer for a past moment, from the journal alone
  bool verify_bytes = false;     ///< hash every file instead of comparing stats
};

/// Any error or fail: UNTRUSTED. Else any unknown, skip or status that is none of ours: UNKNOWN.
/// Else any warn: DEGRADED. Else TRUSTED; without a single part UNKNOWN.
Verdict verdict_of(const std::vector<TrustPart>& parts);

/// Answers for these outputs (all that the journal knows if empty), in that order. An output that
/// the journal does not know is UNKNOWN, not a failure. Reads only: journal, stats, commit logs,
/// and the bytes of files whose stat is not as recorded. Never loads DuckDB. Failures: trust.future
/// if `at_us` is later than now; trust.nothing_known if all were asked for, and a damaged or
/// missing journal knows none.
Result<std::vector<TrustAnswer>> judge(Effects& effects, Journal& journal,
                                       const std::vector<std::string>& outputs,
                                       const TrustOptions& options);

/// UNKNOWN for each, with that reason: for when not even a journal can be opened.
std::vector<TrustAnswer> unknown_answers(const std::vector<std::string>& outputs,
                                         const std::string& why);

/// A few lines for a terminal, each ended by a newline.
std::string render(const TrustAnswer& answer, bool colour);
/// The document of `trust --json`, one line without a newline.
std::string render_json(const std::vector<TrustAnswer>& answers);

}  // namespace tidegate
