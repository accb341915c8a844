#include "task/parts.h"

#include <fmt/format.h>

#include <numeric>

#include "base/text.h"
#include "batch/row_hash.h"
#include "shuffle/bucket_scan.h"
#include "shuffle/row_hasher.h"
#include "task/run.h"

namespace tidegate {
namespace {

constexpr const char* kDirectory = "parts";
constexpr const char* kRowsFile = "rows.tgm";
/// Sets the bits that parts are chosen by apart from those of buckets and of a kernel's splits.
constexpr uint64_t kSalt = 0x5851'f42d'4c95'7f2dULL;

/// An input's rows in parts.
struct Split {
  MapOutputRef file;
  std::vector<uint64_t> rows, bytes;  ///< by part
};

class Parts {
 public:
  Parts(Effects& effects, const TaskSpec& spec,
        const std::function<void(const TaskProgress&)>& progress, const std::string& directory)
      : effects_(effects),
        spec_(spec),
        progress_(progress),
        directory_(directory),
        spill_(path_join(directory, kDirectory)),
        start_us_(effects.monotonic_us()) {}

  Result<TaskReport> run() {
    TG_TRY(effects_.mkdir(spill_));
    TG_TRY(split_inputs());
    bool ran = false;
    for (uint32_t part = 0; part < spec_.parts; ++part) {
      // Without rows there is no result, but one part must say what columns it has.
      if (rows_of(part) == 0 && (ran || part + 1 < spec_.parts)) continue;
      TG_TRY(run_part(part, !ran));
      ran = true;
    }
    return gather();
  }

 private:
  Status split_inputs() {
    TG_ASSIGN(const auto database, sql::Database::open({}));
    TG_ASSIGN(const auto connection, database->connect());
    splits_.resize(spec_.inputs.size());
    for (size_t i = 0; i < spec_.inputs.size(); ++i) {
      if (spec_.inputs[i].split_keys.empty()) continue;
      TG_TRY(split_input(*connection, spec_.inputs[i], path_join(spill_, fmt::format("{}.tgm", i)),
                         splits_[i]));
    }
    return {};
  }

  Status split_input(sql::Connection& connection, const TaskInput& input, const std::string& path,
                     Split& split) {
    const MemoryShares shares = split_memory(part_spec());
    shuffle::BucketTable table;
    table.effects = &effects_;
    table.schema = input.schema;
    TG_ASSIGN(table.types, batch::column_types(connection, input.schema));
    table.files = input.map_outputs;
    table.bucket_begin = input.bucket_begin;
    table.bucket_end = input.bucket_end;
    table.memory_bytes = shares.scan_bytes;
    TG_ASSIGN(const auto hasher, shuffle::RowHasher::create(table.types, input.split_keys));
    MapOutputOptions options{.schema = input.schema,
                             .keys = input.split_keys,
                             .buckets = spec_.parts,
                             .attempt = spec_.attempt,
                             .memory_bytes = shares.writer_bytes};
    TG_ASSIGN(const auto writer, MapOutputWriter::create(effects_, path, std::move(options)));
    std::vector<uint32_t> columns(table.schema.size());
    std::iota(columns.begin(), columns.end(), 0U);
    shuffle::BucketScan scan(table, std::move(columns));
    std::vector<batch::ColumnView> views, keys;
    std::vector<uint64_t> hashes;
    std::vector<uint32_t> parts;
    while (true) {
      TG_ASSIGN(const uint32_t rows, scan.next(views));
      if (rows == 0) break;
      keys.clear();
      for (const HashKey& key : input.split_keys) keys.push_back(views[key.column]);
      hashes.resize(rows);
      parts.resize(rows);
      TG_TRY(hasher.hash(keys.data(), rows, hashes.data()));
      for (uint32_t row = 0; row < rows; ++row)
        parts[row] = batch::bucket_of(batch::mix64(hashes[row] ^ kSalt), spec_.parts);
      TG_TRY(writer->append_to(table.types, {views.data(), rows}, parts.data()));
    }
    TG_ASSIGN(MapOutputSummary summary, writer->finish());
    total_.bytes_spilled += summary.bytes;
    split = {
        {path, spec_.attempt}, std::move(summary.bucket_rows), std::move(summary.bucket_bytes)};
    return {};
  }

  uint64_t rows_of(uint32_t part) const {
    uint64_t rows = 0;
    for (const Split& split : splits_)
      if (!split.rows.empty()) rows += split.rows[part];
    return rows;
  }

  /// The task as one part runs it: its rows go to a file.
  TaskSpec part_spec() const {
    TaskSpec spec = spec_;
    spec.parts = 1;
    spec.combine.reset();
    spec.sinks.assign(1, {.kind = TaskSink::Kind::kMapOutput, .file = kRowsFile});
    return spec;
  }

  Status run_part(uint32_t part, bool first) {
    TaskSpec spec = part_spec();
    uint64_t rows = 0, bytes = 0;
    for (size_t i = 0; i < spec.inputs.size(); ++i) {
      const Split& split = splits_[i];
      if (split.rows.empty()) continue;
      TaskInput& input = spec.inputs[i];
      input.map_outputs = {split.file};
      input.bucket_begin = part;
      input.bucket_end = part + 1;
      rows += split.rows[part];
      bytes += split.bytes[part];
    }
    const std::string directory = path_join(spill_, fmt::format("part-{}", part));
    TG_TRY(effects_.mkdir(directory));
    TaskReport report;
    {
      TaskRun run(effects_, spec, progress_, directory);
      TG_TRY(run_attempt(run, spec));
      schema_ = run.schema();
      report = run.take_report();
    }
    total_.rows_in += first ? report.rows_in : rows;
    total_.bytes_read += first ? report.bytes_read : bytes;
    total_.bytes_spilled += report.bytes_spilled + report.bytes_shuffled;
    total_.splits += report.splits;
    // What is not split is read by every part, and counted once.
    if (first) {
      total_.sources = std::move(report.sources);
      for (const TaskSourceCount& count : total_.sources)
        if (!count.table.empty())
          TG_TRY(effects_.rename(path_join(directory, count.table),
                                 path_join(directory_, count.table)));
    }
    made_.push_back({path_join(directory, kRowsFile), spec_.attempt});
    return {};
  }

  /// The rows of all parts, to where the task's rows go.
  Result<TaskReport> gather() {
    TaskSpec spec = spec_;
    spec.parts = 1;
    TaskInput rows;
    rows.name = spec_.steps.back().name;
    rows.schema = schema_;
    rows.map_outputs = made_;
    spec.inputs = {std::move(rows)};
    spec.steps.clear();
    TaskReport report;
    {
      TaskRun run(effects_, spec, progress_, directory_);
      TG_TRY(run_attempt(run, spec));
      report = run.take_report();
    }
    TG_TRY(remove_tree(effects_, spill_));
    report.rows_in = total_.rows_in;
    report.bytes_read = total_.bytes_read;
    report.bytes_spilled += total_.bytes_spilled;
    report.splits += total_.splits + 1;
    report.sources = std::move(total_.sources);
    report.us = effects_.monotonic_us() - start_us_;
    return report;
  }

  Effects& effects_;
  const TaskSpec& spec_;
  const std::function<void(const TaskProgress&)>& progress_;
  std::string directory_;
  std::string spill_;
  int64_t start_us_;
  std::vector<Split> splits_;  ///< by input; without rows: it is not split
  std::vector<MapOutputRef> made_;
  sql::Schema schema_;
  TaskReport total_;
};

}  // namespace

Result<TaskReport> run_in_parts(Effects& effects, const TaskSpec& spec,
                                const std::function<void(const TaskProgress&)>& progress,
                                const std::string& directory) {
  TG_ASSERT(!spec.steps.empty());
  return Parts(effects, spec, progress, directory).run();
}

}  // namespace tidegate
