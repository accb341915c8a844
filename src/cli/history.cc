#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/units.h"
#include "cli/cli.h"
#include "journal/records.h"
#include "run/reporter.h"
#include "trust/trust.h"

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

int explain_output(Effects& effects, const Common& common, Journal& journal,
                   const std::string& output) {
  const auto answers = judge(effects, journal, {output}, {});
  if (!answers) return tell_failure(common, answers.error(), kExitFailed);
  if (common.json) {
    out(render_json(*answers) + "\n");
  } else {
    for (const TrustAnswer& answer : *answers) out(render(answer, common.colour_out));
    const auto json_record = journal.output_record(output);
    if (json_record && *json_record) {
      const auto record = generation_record_from_json(**json_record);
      if (record) {
        out(fmt::format("made by run {} from\n", record->run));
        for (const SourceArrival& source : record->sources)
          out(fmt::format(
              "  {}: {} of {} expected{}{}\n", source.source, source.arrived, source.expected,
              source.known_by.empty() ? ", arrivals not known" : ", by " + source.known_by,
              source.complete_to_us
                  ? ", complete up to " + format_timestamp_us(*source.complete_to_us)
                  : ""));
        out("checks\n");
        for (const CheckOutcome& check : record->checks)
          out(fmt::format("  {:<9} {}: {}\n", check.status, check.name, check.message));
      }
    }
  }
  const auto events = journal.events({.output = output, .newest_first = true, .most = 20});
  if (!events) return tell_failure(common, events.error(), kExitFailed);
  std::vector<Event> ordered(events->rbegin(), events->rend());
  return print_events(common, ordered);
}

int explain_run(const Common& common, Journal& journal, const RunHead& run) {
  if (!common.json) out(run_text(run) + "\n");
  const auto events = journal.events(
      {.run = run.run,
       .types = {"run_started", "run_finished", "run_interrupted", "task_failed", "task_retried",
                 "check_finished", "output_refused", "output_published", "output_unchanged",
                 "stage_reused", "source_read", "worker_ended"},
       .most = 1000});
  if (!events) return tell_failure(common, events.error(), kExitFailed);
  return print_events(common, *events);
}

/// Events whose identity begins with `what`, or that name that generation.
Result<std::vector<Event>> events_about(Journal& journal, const std::string& what) {
  std::vector<Event> found;
  constexpr size_t kMost = 200;
  TG_TRY(journal.each_event(0, "", [&](const Event& event) {
    if (event.data.find("\"identity\":\"" + what) != std::string::npos ||
        event.data.find("\"generation\":\"" + what) != std::string::npos)
      found.push_back(event);
    return found.size() < kMost;
  }));
  return found;
}

}  // namespace

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

int command_explain(Effects& effects, const Common& common, const std::string& what) {
  auto journal = open_journal(effects, common);
  if (!journal) return tell_failure(common, journal.error(), kExitUsage);
  const auto run = (*journal)->run(what);
  if (run && *run) return explain_run(common, **journal, **run);
  const auto outputs = (*journal)->output_names();
  if (!outputs) return tell_failure(common, outputs.error(), kExitFailed);
  if (std::find(outputs->begin(), outputs->end(), what) != outputs->end())
    return explain_output(effects, common, **journal, what);
  constexpr size_t kPrefixMin = 4;
  if (what.size() >= kPrefixMin && what.find('"') == std::string::npos) {
    const auto events = events_about(**journal, what);
    if (!events) return tell_failure(common, events.error(), kExitFailed);
    if (!events->empty()) return print_events(common, *events);
  }
  const std::string meant = did_you_mean(what, *outputs);
  return tell_failure(
      common,
      {FailureClass::kDefect, "explain.unknown",
       fmt::format("the journal knows no run, output, task or generation \"{}\"{}{}", what,
                   meant.empty() ? "" : "; did you mean ", meant)},
      kExitUsage);
}

}  // namespace tidegate::cli
