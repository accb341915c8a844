#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/hash.h"
#include "plan/builder.h"
#include "reduce/spec_json.h"
#include "task/task.h"

namespace tidegate {
namespace {

void add_order(const sort::SortOrder& order, IdentityHash& hash) {
  for (const sort::SortColumn& column : order)
    hash.add(uint64_t{column.column})
        .add(uint64_t{column.descending})
        .add(uint64_t{column.nulls_first});
}

}  // namespace

void Builder::sort_groups() {
  const size_t count = plan_.graph.groups.size();
  std::vector<uint32_t> order;
  std::vector<int> mark(count, 0);
  const auto visit = [&](auto&& self, uint32_t g) -> void {
    if (mark[g] == 2) return;
    TG_ASSERT(mark[g] == 0);
    mark[g] = 1;
    for (const GraphInput& input : plan_.graph.groups[g].inputs) self(self, input.producer);
    mark[g] = 2;
    order.push_back(g);
  };
  for (uint32_t g = 0; g < count; ++g) visit(visit, g);
  std::vector<uint32_t> place(count);
  for (uint32_t i = 0; i < count; ++i) place[order[i]] = i;
  std::vector<GraphGroup> graph_groups(count);
  std::vector<PlanGroup> plan_groups(count);
  std::map<uint32_t, uint32_t> units;
  std::map<uint32_t, bool> run_time;
  for (uint32_t g = 0; g < count; ++g) {
    for (GraphInput& input : plan_.graph.groups[g].inputs) input.producer = place[input.producer];
    for (PlanInput& input : plan_.groups[g].inputs)
      if (input.kind == PlanInput::Kind::kBucket || input.kind == PlanInput::Kind::kUnit ||
          input.kind == PlanInput::Kind::kGroupWhole)
        input.index = place[input.index];
    graph_groups[place[g]] = std::move(plan_.graph.groups[g]);
    plan_groups[place[g]] = std::move(plan_.groups[g]);
    units[place[g]] = units_[g];
    run_time[place[g]] = uses_run_time_[g];
  }
  plan_.graph.groups = std::move(graph_groups);
  plan_.groups = std::move(plan_groups);
  units_ = std::move(units);
  uses_run_time_ = std::move(run_time);
  for (auto& [name, g] : plan_.stage_group) g = place[g];
  for (auto& [key, g] : value_groups_) g = place[g];
  for (GraphOutput& output : plan_.graph.outputs) {
    output.group = place[output.group];
    for (uint32_t& g : output.after) g = place[g];
  }
}

void Builder::settle_sinks() {
  const auto rank = [](const TaskSink& sink) {
    std::vector<std::pair<uint32_t, std::string>> keys;
    for (const HashKey& key : sink.keys) keys.emplace_back(key.column, key.type);
    return std::tuple(sink.kind, sink.buckets, std::move(keys), sink.compression);
  };
  for (uint32_t g = 0; g < plan_.groups.size(); ++g) {
    auto& sinks = plan_group(g).sinks;
    std::sort(sinks.begin(), sinks.end(),
              [&](const TaskSink& a, const TaskSink& b) { return rank(a) < rank(b); });
    std::map<std::string, std::string> renamed;
    for (size_t i = 0; i < sinks.size(); ++i) {
      if (sinks[i].kind != TaskSink::Kind::kMapOutput) {
        renamed[sinks[i].file] = sinks[i].file;
        continue;
      }
      std::string file = fmt::format("rows-{}.tgm", i);
      renamed[sinks[i].file] = file;
      sinks[i].file = std::move(file);
    }
    for (PlanGroup& reader : plan_.groups)
      for (PlanInput& input : reader.inputs)
        if (!input.sink_file.empty() && input.index == g)
          input.sink_file = renamed.at(input.sink_file);
  }
}

void Builder::name_recipes() {
  for (uint32_t g = 0; g < plan_.graph.groups.size(); ++g) {
    const PlanGroup& group = plan_group(g);
    IdentityHash hash;
    hash.add("tidegate task").add(kTaskFormatVersion).add(sql::kDuckdbVersion).add("TimeZone=UTC");
    for (const PlanInput& input : group.inputs) {
      hash.add("input").add(input.name).add(static_cast<uint64_t>(input.kind)).add(input.sink_file);
      hash.add(uint64_t{input.buckets}).add(uint64_t{input.unit_begin});
      hash.add(uint64_t{input.buckets_a_unit});
      for (const std::string& column : input.columns) hash.add(column);
      if (input.kind == PlanInput::Kind::kSourceWhole)
        for (const Partition& partition : plan_.sources[input.index].partitions)
          hash.add(partition.identity);
      for (const sql::Column& column : input.schema) hash.add(column.name).add(column.type);
    }
    for (const TaskStep& step : group.steps) {
      hash.add("step").add(step.name).add(step.sql);
      if (step.join) hash.add("join").add(reduce::kJoinVersion).add(reduce::to_json(*step.join));
      if (step.lookup)
        hash.add("lookup").add(reduce::kLookupVersion).add(reduce::to_json(*step.lookup));
      if (step.kernel)
        hash.add("kernel")
            .add(reduce::kKernelVersion)
            .add(reduce::to_json(*step.kernel))
            .add(uint64_t{step.kernel_rows_made});
      if (step.sort) {
        hash.add("sort").add(sort::kSortVersion).add(step.sort->input);
        add_order(step.sort->order, hash);
      }
    }
    for (const TaskSink& sink : group.sinks) {
      hash.add("sink")
          .add(static_cast<uint64_t>(sink.kind))
          .add(sink.file)
          .add(uint64_t{sink.buckets});
      hash.add(sink.compression);
      if (sink.names_buckets) hash.add("names buckets");
      if (!sink.by.empty()) hash.add("by");
      for (const uint32_t column : sink.by) hash.add(uint64_t{column});
      for (const HashKey& key : sink.keys) hash.add(uint64_t{key.column}).add(key.type);
      if (!sink.order.empty()) {
        hash.add("order").add(sort::kSortVersion).add(sink.samples).add(uint64_t{sink.sample_rows});
        add_order(sink.order, hash);
      }
    }
    if (group.combine)
      hash.add("combine")
          .add(reduce::kKernelVersion)
          .add(reduce::to_json({*group.combine, ""}))
          .add(group.combine_bytes)
          .add(uint64_t{group.combine_in_sql});
    if (uses_run_time_[g]) hash.add("run_time").add(static_cast<uint64_t>(plan_.run_time_us));
    graph_group(g).recipe = hash.hex();
  }
}

namespace {

/// What every unit reads whole may be read whole by each part of it, too.
bool can_split(const PlanGroup& group) {
  bool parts = false;
  for (const PlanInput& input : group.inputs) {
    parts |= !input.split_keys.empty();
    if (input.split_keys.empty() && input.kind != PlanInput::Kind::kSourceWhole &&
        input.kind != PlanInput::Kind::kGroupWhole)
      return false;
  }
  return parts;
}

}  // namespace

void Builder::add_tasks(uint32_t g) {
  const PlanGroup& group = plan_group(g);
  graph_group(g).can_split =
      (group.splits_skew || graph_group(g).retry.splits_memory) && can_split(group);
  for (uint32_t unit = 0; unit < units_[g]; ++unit) {
    GraphTask task;
    task.group = g;
    task.unit = unit;
    task.unit_identity = fmt::format("unit {} of {}", unit, units_[g]);
    task.label = fmt::format("{}, {} of {}", graph_group(g).name, unit + 1, units_[g]);
    for (const PlanInput& input : group.inputs) {
      if (input.kind != PlanInput::Kind::kPartition) continue;
      if (unit < input.unit_begin || unit - input.unit_begin >= input.unit_count) continue;
      const Partition& partition = partitions_of(plan_, input)[unit - input.unit_begin];
      // A partition's work does not depend on how many others there are.
      task.unit_identity = partition.identity;
      task.label = fmt::format("{}, {}", graph_group(g).name, partition.label);
      task.bytes = partition.bytes;
      task.rows = partition.rows;
    }
    if (task.bytes == 0 && units_[g] > 0) {
      task.bytes = group.estimated_bytes / units_[g];
      task.rows = group.estimated_rows / units_[g];
    }
    graph_group(g).tasks.push_back(static_cast<uint32_t>(plan_.graph.tasks.size()));
    plan_.graph.tasks.push_back(std::move(task));
  }
}

}  // namespace tidegate
