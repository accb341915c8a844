#include "respond/runbook.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/failure_codes.h"
#include "base/text.h"
#include "base/units.h"

namespace tidegate {
namespace {

/// What happened before: stories by the stage or output and by class or code.
class History {
 public:
  void take(std::vector<FailureStory> stories) {
    for (FailureStory& story : stories) {
      const bool of_output = !story.output.empty();
      const std::string part = of_output ? "output " + story.output : story.failure.where.stage;
      const std::string what =
          of_output ? story.failure.code : std::string(to_string(story.failure.cls));
      if (!of_output) stages_.insert(story.failure.where.stage);
      Entry& entry = entries_[{part, what}];
      entry.times += story.times;
      // Each time but the last was answered by another try.
      entry.healed += story.end == FailureStory::End::kHealed ? story.times : story.times - 1;
      if (!entry.last || story.sequence > entry.last->sequence) entry.last = std::move(story);
    }
  }

  /// A row about several codes or one class: all of them are counted, the newest is told.
  RunbookRow row(const std::string& part, const std::vector<std::string>& keys, std::string what,
                 std::string by_itself, std::string to_do) const {
    RunbookRow row{
        .what = std::move(what), .by_itself = std::move(by_itself), .to_do = std::move(to_do)};
    for (const std::string& key : keys) {
      const auto found = entries_.find({part, key});
      if (found == entries_.end()) continue;
      row.times += found->second.times;
      row.healed += found->second.healed;
      if (!row.last || found->second.last->sequence > row.last->sequence)
        row.last = found->second.last;
    }
    if (row.last) row.to_do = advice_for(row.last->failure.code);
    return row;
  }

  /// Stages that tasks have failed in.
  const std::set<std::string>& stages() const { return stages_; }
  /// Codes by which an output was not published.
  std::vector<std::string> codes_of(const std::string& output) const {
    std::vector<std::string> codes;
    for (const auto& [key, entry] : entries_)
      if (key.first == "output " + output) codes.push_back(key.second);
    return codes;
  }

 private:
  struct Entry {
    uint64_t times = 0;
    uint64_t healed = 0;
    std::optional<FailureStory> last;
  };
  std::map<std::pair<std::string, std::string>, Entry> entries_;
  std::set<std::string> stages_;
};

std::string again(uint32_t most, std::string_view how) {
  return most == 0 ? "fails at once" : fmt::format("{}, up to {} times", how, most);
}

/// What the contract has the system do about a class in a stage.
std::string reaction_in(const Pipeline& contract, const Stage& stage, FailureClass cls) {
  const Retry& retry = stage.retry ? *stage.retry : contract.retry;
  const uint64_t bound = stage.memory_bytes ? stage.memory_bytes->value : contract.memory_bytes;
  switch (cls) {
    case FailureClass::kTransient:
      return again(retry.transient_max, "tries again after a growing pause");
    case FailureClass::kLost:
      return again(retry.lost_max, "runs again only what made what is lost");
    case FailureClass::kTimeout:
      return stage.timeout_us
                 ? fmt::format("ends it after {}; {}", format_duration_us(stage.timeout_us->value),
                               again(retry.timeout_max, "tries again"))
                 : "no `timeout` is declared: a task that is late against its siblings gets a "
                   "second attempt";
    case FailureClass::kMemory:
      return retry.splits_memory
                 ? fmt::format(
                       "bound {}: runs again in parts of its input, then once with twice "
                       "that, where the host has room",
                       format_size(bound))
                 : fmt::format("bound {}: fails at once", format_size(bound));
    default:
      return about(cls).reaction;
  }
}

RunbookPart part_of_stage(const Pipeline& contract, const Stage& stage, const History& history) {
  RunbookPart part{.kind = "stage", .name = stage.name.value, .about = {}, .rows = {}};
  part.about = stage.sort_by             ? "A sorted stage."
               : !stage.partition_by     ? "A map stage: one task for each partition."
               : stage.partition_by->all ? "A reduce stage: one task sees everything."
                                         : "A reduce stage: one task for each bucket.";
  for (int i = 0; i <= static_cast<int>(FailureClass::kUncertain); ++i) {
    const auto cls = static_cast<FailureClass>(i);
    const std::string name(to_string(cls));
    part.rows.push_back(history.row(stage.name.value, {name}, name,
                                    reaction_in(contract, stage, cls), about(cls).advice));
  }
  return part;
}

std::string rollback_text(const Output& output) {
  if (!output.rollback) return "nothing: it has no `rollback`";
  return output.rollback->automatic
             ? "goes back to the generation before, once an incident"
             : fmt::format("says so, and leaves `tidegate rollback {}` to a person",
                           output.name.value);
}

RunbookPart part_of_output(const Output& output, const History& history) {
  const std::string& name = output.name.value;
  const std::string key = "output " + name;
  RunbookPart part{.kind = "output", .name = name, .about = {}, .rows = {}};
  part.about = fmt::format("From stage `{}`; checks: {}; old generations kept: {}.",
                           output.from.value, output.checks.size(), output.keep);
  const bool on_check = output.rollback && output.rollback->on_check_failed;
  const bool on_untrusted = output.rollback && output.rollback->on_untrusted;
  part.rows.push_back(history.row(
      key, {"check.failed"}, "its checks refuse it",
      fmt::format("publishes nothing: what stood before still stands. If the rows that stand are "
                  "refused: {}",
                  on_check || on_untrusted ? rollback_text(output) : "nothing"),
      std::string(advice_for("check.failed"))));
  part.rows.push_back(history.row(key, {"publish.broken"}, "its files are not as published",
                                  on_untrusted ? rollback_text(output) : "nothing",
                                  std::string(advice_for("publish.broken"))));
  part.rows.push_back(history.row(key, {"trust.untrusted"}, "it is too old, or incomplete",
                                  "opens an incident, if `tidegate trust --record` asks",
                                  std::string(advice_for("trust.untrusted"))));
  std::vector<std::string> others = history.codes_of(name);
  std::erase_if(others, [](const std::string& code) {
    return code == "check.failed" || code == "publish.broken" || code == "trust.untrusted";
  });
  part.rows.push_back(history.row(
      key, others, "it cannot be made or published",
      "what stood before still stands; a commit whose answer was lost is read back first",
      "`tidegate incidents` has its code; `tidegate explain CODE` says what to do"));
  return part;
}

/// Failures in tasks that no declared stage is named after: scans, exchanges.
RunbookPart part_of_others(const Pipeline& contract, const History& history) {
  RunbookPart part{
      .kind = "tasks", .name = "other tasks", .about = "Scans and exchanges.", .rows = {}};
  for (const std::string& name : history.stages()) {
    if (contract.stage(name)) continue;
    for (int i = 0; i <= static_cast<int>(FailureClass::kUncertain); ++i) {
      const auto cls = static_cast<FailureClass>(i);
      RunbookRow row = history.row(name, {std::string(to_string(cls))},
                                   fmt::format("{}: {}", name, to_string(cls)), about(cls).reaction,
                                   about(cls).advice);
      if (row.times > 0) part.rows.push_back(std::move(row));
    }
  }
  return part;
}

/// True if a run may have failures to tell: it did not succeed, or it retried.
bool may_tell(const RunHead& run) {
  if (run.state != "succeeded") return true;
  const auto data = nlohmann::json::parse(run.finished_data, nullptr, false);
  return !data.is_object() || !data.contains("tasks") || data["tasks"].value("retried", 0) > 0;
}

Status look_back(Runbook& runbook, Journal& journal, History& history) {
  TG_ASSIGN(const auto runs,
            journal.runs(RunQuery{.pipeline = runbook.pipeline, .most = kRunbookRunsMax}));
  runbook.runs = runs.size();
  for (const RunHead& run : runs) {
    runbook.oldest_us = run.started_us;
    if (!may_tell(run)) continue;
    TG_ASSIGN(auto stories, stories_of_run(journal, run.run));
    history.take(std::move(stories));
  }
  TG_ASSIGN(auto incidents, journal.incidents({.most = kRunbookRunsMax}));
  std::erase_if(incidents,
                [&](const IncidentHead& one) { return one.pipeline != runbook.pipeline; });
  if (incidents.size() > kRunbookIncidentsMax) incidents.resize(kRunbookIncidentsMax);
  // What a run did not find, an audit did: such an incident is told by itself.
  for (const IncidentHead& one : incidents) {
    const auto data = nlohmann::json::parse(one.opened_data, nullptr, false);
    const std::string code = data.is_object() ? data.value("code", "") : "";
    if (code != "publish.broken" && code != "trust.untrusted") continue;
    TG_ASSIGN(auto stories, stories_of_incident(journal, one));
    std::erase_if(stories, [&](const FailureStory& story) {
      return story.failure.code != "publish.broken" && story.failure.code != "trust.untrusted";
    });
    history.take(std::move(stories));
  }
  TG_ASSIGN(runbook.times, times_of(journal, incidents));
  runbook.incidents = std::move(incidents);
  return {};
}

}  // namespace

Result<Runbook> make_runbook(const Pipeline& contract, const std::string& file, Journal* journal) {
  Runbook runbook;
  runbook.pipeline = contract.name.value;
  runbook.owner = contract.owner;
  runbook.file = file;
  History history;
  if (journal) TG_TRY(look_back(runbook, *journal, history));
  for (const Stage& stage : contract.stages)
    runbook.parts.push_back(part_of_stage(contract, stage, history));
  if (RunbookPart others = part_of_others(contract, history); !others.rows.empty())
    runbook.parts.push_back(std::move(others));
  for (const Output& output : contract.outputs)
    runbook.parts.push_back(part_of_output(output, history));
  for (const NotifyTarget& target : contract.notify) {
    std::vector<std::string> words;
    for (const auto& word : target.command) words.push_back(word.value);
    runbook.notify.push_back(target.webhook ? "webhook " + target.webhook->value
                                            : "command " + join(words, " "));
  }
  return runbook;
}

}  // namespace tidegate
