#include "task/task.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "contract/contract.h"
#include "reduce/combiner.h"
#include "reduce/join_table.h"
#include "reduce/kernel_table.h"
#include "sink/parquet_writer.h"
#include "source/line_length.h"
#include "source/rejects.h"
#include "source/source.h"
#include "sql/parquet_type.h"
#include "store/file_hash.h"
#include "store/results.h"
#include "task/by_value.h"
#include "task/limits.h"
#include "task/reads.h"
#include "task/row_sink.h"
#include "task/sorted_rows.h"
#include "verify/verify.h"

namespace tidegate {
namespace {

constexpr const char* kSpillDirectory = "duckdb";
constexpr const char* kOwnResult = "tidegate_own_result";
constexpr const char* kSortedFile = "sorted.tgm";
constexpr int64_t kProgressEveryUs = 200'000;

/// Counts work and calls `progress` now and then.
class Meter {
 public:
  Meter(Effects& effects, const std::function<void(const TaskProgress&)>& progress,
        std::string spill)
      : effects_(effects),
        progress_(progress),
        spill_(std::move(spill)),
        start_(effects.monotonic_us()) {}

  void rows(uint64_t rows) {
    now_.rows += rows;
    tick();
  }
  void tick() {
    const int64_t now = effects_.monotonic_us();
    if (now - last_ < kProgressEveryUs) return;
    last_ = now;
    spilled_ = std::max(spilled_, spill_bytes());
    if (progress_) progress_(now_);
  }
  uint64_t spilled() { return spilled_ = std::max(spilled_, spill_bytes()); }
  int64_t elapsed_us() { return effects_.monotonic_us() - start_; }

 private:
  uint64_t spill_bytes() {
    uint64_t bytes = 0;
    const auto names = effects_.list(spill_);
    if (!names) return 0;
    for (const std::string& name : *names)
      if (const auto stat = effects_.stat(path_join(spill_, name))) bytes += stat->size;
    return bytes;
  }

  Effects& effects_;
  const std::function<void(const TaskProgress&)>& progress_;
  std::string spill_;
  int64_t start_;
  int64_t last_ = 0;
  uint64_t spilled_ = 0;
  TaskProgress now_;
};

/// A failure of a statement over the task's inputs, as the task's own.
Failure of_task(const Failure& raw, const TaskSpec& spec) {
  Failure failure = map_output_failure(raw);
  if (failure.cls == FailureClass::kMemory) {
    failure.message = fmt::format(
        "{} needs more than its bound of {}: raise `memory` of the stage, or give it more buckets",
        spec.label, format_size(spec.memory_bytes));
    failure.cause = std::make_shared<const Failure>(raw);
  }
  failure.where = {spec.stage, spec.partition, spec.attempt, ""};
  return failure;
}

std::string run_time_macro(int64_t run_time_us) {
  return fmt::format("CREATE OR REPLACE MACRO run_time() AS make_timestamptz({})", run_time_us);
}

struct RegisteredKernel {
  std::string name, function;
};

struct RegisteredJoin {
  JoinHalf left, right;
  bool under_kernel = false;  ///< a kernel's SELECT is what reads it
};

/// One attempt while it runs.
class Run {
 public:
  Run(Effects& effects, const TaskSpec& spec,
      const std::function<void(const TaskProgress&)>& progress, std::string directory)
      : effects_(effects),
        spec_(spec),
        limits_(split_memory(spec)),
        directory_(std::move(directory)),
        meter_(effects, progress, path_join(directory_, kSpillDirectory)) {}

  Status prepare() {
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
    TG_ASSIGN(database_, sql::Database::open(options));
    TG_ASSIGN(connection_, database_->connect());
    TG_TRY(connection_->execute(run_time_macro(spec_.run_time_us)));
    TG_TRY(database_->lock());
    return {};
  }

  Status bind() {
    for (const TaskInput& input : spec_.inputs) TG_TRY(bind_input(input));
    for (const TaskStep& step : spec_.steps) {
      if (step.sort) {
        TG_TRY(bind_sorted(step));
        continue;
      }
      std::string sql = step.sql;
      if (step.join) TG_TRY(bind_join(step));
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

  /// What a statement over a scan failed with, as a row of a file where it is one.
  Failure explain(const Failure& raw) {
    if (!connection_ || raw.cls == FailureClass::kMemory || raw.cls == FailureClass::kLost)
      return raw;
    for (const TaskInput& input : spec_.inputs) {
      if (!input.scan || input.scan->snapshot.files.empty()) continue;
      Failure found = explain_scan_failure(effects_, *connection_, input.scan->snapshot,
                                           input.scan->partition, raw);
      if (found.code != raw.code) return found;
    }
    return raw;
  }

  Status run_stage() {
    last_ =
        quote_identifier(spec_.steps.empty() ? spec_.inputs.at(0).name : spec_.steps.back().name);
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

  Status run_verify() {
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
      TG_ASSIGN(input.relations[name], scan_all_sql(effects_, scan.snapshot, scan.columns));
    }
    for (const auto& [name, files] : work.outputs)
      input.relations[name] = fmt::format("SELECT * FROM read_parquet({})", path_list(files));
    TG_ASSIGN(report_.checks, run_checks(*connection_, output->checks, input));
    return {};
  }

  /// Closes DuckDB and removes what it spilled, so that only the result's files are left.
  Status close() {
    report_.bytes_spilled = meter_.spilled();
    for (const auto& counts : kernel_counts_) report_.splits += counts->splits;
    connection_.reset();
    database_.reset();
    return remove_tree(effects_, path_join(directory_, kSpillDirectory));
  }

  TaskReport take_report() {
    report_.us = meter_.elapsed_us();
    struct rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    report_.peak_rss = peak_rss_bytes(effects_);
    IdentityHash hash;
    for (const std::string& digest : digests_) hash.add(digest);
    report_.digest = hash.hex();
    return std::move(report_);
  }

 private:
  Status bind_input(const TaskInput& input) {
    if (input.scan) {
      report_.rows_in += input.scan->partition.rows;
      report_.bytes_read += input.scan->partition.bytes;
      TG_TRY(check_line_lengths(effects_, input.scan->snapshot, input.scan->partition));
      TG_ASSIGN(const std::string scan, scan_sql(effects_, input.scan->snapshot,
                                                 input.scan->partition, input.scan->columns));
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
    return register_bucket_table(*connection_, effects_, input.name, input.schema,
                                 input.map_outputs, input.bucket_begin, input.bucket_end,
                                 limits_.scan_bytes);
  }

  /// Runs a stage's kernel over the buckets it was given, or over what its SQL makes of the inputs.
  Status bind_kernel(const TaskStep& step) {
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
                                       .progress = [this](uint64_t rows) { meter_.rows(rows); }},
                                      std::move(counts)));
    kernels_.push_back({kernel.name, std::move(function)});
    return {};
  }

  /// Makes the relations of a stage's join; its kernel, if it has one, reads them.
  Status bind_join(const TaskStep& step) {
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
    TG_ASSIGN(const auto functions,
              reduce::register_join(*connection_, effects_, *step.join,
                                    input(step.join->left.input), input(step.join->right.input),
                                    {.memory_bytes = limits_.kernel_bytes,
                                     .progress = [this](uint64_t rows) { meter_.rows(rows); }},
                                    std::make_shared<reduce::JoinCounts>()));
    const auto half = [](const reduce::JoinSpec::Side& side, const std::string& function) {
      return JoinHalf{side.relation, function, side.columns};
    };
    joins_.push_back({half(step.join->left, functions.first),
                      half(step.join->right, functions.second), step.kernel.has_value()});
    if (!step.kernel) return {};
    TG_ASSIGN(const Scans scans, Scans::of(*connection_, step.kernel->kernel.input_sql));
    return keep_join_rows(joins_.back(), scans);
  }

  /// The halves of a join are read once at a time and side by side, or else kept.
  Status keep_join_rows(const RegisteredJoin& join, const Scans& scans) {
    const auto count = [&](const JoinHalf& half) {
      return half.relation.empty() ? 0 : scans.count(half.function);
    };
    if (count(join.left) <= 1 && count(join.right) <= 1 && !scans.reads_halves_apart()) return {};
    return keep_join(*connection_, join.left, join.right);
  }

  /// A kernel gives its rows once: where what comes after it scans them more often, they are kept.
  Status keep_rows_read_twice(uint64_t passes) {
    const TaskStep& last = spec_.steps.back();
    if (joins_.empty() && kernels_.size() == 1 && last.kernel && last.kernel->output_sql.empty())
      return passes > 1 ? keep_rows(*connection_, kernels_[0].name, kernels_[0].function)
                        : Status();
    TG_ASSIGN(const Scans scans, Scans::of(*connection_, "SELECT * FROM " + last_));
    for (const auto& [name, function] : kernels_)
      if (scans.count(function) * passes > 1) TG_TRY(keep_rows(*connection_, name, function));
    for (const RegisteredJoin& join : joins_)
      if (!join.under_kernel) TG_TRY(keep_join_rows(join, scans));
    return {};
  }

  /// Sorts an input's rows. What follows reads them as a table, but for our Parquet writer, which
  /// takes them as they come.
  Status bind_sorted(const TaskStep& step) {
    const auto input = std::find_if(
        spec_.inputs.begin(), spec_.inputs.end(),
        [&](const TaskInput& candidate) { return candidate.name == step.sort->input; });
    if (input == spec_.inputs.end())
      return fail(FailureClass::kDefect, "task.bad_message", "a sort reads no input");
    TG_ASSIGN(auto types, types_of(input->schema));
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

  Result<std::vector<batch::ColumnType>> types_of(const sql::Schema& schema) {
    std::vector<batch::ColumnType> types;
    for (const sql::Column& column : schema) {
      TG_ASSIGN(_duckdb_logical_type * type, connection_->make_type(column.type));
      auto parts = batch::column_type(type);
      sql::destroy_type(type);
      if (!parts) return std::unexpected(std::move(parts).error());
      types.push_back(std::move(*parts));
    }
    return types;
  }

  std::vector<MapOutputRef> samples_of(const TaskSink& sink) const {
    for (const TaskInput& input : spec_.inputs)
      if (input.name == sink.samples) return input.map_outputs;
    return {};
  }

  Status write_map_outputs(const std::vector<const TaskSink*>& sinks) {
    std::vector<std::unique_ptr<RowSink>> writers;
    const auto write = [&](_duckdb_data_chunk* rows) -> Status {
      for (auto& writer : writers) TG_TRY(writer->append(rows));
      return {};
    };
    // Making types asks DuckDB, which would end a stream.
    std::unique_ptr<reduce::Combiner> combiner;
    if (spec_.combine) {
      TG_ASSIGN(combiner, reduce::Combiner::create(*connection_, *spec_.combine,
                                                   limits_.combine_bytes, write));
    }
    TG_ASSIGN(auto stream, connection_->stream("SELECT * FROM " + last_));
    schema_ = combiner ? spec_.combine->output : stream->schema();
    for (const TaskSink* sink : sinks) {
      RowSinkOptions options{.schema = schema_,
                             .path = path_join(directory_, sink->file),
                             .attempt = spec_.attempt,
                             .unit = static_cast<uint32_t>(spec_.partition),
                             .memory_bytes = limits_.writer_bytes / sinks.size(),
                             .samples = samples_of(*sink)};
      TG_ASSIGN(auto writer, RowSink::create(effects_, *sink, std::move(options)));
      writers.push_back(std::move(writer));
    }
    for (;;) {
      TG_ASSIGN(_duckdb_data_chunk * chunk, stream->next());
      if (!chunk) break;
      const std::unique_ptr<_duckdb_data_chunk, void (*)(_duckdb_data_chunk*)> hold(
          chunk, sql::destroy_chunk);
      TG_TRY(combiner ? combiner->take(chunk) : write(chunk));
      meter_.rows(sql::chunk_rows(chunk));
    }
    if (combiner) {
      TG_TRY(combiner->finish());
      report_.combined_in = combiner->rows_in();
      report_.combined_out = combiner->rows_out();
    }
    for (size_t i = 0; i < writers.size(); ++i) {
      TG_ASSIGN(TaskOutputFile file, writers[i]->finish());
      if (sinks[i]->kind != TaskSink::Kind::kSample) report_.rows_out = file.rows;
      report_.bytes_shuffled += file.bytes;
      digests_.push_back(file.xxh3);
      report_.files.push_back(std::move(file));
    }
    return {};
  }

  /// The stage ran once, for the shuffle: what is published is read back from that.
  Status bind_own_result(const TaskSink& sink) {
    if (own_bound_) return {};
    own_bound_ = true;
    last_ = kOwnResult;
    return register_bucket_table(*connection_, effects_, kOwnResult, schema_,
                                 {{path_join(directory_, sink.file), spec_.attempt}}, 0,
                                 sink.buckets, limits_.scan_bytes);
  }

  Status write_values(const TaskSink& sink) {
    TG_ASSERT(spec_.inputs.size() == 1 && spec_.steps.empty() && !spec_.inputs[0].scan);
    TG_ASSIGN(ByValueFiles written,
              write_by_value(effects_, *connection_,
                             {.input = spec_.inputs[0],
                              .sink = sink,
                              .attempt = spec_.attempt,
                              .directory = directory_,
                              .spill_directory = path_join(directory_, kSpillDirectory),
                              .scan_bytes = limits_.scan_bytes,
                              .split_bytes = limits_.writer_bytes,
                              .parquet_bytes = limits_.parquet_bytes,
                              .progress = [this](uint64_t rows) { meter_.rows(rows); }}));
    report_.rows_out = written.rows;
    report_.bytes_written += written.bytes;
    for (TaskOutputFile& file : written.files) {
      digests_.push_back(file.label);
      digests_.push_back(file.xxh3);
      report_.files.push_back(std::move(file));
    }
    return {};
  }

  Status write_parquet(const TaskSink& sink) {
    if (!sink.by.empty()) return write_values(sink);
    const std::string path = path_join(directory_, sink.file);
    if (sorted_) return store_sorted(sink, path);
    TG_ASSIGN(const sql::Schema schema, connection_->describe("SELECT * FROM " + last_));
    return sink::can_write(schema) ? stream_parquet(sink, path, schema)
                                   : copy_parquet(sink, path, schema);
  }

  Status stream_parquet(const TaskSink& sink, const std::string& path, const sql::Schema& schema) {
    TG_ASSIGN(const auto types, types_of(schema));
    batch::ChunkView view(types);
    TG_ASSIGN(auto writer, open_parquet(sink, path, schema, types));
    TG_ASSIGN(auto stream, connection_->stream("SELECT * FROM " + last_));
    for (;;) {
      TG_ASSIGN(_duckdb_data_chunk * chunk, stream->next());
      if (!chunk) break;
      const std::unique_ptr<_duckdb_data_chunk, void (*)(_duckdb_data_chunk*)> hold(
          chunk, sql::destroy_chunk);
      TG_TRY(view.load(chunk));
      if (view.rows() > 0) TG_TRY(writer->append(view.view()));
      meter_.tick();
    }
    return close_parquet(sink, *writer);
  }

  Status store_sorted(const TaskSink& sink, const std::string& path) {
    TG_ASSIGN(auto writer, open_parquet(sink, path, sorted_->schema(), sorted_->types()));
    std::vector<batch::ColumnView> views;
    while (true) {
      TG_ASSIGN(const uint32_t rows, sorted_->next(views));
      if (rows == 0) break;
      TG_TRY(writer->append({views.data(), rows}));
      meter_.tick();
    }
    sorted_.reset();
    return close_parquet(sink, *writer);
  }

  Result<std::unique_ptr<sink::ParquetWriter>> open_parquet(
      const TaskSink& sink, const std::string& path, const sql::Schema& schema,
      const std::vector<batch::ColumnType>& types) {
    return sink::ParquetWriter::create(
        effects_, path,
        {.schema = schema, .compression = sink.compression, .memory_bytes = limits_.parquet_bytes},
        types);
  }

  Status close_parquet(const TaskSink& sink, sink::ParquetWriter& writer) {
    TG_ASSIGN(const sink::ParquetSummary summary, writer.finish());
    report_.rows_out = summary.rows;
    report_.bytes_written += summary.bytes;
    report_.files.push_back({sink.file, summary.bytes, summary.rows, summary.xxh3});
    digests_.push_back(summary.xxh3);
    return {};
  }

  /// What our writer does not know, nested values above all.
  Status copy_parquet(const TaskSink& sink, const std::string& path, const sql::Schema& schema) {
    TG_ASSIGN(const std::string rows,
              connection_->execute_in_steps(
                  fmt::format("COPY ({}) TO {} (FORMAT parquet, COMPRESSION {})",
                              sql::parquet_select(last_, schema), quote_literal(path),
                              sink.compression == "none" ? "uncompressed" : sink.compression),
                  [&] { meter_.tick(); }));
    TG_ASSIGN(const FileHash hash, hash_file(effects_, path));
    report_.rows_out = rows.empty() ? 0 : std::stoull(rows);
    report_.bytes_written += hash.bytes;
    report_.files.push_back({sink.file, hash.bytes, report_.rows_out, hash.xxh3});
    digests_.push_back(hash.xxh3);
    return {};
  }

  /// Files must still be those that were planned with; bad rows are counted.
  Status check_inputs() {
    for (const TaskInput& input : spec_.inputs) {
      if (!input.scan) continue;
      for (const InputFile& file : input.scan->snapshot.files)
        TG_TRY(verify_unchanged(effects_, file));
      if (input.scan->count_rejects) TG_TRY(count_rejects(input));
    }
    return {};
  }

  Status count_rejects(const TaskInput& input) {
    TG_ASSIGN(const Rejects rejects,
              read_rejects(effects_, *connection_, input.scan->snapshot, input.scan->partition));
    // Only the scan knows how many rows there were; it is read once more for the share. The hash
    // has every value converted, else rows with a bad value count as good ones too.
    TG_ASSIGN(const sql::Table good,
              connection_->query("SELECT count(*), bit_xor(hash(*COLUMNS(*))) FROM " +
                                 quote_identifier(input.name)));
    TaskSourceCount& count = report_.sources.emplace_back();
    count.source = input.scan->snapshot.source;
    count.set_aside = rejects.rows;
    count.rows = rejects.rows + std::stoull(good.scalar());
    for (const RejectedRow& row : rejects.first)
      count.samples.push_back(fmt::format(
          R"({{"file":{},"line":{},"column":{},"reason":{},"raw":{}}})", quote_json(row.file),
          row.line, quote_json(row.column), quote_json(row.reason), quote_json(row.raw)));
    return {};
  }

  Effects& effects_;
  const TaskSpec& spec_;
  MemoryShares limits_;
  std::string directory_;
  Meter meter_;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<sql::Connection> connection_;
  std::string last_;
  sql::Schema schema_;
  bool own_bound_ = false;
  std::unique_ptr<SortedRows> sorted_;  ///< the last step's rows, if our Parquet writer takes them
  std::vector<std::string> digests_;
  std::vector<std::shared_ptr<reduce::KernelCounts>> kernel_counts_;
  std::vector<RegisteredKernel> kernels_;
  std::vector<RegisteredJoin> joins_;
  TaskReport report_;
};

Status run_parts(Run& run, const TaskSpec& spec) {
  TG_TRY(run.prepare());
  if (spec.verify) {
    TG_TRY(run.run_verify());
  } else {
    Status status = run.bind();
    if (status) status = run.run_stage();
    if (!status) return std::unexpected(run.explain(status.error()));
  }
  return run.close();
}

}  // namespace

Result<TaskReport> run_task(Effects& effects, const TaskSpec& spec,
                            const std::function<void(const TaskProgress&)>& progress) {
  TG_ASSIGN(const StateDir state, StateDir::open(effects, spec.state_dir, StateDir::Mode::kWrite));
  TG_ASSIGN(Attempt attempt, Attempt::begin(effects, state, spec.identity, spec.attempt));
  TaskReport report;
  Status status;
  {
    Run run(effects, spec, progress, attempt.directory());
    status = run_parts(run, spec);
    if (status) report = run.take_report();
  }
  if (!status) {
    (void)attempt.drop();
    return std::unexpected(of_task(status.error(), spec));
  }
  if (spec.verify) {
    TG_TRY(attempt.drop());
    return report;
  }
  std::vector<ResultFile> files;
  for (const TaskOutputFile& file : report.files)
    files.push_back({file.name, file.rows, file.bytes, file.xxh3});
  TG_ASSIGN(const StoredResult stored,
            attempt.seal(std::move(files), report.rows_out, to_json(report)));
  (void)stored;
  return report;
}

}  // namespace tidegate
