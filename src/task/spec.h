#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/records.h"
#include "reduce/join.h"
#include "reduce/spec.h"
#include "shuffle/shuffle.h"
#include "sort/sort_key.h"
#include "source/rejects.h"
#include "source/snapshot.h"
#include "sql/sql.h"

namespace tidegate {

/// What a task reads of a source. Options hold secrets as written (`${env:NAME}`): the worker
/// resolves them.
struct TaskScan {
  SourceSnapshot snapshot;           ///< with the files of the partition only
  Partition partition;               ///< of these files
  std::vector<std::string> columns;  ///< empty: all
  bool count_rejects = false;        ///< what is bad is set aside: count and name it
  /// In the worker alone: files of the partition that it found broken and reads no more.
  Rejects lost = {};
};

/// One relation that a task's SQL sees, under `name`.
struct TaskInput {
  std::string name;
  sql::Schema schema;
  std::optional<TaskScan> scan;
  /// Else buckets of finished results; no files means an empty relation.
  std::vector<MapOutputRef> map_outputs;
  uint32_t bucket_begin = 0;
  uint32_t bucket_end = 1;
  /// What its rows may be parted by; empty: every part of the task reads all of them.
  std::vector<HashKey> split_keys = {};
};

/// Sorts the rows of the input of that name: what a step does in place of its SQL.
struct TaskSort {
  std::string input;
  sort::SortOrder order;
};

/// A stage that runs inside the task, as a view over the inputs and the steps before it.
struct TaskStep {
  std::string name;
  std::string sql;
  /// What `sql`, or the kernel's, reads as this join's relations.
  std::optional<reduce::JoinSpec> join = {};
  /// Runs in place of `sql` where the held side fits and no two of its rows share a key.
  std::optional<reduce::JoinLookup> lookup = {};
  /// Runs the stage in place of its SQL.
  std::optional<reduce::StageKernel> kernel = {};
  /// The input called kernel.input_table already has the rows of kernel.input_sql: the tasks that
  /// made them ran it.
  bool kernel_rows_made = false;
  std::optional<TaskSort> sort = {};
};

/// Where the rows of the last step go.
struct TaskSink {
  enum class Kind : uint8_t {
    kMapOutput,
    kParquet,
    kRanges,  ///< a map output whose buckets are ranges of the rows' order
    kSample,  ///< some of the rows' keys
  };
  Kind kind = Kind::kMapOutput;
  std::string file;           ///< name within the attempt directory
  std::vector<HashKey> keys;  ///< map output: empty keys mean one bucket
  uint32_t buckets = 1;
  std::string compression = "zstd";  ///< parquet
  /// parquet: a file for each value of these columns of the task's one input, which lies in buckets
  /// of them; the task has no steps.
  std::vector<uint32_t> by = {};
  /// map output: the report says what each bucket holds, for readers that are named by it.
  bool names_buckets = false;
  sort::SortOrder order = {};  ///< kRanges, kSample
  std::string samples = {};    ///< kRanges: the input whose samples say where ranges end
  uint32_t sample_rows = 0;    ///< kSample: at most
};

/// Checks over staged files, run in a worker like any task, under the same bound.
struct VerifyWork {
  std::string output;
  std::string pipeline_text;  ///< the contract, parsed again by the worker
  std::string pipeline_path;
  std::vector<std::string> files;  ///< staged Parquet parts, absolute
  sql::Schema schema;
  std::optional<uint64_t> rows_before;
  /// What `references` may name: scans of sources, and Parquet parts of other outputs.
  std::vector<std::pair<std::string, TaskScan>> sources;
  std::vector<std::pair<std::string, std::vector<std::string>>> outputs;
};

/// All that a worker needs for one attempt of one task.
struct TaskSpec {
  std::string identity;
  std::string attempt;
  std::string label;  ///< "route_delay, bucket 3 of 8"
  std::string stage;
  int64_t partition = 0;
  uint64_t memory_bytes = 0;  ///< hard bound of the process
  int64_t run_time_us = 0;
  std::string state_dir;
  std::vector<TaskInput> inputs;
  std::vector<TaskStep> steps;
  /// Aggregates the last step's rows before they go into map outputs.
  std::optional<reduce::KernelSpec> combine;
  uint64_t combine_bytes = 0;   ///< bound of the table that does it
  bool combine_in_sql = false;  ///< DuckDB does it (reduce/combine_sql.h)
  std::vector<TaskSink> sinks;
  bool splits_skew = false;  ///< `skew: split`
  /// More than 1: the inputs' rows are parted by their keys, and the steps run over part after
  /// part.
  uint32_t parts = 1;
  std::optional<VerifyWork> verify;
};

struct TaskOutputFile {
  std::string name;
  uint64_t bytes = 0;
  uint64_t rows = 0;
  std::string xxh3;          ///< of the whole file (parquet), of the footer (map output)
  std::string label = {};    ///< parquet `by` values: which, as in the name that is published
  std::string buckets = {};  ///< map output that names buckets: kBucketNameDigits digits for each
};
/// Digits of a bucket's content digest in `buckets`; zeros: it has no rows.
inline constexpr size_t kBucketNameDigits = 16;

/// What a task counted of a source that sets bad rows aside.
struct TaskSourceCount {
  std::string source;
  uint64_t rows = 0;  ///< good and bad together
  uint64_t set_aside = 0;
  std::vector<std::string> samples;  ///< JSON objects {file,line,column,reason,raw}
  /// How many of each input file that has any, by the file's name.
  std::vector<std::pair<std::string, uint64_t>> files = {};
  std::string table = {};   ///< the file of the result that has the rows (task/set_aside.h), or ""
  uint64_t table_rows = 0;  ///< how many of them
};

/// What a finished attempt says of itself: stands in result.json and in task_finished.
struct TaskReport {
  uint64_t rows_in = 0;
  uint64_t rows_out = 0;
  uint64_t bytes_read = 0;
  uint64_t bytes_shuffled = 0;
  uint64_t bytes_spilled = 0;
  uint64_t bytes_written = 0;
  uint64_t splits = 0;                         ///< buckets that did not fit and were split again
  uint64_t combined_in = 0, combined_out = 0;  ///< rows before and after `combine`
  int64_t us = 0;
  uint64_t peak_rss = 0;
  std::string digest;  ///< of the content, not of the attempt
  std::vector<TaskOutputFile> files;
  std::vector<TaskSourceCount> sources;  ///< that set bad rows aside
  std::vector<CheckOutcome> checks;      ///< of a verify task
};

/// What helps a task that crosses its bound, for a person.
std::string way_out_of_memory(const TaskSpec& spec);

std::string to_json(const TaskSpec& spec);
Result<TaskSpec> task_spec_from_json(const std::string& json);
std::string to_json(const TaskReport& report);
Result<TaskReport> task_report_from_json(const std::string& json);
std::string to_json(const Failure& failure);
Result<Failure> failure_from_json(const std::string& json);

}  // namespace tidegate
