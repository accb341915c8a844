#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/units.h"
#include "respond/runbook.h"

namespace tidegate {
namespace {

using ordered = nlohmann::ordered_json;

/// A cell of a Markdown table: no bars, one line.
std::string cell(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  for (size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2))
    text.insert(at, "\\");
  return text;
}

std::string_view ending(const FailureStory& story) {
  switch (story.end) {
    case FailureStory::End::kHealed:
      return "it worked";
    case FailureStory::End::kUnhealed:
      return "it did not work";
    case FailureStory::End::kOpen:
      break;
  }
  return "not known how it ended";
}

std::string last_time(const RunbookRow& row) {
  if (!row.last) return "never seen";
  const FailureStory& last = *row.last;
  return fmt::format("{}: `{}`; {}; {}. Seen {} times, mended {}",
                     format_timestamp_us(last.time_us), last.failure.code,
                     last.done.empty() ? "nothing was done" : join(last.done, ", "), ending(last),
                     row.times, row.healed);
}

ordered json_of_story(const FailureStory& story) {
  return ordered::parse(to_json(story), nullptr, false);
}

std::string incident_lines(const Runbook& runbook) {
  std::string text =
      "| incident | output | opened | what | mitigated | repaired |\n|---|---|---|---|---|---|\n";
  const auto after = [](const std::optional<int64_t>& us) {
    if (us && *us == 0) return std::string("at once");
    return us ? "after " + format_duration_us(*us) : std::string("not yet");
  };
  for (size_t i = 0; i < runbook.incidents.size(); ++i) {
    const IncidentHead& one = runbook.incidents[i];
    const auto data = ordered::parse(one.opened_data, nullptr, false);
    text += fmt::format(
        "| {} | {} | {} | {} | {} | {} |\n", one.incident, one.output,
        format_timestamp_us(one.opened_us),
        cell(data.is_object() ? fmt::format("{} (`{}`)", data.value("message", std::string()),
                                            data.value("code", std::string()))
                              : ""),
        after(runbook.times[i].mitigate_us), after(runbook.times[i].repair_us));
  }
  return text;
}

}  // namespace

std::string render(const Runbook& runbook) {
  std::string text = fmt::format("# Runbook of {}\n\n", runbook.pipeline);
  if (!runbook.owner.empty()) text += fmt::format("Owner: {}. ", runbook.owner);
  text += fmt::format("Written from `{}` and from {}.\n\n", runbook.file,
                      runbook.runs == 0 ? "no run yet"
                                        : fmt::format("{} runs since {}", runbook.runs,
                                                      format_timestamp_us(runbook.oldest_us)));
  text +=
      "Begin with `tidegate incidents`; `tidegate incident N` tells what was seen and done, "
      "`tidegate trust` how outputs stand.\nAfter the cause is mended, "
      "run the pipeline again: it makes only what is missing.\n";
  for (const RunbookPart& part : runbook.parts) {
    text += fmt::format(
        "\n## {}{}\n\n{}\n\n| what fails | by itself | last time | to do |\n"
        "|---|---|---|---|\n",
        part.kind == "tasks"   ? ""
        : part.kind == "stage" ? "Stage "
                               : "Output ",
        part.name, part.about);
    for (const RunbookRow& row : part.rows)
      text += fmt::format("| {} | {} | {} | {} |\n", row.what, cell(row.by_itself),
                          cell(last_time(row)), cell(row.to_do));
  }
  text += "\n## Incidents\n\n";
  text += runbook.incidents.empty() ? "None so far.\n" : incident_lines(runbook);
  text += "\n## Who is told\n\n";
  if (runbook.notify.empty()) text += "Nobody: the contract has no `notify`.\n";
  for (const std::string& target : runbook.notify) text += fmt::format("- `{}`\n", target);
  if (!runbook.notify.empty())
    text += fmt::format("\n`tidegate notify {}` sends what could not be sent.\n", runbook.file);
  return text;
}

std::string to_json(const Runbook& runbook) {
  ordered document;
  document["pipeline"] = runbook.pipeline;
  document["owner"] = runbook.owner;
  document["file"] = runbook.file;
  document["runs"] = runbook.runs;
  document["parts"] = ordered::array();
  for (const RunbookPart& part : runbook.parts) {
    ordered one = {{"kind", part.kind}, {"name", part.name}, {"about", part.about}};
    one["rows"] = ordered::array();
    for (const RunbookRow& row : part.rows)
      one["rows"].push_back({{"what", row.what},
                             {"by_itself", row.by_itself},
                             {"times", row.times},
                             {"healed", row.healed},
                             {"last", row.last ? json_of_story(*row.last) : ordered(nullptr)},
                             {"to_do", row.to_do}});
    document["parts"].push_back(std::move(one));
  }
  document["incidents"] = ordered::array();
  for (const IncidentHead& one : runbook.incidents) document["incidents"].push_back(one.incident);
  document["notify"] = runbook.notify;
  return document.dump(-1, ' ', false, ordered::error_handler_t::replace);
}

}  // namespace tidegate
