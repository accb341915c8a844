#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "reduce/join_table.h"
#include "reduce/kernel_table.h"
#include "sink/parquet_writer.h"
#include "sql/sql.h"
#include "task/limits.h"
#include "task/reads.h"
#include "task/sorted_rows.h"
#include "task/spec.h"
#include "task/task.h"

// Internal to task.cc and run_*.cc.
namespace tidegate {

/// Below an attempt's directory: what does not fit in memory.
inline constexpr const char* kSpillDirectory = "duckdb";
inline constexpr int64_t kProgressEveryUs = 200'000;

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

struct RegisteredKernel {
  std::string name, function;
};

struct RegisteredJoin {
  JoinHalf left, right;
  bool under_kernel = false;  ///< a kernel's SELECT is what reads it
  std::shared_ptr<reduce::JoinCounts> counts = {};
};

/// One attempt while it runs.
class TaskRun {
 public:
  TaskRun(Effects& effects, const TaskSpec& spec,
          const std::function<void(const TaskProgress&)>& progress, std::string directory,
          std::unique_ptr<sql::Database> opened = nullptr)
      : effects_(effects),
        spec_(spec),
        limits_(split_memory(spec)),
        directory_(std::move(directory)),
        meter_(effects, progress, path_join(directory_, kSpillDirectory)),
        database_(std::move(opened)) {}

  Status prepare();
  /// Compressed files that it reads have to be whole.
  Status check_packed_inputs();
  Status bind();
  /// What a statement over a scan failed with, as a row of a file where it is one.
  Failure explain(const Failure& raw);
  Status run_stage();
  Status run_verify();
  Status find_bad_reference(const Output& output);
  /// Closes DuckDB and removes what it spilled, so that only the result's files are left.
  Status close();
  TaskReport take_report();
  /// Of the rows that went to map outputs.
  const sql::Schema& schema() const { return schema_; }

 private:
  // run_inputs.cc
  Status bind_input(const TaskInput& input);
  /// Runs a stage's kernel over the buckets it was given, or over what its SQL makes of the inputs.
  Status bind_kernel(const TaskStep& step);
  /// Makes the relations of a stage's join; its kernel, if it has one, reads them.
  Status bind_join(const TaskStep& step);
  /// Makes the relation of a step whose join's other side is held; false: it cannot be.
  Result<bool> bind_lookup(const TaskStep& step);
  /// The halves of a join are read once at a time and side by side, or else kept.
  Status keep_join_rows(const RegisteredJoin& join, const Scans& scans);
  /// A kernel gives its rows once: where what comes after it scans them more often, they are kept.
  Status keep_rows_read_twice(uint64_t passes);
  /// Sorts an input's rows. What follows reads them as a table, but for our Parquet writer, which
  /// takes them as they come.
  Status bind_sorted(const TaskStep& step);
  std::vector<MapOutputRef> samples_of(const TaskSink& sink) const;

  // run_outputs.cc
  std::string select_keys(TaskSink& sample) const;
  Status write_map_outputs(std::vector<const TaskSink*> sinks);
  /// The stage ran once, for the shuffle: what is published is read back from that.
  Status bind_own_result(const TaskSink& sink);
  Status write_values(const TaskSink& sink);
  Status write_parquet(const TaskSink& sink);
  Status stream_parquet(const TaskSink& sink, const std::string& path, const sql::Schema& schema);
  Status store_sorted(const TaskSink& sink, const std::string& path);
  Result<std::unique_ptr<sink::ParquetWriter>> open_parquet(
      const TaskSink& sink, const std::string& path, const sql::Schema& schema,
      const std::vector<batch::ColumnType>& types);
  Status close_parquet(const TaskSink& sink, sink::ParquetWriter& writer);
  /// What our writer does not know, nested values above all.
  Status copy_parquet(const TaskSink& sink, const std::string& path, const sql::Schema& schema);

  // task.cc
  /// Files must still be those that were planned with; bad rows are counted.
  Status check_inputs();
  Status count_rejects(const TaskInput& input);

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
  uint64_t tables_not_held_ = 0;
  TaskReport report_;
};

/// All of a task but parts, from opening DuckDB to closing it.
Status run_attempt(TaskRun& run, const TaskSpec& spec);

}  // namespace tidegate
