#include "plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/hash.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "base/units.h"
#include "contract/codes.h"
#include "plan/build.h"
#include "sql/parquet_type.h"
#include "store/results.h"
#include "task/limits.h"
#include "task/task.h"
#include "verify/verify.h"

namespace tidegate {
namespace {

constexpr uint64_t kScratchBytes = uint64_t{512} << 20;
static_assert(kMemoryBytesMin >= kTaskMemoryMin, "check accepts a bound that no worker can hold");

/// What binding may take beside DuckDB's own limit. DuckDB works constants out as it binds, so
/// `length(repeat('x', 1000000000))` would take its gigabyte here.
constexpr uint64_t kBindingBytes = kScratchBytes + (uint64_t{256} << 20);

class BindingWall {
 public:
  explicit BindingWall(Effects& effects) { set_address_space_wall(effects, kBindingBytes); }
  BindingWall(const BindingWall&) = delete;
  BindingWall& operator=(const BindingWall&) = delete;
  ~BindingWall() { lift_address_space_wall(); }
};

/// The published generation that an `output:` source reads.
Result<SnapshotOptions> upstream_files(const Source& source, Journal* journal,
                                       SnapshotOptions options) {
  if (!source.from_output) return options;
  const std::string& name = source.from_output->value;
  std::optional<std::string> record;
  if (journal) {
    TG_ASSIGN(record, journal->output_record(name));
  }
  if (!record)
    return fail(
        FailureClass::kDependency, "source.no_output",
        fmt::format("source \"{}\" reads the output \"{}\", which this state directory has not "
                    "published yet: run its pipeline first",
                    source.name.value, name));
  TG_ASSIGN(const GenerationRecord generation, generation_record_from_json(*record));
  options.files.emplace();
  for (const GenerationFile& file : generation.files)
    options.files->push_back(
        {path_join(path_join(path_join(generation.publish_root, "gen"), generation.generation),
                   file.name),
         file.xxh3});
  options.upstream_output = name;
  options.upstream_generation = generation.generation;
  return options;
}

/// The DuckDB that reads metadata and binds SQL, opened when it is first wanted: opening costs
/// more than binding a stage does.
class Scratch {
 public:
  Result<sql::Connection*> get() {
    if (!connection_) {
      TG_ASSIGN(database_, sql::Database::open({.memory_bytes = kScratchBytes}));
      TG_ASSIGN(connection_, database_->connect());
    }
    return connection_.get();
  }

 private:
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<sql::Connection> connection_;
};

/// Files of which a person has accepted the loss, or wants to have them read again.
Status settled_files(const std::string& pipeline, const Source& source, Journal* journal,
                     SnapshotOptions& options) {
  constexpr size_t kEntriesMax = 100'000;
  if (!journal || !source.quarantine_share) return {};
  TG_ASSIGN(const auto entries, journal->quarantine({.pipeline = pipeline, .most = kEntriesMax}));
  for (const QuarantineHead& head : entries) {
    if (head.source != source.name.value) continue;
    if (head.state == "dropped") options.accepted.emplace_back(head.file, head.identity);
    if (head.state == "released") options.released.emplace_back(head.file, head.identity);
  }
  return {};
}

Status take_snapshots(Effects& effects, Plan& plan, Journal* journal,
                      const PlanOptions& plan_options, Scratch& scratch, Diagnostics& diagnostics) {
  bool told = !plan_options.new_files;
  for (const Source& source : plan.pipeline.sources) {
    SnapshotOptions options;
    options.now_us = plan_options.now_us;
    if (plan.state) options.cache_path = path_join(plan.state->path(), "inputs.cache");
    TG_ASSIGN(options, upstream_files(source, journal, std::move(options)));
    TG_TRY(settled_files(plan.pipeline.name.value, source, journal, options));
    Diagnostics found;
    auto snapshot = snapshot_source(effects, plan.pipeline, source, nullptr, found, options);
    if (!snapshot && snapshot.error().code == "source.needs_sql") {
      if (!std::exchange(told, true)) plan_options.new_files();
      TG_ASSIGN(sql::Connection * connection, scratch.get());
      found = {};
      snapshot = snapshot_source(effects, plan.pipeline, source, connection, found, options);
    }
    for (Diagnostic& diagnostic : found.sorted()) diagnostics.add(std::move(diagnostic));
    if (!snapshot) {
      if (snapshot.error().cls == FailureClass::kMemory)
        return fail_because(
            snapshot.error(), "source.memory",
            fmt::format("looking into source \"{}\" takes more memory than may be had: lower "
                        "`max_line_size` or `maximum_object_size` in its `options`",
                        source.name.value));
      if (snapshot.error().code != "source.invalid") return std::unexpected(snapshot.error());
      plan.sources.emplace_back();
      continue;
    }
    plan.sources.push_back(std::move(*snapshot));
  }
  return {};
}

void check_outputs(Plan& plan, sql::Connection& scratch, Diagnostics& diagnostics) {
  std::map<std::string, sql::Schema> relations;
  for (size_t s = 0; s < plan.sources.size(); ++s)
    if (!plan.sources[s].schema.empty())
      relations[plan.pipeline.sources[s].name.value] = plan.sources[s].schema;
  for (const Output& output : plan.pipeline.outputs)
    if (const CheckedStage* stage = plan.checked.stage(output.from.value))
      relations[output.name.value] = sql::parquet_schema(stage->schema);
  for (const Output& output : plan.pipeline.outputs) {
    const auto stage =
        std::find_if(plan.checked.stages.begin(), plan.checked.stages.end(),
                     [&](const CheckedStage& s) { return s.name == output.from.value; });
    if (stage == plan.checked.stages.end()) continue;
    check_contract(
        output, sql::parquet_schema(stage->schema), scratch, diagnostics,
        [&](const std::string& select) { return check_select(scratch, select, {"t"}); }, relations);
  }
}

/// Sources upstream of each output, for its freshness and completeness.
void trace_sources(Plan& plan) {
  std::map<std::string, std::set<uint32_t>> of_stage;
  for (const CheckedStage& stage : plan.checked.stages) {
    std::set<uint32_t>& mine = of_stage[stage.name];
    for (const StageInput& input : stage.inputs) {
      if (!input.is_source) {
        mine.insert(of_stage[input.name].begin(), of_stage[input.name].end());
        continue;
      }
      for (uint32_t s = 0; s < plan.pipeline.sources.size(); ++s)
        if (to_lower_ascii(plan.pipeline.sources[s].name.value) == to_lower_ascii(input.name))
          mine.insert(s);
    }
  }
  for (const Output& output : plan.pipeline.outputs) {
    const auto& found = of_stage[output.from.value];
    plan.output_sources.emplace_back(found.begin(), found.end());
    plan.contract_hashes.push_back(contract_hash(output));
  }
}

/// A promise that nothing can ever show to be kept is said at once.
void warn_of_unknowable(const Plan& plan, Diagnostics& diagnostics) {
  for (uint32_t o = 0; o < plan.pipeline.outputs.size(); ++o) {
    const Output& output = plan.pipeline.outputs[o];
    if (!output.freshness) continue;
    for (uint32_t s : plan.output_sources[o]) {
      const Source& source = plan.pipeline.sources[s];
      if (source.arrives || source.manifest || source.from_output) continue;
      diagnostics.add(
          {.code = std::string(codes::kPromiseUnknown),
           .severity = Severity::kWarning,
           .span = output.freshness->span,
           .message = fmt::format("freshness of \"{}\" will be UNKNOWN", output.name.value),
           .label = fmt::format("source \"{}\" does not say how its arrivals are known",
                                source.name.value),
           .notes = {},
           .help = "add `arrives:` or `manifest:` to the source"});
    }
  }
}

/// Says of each group whose tasks run why their earlier results do not serve.
Status explain_misses(Plan& plan, Journal* journal) {
  for (uint32_t g = 0; g < plan.graph.groups.size(); ++g) {
    const std::string key =
        fmt::format("recipe/{}/{}", plan.pipeline.name.value, plan.graph.groups[g].name);
    std::string why = "it never ran";
    if (journal) {
      TG_ASSIGN(const auto before, journal->fact(key));
      if (before)
        why = *before == plan.graph.groups[g].recipe ? "its input changed"
                                                     : "its SQL or contract changed";
    }
    for (uint32_t index : plan.graph.groups[g].tasks)
      if (plan.graph.tasks[index].why == "new") plan.graph.tasks[index].why = why;
    plan.facts.emplace_back(key, plan.graph.groups[g].recipe);
  }
  return {};
}

Status choose_workers(Plan& plan, const PlanOptions& options) {
  plan.host_bytes = options.memory_bytes ? options.memory_bytes : host_memory_bytes() / 10 * 9;
  uint64_t bound = 0;
  for (const GraphGroup& group : plan.graph.groups) bound = std::max(bound, group.memory_bytes);
  if (bound > plan.host_bytes)
    return fail(
        FailureClass::kMemory, "plan.host_too_small",
        fmt::format("a task is bounded to {}, but this host allows {} in all: lower `memory` or "
                    "raise --memory",
                    format_size(bound), format_size(plan.host_bytes)));
  const uint64_t most = bound ? plan.host_bytes / bound : UINT32_MAX;
  plan.workers = static_cast<uint32_t>(std::clamp<uint64_t>(most, 1, workers_wanted(options)));
  return {};
}

}  // namespace

Status look_up_results(Effects& effects, Plan& plan, Journal* journal) {
  if (!journal || !plan.state) {
    compute_identities(plan.graph);
    mark_needed(plan.graph);
    return {};
  }
  // Some producers name their consumers by content: their digests come with their result.
  for (uint32_t g = 0; g < plan.graph.groups.size(); ++g) {
    compute_identities(plan.graph);
    const auto& tasks = plan.graph.groups[g].tasks;
    std::vector<std::string> identities;
    for (uint32_t index : tasks) identities.push_back(plan.graph.tasks[index].identity);
    TG_ASSIGN(const auto heads, journal->results(identities));
    for (size_t unit = 0; unit < tasks.size(); ++unit) {
      GraphTask& task = plan.graph.tasks[tasks[unit]];
      if (task.identity.empty()) {
        task.why = "what it reads is not made yet";
        continue;
      }
      const auto& head = heads[unit];
      if (head) {
        TG_ASSIGN(const bool stands,
                  has_result(effects, *plan.state, task.identity, head->attempt));
        if (stands) {
          task.state = TaskState::kReused;
          task.attempt = head->attempt;
          if (plan.graph.groups[g].unordered || plan.graph.groups[g].names_buckets) {
            TG_ASSIGN(const TaskReport report, task_report_from_json(head->data));
            task.digest = report.digest;
            task.buckets = bucket_names(report);
          }
          continue;
        }
        task.why = "its result was evicted";
        continue;
      }
      TG_ASSIGN(const auto found, adopt_result(effects, *plan.state, task.identity));
      if (found) {
        TG_ASSIGN(const TaskReport report, task_report_from_json(found->data));
        task.state = TaskState::kReused;
        task.attempt = found->attempt;
        task.digest = report.digest;
        task.buckets = bucket_names(report);
        plan.adopted.push_back(task.identity);
        continue;
      }
      task.why = "new";
    }
  }
  mark_needed(plan.graph);
  return {};
}

uint32_t workers_wanted(const PlanOptions& options) {
  return options.workers ? options.workers : host_cpus();
}

Result<Plan> make_plan(Effects& effects, Pipeline pipeline, const StateDir* state, Journal* journal,
                       const PlanOptions& options, Diagnostics& diagnostics) {
  Plan plan;
  plan.pipeline = std::move(pipeline);
  plan.run_time_us = options.run_time_us;
  if (state) plan.state = *state;
  if (diagnostics.has_errors()) return plan;
  Scratch scratch;
  TG_TRY(take_snapshots(effects, plan, journal, options, scratch, diagnostics));
  std::map<std::string, sql::Schema> schemas;
  for (size_t s = 0; s < plan.sources.size(); ++s)
    if (!plan.sources[s].schema.empty())
      schemas[plan.pipeline.sources[s].name.value] = plan.sources[s].schema;
  TG_ASSIGN(sql::Connection * binding, scratch.get());
  {
    const BindingWall wall(effects);
    plan.checked = prove_pipeline(plan.pipeline, schemas, *binding, diagnostics, options.kernels);
    if (diagnostics.has_errors()) return plan;
    check_outputs(plan, *binding, diagnostics);
    if (diagnostics.has_errors()) return plan;
  }
  trace_sources(plan);
  warn_of_unknowable(plan, diagnostics);
  TG_TRY(build_groups(effects, plan, journal, *binding));
  TG_TRY(look_up_results(effects, plan, journal));
  TG_TRY(explain_misses(plan, journal));
  TG_TRY(choose_workers(plan, options));
  IdentityHash digest;
  for (const GraphTask& task : plan.graph.tasks)
    digest.add(task.identity.empty() ? task.unit_identity : task.identity)
        .add(static_cast<uint64_t>(task.state));
  for (const GraphGroup& group : plan.graph.groups) digest.add(group.recipe);
  for (const std::string& hash : plan.contract_hashes) digest.add(hash);
  plan.digest = digest.hex();
  return plan;
}

TaskScan part_scan(const SourceSnapshot& snapshot, const Partition& partition,
                   const std::vector<std::string>& columns) {
  TaskScan scan;
  scan.columns = columns;
  scan.snapshot.source = snapshot.source;
  scan.snapshot.schema = snapshot.schema;
  scan.snapshot.recipe = snapshot.recipe;
  scan.partition = partition;
  std::map<uint32_t, uint32_t> place;
  for (FileSlice& slice : scan.partition.slices) {
    const auto [at, added] = place.try_emplace(slice.file, static_cast<uint32_t>(place.size()));
    if (added) scan.snapshot.files.push_back(snapshot.files[slice.file]);
    slice.file = at->second;
  }
  return scan;
}

TaskScan whole_scan(const SourceSnapshot& snapshot, const std::vector<std::string>& columns) {
  Partition all;
  all.bytes = snapshot.bytes;
  all.rows = snapshot.rows;
  all.label = snapshot.source;
  for (uint32_t file = 0; file < snapshot.files.size(); ++file) all.slices.push_back({file, 0, -1});
  return part_scan(snapshot, all, columns);
}

const std::vector<Partition>& partitions_of(const Plan& plan, const PlanInput& input) {
  return input.partitions.empty() ? plan.sources[input.index].partitions : input.partitions;
}

Result<TaskSpec> make_task_spec(const Plan& plan, const Graph& graph, uint32_t index,
                                const std::string& attempt, uint32_t parts) {
  TG_ASSERT(plan.state.has_value());
  const GraphTask& task = graph.tasks[index];
  const PlanGroup& group = plan.groups[task.group];
  TaskSpec spec;
  spec.identity = task.identity;
  spec.attempt = attempt;
  spec.label = task.label;
  spec.stage = graph.groups[task.group].name;
  spec.partition = task.unit;
  spec.memory_bytes = graph.groups[task.group].memory_bytes;
  spec.run_time_us = plan.run_time_us;
  spec.state_dir = plan.state->path();
  spec.steps = group.steps;
  spec.combine = group.combine;
  spec.combine_bytes = group.combine_bytes;
  spec.combine_in_sql = group.combine_in_sql;
  spec.splits_skew = group.splits_skew;
  spec.parts = parts;
  spec.sinks = group.sinks;
  for (const PlanInput& input : group.inputs) {
    TaskInput made;
    made.name = input.name;
    made.schema = input.schema;
    made.split_keys = input.split_keys;
    const bool mine =
        task.unit >= input.unit_begin && task.unit - input.unit_begin < input.unit_count;
    const auto add_result = [&](uint32_t producer) {
      const GraphTask& from = graph.tasks[producer];
      made.map_outputs.push_back(
          {path_join(result_directory(*plan.state, from.identity, from.attempt), input.sink_file),
           from.attempt});
    };
    switch (input.kind) {
      case PlanInput::Kind::kPartition:
        if (mine)
          made.scan =
              part_scan(plan.sources[input.index],
                        partitions_of(plan, input)[task.unit - input.unit_begin], input.columns);
        break;
      case PlanInput::Kind::kSourceWhole:
        made.scan = whole_scan(plan.sources[input.index], input.columns);
        break;
      case PlanInput::Kind::kBucket:
        for (uint32_t producer : graph.groups[input.index].tasks) add_result(producer);
        made.bucket_begin = task.unit * input.buckets_a_unit;
        made.bucket_end = made.bucket_begin + input.buckets_a_unit;
        break;
      case PlanInput::Kind::kUnit:
        if (mine) add_result(graph.groups[input.index].tasks[task.unit - input.unit_begin]);
        break;
      case PlanInput::Kind::kGroupWhole:
        for (uint32_t producer : graph.groups[input.index].tasks) add_result(producer);
        break;
    }
    if (made.scan)
      made.scan->count_rejects = plan.pipeline.sources[input.index].quarantine_share.has_value();
    spec.inputs.push_back(std::move(made));
  }
  return spec;
}

std::optional<uint32_t> task_of_path(const Graph& graph, std::string_view path) {
  for (uint32_t index = 0; index < graph.tasks.size(); ++index)
    if (!graph.tasks[index].identity.empty() &&
        path.find(graph.tasks[index].identity) != std::string_view::npos)
      return index;
  return std::nullopt;
}

std::string contract_hash(const Output& output) {
  IdentityHash hash;
  const auto number = [&](const auto& value) {
    hash.add(value ? fmt::format("{}", value->value) : std::string("none"));
  };
  hash.add("contract").add(static_cast<uint64_t>(output.on_empty));
  if (output.freshness) {
    number(output.freshness->max_age_us);
    number(output.freshness->through_us);
    number(output.freshness->completeness);
  }
  for (const Check& check : output.checks) {
    hash.add(to_string(check.kind)).add(check.name.value).add(uint64_t{check.is_error});
    for (const auto& column : check.columns) hash.add(column.value);
    number(check.rows_min);
    number(check.rows_max);
    number(check.rows_change);
    for (const auto& value : check.accepted) hash.add(value.value);
    number(check.range_min);
    number(check.range_max);
    number(check.regex);
    hash.add(check.references_to.value);
    for (const auto& column : check.references_columns) hash.add(column.value);
    hash.add(check.expect.text);
    for (const auto& [name, type] : check.schema) hash.add(name.value).add(type.value);
    hash.add(uint64_t{check.evolution_add});
    number(check.tolerance);
  }
  return hash.hex();
}

}  // namespace tidegate
