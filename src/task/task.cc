#include "task/task.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "contract/contract.h"
#include "source/compressed.h"
#include "source/rejects.h"
#include "source/source.h"
#include "store/results.h"
#include "task/parts.h"
#include "task/run.h"
#include "task/set_aside.h"
#include "verify/verify.h"

namespace tidegate {
namespace {

/// Rows set aside that a task's report shows, of a file and of all; the side table has the others.
constexpr size_t kRejectSamplesOfFileMax = 2;
constexpr size_t kRejectSamplesMax = 16;

/// A failure of a statement over the task's inputs, as the task's own.
Failure of_task(const Failure& raw, const TaskSpec& spec) {
  Failure failure = map_output_failure(raw);
  if (failure.cls == FailureClass::kMemory) {
    failure.message = fmt::format(
        "{} needs more than its bound of {}: {}", spec.label, format_size(spec.memory_bytes),
        failure.code == "reduce.memory" ? failure.message : way_out_of_memory(spec));
    failure.cause = std::make_shared<const Failure>(raw);
  }
  failure.where = {spec.stage, spec.partition, spec.attempt, ""};
  return failure;
}

std::string run_time_macro(int64_t run_time_us) {
  return fmt::format("CREATE OR REPLACE MACRO run_time() AS make_timestamptz({})", run_time_us);
}

}  // namespace

Status TaskRun::prepare() {
  sql::OpenOptions options;
  options.memory_bytes = limits_.duckdb_bytes;
  options.temp_directory = path_join(directory_, kSpillDirectory);
  options.allowed_directories = {directory_};
  const auto allow = [&](const TaskScan& scan) {
    for (const InputFile& file : scan.snapshot.files) options.allowed_paths.push_back(file.path);
  };
  for (const TaskInput& input : spec_.inputs)
    if (input.scan) allow(*input.scan);
  if (spec_.verify) {
    options.allowed_paths = spec_.verify->files;
    for (const auto& [name, scan] : spec_.verify->sources) allow(scan);
    for (const auto& [name, files] : spec_.verify->outputs)
      options.allowed_paths.insert(options.allowed_paths.end(), files.begin(), files.end());
  }
  TG_TRY(effects_.mkdir(options.temp_directory));
  if (database_) {
    TG_TRY(database_->limit(options));
  } else {
    TG_ASSIGN(database_, sql::Database::open(options));
  }
  TG_ASSIGN(connection_, database_->connect());
  TG_TRY(connection_->execute(run_time_macro(spec_.run_time_us)));
  TG_TRY(database_->lock());
  return {};
}

Status TaskRun::check_packed_inputs() {
  for (const TaskInput& input : spec_.inputs)
    if (input.scan)
      TG_TRY(check_packed_files(effects_, input.scan->snapshot, input.scan->partition));
  if (!spec_.verify) return {};
  for (const auto& [name, scan] : spec_.verify->sources)
    TG_TRY(check_packed_files(effects_, scan.snapshot, scan.partition));
  return {};
}

Status TaskRun::bind() {
  for (const TaskInput& input : spec_.inputs) TG_TRY(bind_input(input));
  for (const TaskStep& step : spec_.steps) {
    if (step.sort) {
      TG_TRY(bind_sorted(step));
      continue;
    }
    std::string sql = step.sql;
    if (step.join) TG_TRY(bind_join(step));
    if (step.lookup) {
      TG_ASSIGN(const bool held, bind_lookup(step));
      if (held) sql = step.lookup->sql;
    }
    if (step.kernel) {
      TG_TRY(bind_kernel(step));
      sql = step.kernel->output_sql;
      if (sql.empty()) sql = "SELECT * FROM " + quote_identifier(step.kernel->kernel.name);
    }
    TG_TRY(connection_->execute(
        fmt::format("CREATE VIEW {} AS {}", quote_identifier(step.name), sql)));
  }
  return {};
}

Failure TaskRun::explain(const Failure& raw) {
  if (!connection_ || raw.cls == FailureClass::kMemory || raw.cls == FailureClass::kLost)
    return raw;
  for (const TaskInput& input : spec_.inputs) {
    if (!input.scan || input.scan->snapshot.files.empty()) continue;
    Failure found = explain_scan_failure(effects_, *connection_, input.scan->snapshot,
                                         input.scan->partition, raw, input.scan->columns);
    if (found.code != raw.code) return found;
  }
  return raw;
}

Status TaskRun::run_stage() {
  last_ = quote_identifier(spec_.steps.empty() ? spec_.inputs.at(0).name : spec_.steps.back().name);
  std::vector<const TaskSink*> shuffles, parquets;
  for (const TaskSink& sink : spec_.sinks)
    (sink.kind == TaskSink::Kind::kParquet ? parquets : shuffles).push_back(&sink);
  if (!kernels_.empty() || !joins_.empty())
    TG_TRY(keep_rows_read_twice(shuffles.empty() ? parquets.size() : 1));
  if (!shuffles.empty()) TG_TRY(write_map_outputs(shuffles));
  for (const TaskSink* sink : parquets) {
    if (!shuffles.empty()) TG_TRY(bind_own_result(*shuffles.front()));
    TG_TRY(write_parquet(*sink));
  }
  return check_inputs();
}

Status TaskRun::run_verify() {
  const VerifyWork& work = *spec_.verify;
  Diagnostics diagnostics;
  const Pipeline pipeline = parse_pipeline(work.pipeline_path, path_dirname(work.pipeline_path),
                                           work.pipeline_text, diagnostics);
  const Output* output = pipeline.output(work.output);
  if (!output)
    return fail(FailureClass::kDefect, "task.no_output",
                "the contract has no output " + work.output);
  VerifyInput input;
  input.files = work.files;
  input.schema = work.schema;
  input.rows_before = work.rows_before;
  for (const auto& [name, scan] : work.sources) {
    TG_ASSIGN(input.relations[name],
              scan_sql(effects_, scan.snapshot, scan.partition, scan.columns));
  }
  for (const auto& [name, files] : work.outputs)
    input.relations[name] = fmt::format("SELECT * FROM read_parquet({})", path_list(files));
  TG_ASSIGN(report_.checks, run_checks(*connection_, output->checks, input));
  return find_bad_reference(*output);
}

/// Fails with the file for which a check has no answer, if its source sets such files aside.
Status TaskRun::find_bad_reference(const Output& output) {
  for (size_t i = 0; i < output.checks.size(); ++i) {
    const Check& check = output.checks[i];
    if (check.kind != CheckKind::kReferences || report_.checks[i].status != "error") continue;
    for (const auto& [name, scan] : spec_.verify->sources) {
      if (name != check.references_to.value || !scan.snapshot.recipe.set_aside_bad_rows) continue;
      Failure found = explain_scan_failure(
          effects_, *connection_, scan.snapshot, scan.partition,
          {FailureClass::kData, "source.bad_row", report_.checks[i].message}, scan.columns);
      if (found.code == "source.bad_file") return std::unexpected(std::move(found));
    }
  }
  return {};
}

Status TaskRun::close() {
  report_.bytes_spilled = meter_.spilled();
  for (const auto& counts : kernel_counts_) report_.splits += counts->splits + counts->heavy_keys;
  for (const RegisteredJoin& join : joins_) report_.splits += join.counts->turns;
  report_.splits += tables_not_held_;
  connection_.reset();
  database_.reset();
  return remove_tree(effects_, path_join(directory_, kSpillDirectory));
}

TaskReport TaskRun::take_report() {
  report_.us = meter_.elapsed_us();
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  report_.peak_rss = peak_rss_bytes(effects_);
  IdentityHash hash;
  for (const std::string& digest : digests_) hash.add(digest);
  report_.digest = hash.hex();
  return std::move(report_);
}

Status TaskRun::check_inputs() {
  for (const TaskInput& input : spec_.inputs) {
    if (!input.scan) continue;
    for (const InputFile& file : input.scan->snapshot.files)
      TG_TRY(verify_unchanged(effects_, file));
    if (input.scan->count_rejects) TG_TRY(count_rejects(input));
  }
  return {};
}

Status TaskRun::count_rejects(const TaskInput& input) {
  const TaskScan& scan = *input.scan;
  Rejects rejects = scan.lost;
  uint64_t good = 0;
  if (scan.snapshot.recipe.format == FileFormat::kParquet) {
    for (const FileSlice& slice : scan.partition.slices) good += rows_in(scan.snapshot, slice);
  } else {
    TG_ASSIGN(const Rejects found,
              read_rejects(effects_, *connection_, scan.snapshot, scan.partition));
    rejects.rows += found.rows;
    rejects.files.insert(rejects.files.end(), found.files.begin(), found.files.end());
    rejects.first.insert(rejects.first.end(), found.first.begin(), found.first.end());
    // Only the scan knows how many rows there were; it is read once more for the share. The hash
    // has every value converted, else rows with a bad value count as good ones too.
    TG_ASSIGN(const sql::Table table,
              connection_->query("SELECT count(*), bit_xor(hash(*COLUMNS(*))) FROM " +
                                 quote_identifier(input.name)));
    good = std::stoull(table.scalar());
  }
  TaskSourceCount& count = report_.sources.emplace_back();
  count.source = scan.snapshot.source;
  count.set_aside = rejects.rows;
  count.rows = rejects.rows + good;
  if (rejects.first.empty()) return {};
  size_t of_file = 0;
  const std::string* file = nullptr;
  for (const RejectedRow& row : rejects.first) {
    if (!file || *file != row.file) of_file = 0;
    file = &row.file;
    if (++of_file <= kRejectSamplesOfFileMax && count.samples.size() < kRejectSamplesMax)
      count.samples.push_back(set_aside_json(row));
  }
  count.files = rejects.files;
  count.table = set_aside_table(report_.sources.size() - 1);
  TG_ASSIGN(count.table_rows,
            write_set_aside(effects_, path_join(directory_, count.table),
                            {count.source, spec_.stage, spec_.attempt, rejects.first}));
  return {};
}

Status run_attempt(TaskRun& run, const TaskSpec& spec) {
  TG_TRY(run.prepare());
  TG_TRY(run.check_packed_inputs());
  if (spec.verify) {
    TG_TRY(run.run_verify());
  } else {
    Status status = run.bind();
    if (status) status = run.run_stage();
    if (!status) return std::unexpected(run.explain(status.error()));
  }
  return run.close();
}

/// Runs the attempt in its directory.
Result<TaskReport> run_attempt_once(Effects& effects, const TaskSpec& spec,
                                    const std::function<void(const TaskProgress&)>& progress,
                                    const std::string& directory,
                                    std::unique_ptr<sql::Database> opened) {
  if (spec.parts > 1) {
    opened.reset();  // each part has one of its own
    return run_in_parts(effects, spec, progress, directory);
  }
  TaskRun run(effects, spec, progress, directory, std::move(opened));
  TG_TRY(run_attempt(run, spec));
  return run.take_report();
}

/// Runs it again without the file that cannot be read, file after file, where its source
/// sets such files aside: each round takes one out of the task's partition.
Result<TaskReport> run_without_bad_files(Effects& effects, const TaskSpec& spec,
                                         const std::function<void(const TaskProgress&)>& progress,
                                         const std::string& directory,
                                         std::unique_ptr<sql::Database> opened) {
  auto report = run_attempt_once(effects, spec, progress, directory, std::move(opened));
  std::optional<TaskSpec> rest;
  while (!report && report.error().code == "source.bad_file") {
    if (!rest) rest = spec;
    if (!set_file_aside(*rest, report.error())) break;
    TG_ASSIGN(const auto names, effects.list(directory));
    for (const std::string& name : names) TG_TRY(remove_tree(effects, path_join(directory, name)));
    report = run_attempt_once(effects, *rest, progress, directory, nullptr);
  }
  return report;
}

Result<TaskReport> run_task(Effects& effects, const TaskSpec& spec,
                            const std::function<void(const TaskProgress&)>& progress,
                            std::unique_ptr<sql::Database> opened) {
  TG_ASSIGN(const StateDir state, StateDir::open(effects, spec.state_dir, StateDir::Mode::kWrite));
  TG_ASSIGN(Attempt attempt, Attempt::begin(effects, state, spec.identity, spec.attempt));
  auto made =
      run_without_bad_files(effects, spec, progress, attempt.directory(), std::move(opened));
  if (!made) {
    (void)attempt.drop();
    return std::unexpected(of_task(made.error(), spec));
  }
  const TaskReport report = std::move(*made);
  if (spec.verify) {
    TG_TRY(attempt.drop());
    return report;
  }
  std::vector<ResultFile> files;
  for (const TaskOutputFile& file : report.files)
    files.push_back({file.name, file.rows, file.bytes, file.xxh3});
  for (const TaskSourceCount& count : report.sources)
    if (!count.table.empty()) files.push_back({count.table, count.table_rows, 0, ""});
  TG_ASSIGN(const StoredResult stored,
            attempt.seal(std::move(files), report.rows_out, to_json(report)));
  (void)stored;
  return report;
}

}  // namespace tidegate
