#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/units.h"
#include "plan/plan.h"

namespace tidegate {
namespace {

struct Counts {
  uint32_t run = 0, reused = 0, unneeded = 0;
  std::map<std::string, uint32_t> why;
};

Counts count(const Plan& plan, uint32_t g) {
  Counts counts;
  for (uint32_t index : plan.graph.groups[g].tasks) {
    const GraphTask& task = plan.graph.tasks[index];
    if (task.state == TaskState::kReused)
      ++counts.reused;
    else if (task.state == TaskState::kUnneeded)
      ++counts.unneeded;
    else {
      ++counts.run;
      ++counts.why[task.why];
    }
  }
  return counts;
}

std::string why_text(const Counts& counts) {
  std::vector<std::string> parts;
  for (const auto& [why, tasks] : counts.why)
    if (!why.empty())
      parts.push_back(counts.why.size() == 1 ? why : fmt::format("{}: {}", tasks, why));
  return join(parts, "; ");
}

std::string input_text(const Plan& plan, const PlanInput& input) {
  switch (input.kind) {
    case PlanInput::Kind::kPartition:
      return fmt::format("partitions of {}", input.name);
    case PlanInput::Kind::kSourceWhole:
      return fmt::format("all of {}", input.name);
    case PlanInput::Kind::kBucket: {
      const auto& sinks = plan.groups[input.index].sinks;
      if (std::any_of(sinks.begin(), sinks.end(),
                      [](const TaskSink& sink) { return sink.kind == TaskSink::Kind::kRanges; }))
        return fmt::format("{} of one range", input.name);
      std::vector<std::string> keys;
      for (const TaskSink& sink : sinks)
        if (sink.file == input.sink_file)
          for (const HashKey& key : sink.keys)
            keys.push_back(plan.groups[input.index].schema[key.column].name);
      return fmt::format("{} shuffled by ({})", input.name, join(keys, ", "));
    }
    case PlanInput::Kind::kUnit:
      return fmt::format("{} as it lies", input.name);
    case PlanInput::Kind::kGroupWhole:
      return fmt::format("all of {}", input.name);
  }
  return input.name;
}

}  // namespace

std::string render_plan(const Plan& plan, bool colour) {
  const auto bold = [&](std::string_view text) {
    return colour ? fmt::format("\x1b[1m{}\x1b[0m", text) : std::string(text);
  };
  std::string text = fmt::format("{} {}\n\n", bold("plan of"), plan.pipeline.name.value);
  text += bold("sources") + "\n";
  for (size_t s = 0; s < plan.sources.size(); ++s) {
    const SourceSnapshot& source = plan.sources[s];
    text += fmt::format(
        "  {:<20} {} file{}, {}{}, {} partition{}\n", plan.pipeline.sources[s].name.value,
        source.files.size(), source.files.size() == 1 ? "" : "s", format_size(source.bytes),
        source.rows_known ? fmt::format(", {} rows", format_count(source.rows)) : "",
        source.partitions.size(), source.partitions.size() == 1 ? "" : "s");
  }
  text += "\n" + bold("stages") + "\n";
  uint32_t run = 0, reused = 0;
  uint64_t bytes = 0, bound = 0;
  for (uint32_t g = 0; g < plan.graph.groups.size(); ++g) {
    const GraphGroup& group = plan.graph.groups[g];
    const PlanGroup& made = plan.groups[g];
    const Counts counts = count(plan, g);
    run += counts.run;
    reused += counts.reused;
    if (counts.run > 0) bytes += made.estimated_bytes;
    bound = std::max(bound, group.memory_bytes);
    text += fmt::format("  {:<20} {}: {}\n", group.name, made.strategy, made.why);
    std::vector<std::string> inputs;
    for (const PlanInput& input : made.inputs) inputs.push_back(input_text(plan, input));
    if (!inputs.empty()) text += fmt::format("  {:<20} reads {}\n", "", join(inputs, "; "));
    if (!made.steps.empty())
      text += fmt::format("  {:<20} as {}, about {} in memory in all\n", "",
                          made.kernel.empty() ? "DuckDB SQL" : made.kernel,
                          format_size(made.estimated_bytes));
    text += fmt::format(
        "  {:<20} {} to run, {} reused{}{}{}\n", "", counts.run, counts.reused,
        counts.unneeded ? fmt::format(", {} not needed", counts.unneeded) : "",
        counts.run && !why_text(counts).empty() ? " (" + why_text(counts) + ")" : "",
        group.unordered       ? "; its order of rows may differ, so what reads it goes by content"
        : group.names_buckets ? "; what reads it goes by the content of its buckets"
                              : "");
  }
  text += "\n" + bold("outputs") + "\n";
  for (const Output& output : plan.pipeline.outputs)
    text += fmt::format("  {:<20} from {}, {} check{}, to {}\n", output.name.value,
                        output.from.value, output.checks.size(),
                        output.checks.size() == 1 ? "" : "s", output.parquet_path.value);
  text += fmt::format("\n{} {} task{} to run, {} reused; about {} through memory\n", bold("in all"),
                      run, run == 1 ? "" : "s", reused, format_size(bytes));
  text += fmt::format("{} {} worker{} x {} = {} of {} that this host allows\n", bold("memory"),
                      plan.workers, plan.workers == 1 ? "" : "s", format_size(bound),
                      format_size(bound * plan.workers), format_size(plan.host_bytes));
  return text;
}

std::string render_plan_json(const Plan& plan) {
  using nlohmann::json;
  json sources = json::array(), stages = json::array(), outputs = json::array();
  for (size_t s = 0; s < plan.sources.size(); ++s) {
    const SourceSnapshot& source = plan.sources[s];
    json partitions = json::array();
    for (const Partition& partition : source.partitions)
      partitions.push_back({{"label", partition.label},
                            {"bytes", partition.bytes},
                            {"rows", partition.rows},
                            {"identity", partition.identity}});
    sources.push_back({{"source", plan.pipeline.sources[s].name.value},
                       {"files", source.files.size()},
                       {"bytes", source.bytes},
                       {"rows", source.rows},
                       {"identity", source.arrival.identity},
                       {"partitions", partitions}});
  }
  uint32_t run = 0, reused = 0;
  for (uint32_t g = 0; g < plan.graph.groups.size(); ++g) {
    const GraphGroup& group = plan.graph.groups[g];
    const Counts counts = count(plan, g);
    run += counts.run;
    reused += counts.reused;
    json tasks = json::array(), steps = json::array(), inputs = json::array();
    for (uint32_t index : group.tasks) {
      const GraphTask& task = plan.graph.tasks[index];
      const char* state = task.state == TaskState::kReused     ? "reused"
                          : task.state == TaskState::kUnneeded ? "unneeded"
                                                               : "run";
      tasks.push_back({{"identity", task.identity},
                       {"label", task.label},
                       {"state", state},
                       {"why", task.why},
                       {"bytes", task.bytes}});
    }
    for (const TaskStep& step : plan.groups[g].steps) steps.push_back(step.name);
    for (const PlanInput& input : plan.groups[g].inputs) inputs.push_back(input_text(plan, input));
    stages.push_back({{"stage", group.name},
                      {"steps", steps},
                      {"inputs", inputs},
                      {"strategy", plan.groups[g].strategy},
                      {"why", plan.groups[g].why},
                      {"kernel", plan.groups[g].kernel},
                      {"unordered", group.unordered},
                      {"memory_bytes", group.memory_bytes},
                      {"estimated_bytes", plan.groups[g].estimated_bytes},
                      {"tasks", tasks}});
  }
  for (const Output& output : plan.pipeline.outputs)
    outputs.push_back({{"output", output.name.value},
                       {"from", output.from.value},
                       {"path", output.parquet_path.value},
                       {"checks", output.checks.size()}});
  const json document = {{"pipeline", plan.pipeline.name.value},
                         {"run_time_us", plan.run_time_us},
                         {"workers", plan.workers},
                         {"host_bytes", plan.host_bytes},
                         {"digest", plan.digest},
                         {"tasks", {{"run", run}, {"reused", reused}}},
                         {"sources", sources},
                         {"stages", stages},
                         {"outputs", outputs}};
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace tidegate
