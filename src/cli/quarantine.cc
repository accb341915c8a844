#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/units.h"
#include "cli/changer.h"
#include "store/results.h"
#include "task/set_aside.h"
#include "task/spec.h"

namespace tidegate::cli {
namespace {

using nlohmann::json;

constexpr size_t kEntriesMax = 10'000;
/// Rows that `show` prints of one entry.
constexpr size_t kShownMax = 1'000;

json parsed(const std::string& text) {
  json value = json::parse(text, nullptr, false);
  return value.is_object() ? value : json::object();
}

void out_document(const json& document) {
  out(document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
}

/// One entry as the journal tells it.
json entry_document(const QuarantineHead& head) {
  json samples = json::array();
  for (const std::string& sample : head.samples) samples.push_back(parsed(sample));
  return {{"entry", head.entry},
          {"pipeline", head.pipeline},
          {"source", head.source},
          {"file", head.file},
          {"state", head.state},
          {"rows", head.rows},
          {"stage", head.stage},
          {"opened", format_timestamp_us(head.opened_us)},
          {"changed", format_timestamp_us(head.changed_us)},
          {"samples", std::move(samples)}};
}

/// "line 7 column "v": reason"; of a whole file the reason alone.
std::string place_and_reason(const json& row) {
  const auto line = row.value("line", uint64_t{0});
  const std::string column = row.value("column", "");
  std::string reason = without_control(row.value("reason", ""));
  if (line == 0) return reason;
  return fmt::format("line {}{}: {}", line,
                     column.empty() ? "" : " column " + quote_identifier(column), reason);
}

std::string lost(uint64_t rows) {
  return rows == 0 ? "the whole file"
                   : fmt::format("{} row{}", format_count(rows), rows == 1 ? "" : "s");
}

std::string entry_line(const QuarantineHead& head) {
  std::string text = fmt::format("{:>5}  {:<8}  {}  {}  {}", head.entry, head.state, head.source,
                                 head.file, lost(head.rows));
  if (!head.samples.empty()) text += ", " + place_and_reason(parsed(head.samples.front()));
  return text + "\n";
}

Result<QuarantineHead> find_entry(Journal& journal, const std::string& number) {
  uint64_t wanted = 0;
  const char* end = number.data() + number.size();
  const auto read = std::from_chars(number.data(), end, wanted);
  if (read.ec == std::errc() && read.ptr == end && wanted > 0) {
    TG_ASSIGN(auto found, journal.quarantine({.entry = wanted, .most = 1}));
    if (!found.empty()) return std::move(found.front());
  }
  return fail(
      FailureClass::kDefect, "quarantine.unknown",
      fmt::format("the quarantine has no entry \"{}\"; `tidegate quarantine list --all` lists "
                  "them",
                  number));
}

Result<QuarantineHead> find_standing(Journal& journal, const std::string& number) {
  TG_ASSIGN(QuarantineHead head, find_entry(journal, number));
  if (head.stands()) return head;
  return fail(FailureClass::kDefect, "quarantine.settled",
              fmt::format("entry {} is settled: {}; what is still set aside: `tidegate quarantine "
                          "list`",
                          head.entry, head.state));
}

/// The rows of an entry that lie in side tables, each row once.
struct EntryRows {
  std::vector<std::string> tables;  ///< paths
  json rows = json::array();
};

Status read_tables(Effects& effects, const StateDir& state, Journal& journal,
                   const QuarantineHead& head, EntryRows& found) {
  for (const std::string& task : head.tasks) {
    TG_ASSIGN(const auto result, journal.result(task));
    if (!result) continue;
    TG_ASSIGN(const auto stored, find_result(effects, state, task, result->attempt));
    if (!stored) continue;
    TG_ASSIGN(const TaskReport report, task_report_from_json(stored->data));
    for (const TaskSourceCount& count : report.sources) {
      if (count.source != head.source || count.table.empty()) continue;
      const std::string path = path_join(stored->directory, count.table);
      TG_ASSIGN(const SetAside aside, read_set_aside(effects, path));
      json rows = json::array();
      for (const RejectedRow& row : aside.rows) {
        if (row.file != head.file || rows.size() == kShownMax) continue;
        json one = parsed(set_aside_json(row));
        one["stage"] = aside.stage;
        rows.push_back(std::move(one));
      }
      if (rows.empty()) continue;
      found.tables.push_back(path);
      // Stages that read other columns find other rows bad: the entry counts those of the worst.
      if (rows.size() > found.rows.size()) found.rows = std::move(rows);
    }
  }
  return {};
}

Status drop_entry(Effects& effects, Changer& changer, const QuarantineHead& head,
                  const std::string& why) {
  if (head.state == "dropped") return {};
  json data = {{"entry", head.entry}};
  if (!why.empty()) data["why"] = why;
  return changer.journal->append("quarantine_dropped", manual_run(effects, "drop"),
                                 data.dump(-1, ' ', false, json::error_handler_t::replace));
}

/// To the planner the file is another one from now on, so what it touches runs again.
Status release_entry(Effects& effects, Changer& changer, const QuarantineHead& head) {
  return changer.journal->append("quarantine_released", manual_run(effects, "release"),
                                 fmt::format(R"({{"entry":{}}})", head.entry));
}

}  // namespace

int command_quarantine_list(Effects& effects, const Common& common,
                            const QuarantineArguments& arguments) {
  QuarantineQuery query{.standing_only = !arguments.all, .most = kEntriesMax};
  Common beside = common;
  if (!arguments.file.empty()) {
    Diagnostics diagnostics;
    const auto pipeline = load_pipeline(effects, arguments.file, diagnostics);
    if (!pipeline) return tell_failure(common, pipeline.error(), kExitUsage);
    if (diagnostics.has_errors()) {
      print_diagnostics(common, diagnostics, *pipeline->text);
      return kExitUsage;
    }
    query.pipeline = pipeline->name.value;
    beside.state = state_directory(common, path_dirname(arguments.file));
  }
  auto journal = open_journal(effects, beside);
  if (!journal) return tell_failure(common, journal.error(), kExitUsage);
  const auto found = (*journal)->quarantine(query);
  if (!found) return tell_failure(common, found.error(), kExitFailed);
  if (common.json) {
    json entries = json::array();
    for (const QuarantineHead& head : *found) entries.push_back(entry_document(head));
    out_document({{"entries", entries}});
    return kExitDone;
  }
  bool open = false;
  for (const QuarantineHead& head : *found) {
    open |= head.state == "open";
    out(entry_line(head));
  }
  if (found->empty() && !common.quiet)
    out(arguments.all ? "nothing was ever set aside\n" : "nothing is set aside\n");
  if (open && !common.quiet)
    err("mend the files and run again, or accept the loss: `tidegate quarantine drop N`\n");
  return kExitDone;
}

int command_quarantine_show(Effects& effects, const Common& common, const std::string& number) {
  const auto state =
      StateDir::open(effects, state_directory(common, working_directory()), StateDir::Mode::kRead);
  if (!state) return tell_failure(common, state.error(), kExitUsage);
  auto journal = open_journal(effects, common);
  if (!journal) return tell_failure(common, journal.error(), kExitUsage);
  const auto head = find_entry(**journal, number);
  if (!head) return tell_failure(common, head.error(), kExitUsage);
  EntryRows found;
  if (const Status read = read_tables(effects, *state, **journal, *head, found); !read)
    return tell_failure(common, read.error(), kExitFailed);
  json document = entry_document(*head);
  // What the journal kept, where the tables went with their results.
  const json& shown = found.tables.empty() ? document["samples"] : found.rows;
  if (common.json) {
    document["tables"] = found.tables;
    document["set_aside"] = shown;
    out_document(document);
    return kExitDone;
  }
  out(entry_line(*head));
  for (const json& row : shown) {
    out(fmt::format("  {}\n", place_and_reason(row)));
    if (row.value("line", uint64_t{0}) > 0)
      out(fmt::format("    {}\n", without_control(row.value("raw", ""))));
  }
  const bool whole_file = shown.size() == 1 && shown.front().value("line", uint64_t{0}) == 0;
  if (head->rows > shown.size() && !whole_file)
    out(fmt::format("  and {} more\n", format_count(head->rows - shown.size())));
  for (const std::string& table : found.tables) out(fmt::format("table: {}\n", table));
  return kExitDone;
}

int command_quarantine_settle(Effects& effects, const Common& common,
                              const QuarantineArguments& arguments, bool release) {
  const char* const what = release ? "quarantine release" : "quarantine drop";
  auto changer = open_changer(effects, common, what);
  if (!changer) return tell_failure(common, changer.error(), kExitUsage);
  // All numbers first: one that is wrong changes nothing.
  std::vector<QuarantineHead> heads;
  for (const std::string& number : arguments.entries) {
    auto head = find_standing(*changer->journal, number);
    if (!head) return tell_failure(common, head.error(), kExitUsage);
    heads.push_back(std::move(*head));
  }
  json entries = json::array();
  std::string text;
  for (const QuarantineHead& head : heads) {
    json one = entry_document(head);
    one.erase("samples");
    one["state"] = release ? "released" : "dropped";
    if (release) {
      const Status released = release_entry(effects, *changer, head);
      if (!released) return tell_failure(common, released.error(), kExitFailed);
      text += fmt::format("entry {}: the next run reads {} again\n", head.entry, head.file);
    } else {
      const Status dropped = drop_entry(effects, *changer, head, arguments.why);
      if (!dropped) return tell_failure(common, dropped.error(), kExitFailed);
      text += fmt::format(
          "entry {}: from the next run on the loss of {} ({}) does not count, while the file is as "
          "it "
          "is\n",
          head.entry, head.file, lost(head.rows));
    }
    entries.push_back(std::move(one));
  }
  if (const Status durable = changer->journal->commit(); !durable)
    return tell_failure(common, durable.error(), kExitFailed);
  if (common.json)
    out_document({{"entries", entries}});
  else
    out(text);
  return kExitDone;
}

}  // namespace tidegate::cli
