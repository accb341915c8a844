#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "plan/build.h"
#include "plan/builder.h"
#include "sort/splitters.h"

namespace tidegate {
namespace {

/// The inputs of the groups that sort; no stage can be called so.
constexpr const char* kUnsortedRows = "unsorted rows";
constexpr const char* kSamples = "samples";
constexpr const char* kRangesFile = "ranges.tgm";
constexpr const char* kSampleFile = "sample.tgm";
/// Rows whose keys are looked at to choose ranges, of all tasks together, and of one.
constexpr uint32_t kSortSampleRows = 128 << 10;
constexpr uint32_t kSortSampleRowsMin = 16;
constexpr uint32_t kSortSampleRowsMax = 4'096;
static_assert(kSortSampleRowsMax <= kBucketsMax, "it is remembered as counts of buckets are");

std::string order_text(const sort::SortOrder& order, const sql::Schema& schema) {
  std::vector<std::string> columns;
  for (const sort::SortColumn& column : order)
    columns.push_back(fmt::format("{}{}{}", schema.at(column.column).name,
                                  column.descending ? " desc" : "",
                                  column.nulls_first ? " nulls first" : ""));
  return join(columns, ", ");
}

/// Whether the SQL of a stage that works row by row may give fewer rows than it reads, or more; not
/// known better than by a word of it, which may stand in a text or be a name.
bool may_drop_rows(std::string_view sql) {
  const std::string text = to_lower_ascii(sql);
  return std::ranges::any_of(
      std::initializer_list<std::string_view>{"where", "unnest", "sample", "join"},
      [&](std::string_view word) { return text.find(word) != std::string::npos; });
}

}  // namespace

// A sorted stage is three groups. The first makes its rows and keeps the keys of some of them. The
// second, task by task, puts rows into ranges, which follow from all samples; the third sorts each
// range. So ranges fit whatever the rows are, nothing is guessed before the run, and the identity
// of what is in ranges has the names of the results that the samples lie in. Rows that can be made
// twice for less than they take to be stored are: then the first group keeps nothing but keys.
void Builder::add_sort(const CheckedStage& stage, const Stage& written, uint32_t rows) {
  const uint32_t ranges =
      written.buckets
          ? written.buckets->value
          : remembered("ranges", stage.name,
                       choose_buckets(plan_group(rows).estimated_bytes, memory_of(&written)));
  const std::string order = order_text(stage.sort_by, stage.schema);
  const bool twice = ranges > 1 && makes_rows_twice(rows);
  const std::string rows_file = twice ? "" : want_sink(rows, {}, 1);
  graph_group(rows).name = fmt::format("{}, {}", stage.name, twice ? "sampled" : "unsorted");
  plan_group(rows).on_empty = OnEmpty::kAllow;
  const uint32_t ranged = ranges > 1 ? add_ranges(stage, written, rows, rows_file, ranges) : rows;

  const uint32_t sorted = new_sort_group(stage, written, rows, "");
  units_[sorted] = ranges;
  PlanInput range;
  range.kind = ranges > 1 ? PlanInput::Kind::kBucket : PlanInput::Kind::kGroupWhole;
  range.name = kUnsortedRows;
  range.index = ranged;
  range.sink_file = ranges > 1 ? kRangesFile : rows_file;
  range.buckets = ranges;
  range.unit_count = ranges;
  range.schema = stage.schema;
  plan_group(sorted).inputs = {std::move(range)};
  graph_group(sorted).inputs = {{ranged, GraphInput::Mode::kWhole, 0}};
  TaskStep step;
  step.name = stage.name;
  step.sort = TaskSort{kUnsortedRows, stage.sort_by};
  plan_group(sorted).steps = {std::move(step)};
  plan_group(sorted).strategy = fmt::format("sort over {} range{}", ranges, ranges == 1 ? "" : "s");
  plan_group(sorted).why =
      written.buckets
          ? "ranges as declared"
          : fmt::format("about {} MiB in memory under a bound of {} MiB",
                        plan_group(rows).estimated_bytes >> 20, memory_of(&written) >> 20);
  plan_group(sorted).kernel = fmt::format("sort by {}", order);
  plan_group(sorted).on_empty = written.on_empty;
  plan_.stage_group[stage.name] = sorted;
}

/// Rows of Parquet files, whose columns are read one by one: keys cost little to be read alone. Not
/// where a task may hold something, counts rows that are set aside, or may give few of what it
/// reads.
bool Builder::makes_rows_twice(uint32_t g) const {
  const PlanGroup& group = plan_.groups[g];
  const bool from_parquet = std::ranges::all_of(group.inputs, [&](const PlanInput& input) {
    if (input.kind != PlanInput::Kind::kPartition) return false;
    const Source& source = plan_.pipeline.sources[input.index];
    return source.format == FileFormat::kParquet && !source.quarantine_share;
  });
  const bool row_by_row = std::ranges::none_of(group.steps, [](const TaskStep& step) {
    return step.join || step.lookup || step.kernel || step.sort || may_drop_rows(step.sql);
  });
  return from_parquet && row_by_row && !group.inputs.empty() && !group.combine &&
         group.sinks.empty();
}

uint32_t Builder::add_ranges(const CheckedStage& stage, const Stage& written, uint32_t rows,
                             const std::string& rows_file, uint32_t ranges) {
  const uint32_t tasks = std::max(units_.at(rows), 1U);
  TaskSink sample;
  sample.kind = TaskSink::Kind::kSample;
  sample.file = kSampleFile;
  sample.order = stage.sort_by;
  sample.sample_rows =
      remembered("samples", stage.name,
                 std::clamp(kSortSampleRows / tasks, kSortSampleRowsMin, kSortSampleRowsMax));
  plan_group(rows).sinks.push_back(std::move(sample));

  const uint32_t ranged = new_sort_group(stage, written, rows, "ranges");
  units_[ranged] = units_.at(rows);
  if (rows_file.empty()) {
    plan_group(ranged).inputs = plan_group(rows).inputs;
    plan_group(ranged).steps = plan_group(rows).steps;
    plan_group(ranged).kernel = plan_group(rows).kernel;
    uses_run_time_[ranged] = uses_run_time_[rows];
  } else {
    PlanInput unsorted;
    unsorted.kind = PlanInput::Kind::kUnit;
    unsorted.name = kUnsortedRows;
    unsorted.index = rows;
    unsorted.sink_file = rows_file;
    unsorted.unit_count = units_.at(rows);
    unsorted.schema = stage.schema;
    plan_group(ranged).inputs = {std::move(unsorted)};
    graph_group(ranged).inputs = {{rows, GraphInput::Mode::kUnit, 0}};
  }
  PlanInput samples;
  samples.kind = PlanInput::Kind::kGroupWhole;
  samples.name = kSamples;
  samples.index = rows;
  samples.sink_file = kSampleFile;
  samples.schema = sort::sample_schema();
  plan_group(ranged).inputs.push_back(std::move(samples));
  graph_group(ranged).inputs.push_back({rows, GraphInput::Mode::kWhole, 0});
  TaskSink sink;
  sink.kind = TaskSink::Kind::kRanges;
  sink.file = kRangesFile;
  sink.buckets = ranges;
  sink.order = stage.sort_by;
  sink.samples = kSamples;
  plan_group(ranged).sinks = {std::move(sink)};
  plan_group(ranged).strategy = fmt::format("{} ranges", ranges);
  plan_group(ranged).why =
      fmt::format("by a sample of {}", order_text(stage.sort_by, stage.schema));
  return ranged;
}

uint32_t Builder::new_sort_group(const CheckedStage& stage, const Stage& written, uint32_t rows,
                                 const char* what) {
  const uint32_t g =
      new_group(*what == '\0' ? stage.name : fmt::format("{}, {}", stage.name, what));
  graph_group(g).memory_bytes = memory_of(&written);
  graph_group(g).retry = graph_group(rows).retry;
  graph_group(g).timeout_us = graph_group(rows).timeout_us;
  plan_group(g).schema = stage.schema;
  plan_group(g).estimated_rows = plan_group(rows).estimated_rows;
  plan_group(g).estimated_bytes = plan_group(rows).estimated_bytes;
  return g;
}

}  // namespace tidegate
