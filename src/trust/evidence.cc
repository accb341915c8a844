#include "trust/evidence.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/units.h"
#include "trust/arrivals.h"

namespace tidegate {
namespace {

constexpr double kAllOfIt = 1;

/// How bad a status is, so that several findings of one part become one.
int rank(std::string_view status) {
  if (status == "ok") return 0;
  if (status == "warn") return 1;
  if (status == "skip" || status == "unknown") return 2;
  if (status == "fail") return 3;
  if (status == "error") return 4;
  return 2;
}

void worsen(TrustPart& part, std::string_view status, std::string message) {
  if (rank(status) > rank(part.status)) {
    part.status = status;
    part.message = std::move(message);
  } else if (rank(status) == rank(part.status) && rank(status) > 0) {
    part.message += "; " + message;
  }
}

TrustPart verified_part(const GenerationRecord& record) {
  TrustPart part{"verified", "ok", ""};
  for (const CheckOutcome& check : record.checks) {
    const std::string said = check.message.empty() ? check.name : check.message;
    if (check.status == "pass" || check.status == "baseline") continue;
    if (check.status == "warn" || check.status == "fail" || check.status == "error" ||
        check.status == "skip")
      worsen(part, check.status, fmt::format("{}: {}", check.name, said));
    else
      worsen(part, "unknown", fmt::format("{}: no known outcome: {}", check.name, check.status));
  }
  if (record.state == "rejected")
    worsen(part, "fail", "this generation was rejected");
  else if (record.state != "published")
    worsen(part, "unknown", fmt::format("this generation's state is \"{}\"", record.state));
  if (part.status == "ok") {
    const auto baselines = std::ranges::count(record.checks, "baseline", &CheckOutcome::status);
    part.message = record.checks.empty() ? "no checks are declared"
                                         : fmt::format("{} of {} checks passed on these bytes",
                                                       record.checks.size(), record.checks.size());
    if (baselines > 0) part.message += fmt::format(" ({} set a baseline)", baselines);
  }
  return part;
}

std::string age_message(int64_t time_us, int64_t age_us, int64_t max_age_us) {
  const std::string to = fmt::format("complete to {}", format_timestamp_us(time_us));
  if (age_us > max_age_us)
    return fmt::format("{}, {} old, at most {} promised", to, format_duration_us(age_us),
                       format_duration_us(max_age_us));
  return fmt::format("{}, {} old, fresh for {} more", to, format_duration_us(age_us),
                     format_duration_us(max_age_us - age_us));
}

TrustPart fresh_part(const Evidence& evidence, const CompleteUpTo& up_to, int64_t now) {
  using Kind = CompleteUpTo::Kind;
  const GenerationRecord& record = evidence.record;
  TrustPart part{"fresh", "ok", ""};
  if (now < evidence.newest_event_us)
    worsen(part, "unknown",
           fmt::format("the clock stands before the newest event of the journal ({})",
                       format_timestamp_us(evidence.newest_event_us)));
  if (up_to.kind == Kind::kNone) {
    worsen(part, "fail", up_to.why);
    return part;
  }
  if (up_to.kind == Kind::kUnknown || up_to.kind == Kind::kTimeless) {
    worsen(part, "unknown", up_to.why);
    return part;
  }
  const bool closed = up_to.kind == Kind::kClosed;
  const int64_t time = closed ? now : std::min(up_to.time_us, now);
  std::vector<std::string> good;
  if (record.through_us) {
    if (time >= *record.through_us) {
      good.push_back(fmt::format("complete through {}, a closed data set",
                                 format_timestamp_us(*record.through_us)));
    } else {
      worsen(part, "fail",
             fmt::format("complete to {}, through {} promised", format_timestamp_us(time),
                         format_timestamp_us(*record.through_us)));
    }
  }
  if (record.max_age_us) {
    const int64_t age = now - time;
    std::string message = closed ? "all that its sources will ever expect is there"
                                 : age_message(time, age, *record.max_age_us);
    if (age > *record.max_age_us)
      worsen(part, "fail", std::move(message));
    else
      good.push_back(std::move(message));
  }
  if (part.status == "ok") part.message = join(good, "; ");
  return part;
}

CompleteScope scope_of(const GenerationRecord& record) {
  CompleteScope scope;
  scope.share = record.completeness.value_or(kAllOfIt);
  scope.max_age_us = record.max_age_us;
  scope.through_us = record.through_us;
  return scope;
}

TrustPart complete_part(const GenerationRecord& record, int64_t now) {
  TrustPart part{"complete", "ok", ""};
  if (record.sources.empty()) worsen(part, "unknown", "no source of it is recorded");
  std::vector<std::string> good;
  for (const SourceArrival& source : record.sources) {
    Completeness counted = count_complete(source, scope_of(record), now);
    if (counted.kind == Completeness::Kind::kOk)
      good.push_back(std::move(counted.message));
    else
      worsen(part, counted.kind == Completeness::Kind::kShort ? "fail" : "unknown",
             fmt::format("{}, {:.6g}% promised", counted.message, 100 * *record.completeness));
  }
  if (part.status == "ok") part.message = join(good, "; ");
  return part;
}

TrustPart upstream_part(const std::vector<UpstreamEvidence>& upstream, int64_t now) {
  TrustPart part{"upstream", "ok", ""};
  std::vector<std::string> good;
  for (const UpstreamEvidence& one : upstream) {
    std::string verdict(to_string(one.verdict));
    if (one.changes_at_us && now >= *one.changes_at_us) verdict = one.changes_to;
    const std::string said = fmt::format("{} is {}", one.output, verdict);
    if (verdict == "TRUSTED")
      good.push_back(said);
    else if (verdict == "DEGRADED")
      worsen(part, "warn", said);
    else if (verdict == "UNTRUSTED")
      worsen(part, "fail", said);
    else
      worsen(part, "unknown", said);
    if (one.read_was_rejected)
      worsen(part, "fail",
             fmt::format("made from generation {} of {}, which was rejected since",
                         one.read_generation, one.output));
    else if (one.read_generation != one.standing_generation)
      worsen(part, "warn",
             fmt::format("made from generation {} of {}, which stands at {} now",
                         one.read_generation, one.output, one.standing_generation));
  }
  if (part.status == "ok") part.message = join(good, "; ");
  return part;
}

}  // namespace

Judgement judge_at(const Evidence& evidence, int64_t now) {
  using Kind = CompleteUpTo::Kind;
  const GenerationRecord& record = evidence.record;
  Judgement judgement;
  const CompleteUpTo up_to = complete_up_to(record.sources, record.completeness.value_or(kAllOfIt));
  if (up_to.kind == Kind::kTime) judgement.watermark_us = std::min(up_to.time_us, now);
  if (up_to.kind == Kind::kClosed) judgement.watermark_us = now;
  std::vector<TrustPart>& parts = judgement.parts;
  if (record.max_age_us || record.through_us) parts.push_back(fresh_part(evidence, up_to, now));
  if (record.completeness) parts.push_back(complete_part(record, now));
  parts.push_back(verified_part(record));
  parts.push_back(evidence.intact);
  if (!evidence.upstream.empty()) parts.push_back(upstream_part(evidence.upstream, now));
  TrustPart unbroken{"unbroken", "ok", ""};
  for (const std::string& incident : evidence.incidents) worsen(unbroken, "warn", incident);
  for (const std::string& doubt : evidence.doubts) worsen(unbroken, "unknown", doubt);
  if (unbroken.status != "ok") parts.push_back(std::move(unbroken));
  return judgement;
}

std::optional<Change> next_change(const Evidence& evidence, int64_t now) {
  const GenerationRecord& record = evidence.record;
  std::vector<int64_t> moments = {evidence.newest_event_us};
  const CompleteUpTo up_to = complete_up_to(record.sources, record.completeness.value_or(kAllOfIt));
  int64_t stale = 0;
  if (up_to.kind == CompleteUpTo::Kind::kTime && record.max_age_us &&
      !__builtin_add_overflow(up_to.time_us, *record.max_age_us, &stale) && stale < INT64_MAX)
    moments.push_back(stale + 1);
  if (record.through_us) moments.push_back(*record.through_us);
  if (record.completeness) {
    for (const SourceArrival& source : record.sources) {
      const Completeness counted = count_complete(source, scope_of(record), now);
      if (counted.short_at_us) moments.push_back(*counted.short_at_us);
    }
  }
  for (const UpstreamEvidence& one : evidence.upstream)
    if (one.changes_at_us) moments.push_back(*one.changes_at_us);
  std::ranges::sort(moments);
  const Verdict verdict = verdict_of(judge_at(evidence, now).parts);
  for (const int64_t moment : moments) {
    if (moment <= now) continue;
    const Verdict then = verdict_of(judge_at(evidence, moment).parts);
    if (then != verdict) return Change{moment, then};
  }
  return std::nullopt;
}

}  // namespace tidegate
