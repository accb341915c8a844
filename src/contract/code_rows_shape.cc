#include "contract/code_rows.h"

namespace tidegate {
namespace {

constexpr CodeInfo kShape[] = {
    {codes::kYamlSyntax, "yaml-syntax", "the file is not YAML",
     "The text cannot be read as YAML, so nothing else of it could be checked. The position is "
     "where\n"
     "the reader gave up; the mistake is there or shortly before it.",
     "stages:\n  legs\n    sql: SELECT 1", "stages:\n  legs:\n    sql: SELECT 1"},
    {codes::kNotUtf8, "not-utf8", "the file is not UTF-8",
     "A pipeline file is UTF-8, with or without a byte order mark.", "", ""},
    {codes::kControlCharacter, "control-character", "a character that YAML does not allow",
     "Control characters other than tab and line breaks may not stand in the file, and NUL not "
     "even\n"
     "as an escape: it would end names and SQL early.",
     R"(nullstr: "\0")", R"(nullstr: "NA")"},
    {codes::kFileTooLarge, "file-too-large", "the file is larger than 4 MiB",
     "A pipeline file says what to do. Data belongs into sources.", "", ""},
    {codes::kTooManyNodes, "too-many-nodes", "more than 100,000 values in the file",
     "A limit against files that were made to exhaust the reader.", "", ""},
    {codes::kTooDeep, "too-deep", "nested deeper than 64 levels",
     "A limit against files that were made to exhaust the reader.", "", ""},
    {codes::kDuplicateKey, "duplicate-key", "a key is given twice in one mapping",
     "Many YAML readers keep the last value in silence. Here it is an error, because one of the "
     "two\n"
     "is not what somebody meant.",
     "memory: 512MiB\nmemory: 1GiB", "memory: 1GiB"},
    {codes::kAnchor, "anchor", "an anchor or an alias",
     "What a stage promises must be readable where it stands, so values are written out and not\n"
     "pulled in from elsewhere.",
     "memory: &bound 512MiB\n...\nmemory: *bound", "defaults:\n  memory: 512MiB"},
    {codes::kTag, "tag", "a YAML tag", "Each field knows its type; tags cannot change it.",
     "buckets: !!int 8", "buckets: 8"},
    {codes::kManyDocuments, "many-documents", "a second document in the file",
     "One file holds one pipeline.", "version: 1\n...\n---\nversion: 1", "version: 1"},
    {codes::kEmptyFile, "empty-file", "the file says nothing",
     "The file is empty or has comments only. `tidegate init` writes a first pipeline file.", "",
     ""},
    {codes::kWrongType, "wrong-type", "a value of another type than the field takes",
     "A list, a mapping or a single value was found where another of them belongs.",
     "partition_by: carrier", "partition_by: [carrier]"},
    {codes::kKeyNotScalar, "key-not-scalar", "a key that is a list or a mapping",
     "Keys are single names.", "? [a, b]\n: 1", "a: 1\nb: 1"},
    {codes::kEmptyValue, "empty-value", "a field without a value",
     "The key is there and its value is not. A field that should keep its default is left out.",
     "memory:", "memory: 512MiB"},
    {codes::kMissingKey, "missing-key", "a field that must be given is not there",
     "See docs/contract.md for the fields that have no default.",
     "stages:\n  legs:\n    memory: 512MiB", "stages:\n  legs:\n    sql: SELECT * FROM flights"},
    {codes::kVersion, "version", "an unknown version of the file format",
     "The first line says which rules the file was written for. This tidegate reads version 1.",
     "version: 2", "version: 1"},
    {codes::kMergeKey, "merge-key", "a merge key `<<`",
     "As with aliases: what a stage promises must be readable where it stands.", "<<: *common",
     "memory: 512MiB"},
};

constexpr CodeInfo kNames[] = {
    {codes::kUnknownKey, "unknown-key", "a key that this mapping does not have",
     "Unknown keys are errors, because a misspelled promise would otherwise be no promise at all.",
     "partition_on: [carrier]", "partition_by: [carrier]"},
    {codes::kInvalidName, "invalid-name", "a name that is not allowed",
     "Names of pipelines, sources, stages and outputs become SQL tables and directories. They "
     "have\n"
     "letters a-z, digits and `_`, begin with no digit, and have at most 63 characters.",
     "stages:\n  route-delay: ...", "stages:\n  route_delay: ..."},
    {codes::kDuplicateName, "duplicate-name", "a name that is taken",
     "Sources and stages are tables of one SQL namespace, and DuckDB does not tell upper from "
     "lower\n"
     "case. Outputs may not be called like a source, because checks refer to both by name.",
     "sources:\n  flights: ...\nstages:\n  Flights: ...",
     "sources:\n  flights: ...\nstages:\n  legs: ..."},
    {codes::kConflictingKeys, "conflicting-keys", "two fields that exclude each other",
     "Both say the same thing in different ways, or one has no meaning beside the other.",
     "freshness: {max_age: 24h, through: 2001-06-30}", "freshness: {through: 2001-06-30}"},
    {codes::kBadSize, "bad-size", "a size without a unit, or with an unknown one",
     "Sizes carry a unit: B, KB, MB, GB, TB are powers of 1000; KiB, MiB, GiB, TiB of 1024. Case\n"
     "counts.",
     "memory: 512", "memory: 512MiB"},
    {codes::kBadDuration, "bad-duration", "a duration without a unit, or with an unknown one",
     "Durations carry a unit: us, ms, s, m, h, d, w. Parts may follow each other: 1d12h.",
     "max_age: 24", "max_age: 24h"},
    {codes::kBadPercent, "bad-percent", "a share that is not a percentage",
     "Shares are written with `%`, so that 0.1 is never taken for 0.1%.", "tolerance: 0.01",
     "tolerance: 1%"},
    {codes::kBadInteger, "bad-integer", "a whole number was expected",
     "Only digits: no sign, no separators, no exponent.", "rows: {min: 1,000}",
     "rows: {min: 1000}"},
    {codes::kOutOfRange, "out-of-range", "a value outside of what makes sense",
     "The message names the smallest and the largest value.", "buckets: 0", "buckets: 8"},
    {codes::kBadBoolean, "bad-boolean", "`true` or `false` was expected",
     "YAML 1.1 also knows yes, no, on and off; here only `true` and `false` count, unquoted.",
     "publish_together: yes", "publish_together: true"},
    {codes::kBadTimestamp, "bad-timestamp", "a date or a time was expected",
     "Dates are 2001-06-30; times 2001-06-30T12:00:00Z, in UTC unless an offset is given.",
     "through: 30.06.2001", "through: 2001-06-30"},
    {codes::kUnknownWord, "unknown-word", "a word that this field does not know",
     "The field takes one of a few words; the message lists them.", "severity: critical",
     "severity: error"},
    {codes::kPathTemplate, "path-template", "an `arrives` path that cannot tell periods apart",
     "One partition is expected for each period, and its path is how it is found. The path needs\n"
     "{date}, or {year}, {month} and {day}; periods shorter than a day need {hour} too.",
     "arrives: {every: 1h, path: \"day={date}\"}",
     "arrives: {every: 1h, path: \"day={date}/hour={hour}\"}"},
    {codes::kDuplicateItem, "duplicate-item", "an item that stands twice in one list",
     "Column names that differ only in case are one column.", "unique: [carrier, Carrier]",
     "unique: [carrier]"},
    {codes::kSecretReference, "secret-reference", "a secret where secrets are not allowed",
     "`${env:NAME}` and `${file:PATH}` are resolved in the reader options of sources and in the\n"
     "webhooks of `notify` only. All else of the file goes into the journal, and a secret must "
     "never\n"
     "be there.",
     "owner: ${env:USER}", "owner: analytics@example.com"},
    {codes::kSecretInClear, "secret-in-clear", "a credential written in clear",
     "Whoever can read the pipeline file could read the secret. Write a reference; the value is "
     "read\n"
     "when a task needs it and is never stored. Change the secret that stood in the file.",
     "options: {password: hunter2}", "options: {password: \"${env:PASSWORD}\"}"},
    {codes::kSecretSyntax, "secret-syntax", "a secret reference that names nothing",
     "A reference is `${env:NAME}` with the name of an environment variable, or `${file:PATH}`.",
     "options: {delim: \"${env:}\"}", "options: {delim: \"${env:DELIM}\"}"},
    {codes::kReversedRange, "reversed-range", "a range that ends before it begins",
     "Both ends are inclusive; the second may not be below the first.", "rows: {min: 10, max: 1}",
     "rows: {min: 1, max: 10}"},
    {codes::kReservedName, "reserved-name", "a name that tidegate keeps for itself",
     "Names that begin with `tidegate_` are used for tables of tidegate's own.",
     "stages:\n  tidegate_rows: ...", "stages:\n  rows_by_day: ..."},
    {codes::kBadPath, "bad-path", "a path that no file can have",
     "Paths have at most 4,096 bytes and no control characters.", "", ""},
};

constexpr CodeInfo kGraph[] = {
    {codes::kUnknownInput, "unknown-input", "the SQL reads a table that is not declared",
     "A stage may read the sources and stages of its own file, by their names, and nothing else.",
     "sql: SELECT * FROM fligths", "sql: SELECT * FROM flights"},
    {codes::kCycle, "cycle", "stages that read each other in a circle",
     "Each stage needs the result of those it reads, so a circle can never begin.",
     "a: {sql: SELECT * FROM b}\nb: {sql: SELECT * FROM a}",
     "a: {sql: SELECT * FROM source}\nb: {sql: SELECT * FROM a}"},
    {codes::kUnusedStage, "unused-stage", "a stage that no output needs (warning)",
     "It would not be run. Remove it, or publish what comes of it.", "", ""},
    {codes::kUnusedSource, "unused-source", "a source that no stage reads (warning)",
     "It would not be read. Remove it, or read it.", "", ""},
    {codes::kUnknownStage, "unknown-stage", "an output from a stage that is not there",
     "`from` names one of the stages of this file.", "from: route_dely", "from: route_delay"},
    {codes::kOutputFromSource, "output-from-source", "an output straight from a source",
     "An output is what a stage made. To publish a source as it is, add a stage that selects it.",
     "from: flights", "stages:\n  all_flights: {sql: SELECT * FROM flights}"},
    {codes::kNoOutputs, "no-outputs", "a file without outputs",
     "Without an output nothing would be kept, so nothing needs to run.", "",
     "outputs:\n  route_delay:\n    from: route_delay\n    publish: {parquet: "
     "published/route_delay}"},
    {codes::kNoStages, "no-stages", "a file without stages", "There is nothing to run.", "",
     "stages:\n  legs:\n    sql: SELECT * FROM flights"},
    {codes::kNoSources, "no-sources", "a file without sources", "There is nothing to read.", "",
     "sources:\n  flights:\n    files: data/*.parquet"},
    {codes::kUnknownBroadcast, "unknown-broadcast", "a broadcast input that is not declared",
     "`broadcast` lists sources and stages that every task of this stage reads whole.",
     "broadcast: [airprots]", "broadcast: [airports]"},
    {codes::kUnknownPartitionInput, "unknown-partition-input",
     "`partition_by` names an input that is not declared",
     "In its long form `partition_by` gives the key columns of each exchanged input by name.",
     "partition_by: {fligths: [origin]}", "partition_by: {flights: [origin]}"},
    {codes::kUnknownReference, "unknown-reference", "`references` names nothing that is declared",
     "A foreign key refers to a source or an output of this file. A stage is not published, so\n"
     "nobody could look the rows up later.",
     "references: {columns: [origin], to: airprots}",
     "references: {columns: [origin], to: airports, to_columns: [iata]}"},
    {codes::kSelfReference, "self-reference", "a stage that reads itself",
     "A stage reads sources and other stages. For recursion use WITH RECURSIVE over a broadcast\n"
     "input.",
     "tree: {sql: SELECT * FROM tree}", "tree: {sql: SELECT * FROM nodes}"},
    {codes::kUnusedBroadcast, "unused-broadcast", "a broadcast input that the stage does not read",
     "Usually the SQL was changed and the list was not.",
     "broadcast: [airports]\nsql: SELECT * FROM flights", "sql: SELECT * FROM flights"},
    {codes::kPartitionedBroadcast, "partitioned-broadcast",
     "an input both broadcast and partitioned",
     "A broadcast input is read whole by every task; a partitioned one is split between them.",
     "broadcast: [airports]\npartition_by: {flights: [origin], airports: [iata]}",
     "partition_by: {flights: [origin], airports: [iata]}"},
    {codes::kKeyCountsDiffer, "key-counts-differ",
     "inputs partitioned by different numbers of columns",
     "Rows of the inputs meet in one bucket when their key columns are equal one by one.",
     "partition_by: {flights: [origin, day], airports: [iata]}",
     "partition_by: {flights: [origin], airports: [iata]}"},
    {codes::kInputWithoutKeys, "input-without-keys",
     "an input that is neither partitioned nor broadcast",
     "Each input of a reduce stage is exchanged by keys of its own or read whole by every task.",
     "partition_by: {flights: [origin]}\nsql: SELECT ... FROM flights JOIN airports ...",
     "partition_by: {flights: [origin]}\nbroadcast: [airports]\nsql: SELECT ... FROM flights JOIN "
     "airports ..."},
    {codes::kStageWithoutInput, "stage-without-input", "a stage that reads no input",
     "Without an input there is no partition to run it over, and every task would emit the same "
     "rows.",
     "sql: SELECT 1 AS x", "sql: SELECT x FROM numbers"},
    {codes::kUnusedPartitionInput, "unused-partition-input",
     "`partition_by` names an input that the stage does not read",
     "Usually the SQL was changed and the keys were not.",
     "partition_by: {flights: [origin], airports: [iata]}\nsql: SELECT ... FROM flights",
     "partition_by: [origin]\nsql: SELECT ... FROM flights"},
};

}  // namespace

std::span<const CodeInfo> shape_code_rows() { return kShape; }
std::span<const CodeInfo> name_code_rows() { return kNames; }
std::span<const CodeInfo> graph_code_rows() { return kGraph; }

}  // namespace tidegate
