#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "cli/cli.h"
#include "run/reporter.h"

namespace tidegate::cli {
namespace {

using nlohmann::json;

json parsed(const std::string& text) {
  json value = json::parse(text, nullptr, false);
  return value.is_object() ? value : json::object();
}

std::string event_text(const Event& event) {
  const json data = parsed(event.data);
  std::string text = fmt::format("{:>7}  {}  {:<19}", event.sequence,
                                 format_timestamp_us(event.time_us), event.type);
  for (const char* key :
       {"pipeline", "output",  "generation", "stage",  "partition", "source", "key",
        "value",    "state",   "name",       "status", "from",      "to",     "class",
        "code",     "message", "reason",     "tasks",  "rows_out",  "worker", "pid"})
    if (data.contains(key))
      text += fmt::format(" {}={}", key,
                          data[key].is_string() ? data[key].get<std::string>() : data[key].dump());
  return text;
}

}  // namespace

int print_events(const Common& common, const std::vector<Event>& events) {
  for (const Event& event : events)
    out((common.json ? event_json(event) : event_text(event)) + "\n");
  return kExitDone;
}

std::string run_text(const RunHead& run) {
  const json finished = parsed(run.finished_data);
  std::string text = fmt::format("{}  {:<20} {:<12} {}", run.run, run.pipeline, run.state,
                                 format_timestamp_us(run.started_us));
  if (run.finished_us) text += "  " + format_duration_us(run.finished_us - run.started_us);
  if (finished.contains("tasks"))
    text +=
        fmt::format("  {} ran, {} reused, {} retried", finished["tasks"].value("ran", 0),
                    finished["tasks"].value("reused", 0), finished["tasks"].value("retried", 0));
  return text;
}

int command_runs(Effects& effects, const Common& common, uint64_t most) {
  auto journal = open_journal(effects, common);
  if (!journal) return tell_failure(common, journal.error(), kExitUsage);
  const auto runs = (*journal)->runs(static_cast<size_t>(most));
  if (!runs) return tell_failure(common, runs.error(), kExitFailed);
  for (const RunHead& run : *runs) {
    if (!common.json) {
      out(run_text(run) + "\n");
      continue;
    }
    json line = {{"run", run.run},
                 {"pipeline", run.pipeline},
                 {"state", run.state},
                 {"started", format_timestamp_us(run.started_us)}};
    if (run.finished_us) line["finished"] = format_timestamp_us(run.finished_us);
    line["result"] = parsed(run.finished_data);
    out(line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  }
  return kExitDone;
}

int command_events(Effects& effects, const Common& common, const EventsArguments& arguments) {
  auto journal = open_journal(effects, common);
  if (!journal) return tell_failure(common, journal.error(), kExitUsage);
  const bool newest = arguments.after == 0;
  auto events = (*journal)->events({.after = arguments.after,
                                    .run = arguments.run,
                                    .types = arguments.types,
                                    .output = arguments.output,
                                    .newest_first = newest,
                                    .most = static_cast<size_t>(arguments.most)});
  if (!events) return tell_failure(common, events.error(), kExitFailed);
  if (newest) std::reverse(events->begin(), events->end());
  return print_events(common, *events);
}

}  // namespace tidegate::cli
