#include "plan/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/text.h"
#include "plan/builder.h"

namespace tidegate {
namespace {

uint64_t type_bytes(std::string_view type) {
  if (type == "BOOLEAN" || type == "TINYINT" || type == "UTINYINT") return 1;
  if (type == "SMALLINT" || type == "USMALLINT") return 2;
  if (type == "INTEGER" || type == "UINTEGER" || type == "DATE" || type == "FLOAT") return 4;
  if (type == "HUGEINT" || type == "UHUGEINT" || type == "UUID" || type == "INTERVAL") return 16;
  if (type.starts_with("DECIMAL")) return 8;
  if (type == "VARCHAR" || type == "BLOB" || type == "JSON") return 20;
  if (type.find('(') != std::string_view::npos || type.ends_with(']')) return 48;
  return 8;
}

}  // namespace

uint64_t row_bytes(const sql::Schema& schema) {
  uint64_t bytes = 0;
  for (const sql::Column& column : schema) bytes += type_bytes(column.type);
  return bytes;
}

Status Builder::build() {
  for (const CheckedStage& stage : plan_.checked.stages) {
    for (const StageInput& input : stage.inputs) ++consumers_[input.name];
  }
  for (const Output& output : plan_.pipeline.outputs) published_.insert(output.from.value);
  for (const CheckedStage& stage : plan_.checked.stages) TG_TRY(add_stage(stage));
  TG_TRY(add_outputs());
  sort_groups();
  settle_sinks();
  name_by_content();
  name_recipes();
  for (uint32_t g = 0; g < plan_.graph.groups.size(); ++g) add_tasks(g);
  return {};
}

uint32_t Builder::source_index(const std::string& name) const {
  for (uint32_t s = 0; s < plan_.pipeline.sources.size(); ++s)
    if (to_lower_ascii(plan_.pipeline.sources[s].name.value) == to_lower_ascii(name)) return s;
  TG_ASSERT(!"a source that is not there");
  return 0;
}

uint32_t Builder::new_group(const std::string& name) {
  plan_.graph.groups.emplace_back().name = name;
  plan_.groups.emplace_back();
  return static_cast<uint32_t>(plan_.graph.groups.size() - 1);
}

uint64_t Builder::memory_of(const Stage* stage) const {
  return stage && stage->memory_bytes ? stage->memory_bytes->value : plan_.pipeline.memory_bytes;
}

std::string Builder::want_sink(uint32_t producer, const std::vector<HashKey>& keys,
                               uint32_t buckets) {
  auto& sinks = plan_group(producer).sinks;
  for (const TaskSink& sink : sinks) {
    if (sink.kind != TaskSink::Kind::kMapOutput || sink.buckets != buckets ||
        sink.keys.size() != keys.size())
      continue;
    bool same = true;
    for (size_t i = 0; i < keys.size(); ++i)
      same &= sink.keys[i].column == keys[i].column && sink.keys[i].type == keys[i].type;
    if (same) return sink.file;
  }
  TaskSink sink;
  sink.file = fmt::format("rows-{}.tgm", sinks.size());
  sink.keys = keys;
  sink.buckets = buckets;
  sinks.push_back(sink);
  return sink.file;
}

uint32_t Builder::scan_group(const std::string& name) {
  const uint32_t s = source_index(name);
  if (auto at = scan_groups_.find(s); at != scan_groups_.end()) return at->second;
  std::vector<const StageInput*> readers;
  for (const CheckedStage& stage : plan_.checked.stages) {
    for (const StageInput& input : stage.inputs) {
      if (input.is_source && input.mode == InputMode::kShuffle &&
          to_lower_ascii(input.name) == to_lower_ascii(name) && rows_made_for(stage) != &input)
        readers.push_back(&input);
    }
  }
  return scan_groups_[s] = make_scan(s, readers);
}

uint32_t Builder::make_scan(uint32_t s, const std::vector<const StageInput*>& readers) {
  std::set<std::string> used;
  bool all = false;
  for (const StageInput* reader : readers) {
    if (reader->columns_used.empty()) all = true;
    for (const std::string& column : reader->columns_used) used.insert(to_lower_ascii(column));
    for (const std::string& column : reader->key_columns) used.insert(to_lower_ascii(column));
  }
  const uint32_t g = new_group(plan_.pipeline.sources[s].name.value);
  PlanInput input;
  input.kind = PlanInput::Kind::kPartition;
  input.name = plan_.pipeline.sources[s].name.value;
  input.index = s;
  input.unit_count = static_cast<uint32_t>(plan_.sources[s].partitions.size());
  for (const sql::Column& column : plan_.sources[s].schema) {
    if (!all && !used.contains(to_lower_ascii(column.name))) continue;
    input.schema.push_back(column);
    input.columns.push_back(column.name);
  }
  PlanGroup& group = plan_group(g);
  group.schema = input.schema;
  group.strategy =
      fmt::format("scan over {} partition{}", input.unit_count, input.unit_count == 1 ? "" : "s");
  group.why = "its rows go into buckets as they are read";
  estimate_source(s, input.schema, group.estimated_rows, group.estimated_bytes);
  units_[g] = std::max(input.unit_count, 1u);
  group.inputs = {std::move(input)};
  graph_group(g).memory_bytes = plan_.pipeline.memory_bytes;
  graph_group(g).retry = plan_.pipeline.retry;
  return g;
}

void Builder::estimate_source(uint32_t s, const sql::Schema& schema, uint64_t& rows,
                              uint64_t& bytes) const {
  const SourceSnapshot& snapshot = plan_.sources[s];
  rows = snapshot.rows_known ? snapshot.rows : snapshot.bytes / 64;
  bytes = snapshot.rows_known ? rows * row_bytes(schema) : snapshot.bytes;
}

void Builder::estimate_input(const StageInput& input, uint64_t& rows, uint64_t& bytes) {
  if (!input.is_source) {
    const PlanGroup& group = plan_group(plan_.stage_group.at(input.name));
    rows = group.estimated_rows;
    bytes = group.estimated_bytes;
    return;
  }
  const uint32_t s = source_index(input.name);
  sql::Schema schema;
  for (const sql::Column& column : plan_.sources[s].schema)
    if (input.columns_used.empty() ||
        std::any_of(input.columns_used.begin(), input.columns_used.end(),
                    [&](const std::string& used) {
                      return to_lower_ascii(used) == to_lower_ascii(column.name);
                    }))
      schema.push_back(column);
  estimate_source(s, schema, rows, bytes);
}

bool Builder::can_fuse(const CheckedStage& stage, const StageInput*& base) const {
  base = nullptr;
  for (const StageInput& input : stage.inputs) {
    if (input.mode == InputMode::kBroadcast) continue;
    if (base || input.is_source) return false;
    base = &input;
  }
  if (!base || (base->mode != InputMode::kPartition && base->mode != InputMode::kAligned))
    return false;
  // What a stage with `on_empty` gives must be counted by itself.
  if (plan_.pipeline.stage(base->name)->on_empty != OnEmpty::kAllow) return false;
  // A join reads its inputs from files.
  if (stage.join) return false;
  return consumers_.at(base->name) == 1 && !published_.contains(base->name) && !stage.one_task;
}

uint32_t Builder::producer_of(const CheckedStage& stage, const StageInput& input) {
  if (!input.is_source) return plan_.stage_group.at(input.name);
  return rows_made_for(stage) == &input ? kernel_scan(stage, input) : scan_group(input.name);
}

Status Builder::add_stage(const CheckedStage& stage) {
  const Stage* written = plan_.pipeline.stage(stage.name);
  TG_ASSERT(written != nullptr);
  TG_ASSIGN(auto lookup, choose_lookup(stage, *written));
  if (lookup) return add_lookup(stage, *written, std::move(*lookup));
  const StageInput* base = nullptr;
  uint32_t g;
  const StageInput* made = rows_made_for(stage);
  if (made != nullptr) TG_TRY(make_kernel_rows(stage, *made));
  const bool fused = can_fuse(stage, base);
  if (fused) {
    g = plan_.stage_group.at(base->name);
    plan_.stage_group.erase(base->name);
    graph_group(g).name = stage.name;
    graph_group(g).memory_bytes = std::max(graph_group(g).memory_bytes, memory_of(written));
    plan_group(g).strategy += fmt::format(", then {}", stage.name);
    for (const StageInput& input : stage.inputs)
      if (&input != base) TG_TRY(add_input(g, stage, input, units_[g]));
  } else {
    g = new_group(stage.name);
    graph_group(g).memory_bytes = memory_of(written);
    const uint32_t units = count_units(g, stage, *written);
    units_[g] = units;
    for (const StageInput& input : stage.inputs) TG_TRY(add_input(g, stage, input, units));
  }
  const auto merge = merges_.find(stage.name);
  plan_group(g).steps.push_back(
      {stage.name,
       stage.join ? stage.join_sql : stage.sql,
       stage.join,
       {},
       merge == merges_.end() ? stage.kernel : std::optional(merge->second),
       made != nullptr});
  finish_stage(g, stage, *written);
  return {};
}

void Builder::finish_stage(uint32_t g, const CheckedStage& stage, const Stage& written) {
  if (written.timeout_us) graph_group(g).timeout_us = written.timeout_us->value;
  graph_group(g).retry = written.retry.value_or(plan_.pipeline.retry);
  graph_group(g).unordered |= stage.unordered;
  uses_run_time_[g] |= stage.uses_run_time;
  plan_group(g).on_empty = written.on_empty;
  plan_group(g).splits_skew |= written.splits_skew.value_or(plan_.pipeline.splits_skew);
  plan_group(g).kernel =
      stage.kernel || stage.join
          ? stage.kernel_why
          : fmt::format("DuckDB SQL{}{}", stage.kernel_why.empty() ? "" : ": ", stage.kernel_why);
  plan_group(g).schema = stage.schema;
  plan_.stage_group[stage.name] = g;
  estimate_stage(g, stage);
  if (!stage.sort_by.empty()) add_sort(stage, written, g);
}

void Builder::estimate_stage(uint32_t g, const CheckedStage& stage) {
  uint64_t rows = 0;
  for (const StageInput& input : stage.inputs) {
    uint64_t input_rows = 0, input_bytes = 0;
    if (input.is_source || plan_.stage_group.contains(input.name))
      estimate_input(input, input_rows, input_bytes);
    else
      input_rows = plan_group(g).estimated_rows;
    if (input.mode != InputMode::kBroadcast) rows = std::max(rows, input_rows);
  }
  plan_group(g).estimated_rows = rows;
  plan_group(g).estimated_bytes = rows * row_bytes(stage.schema);
}

uint32_t Builder::count_units(uint32_t g, const CheckedStage& stage, const Stage& written) {
  PlanGroup& group = plan_group(g);
  if (stage.one_task) {
    group.strategy = "one task";
    group.why = written.partition_by && written.partition_by->all ? "partition_by: all"
                                                                  : "it sees everything at once";
    return 1;
  }
  uint32_t partitions = 0, aligned = 0;
  uint64_t bytes = 0, read_bytes = 0;
  bool shuffles = false;
  for (const StageInput& input : stage.inputs) {
    if (input.mode == InputMode::kPartition)
      partitions +=
          input.is_source
              ? static_cast<uint32_t>(plan_.sources[source_index(input.name)].partitions.size())
              : units_of(input.name);
    if (input.mode == InputMode::kAligned && aligned == 0) aligned = units_of(input.name);
    if (input.mode == InputMode::kShuffle) {
      uint64_t input_rows = 0, input_bytes = 0;
      estimate_input(input, input_rows, input_bytes);
      read_bytes += input_bytes;
      if (rows_made_for(stage) == &input)
        input_bytes = plan_group(producer_of(stage, input)).estimated_bytes;
      bytes += input_bytes;
      shuffles = true;
    }
  }
  if (shuffles || aligned > 0) {
    uint32_t buckets = aligned;
    std::string why = "its input already lies in buckets of these keys";
    if (aligned == 0 || written.buckets) {
      const bool made = rows_made_for(stage) != nullptr;
      const uint32_t chosen =
          made ? choose_kernel_tasks(bytes) : choose_buckets(bytes, memory_of(&written));
      buckets = written.buckets
                    ? written.buckets->value
                    : remembered("buckets", stage.name,
                                 std::max(chosen, least_buckets(stage.name, read_bytes)));
      if (made || joins_by_bucket(stage, buckets))
        buckets_a_unit_[g] = std::max(
            1U, remembered("kernel_buckets", stage.name, kernel_buckets(stage, bytes)) / buckets);
      why = written.buckets ? "buckets as declared"
                            : fmt::format("about {} MiB in memory under a bound of {} MiB",
                                          bytes >> 20, memory_of(&written) >> 20);
    }
    group.strategy = fmt::format("reduce over {} bucket{}", buckets, buckets == 1 ? "" : "s");
    group.why = why;
    return buckets;
  }
  group.strategy = fmt::format("map over {} partition{}", partitions, partitions == 1 ? "" : "s");
  group.why = "row by row: no exchange";
  return std::max(partitions, 1u);  // nothing to read still gives an empty table with its columns
}

uint32_t Builder::remembered(const char* what, const std::string& stage, uint32_t buckets) {
  const std::string key = fmt::format("{}/{}/{}", what, plan_.pipeline.name.value, stage);
  if (journal_) {
    const auto before = journal_->fact(key);
    if (before && *before) {
      const uint64_t old = std::strtoull((*before)->c_str(), nullptr, 10);
      if (old > 0 && old <= kBucketsMax)
        buckets = sticky_buckets(static_cast<uint32_t>(old), buckets);
    }
  }
  plan_.facts.emplace_back(key, fmt::format("{}", buckets));
  return buckets;
}

Status Builder::add_input(uint32_t g, const CheckedStage& stage, const StageInput& input,
                          uint32_t units) {
  PlanInput made;
  made.name = input.name;
  InputMode mode = input.mode;
  if (mode == InputMode::kAll) mode = InputMode::kBroadcast;
  // Buckets of another number, or one declared anew, do not line up: shuffle again.
  if (mode == InputMode::kAligned && units_of(input.name) != units) mode = InputMode::kShuffle;
  if (input.is_source && mode != InputMode::kShuffle) {
    made.index = source_index(input.name);
    const SourceSnapshot& snapshot = plan_.sources[made.index];
    made.kind =
        mode == InputMode::kBroadcast ? PlanInput::Kind::kSourceWhole : PlanInput::Kind::kPartition;
    for (const sql::Column& column : snapshot.schema) {
      const bool used = input.columns_used.empty() ||
                        std::any_of(input.columns_used.begin(), input.columns_used.end(),
                                    [&](const std::string& name) {
                                      return to_lower_ascii(name) == to_lower_ascii(column.name);
                                    });
      if (!used) continue;
      made.schema.push_back(column);
      made.columns.push_back(column.name);
    }
    made.unit_begin = next_partition_[g];
    made.unit_count = static_cast<uint32_t>(snapshot.partitions.size());
    if (made.kind == PlanInput::Kind::kPartition) next_partition_[g] += made.unit_count;
    plan_group(g).inputs.push_back(std::move(made));
    return {};
  }
  const uint32_t producer = producer_of(stage, input);
  made.index = producer;
  made.schema = plan_group(producer).schema;
  GraphInput edge{producer, GraphInput::Mode::kWhole, 0};
  if (mode == InputMode::kShuffle) {
    made.kind = PlanInput::Kind::kBucket;
    const bool fine = rows_made_for(stage) == &input || is_joined(stage, input);
    made.buckets_a_unit = fine && buckets_a_unit_.contains(g) ? buckets_a_unit_.at(g) : 1;
    made.buckets = units * made.buckets_a_unit;
    made.unit_count = units;
    made.split_keys = keys_of(stage, input, made.schema);
    made.sink_file = want_sink(producer, made.split_keys, made.buckets);
  } else if (mode == InputMode::kBroadcast) {
    made.kind = PlanInput::Kind::kGroupWhole;
    made.sink_file = want_sink(producer, {}, 1);
  } else {
    made.kind = PlanInput::Kind::kUnit;
    if (mode == InputMode::kAligned) made.split_keys = keys_of(stage, input, made.schema);
    made.sink_file = want_sink(producer, {}, 1);
    made.unit_begin = mode == InputMode::kPartition ? next_partition_[g] : 0;
    made.unit_count = units_[producer];
    if (mode == InputMode::kPartition) next_partition_[g] += made.unit_count;
    edge.mode = GraphInput::Mode::kUnit;
    edge.unit_begin = made.unit_begin;
  }
  graph_group(g).inputs.push_back(edge);
  plan_group(g).inputs.push_back(std::move(made));
  return {};
}

void Builder::wait_for_counts(GraphOutput& output) {
  std::set<uint32_t> seen = {output.group};
  std::vector<uint32_t> open = {output.group};
  while (!open.empty()) {
    const uint32_t g = open.back();
    open.pop_back();
    const bool counts = std::any_of(
        plan_group(g).inputs.begin(), plan_group(g).inputs.end(), [&](const PlanInput& input) {
          return (input.kind == PlanInput::Kind::kPartition ||
                  input.kind == PlanInput::Kind::kSourceWhole) &&
                 plan_.pipeline.sources[input.index].quarantine_share.has_value();
        });
    if (counts && g != output.group) output.after.push_back(g);
    for (const GraphInput& input : graph_group(g).inputs)
      if (seen.insert(input.producer).second) open.push_back(input.producer);
  }
}

uint32_t choose_buckets(uint64_t bytes, uint64_t memory_bytes) {
  const uint64_t target = std::clamp(memory_bytes / 16, kBucketBytesMin, kBucketBytesMax);
  const uint64_t wanted = (bytes + target - 1) / target;
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(std::bit_ceil(std::max<uint64_t>(wanted, 1)), 1, kBucketsMax));
}

uint32_t choose_kernel_tasks(uint64_t bytes) {
  const uint64_t most = std::bit_ceil(bytes / kKernelTaskBytes + 1);
  const uint64_t least =
      std::min<uint64_t>(kKernelTasksMin, std::bit_ceil(bytes / kBucketBytesMin + 1));
  return static_cast<uint32_t>(std::min<uint64_t>(std::max(most, least), kBucketsMax));
}

uint32_t choose_kernel_buckets(uint64_t bytes) {
  const uint64_t fine =
      std::min<uint64_t>(std::bit_ceil(bytes / kKernelBucketBytes + 1), kKernelBucketsFine);
  const uint64_t bounded = std::bit_ceil(bytes / kKernelBucketBytesMax + 1);
  return static_cast<uint32_t>(std::min<uint64_t>(std::max(fine, bounded), kBucketsMax));
}

uint32_t sticky_buckets(uint32_t before, uint32_t now) {
  return now <= before * 4 && before <= now * 4 ? before : now;
}

Status build_groups(Effects& effects, Plan& plan, Journal* journal, sql::Connection& scratch) {
  return Builder(effects, plan, journal, scratch).build();
}

}  // namespace tidegate
