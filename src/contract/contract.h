#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contract/diagnostic.h"

namespace tidegate {

/// The least `memory` of a task: a worker with DuckDB loaded holds half of it before its first row.
inline constexpr uint64_t kMemoryBytesMin = uint64_t{128} << 20;

/// SQL as written in the pipeline file. `offsets[i]` is the file offset of SQL byte i (one more
/// entry for the end), so that a position in block scalars and quoted scalars maps back exactly.
struct SqlText {
  std::string text;
  std::vector<uint32_t> offsets;
  Span span;
  /// File span of SQL bytes [begin, end); clamped.
  Span map(size_t begin, size_t end) const;
};

enum class FileFormat : uint8_t { kParquet, kCsv, kJson };
std::string_view to_string(FileFormat format);

/// `arrives: {every: 1d, path: "day={date}", from: 2001-01-01, to: 2001-06-30}`: one partition is
/// expected for each period; its files' paths contain the rendered template.
struct Arrives {
  Spanned<int64_t> every_us;
  Spanned<std::string> path;  ///< with {date} {year} {month} {day} {hour}
  std::optional<Spanned<int64_t>> from_us;
  std::optional<Spanned<int64_t>> to_us;  ///< last period expected; absent: until now
  Span span;
};

/// `manifest: FILE`: a JSON file by the producer: {"files":[{"path","rows","xxh3"|"sha256"?}],
/// "complete_to"?: TIMESTAMP}. Path relative to the pipeline file.
struct SourceManifest {
  Spanned<std::string> path;
};

enum class OnEmpty : uint8_t { kFail, kWarn, kAllow };
enum class InputIdentity : uint8_t { kStat, kContent };

struct Source {
  Spanned<std::string> name;
  std::vector<Spanned<std::string>> files;  ///< globs as written, relative to the pipeline file
  FileFormat format = FileFormat::kParquet;
  bool format_given = false;                        ///< else from the file names' endings
  std::optional<Spanned<std::string>> from_output;  ///< `output: NAME` of this state directory
  /// Reader options (csv: delim, header, quote, escape, nullstr, dateformat, timestampformat,
  /// encoding, skip, max_line_size, columns; json: format, columns): name -> SQL literal text.
  std::vector<std::pair<Spanned<std::string>, Spanned<std::string>>> options;
  /// Declared columns (name, DuckDB type): required for csv/json quarantine, checked for parquet.
  std::vector<std::pair<Spanned<std::string>, Spanned<std::string>>> columns;
  std::optional<Spanned<std::string>> event_time;
  std::optional<Arrives> arrives;
  std::optional<SourceManifest> manifest;
  InputIdentity identity = InputIdentity::kStat;
  OnEmpty on_empty = OnEmpty::kFail;
  bool union_by_name = false;                        ///< `options: {union_by_name: true}`
  std::optional<Spanned<uint64_t>> partition_bytes;  ///< `partition: 128MiB`, default 128 MiB
  /// `retry: {data: {quarantine: 1%}}`: bad CSV/JSON rows, or Parquet files that cannot be read,
  /// are set aside up to this share of the source's rows, or files.
  std::optional<Spanned<double>> quarantine_share;
  Span span;
};

/// Retry limits by class. Only transient and lost are honoured here.
struct Retry {
  uint32_t transient_max = 5;
  uint32_t timeout_max = 1;
  uint32_t lost_max = 3;
  bool splits_memory = true;  ///< what crosses its bound runs again in parts, then in a larger one
  bool operator==(const Retry&) const = default;
};

/// Column names of one input that its rows are hashed by, in key order.
struct KeysOf {
  Spanned<std::string> input;
  std::vector<Spanned<std::string>> columns;
};

/// `partition_by`: absent (a map stage), `all` (one bucket), a list of columns common to all
/// exchanged inputs, or a map input -> columns.
struct PartitionBy {
  bool all = false;
  std::vector<Spanned<std::string>> columns;  ///< common form; empty if per_input or all
  std::vector<KeysOf> per_input;
  Span span;
};

/// A column that a stage's result is sorted by. NULLs come last unless said otherwise, as in
/// DuckDB.
struct SortKey {
  Spanned<std::string> column;
  bool descending = false;
  bool nulls_first = false;
};

/// `sort_by: [a, {b: desc}, {c: desc nulls first}]`
struct SortBy {
  std::vector<SortKey> keys;
  Span span;
};

struct Stage {
  Spanned<std::string> name;
  SqlText sql;
  std::optional<PartitionBy> partition_by;
  std::optional<SortBy> sort_by;                ///< ranges of these columns, each sorted
  std::vector<Spanned<std::string>> broadcast;  ///< inputs that every task reads whole
  std::optional<Spanned<uint64_t>> memory_bytes;
  std::optional<Spanned<uint32_t>> buckets;  ///< else chosen by the planner
  std::optional<Retry> retry;
  std::optional<Spanned<int64_t>> timeout_us;
  OnEmpty on_empty = OnEmpty::kAllow;
  std::optional<bool> splits_skew;  ///< `skew`: split, or fail
  Span span;
};

struct Freshness {
  std::optional<Spanned<int64_t>> max_age_us;
  std::optional<Spanned<int64_t>> through_us;   ///< exclusive end: a date means its whole day
  std::optional<Spanned<double>> completeness;  ///< 0..1
  Span span;
};

enum class CheckKind : uint8_t {
  kUnique,
  kNotNull,
  kRows,
  kAccepted,
  kRange,
  kRegex,
  kReferences,
  kExpect,
  kSchema
};
std::string_view to_string(CheckKind kind);

/// One promise about an output's rows. Which fields count depends on `kind`.
struct Check {
  CheckKind kind = CheckKind::kExpect;
  Spanned<std::string> name;  ///< given by `name:`, else e.g. "unique(carrier, origin)"
  std::vector<Spanned<std::string>>
      columns;  ///< unique, not_null, accepted, range, regex, references
  std::optional<Spanned<uint64_t>> rows_min, rows_max;  ///< rows
  std::optional<Spanned<double>> rows_change;           ///< rows: share against the last generation
  std::vector<Spanned<std::string>> accepted;           ///< SQL literal texts
  std::optional<Spanned<std::string>> range_min, range_max;  ///< SQL literal texts, inclusive
  std::optional<Spanned<std::string>> regex;
  Spanned<std::string> references_to;  ///< source or output name
  std::vector<Spanned<std::string>> references_columns;
  SqlText expect;
  std::vector<std::pair<Spanned<std::string>, Spanned<std::string>>> schema;  ///< name, type
  bool evolution_add = false;                ///< schema: further columns are allowed
  bool is_error = true;                      ///< severity
  std::optional<Spanned<double>> tolerance;  ///< share of rows that may break it
  Span span;
};

/// `rollback: {when: check_failed_after_publish, to: previous, mode: automatic}`: when the standing
/// generation gives way to the one before it.
struct RollbackRule {
  bool on_check_failed = false;  ///< a check fails over the rows that stand
  bool on_untrusted = false;     ///< `{verdict: UNTRUSTED}`, by what an earlier generation may mend
  bool automatic = true;         ///< else it is only said
  Span span;
};

/// One item of `notify`: a command or a webhook, never both.
struct NotifyTarget {
  std::vector<Spanned<std::string>> command;    ///< program and arguments, no shell
  std::optional<Spanned<std::string>> webhook;  ///< URL; may hold secret references
  Span span;
};
inline constexpr size_t kNotifyTargetsMax = 8;
inline constexpr size_t kNotifyArgumentsMax = 64;

/// Columns in `by` of a publish target.
inline constexpr size_t kPublishByMax = 8;

struct Output {
  Spanned<std::string> name;
  Spanned<std::string> from;  ///< a stage
  std::string description;
  std::optional<Freshness> freshness;
  std::vector<Check> checks;
  Spanned<std::string> parquet_path;  ///< directory, as written, relative to the pipeline file
  std::string compression = "zstd";   ///< zstd, snappy, none
  std::vector<Spanned<std::string>> publish_by;  ///< one file for each value of these columns
  uint32_t keep = 2;                             ///< old generations that stay
  OnEmpty on_empty = OnEmpty::kAllow;
  std::optional<RollbackRule> rollback;
  Span span;
};

/// A parsed pipeline file: names resolved, types of fields right, SQL not looked at yet.
struct Pipeline {
  std::shared_ptr<const SourceText> text;
  std::string directory;  ///< absolute, of the pipeline file; paths are relative to it
  Spanned<std::string> name;
  std::string owner;
  uint64_t memory_bytes = uint64_t{512} << 20;  ///< defaults.memory
  Retry retry;
  double retry_share = 0.1;  ///< defaults.retry.budget: of a run's tasks
  /// defaults.retry.data: for each source that says nothing itself and of which something can be
  /// set aside.
  std::optional<Spanned<double>> quarantine_share;
  bool splits_skew = false;     ///< defaults.skew
  std::vector<Source> sources;  ///< in file order
  std::vector<Stage> stages;    ///< in file order
  std::vector<Output> outputs;  ///< in file order
  bool publish_together = false;
  std::vector<NotifyTarget> notify;  ///< who is told of incidents

  const Source* source(std::string_view name) const;
  const Stage* stage(std::string_view name) const;
  const Output* output(std::string_view name) const;
};

/// Names must match [A-Za-z_][A-Za-z0-9_]{0,62}.
bool is_valid_name(std::string_view name);

/// Parses a pipeline file's text. All mistakes go to `diagnostics`; the value is usable for further
/// checks as far as it goes even when there are errors. `path` is shown in messages; `directory` is
/// absolute. `${env:NAME}` and `${file:PATH}` are allowed in reader options and webhooks only and
/// are kept as written here (resolved at use, never stored).
Pipeline parse_pipeline(const std::string& path, const std::string& directory, std::string text,
                        Diagnostics& diagnostics);

}  // namespace tidegate
