#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "plan/build.h"
#include "plan/builder.h"
#include "plan/estimate.h"
#include "reduce/combine_sql.h"
#include "source/partition.h"
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
/// Up to so many keys DuckDB aggregates faster while it scans.
constexpr double kSqlKeysMax = 32'768;
/// Tables up to these sizes stay in the second and in the third cache.
constexpr uint64_t kNearBytes = uint64_t{2} << 20;
constexpr uint64_t kMiddleBytes = uint64_t{16} << 20;
/// What a row costs, in nanoseconds on the machine that it was measured on: only their ratios
/// matter. Aggregated by DuckDB; looked up in a table near the processor or beyond its caches, and
/// so for each aggregate; through the shuffle and the reduce after it, and so for each text of its
/// key and each of their bytes.
constexpr double kSqlRow = 6, kSqlAggregate = 3;
constexpr double kNearRow = 16, kNearAggregate = 8;
constexpr double kMiddleRow = 26, kMiddleAggregate = 13;
constexpr double kFarRow = 45, kFarAggregate = 18;
/// A state that is given on and its place in the table, beside what it costs as a row.
constexpr double kGive = 80;
constexpr double kShuffleRow = 20, kShuffleAggregate = 22, kShuffleText = 50, kShuffleKeyByte = 4;
/// What a row costs to be read, and a task beside its rows: a DuckDB, a file, a word to the
/// journal.
constexpr double kReadRow = 15, kTask = 27e6;
/// Larger partitions must save this share of all that: they make a changed file cost more.
constexpr double kSavedMin = 0.05;
/// A slot of a table, of which at most five eighths are taken, and how much more room groups have
/// than they take.
constexpr double kSlotBytes = 24, kSlotsPerGroup = 1.6, kRoom = 1.125;

/// How many of `groups` groups a table of so many bytes holds: all, or fewer.
double groups_held(uint64_t bytes, double group_bytes, double groups) {
  const auto room = static_cast<double>(bytes);
  const auto slots = std::bit_ceil(static_cast<uint64_t>(groups * kSlotsPerGroup));
  if (groups * group_bytes * kRoom + static_cast<double>(slots) * kSlotBytes <= room) return groups;
  // Slots double: half of them may be too many for the rest.
  return std::min(groups, room / (group_bytes * kRoom + 2 * kSlotsPerGroup * kSlotBytes));
}

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
  TG_ASSIGN(const KeySample keys, estimated_groups(stage, input, producer));
  if (keys.distinct == kGroupsUnknown) {
    // The combiner stops by itself where rows share few groups.
    combine_rows(stage, group, *combined, kCombineShareMax, kMiddleBytes);
    group.why += "; rows are combined before the shuffle where that shrinks them";
    return {};
  }
  const double rows = static_cast<double>(group.estimated_rows);
  CombineWay way = combine_way(kernel, *combined, keys, producer, rows / units_.at(producer));
  if (auto larger = combined_partitions(stage, producer)) {
    const auto units = static_cast<double>(larger->size());
    const CombineWay fewer = combine_way(kernel, *combined, keys, producer, rows / units);
    if (fewer.table > 0 && fewer.cost < way.cost * (1 - kSavedMin)) {
      way = fewer;
      read_partitions(producer, std::move(*larger));
    }
  }
  const std::string about =
      fmt::format("; about {} keys", format_count(static_cast<uint64_t>(way.groups)));
  if (way.table == 0) {
    group.why += about + " a task: too many to combine rows before";
    return {};
  }
  group.combine_in_sql = way.in_sql;
  combine_rows(stage, group, *combined, way.share, way.table);
  group.why += about + " a task: rows are combined before the shuffle";
  if (group.combine_in_sql) group.why += ", by DuckDB";
  return {};
}

Builder::CombineWay Builder::combine_way(const reduce::KernelSpec& kernel,
                                         const reduce::CombinedKernel& combined,
                                         const KeySample& keys, uint32_t producer,
                                         double task_rows) {
  const auto aggregates = static_cast<double>(kernel.aggregates.size());
  double texts = 0;
  for (const uint32_t column : kernel.partition) texts += is_text(kernel.input[column]);
  const double group_bytes = static_cast<double>(row_bytes(combined.partial.output)) + keys.bytes;
  const double shuffle = kShuffleRow + kShuffleAggregate * aggregates + kShuffleText * texts +
                         kShuffleKeyByte * keys.bytes;
  // A table that is full is given on. One that stays near the processor has the likeliest keys most
  // of the time, where keys are uneven; else only one that has all groups is worth it.
  struct Table {
    uint64_t bytes;
    double look_up;
  };
  const Table tables[] = {
      {kNearBytes, kNearRow + kNearAggregate * aggregates},
      {kMiddleBytes, kMiddleRow + kMiddleAggregate * aggregates},
      {combine_bytes(graph_group(producer).memory_bytes), kFarRow + kFarAggregate * aggregates}};
  CombineWay best;
  best.groups = keys.among(task_rows);
  best.in_sql = best.groups <= kSqlKeysMax && reduce::combine_select(combined.partial, "rows");
  best.cost = shuffle;
  for (const Table& table : tables) {
    const double held = groups_held(table.bytes, group_bytes, best.groups);
    const double rows = held < best.groups ? std::min(task_rows, keys.rows_with(held)) : task_rows;
    const double through = std::min(1.0, keys.among(rows) / std::max(rows, 1.0));
    const double look_up = best.in_sql ? kSqlRow + kSqlAggregate * aggregates : table.look_up;
    const double cost = look_up + through * (kGive + shuffle);
    if (through > kCombineShareMax || cost >= best.cost) continue;
    best.cost = cost;
    best.share = through;
    best.table = table.bytes;
  }
  best.cost += kReadRow + kTask / std::max(task_rows, 1.0);
  return best;
}

std::optional<std::vector<Partition>> Builder::combined_partitions(const CheckedStage& stage,
                                                                   uint32_t producer) const {
  const PlanInput* from = nullptr;
  for (const PlanInput& input : plan_.groups[producer].inputs) {
    if (input.kind == PlanInput::Kind::kPartition && from == nullptr)
      from = &input;
    else if (input.kind != PlanInput::Kind::kSourceWhole &&
             input.kind != PlanInput::Kind::kGroupWhole)
      return std::nullopt;
  }
  if (from == nullptr || is_published_by_value(with_readers(stage.name))) return std::nullopt;
  const Source& source = plan_.pipeline.sources[from->index];
  const SourceSnapshot& snapshot = plan_.sources[from->index];
  const uint64_t target = partition_target(source, snapshot.bytes, kCombinedPartitionBytes);
  // A small source, or one with a size of its own, is cut so already.
  if (target == partition_target(source, snapshot.bytes)) return std::nullopt;
  auto cut = cut_partitions(snapshot, target);
  return cut.size() < snapshot.partitions.size() ? std::optional(std::move(cut)) : std::nullopt;
}

void Builder::read_partitions(uint32_t g, std::vector<Partition> partitions) {
  PlanGroup& group = plan_group(g);
  const auto input = std::ranges::find(group.inputs, PlanInput::Kind::kPartition, &PlanInput::kind);
  TG_ASSERT(input != group.inputs.end());
  input->unit_count = units_[g] = static_cast<uint32_t>(partitions.size());
  input->partitions = std::move(partitions);
  group.why += fmt::format("; its tasks read {} larger partitions", units_[g]);
}

void Builder::combine_rows(const CheckedStage& stage, PlanGroup& group,
                           reduce::CombinedKernel& combined, double share, uint64_t bytes) {
  group.combine = std::move(combined.partial);
  group.combine_bytes = bytes;
  group.schema = group.combine->output;
  group.estimated_rows = std::max<uint64_t>(
      1, static_cast<uint64_t>(static_cast<double>(group.estimated_rows) * share));
  merges_[stage.name] = {std::move(combined.merge), stage.kernel->output_sql};
}

Result<KeySample> Builder::estimated_groups(const CheckedStage& stage, const StageInput& input,
                                            uint32_t producer) {
  const std::string key = fmt::format("groups/{}/{}", plan_.pipeline.name.value, stage.name);
  IdentityHash hash;
  const std::string recipe = hash.add(stage.kernel->kernel.input_sql).hex().substr(0, 16);
  std::string text;
  if (journal_) {
    TG_ASSIGN(const auto before, journal_->fact(key));
    if (before && before->starts_with(recipe + " ")) text = before->substr(recipe.size() + 1);
  }
  // What is chosen by now is what the next run reads: the numbers as they are written.
  auto keys = key_sample_from(text);
  if (!keys) {
    TG_ASSIGN(const KeySample sampled, sampled_groups(input, producer));
    text = to_text(sampled);
    keys = key_sample_from(text);
    TG_ASSERT(keys);
  }
  plan_.facts.emplace_back(key, recipe + " " + text);
  return *keys;
}

Result<KeySample> Builder::sampled_groups(const StageInput& input, uint32_t producer) {
  const PlanInput* source = nullptr;
  for (const PlanInput& from : plan_group(producer).inputs) {
    if (from.kind != PlanInput::Kind::kPartition) continue;
    if (source != nullptr) return KeySample{.distinct = kGroupsUnknown};
    source = &from;
  }
  if (source == nullptr) return KeySample{.distinct = kGroupsUnknown};
  std::vector<uint32_t> sources{source->index};
  const auto held = held_sources_.find(producer);
  if (held != held_sources_.end()) sources.push_back(held->second);
  for (const uint32_t s : sources) {
    std::vector<std::string> columns;
    for (const std::string& name : input.key_columns)
      for (const sql::Column& column : plan_.sources[s].schema)
        if (to_lower_ascii(column.name) == to_lower_ascii(name)) columns.push_back(column.name);
    if (columns.size() == input.key_columns.size())
      return sample_keys(effects_, scratch_, plan_.sources[s], columns);
  }
  return KeySample{.distinct = kGroupsUnknown};
}

}  // namespace tidegate
