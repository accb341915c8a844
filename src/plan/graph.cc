#include "plan/graph.h"

#include <map>

#include "base/failure.h"
#include "base/hash.h"
#include "base/planted.h"

namespace tidegate {
namespace {

/// The name of all results of a group together, or nothing if one is not known.
std::optional<std::string> group_name(const Graph& graph, uint32_t group) {
  IdentityHash hash;
  for (uint32_t task : graph.groups[group].tasks) {
    const std::string name = result_name(graph, task);
    if (name.empty()) return std::nullopt;
    hash.add(name);
  }
  return hash.hex();
}

/// The name of some buckets of all results of a group. Empty ones are no part of it, so that a
/// producer without rows for a task changes nothing for it.
std::optional<std::string> buckets_name(const Graph& graph, const GraphInput& input,
                                        uint32_t unit) {
  const size_t begin = size_t{unit} * input.buckets_a_unit;
  const std::string nothing(kBucketNameDigits, '0');
  IdentityHash hash;
  hash.add("buckets");
  for (uint32_t task : graph.groups[input.producer].tasks) {
    const auto named = graph.tasks[task].buckets.find(input.bucket_file);
    if (named == graph.tasks[task].buckets.end()) return std::nullopt;
    for (size_t i = 0; i < input.buckets_a_unit; ++i) {
      const size_t at = (begin + i) * kBucketNameDigits;
      if (at + kBucketNameDigits > named->second.size()) return std::nullopt;
      const std::string content = named->second.substr(at, kBucketNameDigits);
      if (content != nothing) hash.add(uint64_t{i}).add(content);
    }
  }
  return hash.hex();
}

using GroupNames = std::map<uint32_t, std::optional<std::string>>;

std::optional<std::string> identity_with(const Graph& graph, uint32_t index, GroupNames& names) {
  const GraphTask& task = graph.tasks[index];
  const GraphGroup& group = graph.groups[task.group];
  IdentityHash hash;
  hash.add(group.recipe).add(task.unit_identity);
  if (planted(Mistake::kInputsNotInName)) return hash.hex();
  for (const GraphInput& input : group.inputs) {
    if (input.mode == GraphInput::Mode::kUnit) {
      const auto& units = graph.groups[input.producer].tasks;
      if (task.unit < input.unit_begin || task.unit - input.unit_begin >= units.size()) {
        hash.add("no unit");
        continue;
      }
      const std::string name = result_name(graph, units[task.unit - input.unit_begin]);
      if (name.empty()) return std::nullopt;
      hash.add(name);
    } else if (!input.bucket_file.empty()) {
      const auto name = buckets_name(graph, input, task.unit);
      if (!name) return std::nullopt;
      hash.add(*name);
    } else {
      auto [at, added] = names.try_emplace(input.producer);
      if (added) at->second = group_name(graph, input.producer);
      if (!at->second) return std::nullopt;
      hash.add(*at->second);
    }
  }
  return hash.hex();
}

}  // namespace

std::string result_name(const Graph& graph, uint32_t task) {
  const GraphTask& found = graph.tasks[task];
  return graph.groups[found.group].unordered ? found.digest : found.identity;
}

BucketNames bucket_names(const TaskReport& report) {
  BucketNames names;
  for (const TaskOutputFile& file : report.files)
    if (!file.buckets.empty()) names.emplace(file.name, file.buckets);
  return names;
}

std::optional<std::string> task_identity(const Graph& graph, uint32_t task) {
  GroupNames names;
  return identity_with(graph, task, names);
}

void compute_identities(Graph& graph) {
  GroupNames names;
  for (const GraphGroup& group : graph.groups) {
    for (uint32_t task : group.tasks) {
      if (!graph.tasks[task].identity.empty()) continue;
      if (auto identity = identity_with(graph, task, names))
        graph.tasks[task].identity = std::move(*identity);
    }
  }
}

void mark_needed(Graph& graph) {
  std::vector<bool> needed(graph.tasks.size(), false);
  for (const GraphOutput& output : graph.outputs) {
    for (uint32_t task : graph.groups[output.group].tasks) needed[task] = true;
    for (uint32_t group : output.after)
      for (uint32_t task : graph.groups[group].tasks) needed[task] = true;
  }
  for (size_t g = graph.groups.size(); g-- > 0;) {
    const GraphGroup& group = graph.groups[g];
    for (uint32_t index : group.tasks) {
      GraphTask& task = graph.tasks[index];
      if (!needed[index]) {
        if (task.state == TaskState::kWaiting) task.state = TaskState::kUnneeded;
        continue;
      }
      if (task.state == TaskState::kUnneeded) task.state = TaskState::kWaiting;
      if (task.state == TaskState::kReused || task.state == TaskState::kDone) continue;
      for (const GraphInput& input : group.inputs) {
        TG_ASSERT(input.producer < g);
        const auto& units = graph.groups[input.producer].tasks;
        if (input.mode == GraphInput::Mode::kWhole) {
          for (uint32_t unit : units) needed[unit] = true;
        } else if (task.unit >= input.unit_begin && task.unit - input.unit_begin < units.size()) {
          needed[units[task.unit - input.unit_begin]] = true;
        }
      }
    }
  }
}

}  // namespace tidegate
