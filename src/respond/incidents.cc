#include "respond/incidents.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace tidegate {
namespace {

/// `,"key":"value"`, or nothing for an empty value.
std::string json_member(std::string_view key, std::string_view value) {
  return value.empty() ? "" : fmt::format(R"(,"{}":{})", key, quote_json(value));
}

nlohmann::json object_in(const std::string& text) {
  nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  return value.is_object() ? value : nlohmann::json::object();
}

/// The first of several moments, counted from `from_us`.
void take_first(std::optional<int64_t>& time, int64_t at_us, int64_t from_us) {
  const int64_t after = std::max<int64_t>(at_us - from_us, 0);
  if (!time || after < *time) time = after;
}

}  // namespace

Result<uint64_t> record_incident(Journal& journal, const OutputEnd& end) {
  TG_ASSIGN(const auto open, journal.incidents({.output = end.output, .open_only = true}));
  const std::string output = quote_json(end.output);
  if (end.healed) {
    for (const IncidentHead& one : open)
      TG_TRY(journal.append(
          "incident_closed", end.run,
          fmt::format(R"({{"incident":{},"output":{},"why":{}}})", one.incident, output,
                      quote_json("generation " + end.generation + " stands"))));
    return uint64_t{0};
  }
  if (!end.failure) return open.empty() ? 0 : open.front().incident;
  const std::string what =
      fmt::format(R"("output":{},"class":"{}","code":{},"message":{}{})", output,
                  to_string(end.failure->cls), quote_json(end.failure->code),
                  quote_json(end.failure->message), json_member("command", end.command));
  if (!open.empty()) {
    TG_TRY(journal.append("incident_added", end.run,
                          fmt::format(R"({{"incident":{},{}}})", open.front().incident, what)));
    return open.front().incident;
  }
  TG_ASSIGN(const auto newest, journal.incidents({.most = 1}));
  const uint64_t number = newest.empty() ? 1 : newest.front().incident + 1;
  TG_TRY(journal.append(
      "incident_opened", end.run,
      fmt::format(R"({{"incident":{},"pipeline":{},{}{}{}}})", number, quote_json(end.pipeline),
                  what, json_member("stands", end.stands),
                  end.failed_us > 0 ? fmt::format(R"(,"failed_us":{})", end.failed_us) : "")));
  return number;
}

Result<std::optional<IncidentHead>> open_incident(Journal& journal, const std::string& output) {
  TG_ASSIGN(const auto open, journal.incidents({.output = output, .open_only = true, .most = 1}));
  if (open.empty()) return std::nullopt;
  return open.front();
}

Result<std::vector<IncidentTimes>> times_of(Journal& journal,
                                            const std::vector<IncidentHead>& incidents) {
  std::vector<IncidentTimes> times(incidents.size());
  if (incidents.empty()) return times;
  uint64_t oldest = UINT64_MAX;
  for (size_t i = 0; i < incidents.size(); ++i) {
    const IncidentHead& one = incidents[i];
    oldest = std::min(oldest, one.opened_sequence);
    const auto data = object_in(one.opened_data);
    if (data.contains("failed_us") && data["failed_us"].is_number_integer())
      times[i].detect_us = std::max<int64_t>(one.opened_us - data["failed_us"].get<int64_t>(), 0);
    if (data.contains("stands")) times[i].mitigate_us = 0;
    if (one.is_open()) continue;
    times[i].repair_us = std::max<int64_t>(one.closed_us - one.opened_us, 0);
    take_first(times[i].mitigate_us, one.closed_us, one.opened_us);
  }
  TG_ASSIGN(
      const auto events,
      journal.events({.after = oldest - 1,
                      .types = {"incident_mitigated", "output_rolled_back", "notification_sent"},
                      .most = EventQuery::kMostMax}));
  for (const Event& event : events) {
    const auto data = object_in(event.data);
    for (size_t i = 0; i < incidents.size(); ++i) {
      const IncidentHead& one = incidents[i];
      if (event.sequence < one.opened_sequence) continue;
      if (event.type == "notification_sent") {
        if (data.value("incident", uint64_t{0}) == one.incident)
          take_first(times[i].notify_us, event.time_us, one.opened_us);
      } else if (data.value("output", "") == one.output &&
                 (one.is_open() || event.sequence < one.closed_sequence)) {
        take_first(times[i].mitigate_us, event.time_us, one.opened_us);
      }
    }
  }
  return times;
}

Result<uint64_t> first_event_of(Journal& journal, const IncidentHead& incident) {
  const uint64_t before = incident.opened_sequence - 1;
  TG_ASSIGN(const auto opened,
            journal.events({.after = before, .before = incident.opened_sequence + 1}));
  if (opened.empty() || opened.front().run.empty()) return before;
  TG_ASSIGN(const auto run, journal.run(opened.front().run));
  return run ? run->started_sequence - 1 : before;
}

}  // namespace tidegate
