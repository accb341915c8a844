#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/units.h"
#include "cli/cli.h"
#include "journal/records.h"
#include "respond/story.h"
#include "trust/trust.h"

namespace tidegate::cli {
namespace {

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
  print_events(common, *events);
  const auto stories = stories_of_run(journal, run.run);
  if (!stories) return tell_failure(common, stories.error(), kExitFailed);
  if (!stories->empty() && !common.json) out("failures\n");
  return print_stories(common, *stories);
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

int print_stories(const Common& common, const std::vector<FailureStory>& stories) {
  for (const FailureStory& story : stories)
    out(common.json ? to_json(story) + "\n" : render(story));
  if (stories.size() >= kStoriesMax && !common.json)
    out(fmt::format("the first {} failures; `tidegate events` has all\n", kStoriesMax));
  return kExitDone;
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
    if (!events->empty()) {
      print_events(common, *events);
      return print_stories(common, tell_stories(*events));
    }
  }
  if (const std::string page = render_code(what); !page.empty()) {
    out(common.json ? code_json(what) + "\n" : page);
    return kExitDone;
  }
  const std::string meant = did_you_mean(what, *outputs);
  return tell_failure(common,
                      {FailureClass::kDefect, "explain.unknown",
                       fmt::format("the journal knows no run, output, task or generation \"{}\", "
                                   "and it is no failure's code{}{}",
                                   what, meant.empty() ? "" : "; did you mean ", meant)},
                      kExitUsage);
}

}  // namespace tidegate::cli
