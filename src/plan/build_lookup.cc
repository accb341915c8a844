#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "plan/builder.h"
#include "task/limits.h"

namespace tidegate {
namespace {

using reduce::JoinLookup;

/// With fewer rows the shuffle costs next to nothing.
constexpr uint64_t kLookupRowsMin = 200'000;
/// Each worker reads the held side: that pays where the other one has this many rows for each.
constexpr uint64_t kReadRowsToHeldMin = 2;
/// Of what may be held, a table that was not held before may take three quarters: so the choice
/// stays as it is while the data grows a little.
constexpr uint64_t kFreshShare = 3;
constexpr uint64_t kFreshOf = 4;
/// What a row takes in a hash table beside its values; and places to a row in arrays, at most.
constexpr double kHashedRowBytes = 72;
constexpr double kPlacesMax = 4;
constexpr double kPresentBytes = 0.125;

const StageInput* input_named(const CheckedStage& stage, const std::string& name) {
  const auto at = std::find_if(stage.inputs.begin(), stage.inputs.end(),
                               [&](const StageInput& input) { return input.name == name; });
  return at == stage.inputs.end() ? nullptr : &*at;
}

sql::Schema columns_named(const sql::Schema& schema, const std::vector<std::string>& names) {
  sql::Schema out;
  for (const std::string& name : names)
    for (const sql::Column& column : schema)
      if (to_lower_ascii(column.name) == to_lower_ascii(name)) out.push_back(column);
  return out;
}

}  // namespace

bool Builder::needs_buckets(const std::string& stage) const {
  for (const CheckedStage& reader : plan_.checked.stages)
    for (const StageInput& input : reader.inputs) {
      if (input.name != stage || input.is_source) continue;
      if (input.mode == InputMode::kAligned) return true;
      if (input.mode == InputMode::kPartition && needs_buckets(reader.name)) return true;
    }
  return false;
}

Result<std::optional<JoinLookup>> Builder::choose_lookup(const CheckedStage& stage,
                                                         const Stage& written) {
  if (stage.lookups.empty() || stage.one_task || written.buckets || needs_buckets(stage.name))
    return std::nullopt;
  const uint64_t most = lookup_bytes(memory_of(&written));
  for (const JoinLookup& lookup : stage.lookups) {
    const StageInput *read = input_named(stage, lookup.input),
                     *held = input_named(stage, lookup.held);
    if (read == nullptr || held == nullptr || read == held || read->mode != InputMode::kShuffle ||
        held->mode != InputMode::kShuffle || !held->is_source)
      continue;
    if (read->is_source &&
        plan_.pipeline.sources[source_index(read->name)].quarantine_share.has_value())
      continue;
    uint64_t read_rows = 0, held_rows = 0, unused = 0;
    estimate_input(*read, read_rows, unused);
    estimate_input(*held, held_rows, unused);
    if (read_rows < kLookupRowsMin || read_rows / kReadRowsToHeldMin < held_rows) continue;
    TG_ASSIGN(const bool chosen, holds_table(stage, lookup, held_rows, most));
    if (chosen) return lookup;
  }
  return std::nullopt;
}

Result<bool> Builder::holds_table(const CheckedStage& stage, const JoinLookup& lookup,
                                  uint64_t held_rows, uint64_t most) {
  const std::string key =
      fmt::format("lookup/{}/{}/{}", plan_.pipeline.name.value, stage.name, lookup.held);
  IdentityHash hash;
  const std::string recipe = hash.add(reduce::to_json(lookup)).hex().substr(0, 16);
  std::string text;
  if (journal_) {
    TG_ASSIGN(const auto before, journal_->fact(key));
    if (before && before->starts_with(recipe + " ")) text = before->substr(recipe.size() + 1);
  }
  const bool held_before = text.starts_with("held ");
  if (text.empty()) {
    TG_ASSIGN(const double row, held_row_bytes(lookup, held_rows));
    text = fmt::format("fresh {:.3f}", row);
  }
  // A row that cannot be held is written as one of no size.
  const double row = std::strtod(text.substr(text.find(' ') + 1).c_str(), nullptr);
  const double bytes = row * static_cast<double>(held_rows);
  const uint64_t allowed = held_before ? most : most / kFreshOf * kFreshShare;
  const bool chosen = row > 0 && bytes <= static_cast<double>(allowed);
  plan_.facts.emplace_back(key, fmt::format("{} {} {:.3f}", recipe, chosen ? "held" : "left", row));
  return chosen;
}

/// About what a row of the held side takes in memory; 0 if two rows of a sample share a key.
Result<double> Builder::held_row_bytes(const JoinLookup& lookup, uint64_t held_rows) {
  const SourceSnapshot& source = plan_.sources[source_index(lookup.held)];
  const sql::Schema keys = columns_named(source.schema, lookup.held_keys);
  const sql::Schema fields = columns_named(source.schema, lookup.columns);
  TG_ASSIGN(const HeldSample sample, sample_held(effects_, scratch_, source, keys, fields));
  const bool any_row =
      lookup.kind == reduce::JoinSpec::Kind::kSemi || lookup.kind == reduce::JoinSpec::Kind::kAnti;
  if (!sample.unique && !any_row) return 0;
  const double hashed = kHashedRowBytes + static_cast<double>(row_bytes(keys) + row_bytes(fields));
  if (!sample.span || held_rows == 0) return hashed;
  const double places = std::max(1.0, *sample.span / static_cast<double>(held_rows));
  return places > kPlacesMax ? hashed : places * (sample.field_bytes + kPresentBytes);
}

Status Builder::add_lookup(const CheckedStage& stage, const Stage& written, JoinLookup lookup) {
  const uint32_t g = new_group(stage.name);
  graph_group(g).memory_bytes = memory_of(&written);
  const StageInput& read = *input_named(stage, lookup.input);
  const uint32_t units = std::max<uint32_t>(
      1, read.is_source
             ? static_cast<uint32_t>(plan_.sources[source_index(read.name)].partitions.size())
             : units_of(read.name));
  units_[g] = units;
  for (const StageInput& input : stage.inputs) {
    if (input.name == lookup.held) {
      const uint32_t producer = scan_group(input.name);
      PlanInput made;
      made.kind = PlanInput::Kind::kGroupWhole;
      made.name = input.name;
      made.index = producer;
      made.schema = plan_group(producer).schema;
      made.sink_file = want_sink(producer, {}, 1);
      graph_group(g).inputs.push_back({producer, GraphInput::Mode::kWhole, 0});
      plan_group(g).inputs.push_back(std::move(made));
      continue;
    }
    StageInput as_read = input;
    if (input.name == lookup.input) as_read.mode = InputMode::kPartition;
    TG_TRY(add_input(g, stage, as_read, units));
  }
  held_sources_[g] = source_index(lookup.held);
  plan_group(g).strategy = fmt::format("map over {} partition{}", units, units == 1 ? "" : "s");
  plan_group(g).why =
      fmt::format("every worker holds {} as a table: neither side is exchanged", lookup.held);
  plan_group(g).steps.push_back(
      {.name = stage.name, .sql = stage.sql, .lookup = std::move(lookup)});
  finish_stage(g, stage, written);
  return {};
}

}  // namespace tidegate
