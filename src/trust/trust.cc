#include "trust/trust.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "publish/place.h"
#include "trust/evidence.h"
#include "trust/on_disk.h"

namespace tidegate {
namespace {

/// Outputs made from outputs made from outputs ...
constexpr size_t kDepthMax = 64;

/// One question: gathers the evidence of each output once, upstream first.
class Judge {
 public:
  Judge(Effects& effects, Journal& journal, const TrustOptions& options, int64_t now_us,
        int64_t newest_event_us)
      : effects_(effects),
        journal_(journal),
        options_(options),
        now_us_(now_us),
        newest_event_us_(newest_event_us) {}

  const TrustAnswer& answer(const std::string& output) {
    if (auto it = answers_.find(output); it != answers_.end()) return it->second;
    path_.push_back(output);
    TrustAnswer made = gather(output);
    path_.pop_back();
    return answers_.emplace(output, std::move(made)).first->second;
  }

 private:
  TrustAnswer gather(const std::string& output) {
    auto head = journal_.output_head(output);
    if (!head)
      return unknown_answers({output},
                             fmt::format("the journal cannot answer: {}", head.error().message))[0];
    if (!*head) {
      const std::string why =
          options_.at_us
              ? "nothing of it was published by then"
              : fmt::format("the journal has no record of it: run \"tidegate audit {}\"", output);
      return unknown_answers({output}, with_damage(why))[0];
    }
    if ((*head)->record.empty())
      return unknown_answers({output}, with_damage((*head)->unproven))[0];
    auto record = generation_record_from_json((*head)->record);
    if (!record) return unknown_answers({output}, with_damage(record.error().message))[0];
    return judge_record(std::move(*record), **head);
  }

  std::string with_damage(const std::string& why) const {
    return journal_.damage().empty()
               ? why
               : fmt::format("{}; the journal is damaged: {}", why, journal_.damage());
  }

  TrustAnswer judge_record(GenerationRecord record, const OutputHead& head) {
    Evidence evidence;
    evidence.record = std::move(record);
    evidence.newest_event_us = newest_event_us_;
    look_at_files(evidence, head);
    if (!journal_.damage().empty())
      evidence.doubts.push_back(fmt::format("the journal is damaged: {}", journal_.damage()));
    if (!head.unproven.empty())
      evidence.doubts.push_back(
          fmt::format("{}: run \"tidegate audit {}\"", head.unproven, head.output));
    add_incidents(evidence, head.output);
    for (const SourceArrival& source : evidence.record.sources)
      if (!source.upstream_output.empty()) add_upstream(evidence, source);
    // Reading may have found damage that was not known before.
    if (evidence.doubts.empty() && !journal_.damage().empty())
      evidence.doubts.push_back(fmt::format("the journal is damaged: {}", journal_.damage()));

    TrustAnswer answer;
    answer.output = head.output;
    answer.generation = evidence.record.generation;
    answer.path = generation_directory(evidence.record.publish_root, evidence.record.generation);
    Judgement judgement = judge_at(evidence, now_us_);
    answer.watermark_us = judgement.watermark_us;
    answer.reasons = std::move(judgement.parts);
    answer.verdict = verdict_of(answer.reasons);
    if (const auto change = next_change(evidence, now_us_)) {
      answer.changes_at_us = change->at_us;
      answer.changes_to = to_string(change->to);
    }
    return answer;
  }

  void add_incidents(Evidence& evidence, const std::string& output) {
    const auto open = journal_.incidents({.output = output, .open_only = true});
    if (!open) {
      evidence.doubts.push_back(
          fmt::format("the journal cannot tell of incidents: {}", open.error().message));
      return;
    }
    for (const IncidentHead& one : *open) {
      const auto data = nlohmann::json::parse(one.opened_data, nullptr, false);
      evidence.incidents.push_back(fmt::format("incident {} is open since {}: {}", one.incident,
                                               format_timestamp_us(one.opened_us),
                                               data.is_object() ? data.value("message", "") : ""));
    }
  }

  void look_at_files(Evidence& evidence, const OutputHead& head) {
    if (options_.at_us) {
      evidence.intact = {
          "intact", "ok",
          fmt::format("from the journal alone: bytes last hashed {}, files not "
                      "looked at",
                      evidence.record.hashed_us > 0 ? format_timestamp_us(evidence.record.hashed_us)
                                                    : "at no recorded time")};
    } else {
      DiskFindings found = look_at_disk(effects_, evidence.record, options_.verify_bytes, now_us_);
      evidence.intact = std::move(found.intact);
      evidence.doubts = std::move(found.doubts);
    }
    // A stat cannot take back what reading the bytes has shown; only another audit can.
    if (!head.broken.empty() && evidence.intact.status != "fail" &&
        evidence.intact.status != "error")
      evidence.intact = {"intact", "fail", fmt::format("the last audit found: {}", head.broken)};
  }

  void add_upstream(Evidence& evidence, const SourceArrival& source) {
    UpstreamEvidence up;
    up.output = source.upstream_output;
    up.read_generation = source.upstream_generation;
    if (std::ranges::count(path_, up.output) > 0) {
      evidence.doubts.push_back(
          fmt::format("{} is made from itself by way of {}", up.output, evidence.record.output));
      return;
    }
    if (path_.size() >= kDepthMax) {
      evidence.doubts.push_back(
          fmt::format("more than {} outputs are made from each other", kDepthMax));
      return;
    }
    const TrustAnswer& standing = answer(up.output);
    up.standing_generation = standing.generation;
    up.verdict = standing.verdict;
    up.changes_at_us = standing.changes_at_us;
    up.changes_to = standing.changes_to;
    if (auto read = journal_.generation_record(up.output, up.read_generation); read && *read) {
      auto record = generation_record_from_json(**read);
      up.read_was_rejected = !record || record->state == "rejected";
    }
    evidence.upstream.push_back(std::move(up));
  }

  Effects& effects_;
  Journal& journal_;
  const TrustOptions& options_;
  int64_t now_us_;
  int64_t newest_event_us_;
  std::vector<std::string> path_;  ///< outputs being judged, to find a circle
  std::map<std::string, TrustAnswer> answers_;
};

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kTrusted:
      return "TRUSTED";
    case Verdict::kDegraded:
      return "DEGRADED";
    case Verdict::kUntrusted:
      return "UNTRUSTED";
    case Verdict::kUnknown:
      break;
  }
  return "UNKNOWN";
}

Verdict verdict_of(const std::vector<TrustPart>& parts) {
  bool unknown = parts.empty(), warned = false;
  for (const TrustPart& part : parts) {
    if (part.status == "error" || part.status == "fail") return Verdict::kUntrusted;
    if (part.status == "warn")
      warned = true;
    else if (part.status != "ok")
      unknown = true;
  }
  if (unknown) return Verdict::kUnknown;
  return warned ? Verdict::kDegraded : Verdict::kTrusted;
}

std::vector<TrustAnswer> unknown_answers(const std::vector<std::string>& outputs,
                                         const std::string& why) {
  std::vector<TrustAnswer> answers;
  for (const std::string& output : outputs) {
    TrustAnswer answer;
    answer.output = output;
    answer.reasons = {{"verified", "unknown", "there is no record of any check"},
                      {"intact", "unknown", "there is no record of any file"},
                      {"unbroken", "unknown", why}};
    answers.push_back(std::move(answer));
  }
  return answers;
}

Result<std::vector<TrustAnswer>> judge(Effects& effects, Journal& journal,
                                       const std::vector<std::string>& outputs,
                                       const TrustOptions& options) {
  const int64_t now = effects.now_us();
  if (options.at_us && *options.at_us > now)
    return fail(FailureClass::kDefect, "trust.future",
                fmt::format("a verdict can be asked for now or a past moment, not for {}",
                            format_timestamp_us(*options.at_us)));
  std::unique_ptr<Journal> then;
  if (options.at_us) {
    auto past = journal.as_of(*options.at_us);
    if (!past && outputs.empty()) return std::unexpected(past.error());
    if (!past)
      return unknown_answers(outputs,
                             fmt::format("the journal cannot answer: {}", past.error().message));
    then = std::move(*past);
  }
  Journal& asked = then ? *then : journal;
  std::vector<std::string> names = outputs;
  if (names.empty()) {
    TG_ASSIGN(names, asked.output_names());
    // "All of none are trusted" must not be the answer of a journal that was lost.
    if (names.empty() && !asked.damage().empty())
      return fail(FailureClass::kDependency, "trust.nothing_known",
                  fmt::format("no output is known: {}", asked.damage()));
  }
  Judge judge(effects, asked, options, options.at_us.value_or(now), asked.newest_time_us());
  std::vector<TrustAnswer> answers;
  for (const std::string& name : names) answers.push_back(judge.answer(name));
  return answers;
}

}  // namespace tidegate
