#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "reduce/lookup_function.h"
#include "source/line_length.h"
#include "source/source.h"
#include "task/held_tables.h"
#include "task/run.h"

namespace tidegate {
namespace {

constexpr const char* kSortedFile = "sorted.tgm";

}  // namespace

Status TaskRun::bind_input(const TaskInput& input) {
  if (input.scan) {
    report_.rows_in += input.scan->partition.rows;
    report_.bytes_read += input.scan->partition.bytes;
    TG_TRY(check_line_lengths(effects_, input.scan->snapshot, input.scan->partition));
    TG_ASSIGN(const std::string scan,
              scan_sql(effects_, input.scan->snapshot, input.scan->partition, input.scan->columns));
    return connection_->execute(
        fmt::format("CREATE VIEW {} AS {}", quote_identifier(input.name), scan));
  }
  for (const MapOutputRef& ref : input.map_outputs) {
    const auto info = read_map_output_info(effects_, ref.path);
    if (!info) return std::unexpected(info.error());
    for (uint32_t b = input.bucket_begin;
         b < std::min<size_t>(input.bucket_end, info->bucket_rows.size()); ++b) {
      report_.rows_in += info->bucket_rows[b];
      report_.bytes_read += info->bucket_bytes[b];
    }
  }
  return register_bucket_table(*connection_, effects_, input.name, input.schema, input.map_outputs,
                               input.bucket_begin, input.bucket_end, limits_.scan_bytes);
}

Status TaskRun::bind_kernel(const TaskStep& step) {
  const reduce::KernelSpec& kernel = step.kernel->kernel;
  reduce::KernelInput input;
  const auto made = std::find_if(
      spec_.inputs.begin(), spec_.inputs.end(),
      [&](const TaskInput& candidate) { return candidate.name == kernel.input_table; });
  if (step.kernel_rows_made && made != spec_.inputs.end()) {
    input.files = made->map_outputs;
    input.bucket_begin = made->bucket_begin;
    input.bucket_end = made->bucket_end;
    input.scan_bytes = limits_.scan_bytes;
  } else {
    input.stream = [this, sql = kernel.input_sql] { return connection_->stream(sql); };
  }
  auto counts = kernel_counts_.emplace_back(std::make_shared<reduce::KernelCounts>());
  TG_ASSIGN(std::string function,
            reduce::register_kernel(*connection_, effects_, kernel, std::move(input),
                                    {.memory_bytes = limits_.kernel_bytes,
                                     .spill_directory = path_join(directory_, kSpillDirectory),
                                     .splits_keys = spec_.splits_skew,
                                     .stage_memory =
                                         [this](uint64_t bytes, uint64_t value) {
                                           return memory_for_value(spec_, bytes, value);
                                         },
                                     .progress = [this](uint64_t rows) { meter_.rows(rows); }},
                                    std::move(counts)));
  kernels_.push_back({kernel.name, std::move(function)});
  return {};
}

Status TaskRun::bind_join(const TaskStep& step) {
  const auto input = [&](const std::string& name) {
    reduce::JoinInput out;
    const auto at =
        std::find_if(spec_.inputs.begin(), spec_.inputs.end(),
                     [&](const TaskInput& candidate) { return candidate.name == name; });
    if (at == spec_.inputs.end()) return out;
    out.schema = at->schema;
    out.files = at->map_outputs;
    out.bucket_begin = at->bucket_begin;
    out.bucket_end = at->bucket_end;
    out.scan_bytes = limits_.scan_bytes;
    return out;
  };
  const auto counts = std::make_shared<reduce::JoinCounts>();
  TG_ASSIGN(const auto functions,
            reduce::register_join(*connection_, effects_, *step.join, input(step.join->left.input),
                                  input(step.join->right.input),
                                  {.memory_bytes = limits_.kernel_bytes,
                                   .progress = [this](uint64_t rows) { meter_.rows(rows); }},
                                  counts));
  const auto half = [](const reduce::JoinSpec::Side& side, const std::string& function) {
    return JoinHalf{side.relation, function, side.columns};
  };
  joins_.push_back({half(step.join->left, functions.first),
                    half(step.join->right, functions.second), step.kernel.has_value(), counts});
  if (!step.kernel) return {};
  TG_ASSIGN(const Scans scans, Scans::of(*connection_, step.kernel->kernel.input_sql));
  return keep_join_rows(joins_.back(), scans);
}

Result<bool> TaskRun::bind_lookup(const TaskStep& step) {
  const reduce::JoinLookup& lookup = *step.lookup;
  const auto find = [&](const std::string& name) {
    return std::find_if(spec_.inputs.begin(), spec_.inputs.end(),
                        [&](const TaskInput& input) { return input.name == name; });
  };
  const auto read = find(lookup.input), held = find(lookup.held);
  if (read == spec_.inputs.end() || held == spec_.inputs.end() || held->scan)
    return fail(FailureClass::kDefect, "task.bad_message", "a lookup reads no input");
  const std::string name = held_table_name(spec_, step);
  const HeldTable* known = held_table(name, limits_.kernel_bytes);
  if (known == nullptr) {
    shuffle::BucketTable rows;
    rows.effects = &effects_;
    rows.schema = held->schema;
    TG_ASSIGN(rows.types, batch::column_types(*connection_, held->schema));
    rows.files = held->map_outputs;
    rows.bucket_begin = held->bucket_begin;
    rows.bucket_end = held->bucket_end;
    rows.memory_bytes = limits_.scan_bytes;
    const auto places = [&](const std::vector<std::string>& columns) {
      std::vector<uint32_t> out;
      for (const std::string& column : columns)
        for (uint32_t i = 0; i < held->schema.size(); ++i)
          if (to_lower_ascii(held->schema[i].name) == to_lower_ascii(column)) out.push_back(i);
      return out;
    };
    reduce::LookupTable::Options options{.memory_bytes = limits_.kernel_bytes,
                                         .any_row = lookup.kind == reduce::JoinSpec::Kind::kSemi ||
                                                    lookup.kind == reduce::JoinSpec::Kind::kAnti,
                                         .progress = [this](uint64_t) { meter_.tick(); }};
    TG_ASSIGN(auto table, reduce::LookupTable::make(rows, places(lookup.held_keys),
                                                    places(lookup.columns), options));
    hold_table({name, std::move(table), limits_.kernel_bytes});
    known = held_table(name, limits_.kernel_bytes);
  }
  if (known->table == nullptr) {
    ++tables_not_held_;
    return false;
  }
  TG_TRY(reduce::register_lookup(*connection_, lookup, read->schema, held->schema, known->table));
  return true;
}

Status TaskRun::keep_join_rows(const RegisteredJoin& join, const Scans& scans) {
  const auto count = [&](const JoinHalf& half) {
    return half.relation.empty() ? 0 : scans.count(half.function);
  };
  if (count(join.left) <= 1 && count(join.right) <= 1 && !scans.reads_halves_apart()) return {};
  return keep_join(*connection_, join.left, join.right);
}

Status TaskRun::keep_rows_read_twice(uint64_t passes) {
  const TaskStep& last = spec_.steps.back();
  if (joins_.empty() && kernels_.size() == 1 && last.kernel && last.kernel->output_sql.empty())
    return passes > 1 ? keep_rows(*connection_, kernels_[0].name, kernels_[0].function) : Status();
  TG_ASSIGN(const Scans scans, Scans::of(*connection_, "SELECT * FROM " + last_));
  for (const auto& [name, function] : kernels_)
    if (scans.count(function) * passes > 1) TG_TRY(keep_rows(*connection_, name, function));
  for (const RegisteredJoin& join : joins_)
    if (!join.under_kernel) TG_TRY(keep_join_rows(join, scans));
  return {};
}

Status TaskRun::bind_sorted(const TaskStep& step) {
  const auto input =
      std::find_if(spec_.inputs.begin(), spec_.inputs.end(),
                   [&](const TaskInput& candidate) { return candidate.name == step.sort->input; });
  if (input == spec_.inputs.end())
    return fail(FailureClass::kDefect, "task.bad_message", "a sort reads no input");
  TG_ASSIGN(auto types, batch::column_types(*connection_, input->schema));
  const std::string spill = path_join(directory_, kSpillDirectory);
  TG_ASSIGN(sorted_, SortedRows::read(effects_, *input, std::move(types), step.sort->order,
                                      {limits_.sort_bytes, spill}, limits_.scan_bytes,
                                      [this](uint64_t rows) { meter_.rows(rows); }));
  if (&step == &spec_.steps.back() && spec_.sinks.size() == 1 &&
      spec_.sinks[0].kind == TaskSink::Kind::kParquet && sink::can_write(input->schema))
    return {};
  const std::string path = path_join(spill, kSortedFile);
  TG_TRY(sorted_->store(effects_, path, spec_.attempt, limits_.sort_bytes / 4));
  sorted_.reset();
  return register_bucket_table(*connection_, effects_, step.name, input->schema,
                               {{path, spec_.attempt}}, 0, 1, limits_.scan_bytes);
}

std::vector<MapOutputRef> TaskRun::samples_of(const TaskSink& sink) const {
  for (const TaskInput& input : spec_.inputs)
    if (input.name == sink.samples) return input.map_outputs;
  return {};
}

}  // namespace tidegate
