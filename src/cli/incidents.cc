#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/units.h"
#include "cli/cli.h"
#include "respond/incidents.h"
#include "run/reporter.h"

namespace tidegate::cli {
namespace {

using nlohmann::json;

constexpr size_t kIncidentsMax = 1'000;
/// Of one incident's events at most so many are shown.
constexpr size_t kEventsMax = 1'000;

json object_of(const std::string& text) {
  json value = json::parse(text, nullptr, false);
  return value.is_object() ? value : json::object();
}

json as_json(const IncidentHead& one, const IncidentTimes& times) {
  const json data = object_of(one.opened_data);
  json made = {{"incident", one.incident},
               {"output", one.output},
               {"pipeline", one.pipeline},
               {"state", one.is_open() ? "open" : "closed"},
               {"opened", format_timestamp_us(one.opened_us)},
               {"class", data.value("class", "")},
               {"code", data.value("code", "")},
               {"message", data.value("message", "")}};
  if (data.contains("stands")) made["stands"] = data["stands"];
  if (data.contains("command")) made["command"] = data["command"];
  if (!one.is_open()) made["closed"] = format_timestamp_us(one.closed_us);
  if (times.detect_us) made["detect_us"] = *times.detect_us;
  if (times.notify_us) made["notify_us"] = *times.notify_us;
  if (times.mitigate_us) made["mitigate_us"] = *times.mitigate_us;
  if (times.repair_us) made["repair_us"] = *times.repair_us;
  return made;
}

std::string line_of(const IncidentHead& one, int64_t now_us) {
  const json data = object_of(one.opened_data);
  const std::string lasted =
      one.is_open() ? "open for " + format_duration_us(now_us - one.opened_us)
                    : "repaired after " + format_duration_us(one.closed_us - one.opened_us);
  return fmt::format("{:>5}  {}  {:<20} {:<22} {} ({}, {})\n", one.incident,
                     format_timestamp_us(one.opened_us), one.output, lasted,
                     data.value("message", ""), data.value("code", ""), data.value("class", ""));
}

std::string times_line(const IncidentTimes& times) {
  std::string text;
  const auto add = [&](const char* what, const std::optional<int64_t>& us) {
    text += fmt::format("{}{}{}", text.empty() ? "       " : " · ", what,
                        !us        ? ": not yet"
                        : *us == 0 ? " at once"
                                   : " after " + format_duration_us(*us));
  };
  if (times.detect_us) add("detected", times.detect_us);
  if (times.notify_us) add("notified", times.notify_us);
  add("mitigated", times.mitigate_us);
  add("repaired", times.repair_us);
  return text + "\n";
}

/// What belongs to an incident: what its pipeline's runs told of failures, and what became of its
/// output, from its first run to its end.
Result<std::vector<Event>> events_of(Journal& journal, const IncidentHead& one) {
  TG_ASSIGN(const uint64_t after, first_event_of(journal, one));
  EventQuery query{.after = after,
                   .types = {"run_started", "run_finished", "task_failed", "task_retried",
                             "isolated", "check_finished", "output_refused", "output_published",
                             "output_unchanged", "output_rolled_back", "incident_opened",
                             "incident_added", "incident_mitigated", "incident_closed"},
                   .most = kEventsMax};
  if (!one.is_open()) query.before = one.closed_sequence + 1;
  TG_ASSIGN(auto events, journal.events(query));
  std::erase_if(events, [&](const Event& event) {
    const json data = object_of(event.data);
    return data.contains("output") && data["output"] != one.output;
  });
  return events;
}

}  // namespace

int command_incidents(Effects& effects, const Common& common, const IncidentsArguments& arguments) {
  auto journal = open_journal(effects, common);
  if (!journal) return tell_failure(common, journal.error(), kExitUsage);
  const auto found = (*journal)->incidents(
      {.output = arguments.output, .open_only = !arguments.all, .most = kIncidentsMax});
  if (!found) return tell_failure(common, found.error(), kExitFailed);
  if (common.json) {
    const auto times = times_of(**journal, *found);
    if (!times) return tell_failure(common, times.error(), kExitFailed);
    json all = json::array();
    for (size_t i = 0; i < found->size(); ++i) all.push_back(as_json((*found)[i], (*times)[i]));
    out(json({{"incidents", all}}).dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
    return kExitDone;
  }
  for (const IncidentHead& one : *found) out(line_of(one, effects.now_us()));
  if (found->empty() && !common.quiet)
    out(arguments.all ? "no incident is known\n" : "no incident is open\n");
  return kExitDone;
}

int command_incident(Effects& effects, const Common& common, const std::string& number) {
  uint64_t wanted = 0;
  const auto read = std::from_chars(number.data(), number.data() + number.size(), wanted);
  auto journal = open_journal(effects, common);
  if (!journal) return tell_failure(common, journal.error(), kExitUsage);
  std::vector<IncidentHead> found;
  if (read.ec == std::errc() && read.ptr == number.data() + number.size() && wanted > 0) {
    auto asked = (*journal)->incidents({.number = wanted, .most = 1});
    if (!asked) return tell_failure(common, asked.error(), kExitFailed);
    found = std::move(*asked);
  }
  if (found.empty())
    return tell_failure(
        common,
        {FailureClass::kDefect, "incident.unknown",
         fmt::format("there is no incident \"{}\"; `tidegate incidents --all` lists them", number)},
        kExitUsage);
  const auto events = events_of(**journal, found.front());
  if (!events) return tell_failure(common, events.error(), kExitFailed);
  const auto times = times_of(**journal, found);
  if (!times) return tell_failure(common, times.error(), kExitFailed);
  const auto stories = stories_of_incident(**journal, found.front());
  if (!stories) return tell_failure(common, stories.error(), kExitFailed);
  if (common.json) {
    json document = as_json(found.front(), times->front());
    document["failures"] = json::array();
    for (const FailureStory& story : *stories)
      document["failures"].push_back(object_of(to_json(story)));
    document["events"] = json::array();
    for (const Event& event : *events) document["events"].push_back(object_of(event_json(event)));
    out(document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
    return kExitDone;
  }
  out(line_of(found.front(), effects.now_us()));
  out(times_line(times->front()));
  for (const Event& event : *events) {
    const json data = object_of(event.data);
    std::string text = fmt::format("  {}  {:<16}", format_timestamp_us(event.time_us), event.type);
    for (const char* key :
         {"stage", "partition", "name", "status", "state", "class", "code", "message", "reason",
          "number", "parts", "generation", "stands", "command", "why"})
      if (data.contains(key))
        text += fmt::format(
            " {}={}", key, data[key].is_string() ? data[key].get<std::string>() : data[key].dump());
    out(text + "\n");
  }
  if (!stories->empty()) out("failures\n");
  return print_stories(common, *stories);
}

}  // namespace tidegate::cli
