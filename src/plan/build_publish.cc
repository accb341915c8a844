#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/text.h"
#include "plan/build.h"
#include "plan/builder.h"

namespace tidegate {
namespace {

/// A change within one value makes its whole bucket's files again.
constexpr uint64_t kValueBucketBytes = uint64_t{16} << 20;
constexpr uint64_t kValueBucketsMax = 64;

uint32_t choose_value_buckets(uint64_t bytes) {
  return static_cast<uint32_t>(
      std::min<uint64_t>(std::bit_ceil(bytes / kValueBucketBytes + 1), kValueBucketsMax));
}

}  // namespace

Status Builder::add_outputs() {
  for (const Output& output : plan_.pipeline.outputs) {
    const auto at = plan_.stage_group.find(output.from.value);
    TG_ASSERT(at != plan_.stage_group.end());
    const uint32_t group =
        output.publish_by.empty() ? at->second : add_value_group(at->second, output);
    auto& sinks = plan_group(group).sinks;
    const bool there = std::any_of(sinks.begin(), sinks.end(), [&](const TaskSink& sink) {
      return sink.kind == TaskSink::Kind::kParquet && sink.compression == output.compression;
    });
    if (!there) {
      TaskSink sink;
      sink.kind = TaskSink::Kind::kParquet;
      sink.compression = output.compression;
      sink.file = fmt::format("part-{}.parquet", output.compression);
      sinks.push_back(std::move(sink));
    }
    plan_.graph.outputs.push_back({output.name.value, group, {}});
  }
  for (uint32_t o = 0; o < plan_.pipeline.outputs.size(); ++o) {
    for (const Check& check : plan_.pipeline.outputs[o].checks) {
      if (check.kind != CheckKind::kReferences) continue;
      for (const GraphOutput& other : plan_.graph.outputs)
        if (other.name == check.references_to.value)
          plan_.graph.outputs[o].after.push_back(other.group);
    }
  }
  for (GraphOutput& output : plan_.graph.outputs) wait_for_counts(output);
  plan_.graph.publish_together = plan_.pipeline.publish_together;
  return {};
}

uint32_t Builder::add_value_group(uint32_t producer, const Output& output) {
  const sql::Schema schema = plan_group(producer).schema;
  TaskSink sink;
  sink.kind = TaskSink::Kind::kParquet;
  sink.compression = output.compression;
  sink.file = fmt::format("part-{}.parquet", output.compression);
  std::vector<HashKey> keys;
  std::vector<std::string> names;
  for (const auto& name : output.publish_by) {
    uint32_t column = 0;
    while (column < schema.size() &&
           to_lower_ascii(schema[column].name) != to_lower_ascii(name.value))
      ++column;
    TG_ASSERT(column < schema.size());
    sink.by.push_back(column);
    keys.push_back({column, schema[column].type});
    names.push_back(schema[column].name);
  }
  const auto key = std::tuple(producer, output.compression, sink.by);
  if (const auto at = value_groups_.find(key); at != value_groups_.end()) return at->second;

  // Names tell groups apart where plans are compared.
  const std::string name =
      fmt::format("{} by {}{}", output.from.value, join(names, ", "),
                  output.compression == "zstd" ? "" : fmt::format(" ({})", output.compression));
  const uint32_t buckets =
      remembered("value_buckets", name, choose_value_buckets(plan_group(producer).estimated_bytes));
  const uint32_t g = new_group(name);
  graph_group(g).memory_bytes = graph_group(producer).memory_bytes;
  graph_group(g).retry = graph_group(producer).retry;
  graph_group(g).timeout_us = graph_group(producer).timeout_us;
  graph_group(g).inputs = {{producer, GraphInput::Mode::kWhole, 0}};
  PlanInput input;
  input.kind = PlanInput::Kind::kBucket;
  input.name = output.from.value;
  input.index = producer;
  input.buckets = input.unit_count = buckets;
  input.schema = schema;
  input.sink_file = want_sink(producer, keys, buckets);
  PlanGroup& group = plan_group(g);
  group.inputs = {std::move(input)};
  group.sinks = {std::move(sink)};
  group.schema = schema;
  group.strategy = fmt::format("publish over {} bucket{}", buckets, buckets == 1 ? "" : "s");
  group.why = fmt::format("one file for each value of {}", join(names, ", "));
  group.estimated_rows = plan_group(producer).estimated_rows;
  group.estimated_bytes = plan_group(producer).estimated_bytes;
  units_[g] = buckets;
  return value_groups_[key] = g;
}

bool Builder::is_published_by_value(const std::set<std::string>& stages) const {
  return std::ranges::any_of(plan_.pipeline.outputs, [&](const Output& output) {
    return stages.contains(output.from.value) && !output.publish_by.empty();
  });
}

std::set<std::string> Builder::with_readers(const std::string& stage) const {
  std::set<std::string> found{stage};
  for (const CheckedStage& reader : plan_.checked.stages)  // after what they read
    if (std::ranges::any_of(reader.inputs, [&](const StageInput& input) {
          return !input.is_source && found.contains(input.name);
        }))
      found.insert(reader.name);
  return found;
}

uint32_t Builder::least_buckets(const std::string& stage, uint64_t bytes) const {
  return is_published_by_value({stage}) ? choose_value_buckets(bytes) : 1;
}

void Builder::name_by_content() {
  // Groups are in order by now: consumers come after their producers.
  std::vector<bool> upstream(plan_.groups.size(), false);
  for (const auto& [key, g] : value_groups_) upstream[g] = true;
  for (uint32_t g = static_cast<uint32_t>(plan_.groups.size()); g-- > 0;) {
    if (!upstream[g]) continue;
    size_t edge = 0;
    for (const PlanInput& input : plan_group(g).inputs) {
      if (input.kind == PlanInput::Kind::kPartition || input.kind == PlanInput::Kind::kSourceWhole)
        continue;
      GraphInput& read = graph_group(g).inputs[edge++];
      TG_ASSERT(read.producer == input.index);
      upstream[input.index] = true;
      if (input.kind != PlanInput::Kind::kBucket) continue;
      read.bucket_file = input.sink_file;
      read.buckets_a_unit = input.buckets_a_unit;
      graph_group(input.index).names_buckets = true;
      for (TaskSink& sink : plan_group(input.index).sinks)
        if (sink.file == input.sink_file) sink.names_buckets = true;
    }
  }
}

}  // namespace tidegate
