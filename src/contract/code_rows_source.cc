#include "contract/code_rows.h"

namespace tidegate {
namespace {

constexpr CodeInfo kSource[] = {
    {codes::kNoFiles, "no-files", "no file matches",
     "The pattern is relative to the pipeline file's directory. `on_empty: allow` lets a source "
     "be\n"
     "empty.",
     "files: dat/*.parquet", "files: data/*.parquet"},
    {codes::kFileUnreadable, "file-unreadable", "a file that cannot be read",
     "The system refuses to open it; the message says why.", "", ""},
    {codes::kFileIsDirectory, "file-is-directory", "a directory where files belong",
     "Name the files in it.", "files: data/flights", "files: data/flights/*.parquet"},
    {codes::kFileEmpty, "file-empty", "a file of zero bytes",
     "Not even a header is in it: its producer may have been interrupted.", "", ""},
    {codes::kNoRows, "no-rows", "a source without rows",
     "All files were read and have no rows. `on_empty` says whether that is a failure, a warning "
     "or\n"
     "fine.",
     "", "on_empty: allow"},
    {codes::kNotThisFormat, "not-this-format", "a file that is not of the declared format",
     "Its first or last bytes are not those of the format.", "", "format: csv"},
    {codes::kFileTruncated, "file-truncated", "a file that ends too early",
     "Its end is missing: the producer was interrupted, or it is still being written.", "", ""},
    {codes::kColumnMissingInFile, "column-missing-in-file",
     "a file without a column that the others have",
     "Files of one source have the same columns. With `options: {union_by_name: true}` a missing\n"
     "column is NULL.",
     "", "options: {union_by_name: true}"},
    {codes::kColumnsReordered, "columns-reordered", "a file whose columns stand in another order",
     "By place they would be taken for each other. `options: {union_by_name: true}` goes by name.",
     "", "options: {union_by_name: true}"},
    {codes::kColumnTypeDiffers, "column-type-differs",
     "a column of different types in different files",
     "A silent cast may lose digits. Make two sources and cast in a stage.", "", ""},
    {codes::kUnknownFormat, "unknown-format", "a file name that does not tell its format",
     "Known endings: .parquet .pq, .csv .tsv, .json .jsonl .ndjson, each also with .gz or .zst.",
     "files: data/*", "files: data/*\nformat: csv"},
    {codes::kMixedFormats, "mixed-formats", "files of different formats in one source",
     "Make one source for each format and UNION ALL them in a stage.", "files: [a.csv, b.parquet]",
     "files: [b.parquet]"},
    {codes::kUnknownOption, "unknown-option", "a reader option that the format does not have",
     "Options that would hide bad rows (ignore_errors) are refused: rows are set aside in the "
     "open,\n"
     "by `retry: {data: {quarantine: 1%}}`.",
     "options: {delimiter: \";\"}", "options: {delim: \";\"}"},
    {codes::kBadOption, "bad-option", "a reader option with a value that the reader refuses",
     "The message is the reader's.", "options: {quote: \"ab\"}", "options: {quote: \"'\"}"},
    {codes::kBadCsvRow, "bad-csv-row", "a CSV row that cannot be read",
     "Too many or too few fields, a quote that is not closed, or a value that is not of its "
     "column's\n"
     "type. The message names file and line.",
     "", "retry: {data: {quarantine: 1%}}"},
    {codes::kBadEncoding, "bad-encoding", "bytes that are not of the declared encoding",
     "CSV and JSON are UTF-8 unless `options: {encoding: ...}` says otherwise.", "",
     "options: {encoding: latin-1}"},
    {codes::kBadJsonRow, "bad-json-row", "a JSON value that cannot be read",
     "The message names file and line.", "", "retry: {data: {quarantine: 1%}}"},
    {codes::kValueTooLarge, "value-too-large", "a value larger than a task may hold",
     "A single value has to fit into the task's memory several times.", "", "memory: 2GiB"},
    {codes::kQuarantineFormat, "quarantine-format", "quarantine where nothing can be set aside",
     "What an output published is read whole or not at all, and of JSON only newline-delimited "
     "rows\n"
     "with ISO dates can be told apart.",
     "output: weather\nretry: {data: {quarantine: 1%}}", "output: weather"},
    {codes::kQuarantineColumns, "quarantine-columns", "quarantine without declared columns",
     "If types were guessed from the rows, no row could be bad. Declare the columns.",
     "files: x.csv\nretry: {data: {quarantine: 1%}}",
     "files: x.csv\ncolumns: {id: BIGINT, name: VARCHAR}\nretry: {data: {quarantine: 1%}}"},
    {codes::kQuarantineExceeded, "quarantine-exceeded", "more bad rows than the contract allows",
     "The output is refused and the old generation stands. `tidegate quarantine list` shows what "
     "was\n"
     "set aside; mend it, or accept the loss by `tidegate quarantine drop`.",
     "", ""},
    {codes::kEventTimeColumn, "event-time-column", "`event_time` names no column of the source",
     "It is the column that says when a row's event happened.", "event_time: time_hor",
     "event_time: time_hour"},
    {codes::kEventTimeType, "event-time-type", "`event_time` is not a date or a time",
     "It must be DATE, TIMESTAMP or TIMESTAMP WITH TIME ZONE.", "event_time: origin",
     "event_time: time_hour"},
    {codes::kDeclaredColumn, "declared-column", "declared columns and the files disagree",
     "A declared column is not there, or is of another type.", "columns: {delay: VARCHAR}",
     "columns: {delay: BIGINT}"},
    {codes::kManifestMissing, "manifest-missing", "the manifest is not there",
     "The producer writes it when it has delivered. Until then nothing is known to be complete.",
     "", ""},
    {codes::kManifestInvalid, "manifest-invalid", "the manifest cannot be understood",
     "It is JSON: {\"files\": [{\"path\", \"rows\", \"xxh3\" or \"sha256\"}], \"complete_to\": "
     "TIME}.\n"
     "Paths are relative to the manifest.",
     R"({"files": ["a.parquet"]})", R"({"files": [{"path": "a.parquet", "rows": 100}]})"},
    {codes::kManifestFile, "manifest-file", "a file of the manifest is not there",
     "The producer says that it delivered the file; it counts as missing.", "", ""},
    {codes::kManifestMismatch, "manifest-mismatch", "a file is not what its manifest says",
     "Rows or checksum differ: the file was changed, cut off or exchanged after delivery.", "", ""},
    {codes::kArrivesNoMatch, "arrives-no-match", "no file fits the path of `arrives` (warning)",
     "No path of the source holds the template for any expected period, so every period would "
     "count\n"
     "as missing. The template may be misspelled.",
     "files: data/dt=2001-06-30/x.parquet\narrives: {every: 1d, path: \"day={date}\"}",
     "arrives: {every: 1d, path: \"dt={date}\"}"},
    {codes::kUnknownUpstream, "unknown-upstream", "an output that was never published",
     "`output: NAME` reads what another pipeline published in the same state directory.",
     "output: route_dely", "output: route_delay"},
    {codes::kOwnOutput, "own-output", "a source that reads an output of its own pipeline",
     "Each run would read what the run before it published. Read the stage instead.",
     "sources:\n  old: {output: route_delay}", "stages:\n  next: {sql: SELECT * FROM route_delay}"},
    {codes::kFileChanged, "file-changed", "a file that changed while it was read",
     "Its size, times or inode are others than when the run was planned. The task fails; run "
     "again\n"
     "when the producer is done.",
     "", ""},
    {codes::kBadGlob, "bad-glob", "a pattern that matches nothing by its form",
     "Patterns have *, ?, [...] and ** for any directories, and name files.",
     "files: data/[ab*.csv", "files: data/[ab]*.csv"},
    {codes::kSourceWithoutInput, "source-without-input", "a source that does not say what to read",
     "Give `files` or `output`.", "flights: {event_time: day}",
     "flights: {files: data/*.parquet, event_time: day}"},
    {codes::kUnknownType, "unknown-type", "a type that DuckDB does not know",
     "Types are DuckDB's: BIGINT, DOUBLE, VARCHAR, DATE, TIMESTAMP, DECIMAL(12,2), STRUCT(a "
     "INTEGER)...\n"
     "Inside {...} a type with a comma needs quotes, since the comma begins the next key.",
     "columns: {price: DECIMAL(12,2)}", "columns: {price: \"DECIMAL(12,2)\"}"},
    {codes::kRowsQuarantined, "rows-quarantined", "rows or files were set aside (warning)",
     "They count as missing in completeness. `tidegate quarantine list` shows them.", "", ""},
    {codes::kSecretMissing, "secret-missing", "a secret that is not there",
     "The environment variable is not set, or the file cannot be read, where the task runs.", "",
     ""},
    {codes::kTooManyFiles, "too-many-files", "a source with more files than can be planned",
     "The message names the limit. Split the source, or make fewer and larger files.", "", ""},
    {codes::kFileTwice, "file-twice", "a file that two patterns of one source match",
     "Its rows would be read twice.", "files: [data/*.csv, data/a.csv]", "files: data/*.csv"},
    {codes::kFileNotRegular, "file-not-regular", "a pipe, socket or device where a file belongs",
     "An input is read more than once, at any place, and compared with what it was.", "", ""},
    {codes::kExtraColumnInFile, "extra-column-in-file",
     "a file with a column that the others do not have",
     "With `options: {union_by_name: true}` the column is NULL in the other files.", "",
     "options: {union_by_name: true}"},
};

}  // namespace

std::span<const CodeInfo> source_code_rows() { return kSource; }

}  // namespace tidegate
