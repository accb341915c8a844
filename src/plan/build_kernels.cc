#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "plan/build.h"
#include "plan/builder.h"
#include "plan/estimate.h"
#include "task/limits.h"

namespace tidegate {
namespace {

/// The step that runs a kernel's own SQL where its rows are made; no stage can be called so.
constexpr const char* kKernelRows = "kernel rows";
/// With fewer rows the shuffle costs next to nothing.
constexpr uint64_t kCombineRowsMin = 200'000;
/// Groups to a row above which states are no smaller than rows.
constexpr double kCombineShareMax = 0.5;
constexpr double kGroupsUnknown = 0;

}  // namespace

bool Builder::is_joined(const CheckedStage& stage, const StageInput& input) {
  return stage.join &&
         (stage.join->left.input == input.name || stage.join->right.input == input.name);
}

bool Builder::joins_by_bucket(const CheckedStage& stage, uint32_t buckets) {
  if (!stage.join) return false;
  return std::all_of(stage.inputs.begin(), stage.inputs.end(), [&](const StageInput& input) {
    return !is_joined(stage, input) || input.mode == InputMode::kShuffle ||
           (input.mode == InputMode::kAligned && units_of(input.name) != buckets);
  });
}

uint32_t Builder::kernel_buckets(const CheckedStage& stage, uint64_t bytes) {
  const uint32_t buckets = choose_kernel_buckets(bytes);
  const bool windows =
      stage.kernel && stage.kernel->kernel.kind == reduce::KernelSpec::Kind::kWindow;
  return windows ? std::min(buckets * kWindowBucketsTimes, kBucketsMax) : buckets;
}

std::vector<HashKey> Builder::keys_of(const CheckedStage& stage, const StageInput& input,
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

uint32_t Builder::kernel_scan(const CheckedStage& stage, const StageInput& input) {
  auto [at, fresh] = kernel_scans_.try_emplace(stage.name, 0);
  if (fresh) {
    at->second = make_scan(source_index(input.name), {&input});
    if (consumers_.at(input.name) > 1)
      graph_group(at->second).name += fmt::format(" for {}", stage.name);
  }
  return at->second;
}

const StageInput* Builder::rows_made_for(const CheckedStage& stage) const {
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

Status Builder::make_kernel_rows(const CheckedStage& stage, const StageInput& input) {
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

Status Builder::choose_combine(const CheckedStage& stage, const StageInput& input,
                               uint32_t producer) {
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

void Builder::combine_rows(const CheckedStage& stage, PlanGroup& group,
                           reduce::CombinedKernel& combined, double share) {
  group.combine = std::move(combined.partial);
  group.schema = group.combine->output;
  group.estimated_rows = std::max<uint64_t>(
      1, static_cast<uint64_t>(static_cast<double>(group.estimated_rows) * share));
  merges_[stage.name] = {std::move(combined.merge), stage.kernel->output_sql};
}

Result<double> Builder::estimated_groups(const CheckedStage& stage, const StageInput& input,
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

Result<double> Builder::sampled_groups(const StageInput& input, uint32_t producer) {
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

}  // namespace tidegate
