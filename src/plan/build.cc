#include "plan/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <set>
#include <tuple>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "plan/estimate.h"
#include "reduce/combine.h"
#include "reduce/spec_json.h"
#include "task/limits.h"
#include "task/task.h"

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

uint64_t row_bytes(const sql::Schema& schema) {
  uint64_t bytes = 0;
  for (const sql::Column& column : schema) bytes += type_bytes(column.type);
  return bytes;
}

/// A stage, or a source that is shuffled as it is, on its way to a group.
struct Node {
  std::string name;
  const CheckedStage* stage = nullptr;  ///< null: a source
  const Stage* written = nullptr;
  uint32_t source = 0;
  uint32_t group = UINT32_MAX;
  uint32_t units = 1;
  uint64_t bytes = 0, rows = 0;  ///< estimated, of its rows
};

/// The step that runs a kernel's own SQL where its rows are made; no stage can be called so.
constexpr const char* kKernelRows = "kernel rows";
/// With fewer rows the shuffle costs next to nothing.
constexpr uint64_t kCombineRowsMin = 200'000;
/// Groups to a row above which states are no smaller than rows.
constexpr double kCombineShareMax = 0.5;
constexpr double kGroupsUnknown = 0;

class Builder {
 public:
  Builder(Effects& effects, Plan& plan, Journal* journal)
      : effects_(effects), plan_(plan), journal_(journal) {}

  Status build() {
    for (const CheckedStage& stage : plan_.checked.stages) {
      for (const StageInput& input : stage.inputs) ++consumers_[input.name];
    }
    for (const Output& output : plan_.pipeline.outputs) published_.insert(output.from.value);
    for (const CheckedStage& stage : plan_.checked.stages) TG_TRY(add_stage(stage));
    TG_TRY(add_outputs());
    sort_groups();
    settle_sinks();
    name_recipes();
    for (uint32_t g = 0; g < plan_.graph.groups.size(); ++g) add_tasks(g);
    return {};
  }

 private:
  GraphGroup& graph_group(uint32_t g) { return plan_.graph.groups[g]; }
  PlanGroup& plan_group(uint32_t g) { return plan_.groups[g]; }

  uint32_t source_index(const std::string& name) const {
    for (uint32_t s = 0; s < plan_.pipeline.sources.size(); ++s)
      if (to_lower_ascii(plan_.pipeline.sources[s].name.value) == to_lower_ascii(name)) return s;
    TG_ASSERT(!"a source that is not there");
    return 0;
  }

  uint32_t new_group(const std::string& name) {
    plan_.graph.groups.emplace_back().name = name;
    plan_.groups.emplace_back();
    return static_cast<uint32_t>(plan_.graph.groups.size() - 1);
  }

  uint64_t memory_of(const Stage* stage) const {
    return stage && stage->memory_bytes ? stage->memory_bytes->value : plan_.pipeline.memory_bytes;
  }

  /// The sink of `producer` with these keys; made if it has none. One file serves all who want it.
  std::string want_sink(uint32_t producer, const std::vector<HashKey>& keys, uint32_t buckets) {
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

  std::vector<HashKey> keys_of(const CheckedStage& stage, const StageInput& input,
                               const sql::Schema& schema) const {
    std::vector<HashKey> keys;
    if (rows_made_for(stage) == &input) {
      const auto& columns = stage.kernel->kernel.partition;
      for (size_t i = 0; i < columns.size(); ++i) keys.push_back({columns[i], input.hash_types[i]});
      return keys;
    }
    for (size_t i = 0; i < input.key_columns.size(); ++i) {
      uint32_t column = 0;
      while (column < schema.size() &&
             to_lower_ascii(schema[column].name) != to_lower_ascii(input.key_columns[i]))
        ++column;
      TG_ASSERT(column < schema.size());
      keys.push_back({column, input.hash_types[i]});
    }
    return keys;
  }

  /// The group that scans a source for shuffles, with all columns that its consumers read; a stage
  /// whose kernel reads what a scan of its own made is none of them.
  uint32_t scan_group(const std::string& name) {
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

  /// The scan whose tasks run this stage's kernel's SQL.
  uint32_t kernel_scan(const CheckedStage& stage, const StageInput& input) {
    auto [at, fresh] = kernel_scans_.try_emplace(stage.name, 0);
    if (fresh) {
      at->second = make_scan(source_index(input.name), {&input});
      if (consumers_.at(input.name) > 1)
        graph_group(at->second).name += fmt::format(" for {}", stage.name);
    }
    return at->second;
  }

  uint32_t make_scan(uint32_t s, const std::vector<const StageInput*>& readers) {
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

  void estimate_source(uint32_t s, const sql::Schema& schema, uint64_t& rows,
                       uint64_t& bytes) const {
    const SourceSnapshot& snapshot = plan_.sources[s];
    rows = snapshot.rows_known ? snapshot.rows : snapshot.bytes / 64;
    bytes = snapshot.rows_known ? rows * row_bytes(schema) : snapshot.bytes;
  }

  /// Estimated rows and bytes of an input as the stage reads it.
  void estimate_input(const StageInput& input, uint64_t& rows, uint64_t& bytes) {
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

  uint32_t units_of(const std::string& stage) { return units_.at(plan_.stage_group.at(stage)); }

  /// True where a stage can run at the end of its producer's tasks.
  bool can_fuse(const CheckedStage& stage, const StageInput*& base) const {
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
    return consumers_.at(base->name) == 1 && !published_.contains(base->name) && !stage.one_task;
  }

  /// The input whose rows the stage's kernel reads as they come from the shuffle, if the tasks that
  /// make them can run the kernel's own SQL: nobody else wants them.
  const StageInput* rows_made_for(const CheckedStage& stage) const {
    if (!stage.kernel || stage.one_task) return nullptr;
    const reduce::KernelSpec& kernel = stage.kernel->kernel;
    if (kernel.input_table.empty() || kernel.partition.empty()) return nullptr;
    for (const StageInput& input : stage.inputs) {
      if (to_lower_ascii(input.name) != to_lower_ascii(kernel.input_table)) continue;
      if (input.mode != InputMode::kShuffle || kernel.partition.size() != input.key_columns.size())
        return nullptr;
      // Rows set aside are counted by one scan.
      if (input.is_source)
        return consumers_.at(input.name) == 1 ||
                       !plan_.pipeline.sources[source_index(input.name)].quarantine_share
                   ? &input
                   : nullptr;
      // A stage that others read, that is published or whose rows are counted keeps its own rows.
      const bool wanted = consumers_.at(input.name) != 1 || published_.contains(input.name) ||
                          plan_.pipeline.stage(input.name)->on_empty != OnEmpty::kAllow;
      return wanted ? nullptr : &input;
    }
    return nullptr;
  }

  uint32_t producer_of(const CheckedStage& stage, const StageInput& input) {
    if (!input.is_source) return plan_.stage_group.at(input.name);
    return rows_made_for(stage) == &input ? kernel_scan(stage, input) : scan_group(input.name);
  }

  /// Makes the producer of `input` run the kernel's SQL over its rows, and aggregate them already
  /// where that is worth it.
  Status make_kernel_rows(const CheckedStage& stage, const StageInput& input) {
    const reduce::KernelSpec& kernel = stage.kernel->kernel;
    const uint32_t producer = producer_of(stage, input);
    PlanGroup& group = plan_group(producer);
    group.steps.push_back({kKernelRows, kernel.input_sql});
    group.schema = kernel.input;
    uses_run_time_[producer] |= stage.uses_run_time;
    TG_TRY(choose_combine(stage, input, producer));
    group.estimated_bytes = group.estimated_rows * row_bytes(group.schema);
    return {};
  }

  Status choose_combine(const CheckedStage& stage, const StageInput& input, uint32_t producer) {
    const reduce::KernelSpec& kernel = stage.kernel->kernel;
    PlanGroup& group = plan_group(producer);
    if (group.estimated_rows < kCombineRowsMin) return {};
    for (const uint32_t column : kernel.partition)
      if (column >= kernel.keys) return {};
    auto combined = reduce::combine(kernel);
    if (!combined) return {};
    double groups = 0;
    TG_ASSIGN(groups, estimated_groups(stage, input, producer));
    if (groups == kGroupsUnknown) {
      // The combiner stops by itself where rows share few groups.
      combine_rows(stage, group, *combined, kCombineShareMax);
      group.why += "; rows are combined before the shuffle where that shrinks them";
      return {};
    }
    // A table that is full is given on: groups among as many rows as fill it, or a task has.
    const double task_rows =
        static_cast<double>(group.estimated_rows) / std::max(1U, units_.at(producer));
    const double held = static_cast<double>(combine_bytes(graph_group(producer).memory_bytes)) /
                        static_cast<double>(row_bytes(combined->partial.output) * 2 + 16);
    const double rows = groups > held ? std::min(task_rows, held * 1.5) : task_rows;
    const double share = std::min(1.0, expected_distinct(groups, rows) / std::max(rows, 1.0));
    if (share > kCombineShareMax) {
      group.why += fmt::format("; about {} keys: too many to combine rows before",
                               format_count(static_cast<uint64_t>(groups)));
      return {};
    }
    combine_rows(stage, group, *combined, share);
    group.why += fmt::format("; about {} keys: rows are combined before the shuffle",
                             format_count(static_cast<uint64_t>(groups)));
    return {};
  }

  void combine_rows(const CheckedStage& stage, PlanGroup& group, reduce::CombinedKernel& combined,
                    double share) {
    group.combine = std::move(combined.partial);
    group.schema = group.combine->output;
    group.estimated_rows = std::max<uint64_t>(
        1, static_cast<uint64_t>(static_cast<double>(group.estimated_rows) * share));
    merges_[stage.name] = {std::move(combined.merge), stage.kernel->output_sql};
  }

  /// About how many groups a stage has, as remembered or by a sample of its partition keys. A
  /// choice that was made stays: another would make every result anew.
  Result<double> estimated_groups(const CheckedStage& stage, const StageInput& input,
                                  uint32_t producer) {
    const std::string key = fmt::format("groups/{}/{}", plan_.pipeline.name.value, stage.name);
    IdentityHash hash;
    const std::string recipe = hash.add(stage.kernel->kernel.input_sql).hex().substr(0, 16);
    double groups = -1;
    if (journal_) {
      TG_ASSIGN(const auto before, journal_->fact(key));
      if (before && before->starts_with(recipe + " "))
        groups = std::strtod(before->c_str() + recipe.size() + 1, nullptr);
    }
    if (groups < 0) {
      TG_ASSIGN(groups, sampled_groups(input, producer));
    }
    plan_.facts.emplace_back(key, fmt::format("{} {:.0f}", recipe, groups));
    return groups;
  }

  /// Where the keys are columns of one source, its rows tell. Else rows are taken to share groups:
  /// the combiner stops by itself where they do not.
  Result<double> sampled_groups(const StageInput& input, uint32_t producer) {
    const PlanInput* source = nullptr;
    for (const PlanInput& from : plan_group(producer).inputs) {
      if (from.kind != PlanInput::Kind::kPartition) continue;
      if (source != nullptr) return kGroupsUnknown;
      source = &from;
    }
    if (source == nullptr) return kGroupsUnknown;
    std::vector<std::string> columns;
    for (const std::string& name : input.key_columns) {
      const auto column = std::find_if(
          source->schema.begin(), source->schema.end(), [&](const sql::Column& candidate) {
            return to_lower_ascii(candidate.name) == to_lower_ascii(name);
          });
      if (column == source->schema.end()) return kGroupsUnknown;
      columns.push_back(column->name);
    }
    return estimate_distinct(effects_, plan_.sources[source->index], columns);
  }

  Status add_stage(const CheckedStage& stage) {
    const Stage* written = plan_.pipeline.stage(stage.name);
    TG_ASSERT(written != nullptr);
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
    if (written->timeout_us) graph_group(g).timeout_us = written->timeout_us->value;
    graph_group(g).retry = written->retry.value_or(plan_.pipeline.retry);
    graph_group(g).unordered |= stage.unordered;
    uses_run_time_[g] |= stage.uses_run_time;
    plan_group(g).on_empty = written->on_empty;
    const auto merge = merges_.find(stage.name);
    plan_group(g).steps.push_back(
        {stage.name, stage.sql,
         merge == merges_.end() ? stage.kernel : std::optional(merge->second), made != nullptr});
    plan_group(g).kernel =
        stage.kernel
            ? stage.kernel_why
            : fmt::format("DuckDB SQL{}{}", stage.kernel_why.empty() ? "" : ": ", stage.kernel_why);
    plan_group(g).schema = stage.schema;
    plan_.stage_group[stage.name] = g;
    estimate_stage(g, stage);
    return {};
  }

  /// An upper guess: a stage gives no more rows than its largest input.
  void estimate_stage(uint32_t g, const CheckedStage& stage) {
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

  /// How many tasks, and why; sets the group's strategy.
  uint32_t count_units(uint32_t g, const CheckedStage& stage, const Stage& written) {
    PlanGroup& group = plan_group(g);
    if (stage.one_task) {
      group.strategy = "one task";
      group.why = written.partition_by && written.partition_by->all ? "partition_by: all"
                                                                    : "it sees everything at once";
      return 1;
    }
    uint32_t partitions = 0, aligned = 0;
    uint64_t bytes = 0;
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
        buckets = written.buckets ? written.buckets->value
                                  : remembered("buckets", stage.name,
                                               made ? choose_kernel_tasks(bytes)
                                                    : choose_buckets(bytes, memory_of(&written)));
        if (made)
          buckets_a_unit_[g] = std::max(
              1U, remembered("kernel_buckets", stage.name, choose_kernel_buckets(bytes)) / buckets);
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

  /// A count that stays what it was while the data is of about that size.
  uint32_t remembered(const char* what, const std::string& stage, uint32_t buckets) {
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

  Status add_input(uint32_t g, const CheckedStage& stage, const StageInput& input, uint32_t units) {
    PlanInput made;
    made.name = input.name;
    InputMode mode = input.mode;
    if (mode == InputMode::kAll) mode = InputMode::kBroadcast;
    // Buckets of another number, or one declared anew, do not line up: shuffle again.
    if (mode == InputMode::kAligned && units_of(input.name) != units) mode = InputMode::kShuffle;
    if (input.is_source && mode != InputMode::kShuffle) {
      made.index = source_index(input.name);
      const SourceSnapshot& snapshot = plan_.sources[made.index];
      made.kind = mode == InputMode::kBroadcast ? PlanInput::Kind::kSourceWhole
                                                : PlanInput::Kind::kPartition;
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
      made.buckets_a_unit = rows_made_for(stage) == &input ? buckets_a_unit_.at(g) : 1;
      made.buckets = units * made.buckets_a_unit;
      made.unit_count = units;
      made.sink_file = want_sink(producer, keys_of(stage, input, made.schema), made.buckets);
    } else if (mode == InputMode::kBroadcast) {
      made.kind = PlanInput::Kind::kGroupWhole;
      made.sink_file = want_sink(producer, {}, 1);
    } else {
      made.kind = PlanInput::Kind::kUnit;
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

  Status add_outputs() {
    for (const Output& output : plan_.pipeline.outputs) {
      const auto at = plan_.stage_group.find(output.from.value);
      TG_ASSERT(at != plan_.stage_group.end());
      auto& sinks = plan_group(at->second).sinks;
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
      plan_.graph.outputs.push_back({output.name.value, at->second, {}});
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

  /// Makes an output wait for the groups upstream of it that count what a source sets aside.
  void wait_for_counts(GraphOutput& output) {
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

  /// Fusing may put a group before one that it broadcasts: order them by what they read.
  void sort_groups() {
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
    for (GraphOutput& output : plan_.graph.outputs) {
      output.group = place[output.group];
      for (uint32_t& g : output.after) g = place[g];
    }
  }

  /// Sinks were made in the order in which stages are written, which must decide no byte of a
  /// result.
  void settle_sinks() {
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
        if (sinks[i].kind != TaskSink::Kind::kMapOutput) continue;
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

  void name_recipes() {
    for (uint32_t g = 0; g < plan_.graph.groups.size(); ++g) {
      const PlanGroup& group = plan_group(g);
      IdentityHash hash;
      hash.add("tidegate task")
          .add(kTaskFormatVersion)
          .add(sql::kDuckdbVersion)
          .add("TimeZone=UTC");
      for (const PlanInput& input : group.inputs) {
        hash.add("input")
            .add(input.name)
            .add(static_cast<uint64_t>(input.kind))
            .add(input.sink_file);
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
        if (step.kernel)
          hash.add("kernel")
              .add(reduce::kKernelVersion)
              .add(reduce::to_json(*step.kernel))
              .add(uint64_t{step.kernel_rows_made});
      }
      for (const TaskSink& sink : group.sinks) {
        hash.add("sink")
            .add(static_cast<uint64_t>(sink.kind))
            .add(sink.file)
            .add(uint64_t{sink.buckets});
        hash.add(sink.compression);
        for (const HashKey& key : sink.keys) hash.add(uint64_t{key.column}).add(key.type);
      }
      if (group.combine)
        hash.add("combine").add(reduce::kKernelVersion).add(reduce::to_json({*group.combine, ""}));
      if (uses_run_time_[g]) hash.add("run_time").add(static_cast<uint64_t>(plan_.run_time_us));
      graph_group(g).recipe = hash.hex();
    }
  }

  void add_tasks(uint32_t g) {
    const PlanGroup& group = plan_group(g);
    for (uint32_t unit = 0; unit < units_[g]; ++unit) {
      GraphTask task;
      task.group = g;
      task.unit = unit;
      task.unit_identity = fmt::format("unit {} of {}", unit, units_[g]);
      task.label = fmt::format("{}, {} of {}", graph_group(g).name, unit + 1, units_[g]);
      for (const PlanInput& input : group.inputs) {
        if (input.kind != PlanInput::Kind::kPartition) continue;
        if (unit < input.unit_begin || unit - input.unit_begin >= input.unit_count) continue;
        const Partition& partition = plan_.sources[input.index].partitions[unit - input.unit_begin];
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

  Effects& effects_;
  Plan& plan_;
  Journal* journal_;
  std::map<std::string, reduce::StageKernel> merges_;  ///< by stage whose rows are combined
  std::map<std::string, uint32_t> consumers_;
  std::set<std::string> published_;
  std::map<uint32_t, uint32_t> scan_groups_;      ///< source -> group
  std::map<std::string, uint32_t> kernel_scans_;  ///< stage -> group
  std::map<uint32_t, uint32_t> units_;            ///< group -> tasks
  std::map<uint32_t, uint32_t>
      next_partition_;  ///< group -> first unit of its next partitioned input
  std::map<uint32_t, bool> uses_run_time_;
  std::map<uint32_t, uint32_t> buckets_a_unit_;  ///< group -> of its kernel's rows
};

}  // namespace

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

Status build_groups(Effects& effects, Plan& plan, Journal* journal) {
  return Builder(effects, plan, journal).build();
}

}  // namespace tidegate
