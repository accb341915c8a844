#include "contract/code_rows.h"

namespace tidegate {
namespace {

constexpr CodeInfo kOutput[] = {
    {codes::kSamePath, "same-path", "two outputs in one directory",
     "Each output has a directory of its own, with its generations and its log.",
     "a: {publish: {parquet: published/x}}\nb: {publish: {parquet: published/x}}",
     "a: {publish: {parquet: published/a}}\nb: {publish: {parquet: published/b}}"},
    {codes::kPathInsideInput, "path-inside-input", "an output where a source reads",
     "The next run would read what this one published. Publish elsewhere; to read a published "
     "output\n"
     "write `output: NAME` in a source.",
     "files: data/*/*.parquet\nparquet: data/out",
     "files: data/*/*.parquet\nparquet: published/out"},
    {codes::kPathInsideOutput, "path-inside-output", "one output inside another's directory",
     "A directory of generations holds nothing else, or old ones could not be dropped safely.",
     "parquet: published\nparquet: published/b", "parquet: published/a\nparquet: published/b"},
    {codes::kBadOutputPath, "bad-output-path", "a place where no output can be published",
     "It is one directory, no pattern, and does not hold the pipeline file itself.", "parquet: .",
     "parquet: published/route_delay"},
    {codes::kNoPublishTarget, "no-publish-target", "an output that is published nowhere",
     "Say where the table goes.", "route_delay: {from: route_delay}",
     "route_delay: {from: route_delay, publish: {parquet: published/route_delay}}"},
    {codes::kCheckColumn, "check-column", "a check of a column that the output does not have",
     "Checks run over the output's columns, as its stage makes them.", "unique: [carier]",
     "unique: [carrier]"},
    {codes::kCheckType, "check-type", "a check that does not fit the column's type",
     "E.g. a regex over numbers. Cast in an `expect` instead.",
     "regex: {column: flights, pattern: 'x'}", "expect: CAST(flights AS VARCHAR) LIKE '1%'"},
    {codes::kPromiseUnknown, "promise-unknown", "a promise that cannot be known (warning)",
     "Freshness and completeness are counted from how a source says that its data arrives. "
     "Without\n"
     "`arrives` or `manifest` on every source of the output, `trust` answers UNKNOWN.",
     "freshness: {completeness: 99.9%}   # and no source says how it arrives",
     "arrives: {every: 1d, path: \"day={date}\"}"},
    {codes::kDuplicateCheck, "duplicate-check", "two checks of one name",
     "Results are kept under the check's name. Remove one, or give one a `name:`.",
     "- not_null: [carrier]\n- not_null: [carrier]", "- not_null: [carrier]"},
    {codes::kUnknownCheck, "unknown-check", "a check that does not exist",
     "The checks are unique, not_null, rows, accepted, range, regex, references, expect and "
     "schema.",
     "- uniqe: [carrier]", "- unique: [carrier]"},
    {codes::kSeveralKinds, "several-kinds", "two checks in one item",
     "Each check is an item of its own, with its own severity and tolerance.",
     "- unique: [a]\n  not_null: [a]", "- unique: [a]\n- not_null: [a]"},
    {codes::kBadRegex, "bad-regex", "a regular expression that does not compile",
     "The syntax is RE2's: no look-around and no back-references.", "pattern: '[A-Z'",
     "pattern: '[A-Z]+'"},
    {codes::kSchemaMismatch, "schema-mismatch", "the stage's columns are not those promised",
     "Names, types and order must be as `schema` lists them; with `evolution: add` more may "
     "follow.",
     "schema: {flights: INTEGER}", "schema: {flights: BIGINT}"},
    {codes::kReferenceColumns, "reference-columns", "columns that do not pair up",
     "`columns` and `to_columns` are matched one by one.",
     "references: {columns: [a, b], to: t, to_columns: [x]}",
     "references: {columns: [a, b], to: t, to_columns: [x, y]}"},
    {codes::kReferenceUnpublished, "reference-unpublished",
     "a reference to an output without a generation",
     "There is nothing yet that rows could refer to.", "", ""},
    {codes::kEmptyCheck, "empty-check", "a promise that promises nothing",
     "It would always hold, and look like more than it is.", "rows: {}", "rows: {min: 1}"},
    {codes::kExpectNotBoolean, "expect-not-boolean", "an `expect` that is no condition",
     "It is evaluated for each row and must not be FALSE; NULL passes.", "expect: flights",
     "expect: flights > 0"},
    {codes::kOutputOwned, "output-owned", "a directory that another state directory publishes to",
     "Two journals over one output would each know half of its history. Use the other state\n"
     "directory, or publish elsewhere.",
     "", ""},
    {codes::kDirectoryNotOurs, "directory-not-ours", "a directory that holds other things",
     "tidegate publishes into directories that are empty or its own.", "parquet: data",
     "parquet: published/data"},
    {codes::kTolerance, "tolerance", "a tolerance where there are no rows to tolerate",
     "`rows` and `schema` hold for the output as a whole or not at all.",
     "- rows: {min: 100}\n  tolerance: 1%", "- rows: {min: 100}"},
    {codes::kSeveralTargets, "several-targets", "more than one publish target",
     "An output has one place. Make a second output from the same stage.",
     "publish: [{parquet: a}, {parquet: b}]", "publish: [{parquet: a}]"},
    {codes::kPublishTogether, "publish-together", "outputs that cannot be published in one step",
     "With `publish_together` all outputs move by one rename, so they lie under one parent "
     "directory.",
     "publish_together: true   # outputs in published/a and /mnt/b",
     "publish_together: true   # outputs in published/a and published/b"},
    {codes::kCheckValue, "check-value", "a value that the check cannot use",
     "E.g. NULL among accepted values, or `min` and `max` of different types.",
     "accepted: {column: status, values: [new, null]}",
     "accepted: {column: status, values: [new]}"},
    {codes::kExpectSql, "expect-sql", "an `expect` that does not bind",
     "It is one SQL expression over the columns of the output, without subqueries.",
     "expect: flihgts > 0", "expect: flights > 0"},
    {codes::kMemoryAboveHost, "memory-above-host", "a bound that this host cannot give",
     "Workers times the task's bound never exceeds the host's memory, and one task alone would.",
     "memory: 4TiB", "memory: 1GiB"},
    {codes::kPublishByColumn, "publish-by-column", "`by` of a column that the output does not have",
     "An output has one file for each value of its `by` columns, which are columns of its stage.\n"
     "There are at most 8 of them, each once.",
     "publish: {parquet: published/x, by: [dya]}", "publish: {parquet: published/x, by: [day]}"},
    {codes::kPublishByType, "publish-by-type", "`by` of a column whose values name no file",
     "Booleans, integers, decimals, dates, times, texts, enums and UUIDs can. Nested values and\n"
     "bytes do not make names; floats are equal in more than one form.",
     "by: [mean_delay]", "by: [day]   # or CAST(mean_delay AS DECIMAL(9,1)) in the stage"},
    {codes::kRollbackRule, "rollback-rule", "a `rollback` that could never be made",
     "An output goes back to the generation before when what `when` names is found after "
     "publishing.\n"
     "That needs a generation that was kept, and something that can be found.",
     "keep: 0\nrollback: {when: check_failed_after_publish}",
     "keep: 2\nrollback: {when: check_failed_after_publish}"},
    {codes::kNotifyTarget, "notify-target", "an item of `notify` that tells nobody",
     "Each item is a command (program and arguments, no shell) or a webhook (a URL that begins "
     "with\n"
     "http:// or https://, or a secret reference that holds one).",
     "notify: [{webhook: alerts.example.com}]",
     "notify: [{webhook: \"https://alerts.example.com/tidegate\"}]"},
};

constexpr CodeInfo kLater[] = {
    {codes::kRetryNotYet, "retry-not-yet", "a retry class that is not supported by this version",
     "Tasks are tried again for `transient`, `timeout`, `lost` and `memory`. Bad rows are set "
     "aside "
     "at\ntheir source, by what it or `defaults` says; the budget of a run's retries stands in "
     "`defaults`.",
     "retry: {disk: 3}", "retry: {transient: 5}"},
    {codes::kWatermarkNotYet, "watermark-not-yet", "`watermark` is not supported by this version",
     "Watermarks belong to streams. Files say by `arrives` or `manifest` what is expected.",
     "watermark: {delay: 10m}", "arrives: {every: 1h, path: \"day={date}/hour={hour}\"}"},
    {codes::kSourceKindNotYet, "source-kind-not-yet",
     "a kind of source that this version cannot read",
     "This version reads parquet, csv and json files and published outputs.",
     "kafka: {topic: flights}", "files: data/*.parquet"},
    {codes::kRemoteNotYet, "remote-not-yet", "a URL where this version needs a local path",
     "Copy the files to this machine, or mount the store.", "files: s3://bucket/flights/*.parquet",
     "files: /mnt/bucket/flights/*.parquet"},
    {codes::kSinkNotYet, "sink-not-yet", "a sink that this version cannot publish to",
     "This version publishes parquet files.", "publish: {postgres: ...}",
     "publish: {parquet: published/x}"},
    {codes::kFieldNotYet, "field-not-yet", "a field that comes with a later version",
     "A field that cannot be honoured is refused, never ignored: a schedule that does not run is\n"
     "worse than none.",
     "schedule: every 1h", ""},
    {codes::kOdcsNotYet, "odcs-not-yet", "data contract files are not supported by this version",
     "Write the promises of the Open Data Contract Standard file as `checks` and `freshness`.",
     "contract: route_delay.odcs.yaml", "checks:\n  - unique: [carrier, origin]"},
};

}  // namespace

std::span<const CodeInfo> output_code_rows() { return kOutput; }
std::span<const CodeInfo> later_code_rows() { return kLater; }

}  // namespace tidegate
