#include "run/quarantine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "base/text.h"
#include "store/results.h"
#include "task/set_aside.h"

namespace tidegate {
namespace {

using nlohmann::json;

/// Standing entries that a run looks at.
constexpr size_t kStandingMax = 100'000;
/// Samples of a file that its entry carries, and tasks that it names: more read a file only where
/// each bucket's task reads the whole source.
constexpr size_t kEntrySamplesMax = 2;
constexpr size_t kEntryTasksMax = 10'000;

/// What one group's tasks have set aside of a file.
struct FileAside {
  uint64_t rows = 0;
  std::vector<std::string> tasks;    ///< by identity
  std::vector<std::string> samples;  ///< JSON objects
};

/// What one group's tasks have set aside of a source.
struct GroupAside {
  uint64_t rows = 0, bad = 0;  ///< rows: good and bad
  bool done = true;            ///< every task that is needed, and its result is there
  std::string gone;            ///< the first result that is not
  size_t tasks = 0;            ///< that are done
  std::map<std::string, FileAside> files;
};

json sample_json(const std::string& text) {
  json value = json::parse(text, nullptr, false);
  return value.is_object() ? value : json::object();
}

std::string entry_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

enum class Reads : uint8_t { kNot, kParts, kWhole };

Reads reads_source(const Plan& plan, uint32_t group, uint32_t source) {
  Reads reads = Reads::kNot;
  for (const PlanInput& input : plan.groups[group].inputs) {
    if (input.index != source) continue;
    if (input.kind == PlanInput::Kind::kPartition) return Reads::kParts;
    if (input.kind == PlanInput::Kind::kSourceWhole) reads = Reads::kWhole;
  }
  return reads;
}

/// Adds what a finished task says; false if its result has gone. It may be of a version that told
/// of no files: then its rows are counted only.
Result<bool> add_task(Effects& effects, const Plan& plan, const GraphTask& task, Reads reads,
                      const std::string& source, GroupAside& aside) {
  TG_ASSIGN(const auto stored, find_result(effects, *plan.state, task.identity, task.attempt));
  if (!stored) return false;
  TG_ASSIGN(const TaskReport report, task_report_from_json(stored->data));
  uint64_t rows = 0, bad = 0;
  for (const TaskSourceCount& count : report.sources) {
    if (count.source != source) continue;
    rows += count.rows;
    bad += count.set_aside;
    std::map<std::string, std::vector<std::string>> samples;
    for (const std::string& sample : count.samples)
      samples[sample_json(sample).value("file", "")].push_back(sample);
    for (const auto& [name, of_file] : count.files) {
      FileAside& file = aside.files[name];
      // Tasks that read the whole source all say the same of it.
      file.rows = reads == Reads::kParts ? file.rows + of_file : std::max(file.rows, of_file);
      if ((file.tasks.empty() || file.tasks.back() != task.identity) &&
          file.tasks.size() < kEntryTasksMax)
        file.tasks.push_back(task.identity);
      for (const std::string& sample : samples[name])
        if (file.samples.size() < kEntrySamplesMax) file.samples.push_back(sample);
    }
  }
  ++aside.tasks;
  aside.rows = reads == Reads::kParts ? aside.rows + rows : std::max(aside.rows, rows);
  aside.bad = reads == Reads::kParts ? aside.bad + bad : std::max(aside.bad, bad);
  return true;
}

/// Nothing if the group does not read the source.
Result<std::optional<GroupAside>> aside_of_group(Effects& effects, const Plan& plan,
                                                 const Graph& graph, uint32_t group,
                                                 uint32_t source) {
  const Reads reads = reads_source(plan, group, source);
  if (reads == Reads::kNot) return std::nullopt;
  GroupAside aside;
  for (uint32_t index : graph.groups[group].tasks) {
    const GraphTask& task = graph.tasks[index];
    if (task.state == TaskState::kUnneeded) continue;
    if (task.state != TaskState::kDone && task.state != TaskState::kReused) {
      aside.done = false;
      continue;
    }
    TG_ASSIGN(const bool there,
              add_task(effects, plan, task, reads, plan.sources[source].source, aside));
    aside.done &= there;
    if (!there && aside.gone.empty())
      aside.gone = result_directory(*plan.state, task.identity, task.attempt);
  }
  return aside;
}

/// Rows of an input file that were set aside, over all groups.
struct Found {
  std::string identity;
  std::string stage;  ///< whose tasks set most aside
  FileAside aside;
};

/// A file that could not even be planned with: no task has seen it.
Found found_unread(const FileSetAside& file) {
  Found found;
  found.identity = file.identity;
  found.aside.samples.push_back(set_aside_json({file.name, 0, "", file.reason, ""}));
  return found;
}

/// How many rows text files have that cannot be read nobody knows: each as many as its share of the
/// bytes, and no fewer than the others on average, for it may have been cut off.
uint64_t rows_of_lost(const std::vector<uint64_t>& lost_bytes, uint64_t rows, uint64_t bytes,
                      uint64_t files) {
  const uint64_t average = bytes / std::max<uint64_t>(files, 1);
  double unknown = 0;
  for (const uint64_t lost : lost_bytes)
    unknown += std::max<double>(1, static_cast<double>(rows) *
                                       static_cast<double>(std::max(lost, average)) /
                                       static_cast<double>(std::max<uint64_t>(bytes, 1)));
  return static_cast<uint64_t>(std::llround(unknown));
}

struct SourceFound {
  bool whole = false;  ///< all that is needed of the source was read
  std::map<std::string, Found> files;
};

Result<SourceFound> found_in(Effects& effects, const Plan& plan, const Graph& graph,
                             uint32_t source) {
  SourceFound found;
  size_t tasks = 0;
  bool done = true;
  for (uint32_t g = 0; g < graph.groups.size(); ++g) {
    TG_ASSIGN(const auto aside, aside_of_group(effects, plan, graph, g, source));
    if (!aside) continue;
    done &= aside->done;
    tasks += aside->tasks;
    for (const auto& [name, of_group] : aside->files) {
      Found& file = found.files[name];
      if (of_group.rows > file.aside.rows) {
        file.stage = graph.groups[g].name;
        file.aside.rows = of_group.rows;
        file.aside.samples = of_group.samples;
      }
      file.aside.tasks.insert(file.aside.tasks.end(), of_group.tasks.begin(), of_group.tasks.end());
    }
  }
  for (const InputFile& file : plan.sources[source].files)
    if (const auto at = found.files.find(file.name); at != found.files.end())
      at->second.identity = file.identity;
  for (const FileSetAside& file : plan.sources[source].set_aside)
    found.files[file.name] = found_unread(file);
  found.whole = done && tasks > 0;
  return found;
}

/// The fields that quarantine_opened and quarantine_changed share.
json told(uint64_t entry, const Found& found) {
  json samples = json::array();
  for (const std::string& sample : found.aside.samples) samples.push_back(sample_json(sample));
  return {{"entry", entry},
          {"rows", found.aside.rows},
          {"stage", found.stage},
          {"tasks", found.aside.tasks},
          {"samples", std::move(samples)}};
}

class Quarantine {
 public:
  Quarantine(const Plan& plan, Journal& journal, const std::string& run)
      : plan_(plan), journal_(journal), run_(run) {}

  Status begin() {
    TG_ASSIGN(standing_, journal_.quarantine({.pipeline = plan_.pipeline.name.value,
                                              .standing_only = true,
                                              .most = kStandingMax}));
    return {};
  }

  Status settle(const std::string& source, SourceFound found, const SourceSnapshot& snapshot) {
    for (const QuarantineHead& head : standing_) {
      if (head.source != source) continue;
      const auto at = found.files.find(head.file);
      if (at != found.files.end() && is_same(head, at->second)) {
        if (at->second.aside.rows != head.rows || at->second.aside.tasks != head.tasks)
          TG_TRY(journal_.append("quarantine_changed", run_,
                                 entry_text(told(head.entry, at->second))));
        found.files.erase(at);
      } else if (found.whole) {
        TG_TRY(close(head.entry, why_closed(head, snapshot)));
      }
    }
    for (const auto& [name, file] : found.files) TG_TRY(open(source, name, file));
    return {};
  }

  /// Entries of sources that set no rows aside any more.
  Status close_others(const std::vector<std::string>& sources) {
    for (const QuarantineHead& head : standing_)
      if (std::ranges::find(sources, head.source) == sources.end())
        TG_TRY(close(head.entry, "the source sets no rows aside any more"));
    return {};
  }

 private:
  static bool is_same(const QuarantineHead& head, const Found& found) {
    // A person who accepted some rows has not accepted more.
    return found.identity == head.identity &&
           (head.state == "open" || found.aside.rows <= head.rows);
  }

  static std::string why_closed(const QuarantineHead& head, const SourceSnapshot& snapshot) {
    const auto is_it = [&](const auto& file) { return file.name == head.file; };
    const auto file = std::ranges::find_if(snapshot.files, is_it);
    if (file != snapshot.files.end())
      return file->identity == head.identity ? "it can be read now" : "the file was changed";
    return std::ranges::any_of(snapshot.set_aside, is_it) ? "the file was changed"
                                                          : "the file is not read any more";
  }

  Status close(uint64_t entry, const std::string& why) {
    return journal_.append("quarantine_closed", run_, entry_text({{"entry", entry}, {"why", why}}));
  }

  Status open(const std::string& source, const std::string& name, const Found& file) {
    if (opened_ == kQuarantineOpenedMax) return {};
    if (opened_++ == 0) {
      TG_ASSIGN(const auto newest, journal_.quarantine({.most = 1}));
      next_ = newest.empty() ? 1 : newest.front().entry + 1;
    }
    json data = told(next_++, file);
    data["pipeline"] = plan_.pipeline.name.value;
    data["source"] = source;
    data["file"] = name;
    data["identity"] = file.identity;
    return journal_.append("quarantine_opened", run_, entry_text(data));
  }

  const Plan& plan_;
  Journal& journal_;
  const std::string& run_;
  std::vector<QuarantineHead> standing_;
  uint64_t next_ = 1;
  size_t opened_ = 0;
};

}  // namespace

Result<DroppedRows> dropped_rows(Journal& journal, const std::string& pipeline) {
  TG_ASSIGN(
      const auto standing,
      journal.quarantine({.pipeline = pipeline, .standing_only = true, .most = kStandingMax}));
  DroppedRows dropped;
  for (const QuarantineHead& head : standing) {
    if (head.state != "dropped") continue;
    uint64_t& rows = dropped[{head.source, head.file, head.identity}];
    rows = std::max(rows, head.rows);
  }
  return dropped;
}

Status count_set_aside(Effects& effects, const Plan& plan, const Graph& graph,
                       const std::vector<uint32_t>& groups, uint32_t source,
                       const DroppedRows& dropped, SourceArrival& arrival) {
  const SourceSnapshot& snapshot = plan.sources[source];
  const bool of_text = snapshot.recipe.format != FileFormat::kParquet;
  std::set<std::string> files;
  std::vector<uint64_t> unread_bytes;
  for (const FileSetAside& file : snapshot.set_aside) {
    if (file.accepted) continue;
    files.insert(file.name);
    if (of_text) unread_bytes.push_back(file.bytes);
  }
  for (uint32_t g : groups) {
    TG_ASSIGN(const auto aside, aside_of_group(effects, plan, graph, g, source));
    if (!aside) continue;
    if (!aside->gone.empty())
      return fail(FailureClass::kLost, "publish.result_missing",
                  fmt::format("a finished result has gone: {}", aside->gone));
    std::vector<uint64_t> lost_bytes = unread_bytes;
    uint64_t accepted = 0, good_bytes = snapshot.bytes, good_files = snapshot.files.size();
    for (const InputFile& file : snapshot.files) {
      const auto bad = aside->files.find(file.name);
      if (bad == aside->files.end()) continue;
      const auto loss = dropped.find({snapshot.source, file.name, file.identity});
      const bool is_lost = of_text && bad->second.rows == 0;
      if (is_lost) {
        good_bytes -= std::min(good_bytes, file.stat.size);
        --good_files;
      }
      if (loss != dropped.end() && bad->second.rows <= loss->second) {
        accepted += bad->second.rows;
      } else if (is_lost || !of_text) {
        files.insert(file.name);
        if (is_lost) lost_bytes.push_back(file.stat.size);
      }
    }
    accepted = std::min(accepted, aside->bad);
    const uint64_t unknown = rows_of_lost(lost_bytes, aside->rows, good_bytes, good_files);
    arrival.rows_read = std::max(arrival.rows_read, aside->rows + unknown);
    arrival.rows_quarantined = std::max(arrival.rows_quarantined, aside->bad - accepted + unknown);
    arrival.rows_dropped = std::max(arrival.rows_dropped, accepted);
  }
  arrival.files_quarantined = files.size();
  return {};
}

Status record_quarantine(Effects& effects, const Plan& plan, const Graph& graph, Journal& journal,
                         const std::string& run) {
  Quarantine quarantine(plan, journal, run);
  TG_TRY(quarantine.begin());
  std::vector<std::string> sources;
  for (uint32_t s = 0; s < plan.sources.size(); ++s) {
    if (!plan.pipeline.sources[s].quarantine_share) continue;
    sources.push_back(plan.sources[s].source);
    TG_ASSIGN(SourceFound found, found_in(effects, plan, graph, s));
    TG_TRY(quarantine.settle(plan.sources[s].source, std::move(found), plan.sources[s]));
  }
  return quarantine.close_others(sources);
}

}  // namespace tidegate
