#include "respond/verdicts.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/text.h"
#include "journal/records.h"
#include "publish/rollback.h"

namespace tidegate {
namespace {

/// The failure that an UNTRUSTED verdict is.
Failure failure_of(bool broken, std::string message) {
  if (broken) return {FailureClass::kLost, "publish.broken", std::move(message)};
  return {FailureClass::kData, "trust.untrusted", std::move(message)};
}

bool is_by_verdict(std::string_view code) {
  return code == failure_of(true, "").code || code == failure_of(false, "").code;
}

bool part_fails(const TrustPart& part) { return part.status == "fail" || part.status == "error"; }

bool fails(const TrustAnswer& answer, std::initializer_list<std::string_view> parts) {
  return std::ranges::any_of(answer.reasons, [&](const TrustPart& part) {
    return part_fails(part) && std::ranges::count(parts, part.part) > 0;
  });
}

/// What fails, in a sentence: a beginning that stays the same while the same parts fail, and the
/// details, which tell of ages. Both are "" if nothing fails.
struct Failing {
  std::string parts;
  std::string details;
};

Failing failing_of(const TrustAnswer& answer) {
  std::vector<std::string> parts, details;
  for (const TrustPart& part : answer.reasons) {
    if (!part_fails(part)) continue;
    parts.push_back(part.part);
    details.push_back(part.message);
  }
  if (parts.empty()) return {};
  return {fmt::format("generation {} is UNTRUSTED ({}): ", answer.generation, join(parts, ", ")),
          join(details, "; ")};
}

/// True if nothing but an open incident stands between this output and TRUSTED or DEGRADED.
bool holds_again(const TrustAnswer& answer) {
  return std::ranges::all_of(answer.reasons, [](const TrustPart& part) {
    return part.status == "ok" || part.status == "warn";
  });
}

std::string rollback_command(const std::string& output) { return "tidegate rollback " + output; }

/// The newest event of these types that belongs to an incident's output since it was opened.
Result<std::optional<Event>> newest_since(Journal& journal, const IncidentHead& incident,
                                          std::vector<std::string> types) {
  TG_ASSIGN(auto events, journal.events({.after = incident.opened_sequence - 1,
                                         .types = std::move(types),
                                         .output = incident.output,
                                         .newest_first = true,
                                         .most = 1}));
  if (events.empty()) return std::nullopt;
  return std::move(events.front());
}

/// True if the newest that was said of the incident is this: the same code, and a message that
/// begins so.
Result<bool> is_told(Journal& journal, const IncidentHead& incident, const std::string& code,
                     std::string_view beginning) {
  TG_ASSIGN(const auto newest,
            newest_since(journal, incident, {"incident_opened", "incident_added"}));
  if (!newest) return false;
  const auto data = nlohmann::json::parse(newest->data, nullptr, false);
  return data.is_object() && data.value("code", "") == code &&
         data.value("message", "").starts_with(beginning);
}

/// Records the failure of `end` unless the incident that is open says so already.
Result<uint64_t> record_once(Responder& by, const OutputEnd& end, std::string_view beginning) {
  TG_ASSIGN(const auto open, open_incident(by.journal, end.output));
  if (open) {
    TG_ASSIGN(const bool told, is_told(by.journal, *open, end.failure->code, beginning));
    if (told) return open->incident;
  }
  return record_incident(by.journal, end);
}

Result<Response> close_if_opened_by_verdict(Responder& by, const TrustAnswer& answer) {
  TG_ASSIGN(const auto open, open_incident(by.journal, answer.output));
  if (!open || !holds_again(answer)) return Response{};
  const auto data = nlohmann::json::parse(open->opened_data, nullptr, false);
  const std::string code = data.is_object() ? data.value("code", "") : "";
  TG_ASSIGN(const auto back, newest_since(by.journal, *open, {"output_rolled_back"}));
  // An earlier generation serves: what should stand does not, until a run publishes it.
  if (!is_by_verdict(code) || back) return Response{};
  TG_TRY(record_incident(
      by.journal,
      {.output = answer.output, .run = by.run, .healed = true, .generation = answer.generation}));
  TG_TRY(by.journal.commit());
  return Response{open->incident,
                  fmt::format("incident {} is closed: its promises hold again", open->incident)};
}

}  // namespace

bool is_met(const RollbackRule& rule, const TrustAnswer& answer) {
  return (rule.on_check_failed && fails(answer, {"verified"})) ||
         (rule.on_untrusted && fails(answer, {"verified", "intact", "upstream"}));
}

Result<Response> roll_back_by_rule(Responder& by, const RollbackRule& rule,
                                   const std::string& publish_root, const TrustAnswer& answer,
                                   const IncidentHead& incident) {
  Response response{.incident = incident.incident};
  if (!is_met(rule, answer)) return response;
  TG_ASSIGN(const auto before, newest_since(by.journal, incident, {"output_rolled_back"}));
  if (before) return response;
  const std::string command = "tidegate rollback " + answer.output;
  if (!rule.automatic) {
    response.said = fmt::format("its rollback rule is met, and left to a person: `{}`", command);
    return response;
  }
  // The incident must be known before anything is done about it.
  TG_TRY(by.journal.commit());
  const auto report = rollback_output(by.effects, by.journal, {answer.output, publish_root},
                                      by.state_id, by.fence, by.run, "");
  if (!report) {
    Failure failure = report.error();
    failure.message = "it cannot be rolled back: " + failure.message;
    TG_TRY(record_once(by, {.output = answer.output, .run = by.run, .failure = failure},
                       failure.message));
    response.said = failure.message;
  } else {
    response.rolled_back = true;
    response.said = fmt::format("generation {} stands again instead of {}, by its rollback rule",
                                report->to, report->from);
    TG_TRY(by.journal.append(
        "incident_mitigated", by.run,
        fmt::format(R"({{"incident":{},"output":{},"generation":{},"why":{}}})", incident.incident,
                    quote_json(answer.output), quote_json(report->to), quote_json(response.said))));
  }
  TG_TRY(by.journal.commit());
  return response;
}

Result<Response> respond_to_run(Responder& by, const Output& output,
                                const std::string& publish_root, OutputEnd end) {
  const RollbackRule* rule = output.rollback ? &*output.rollback : nullptr;
  std::optional<TrustAnswer> answer;
  TG_ASSIGN(const auto head, by.journal.output_head(end.output));
  if (end.failure && head && !head->record.empty()) {
    const auto record = generation_record_from_json(head->record);
    // What the run refused is another generation, unless it is the standing rows that break what is
    // promised now.
    if (record && head->broken.empty() && head->unproven.empty() &&
        record->generation != end.generation)
      end.stands = record->generation;
    if (rule) {
      TG_ASSIGN(auto answers, judge(by.effects, by.journal, {end.output}, {}));
      answer = std::move(answers.at(0));
      if (!rule->automatic && is_met(*rule, *answer)) end.command = rollback_command(end.output);
    }
  }
  TG_ASSIGN(const uint64_t incident, record_incident(by.journal, end));
  if (!answer) return Response{.incident = incident};
  TG_ASSIGN(const auto open, open_incident(by.journal, end.output));
  if (!open) return Response{};
  return roll_back_by_rule(by, *rule, publish_root, *answer, *open);
}

Result<Response> respond_to_verdict(Responder& by, const TrustAnswer& answer,
                                    const Pipeline* contract) {
  const Failing failing = failing_of(answer);
  if (failing.parts.empty()) return close_if_opened_by_verdict(by, answer);
  TG_ASSIGN(const auto stored, by.journal.output_record(answer.output));
  if (!stored) return Response{};
  TG_ASSIGN(const GenerationRecord record, generation_record_from_json(*stored));
  const Output* promised = contract ? contract->output(answer.output) : nullptr;
  const RollbackRule* rule = promised && promised->rollback ? &*promised->rollback : nullptr;
  OutputEnd end{.output = answer.output,
                .pipeline = record.pipeline,
                .run = by.run,
                .failure = failure_of(fails(answer, {"intact"}), failing.parts + failing.details)};
  if (rule && !rule->automatic && is_met(*rule, answer))
    end.command = rollback_command(answer.output);
  TG_TRY(record_once(by, end, failing.parts));
  TG_TRY(by.journal.commit());
  TG_ASSIGN(const auto open, open_incident(by.journal, answer.output));
  if (!open) return Response{};
  if (!rule) return Response{open->incident, fmt::format("incident {} is open", open->incident)};
  TG_ASSIGN(Response response, roll_back_by_rule(by, *rule, record.publish_root, answer, *open));
  if (response.said.empty()) response.said = fmt::format("incident {} is open", open->incident);
  return response;
}

}  // namespace tidegate
