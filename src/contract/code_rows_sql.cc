#include "contract/code_rows.h"

namespace tidegate {
namespace {

constexpr CodeInfo kSql[] = {
    {codes::kSqlSyntax, "sql-syntax", "the SQL does not parse",
     "DuckDB's parser refused the text at the marked place.", "sql: SELEC * FROM flights",
     "sql: SELECT * FROM flights"},
    {codes::kSqlManyStatements, "sql-many-statements", "more than one statement",
     "A stage is one SELECT; whatever follows a `;` is refused.",
     "sql: SELECT 1 FROM t; DROP TABLE t", "sql: SELECT 1 AS one FROM t"},
    {codes::kSqlNotSelect, "sql-not-select", "a statement that is not a SELECT",
     "A stage's SQL only reads its declared inputs. It cannot create, copy, attach, install, load "
     "or\n"
     "set anything.",
     "sql: COPY flights TO 'x.csv'", "sql: SELECT * FROM flights"},
    {codes::kUnknownColumn, "unknown-column", "a column that the inputs do not have",
     "Names are looked up in the real columns of the files, read from their metadata.",
     "sql: SELECT orign FROM flights", "sql: SELECT origin FROM flights"},
    {codes::kAmbiguousColumn, "ambiguous-column", "a column that more than one input has",
     "Say which one is meant by its table's name or alias.",
     "sql: SELECT id FROM a JOIN b ON a.id = b.id",
     "sql: SELECT a.id FROM a JOIN b ON a.id = b.id"},
    {codes::kSqlTypes, "sql-types", "types that do not fit",
     "An operator or a function has no version for these types; write the cast that is meant.",
     "sql: SELECT origin + 1 AS x FROM flights",
     "sql: SELECT CAST(origin AS INTEGER) + 1 AS x FROM flights"},
    {codes::kSqlBinding, "sql-binding", "DuckDB refuses the SQL over these inputs",
     "The text parses, but it has no meaning over the declared inputs; the message is DuckDB's.",
     "", ""},
    {codes::kFunctionNotAllowed, "function-not-allowed", "a function that a stage may not call",
     "Functions are checked against a list of those that read nothing but their arguments. What\n"
     "reaches files, the network, settings or other sessions is not on it.",
     "sql: SELECT getenv('HOME') AS home FROM t", "sql: SELECT home FROM t"},
    {codes::kTableFunctionNotAllowed, "table-function-not-allowed",
     "a table function that a stage may not call",
     "Files are read through sources, so that they can be watched, counted and trusted. Only\n"
     "functions that make rows from their arguments (range, unnest, ...) are allowed.",
     "sql: SELECT * FROM read_csv('x.csv')", "sources:\n  x: {files: x.csv}"},
    {codes::kUnknownFunction, "unknown-function", "a function that does not exist",
     "DuckDB knows no function of that name, or none with that many arguments.",
     "sql: SELECT uper(origin) AS o FROM flights", "sql: SELECT upper(origin) AS o FROM flights"},
    {codes::kSqlReadsFile, "sql-reads-file", "a file where a table belongs",
     "Files are read through sources, so that they can be watched, counted and trusted.",
     "sql: SELECT * FROM 'data/x.parquet'", "sources:\n  x: {files: data/x.parquet}"},
    {codes::kDuplicateColumn, "duplicate-column", "two columns of one name in a result",
     "Whoever reads the result could not say which one is meant.",
     "sql: SELECT a.id, b.id FROM a JOIN b ON a.id = b.id",
     "sql: SELECT a.id, b.id AS b_id FROM a JOIN b ON a.id = b.id"},
    {codes::kUnnamedColumn, "unnamed-column", "an expression without a name",
     "A column's name would be the text of its expression and change with it. Name it by AS.",
     "sql: SELECT origin, count(*) FROM flights GROUP BY origin",
     "sql: SELECT origin, count(*) AS flights FROM flights GROUP BY origin"},
    {codes::kUnknownKeyColumn, "unknown-key-column", "a partition key that the input does not have",
     "`partition_by` names columns of the inputs, before the stage's SQL runs.",
     "partition_by: [carier]", "partition_by: [carrier]"},
    {codes::kUnsupportedType, "unsupported-type", "a column whose type cannot be handed on",
     "Results go through the shuffle and into Parquet; a few types have no exact form there. Cast\n"
     "the column.",
     "", ""},
    {codes::kSqlParameter, "sql-parameter", "a parameter in the SQL",
     "`?` and `$1` have no value here: a stage's SQL stands for itself.",
     "sql: SELECT * FROM t WHERE x = $1", "sql: SELECT * FROM t WHERE x = 1"},
    {codes::kSqlEmpty, "sql-empty", "SQL that says nothing", "The text is empty or blank.",
     "sql: \"\"", "sql: SELECT * FROM flights"},
    {codes::kSqlSystemTable, "sql-system-table", "a table of DuckDB's own",
     "System tables tell about the process, not about the data, and differ from task to task.",
     "sql: SELECT * FROM duckdb_settings()", "sql: SELECT * FROM flights"},
    {codes::kSqlTooLarge, "sql-too-large", "SQL larger than 256 KiB",
     "Split the stage, or put lists of values into a source.", "", ""},
    {codes::kColumnCaseClash, "column-case-clash", "columns that differ only in case",
     "DuckDB does not tell upper from lower case, so one of the two could not be read.",
     "sql: SELECT a AS x, b AS X FROM t", "sql: SELECT a AS x, b AS y FROM t"},
    {codes::kShadowedInput, "shadowed-input", "a CTE that hides an input of the same name",
     "A reader would take the one for the other. Give the CTE another name.",
     "sql: WITH flights AS (SELECT 1 AS x) SELECT * FROM flights",
     "sql: WITH one AS (SELECT 1 AS x) SELECT * FROM one"},
    {codes::kSqlQualifiedTable, "sql-qualified-table", "a table with a schema or catalog before it",
     "Inputs are called by their names alone.", "sql: SELECT * FROM main.flights",
     "sql: SELECT * FROM flights"},
    {codes::kSqlConstructNotAllowed, "sql-construct-not-allowed",
     "a construct that a stage may not use",
     "It is a SELECT, but it has effects or reads what the contract does not name.", "", ""},
    {codes::kAggregateMisuse, "aggregate-misuse", "a column that is neither grouped nor aggregated",
     "With GROUP BY each column of the result is a group key or inside an aggregate.",
     "sql: SELECT origin, dest, count(*) AS n FROM flights GROUP BY origin",
     "sql: SELECT origin, dest, count(*) AS n FROM flights GROUP BY origin, dest"},
};

constexpr CodeInfo kRepeat[] = {
    {codes::kVolatileFunction, "volatile-function", "a function that differs from call to call",
     "A retried task must give the same rows, or a reader that is half through mixes two answers.\n"
     "random, uuid, nextval and their like are refused. Derive such values from the row, e.g. by\n"
     "hash().",
     "sql: SELECT *, uuid() AS id FROM t", "sql: SELECT *, hash(a, b) AS id FROM t"},
    {codes::kWallClock, "wall-clock", "the clock of the machine",
     "now() differs from task to task and from retry to retry. `run_time()` is the time of the "
     "run:\n"
     "fixed when it is planned, and kept when it is resumed.",
     "sql: SELECT *, now() AS loaded_at FROM t", "sql: SELECT *, run_time() AS loaded_at FROM t"},
    {codes::kUnordered, "unordered", "a result that depends on the order of rows (warning)",
     "first, list, string_agg, row_number with ties and the like take rows as they come. It is\n"
     "allowed: tasks read in a fixed order. But the stage is marked `unordered`: those who read it "
     "go\n"
     "by its content, and when it is made again they are made again too. An ORDER BY over enough\n"
     "columns makes the result determinate; the note names them.",
     "sql: SELECT k, list(v) AS vs FROM t GROUP BY k",
     "sql: SELECT k, list(v ORDER BY v) AS vs FROM t GROUP BY k"},
    {codes::kFloatOrder, "float-order", "a floating-point sum, repeatable for one plan only (note)",
     "Sums of DOUBLE depend on the order of additions in the last digits. The same plan gives the\n"
     "same bytes; another number of buckets may not. Sum a DECIMAL where this matters.",
     "sql: SELECT k, sum(price) AS total FROM t GROUP BY k",
     "sql: SELECT k, sum(CAST(price AS DECIMAL(18,2))) AS total FROM t GROUP BY k"},
    {codes::kSampleNotRepeatable, "sample", "a random sample",
     "SAMPLE and TABLESAMPLE choose other rows each time. Choose by a hash of the key instead.",
     "sql: SELECT * FROM t USING SAMPLE 1%", "sql: SELECT * FROM t WHERE hash(id) % 100 = 0"},
    {codes::kRunTimeUsed, "run-time-used", "run_time() makes the stage run anew in each run (note)",
     "The time of the run is part of what the result is made of, so results of earlier runs "
     "cannot\n"
     "be used again. Put it into the last stage, so that as little as possible is repeated.",
     "", ""},
    {codes::kUnorderedBroadcast, "unordered-broadcast",
     "a broadcast that depends on the order of rows",
     "Every task computes a broadcast for itself and all must get the same rows. Make the order\n"
     "total.",
     "sql: SELECT * FROM a JOIN (SELECT * FROM b LIMIT 10) USING (k)",
     "sql: SELECT * FROM a JOIN (SELECT * FROM b ORDER BY id LIMIT 10) USING (k)"},
    {codes::kApproximate, "approximate", "an approximate aggregate (note)",
     "Its answer depends on the order and grouping of rows. It repeats for the same plan only.",
     "sql: SELECT k, approx_quantile(v, 0.5) AS m FROM t GROUP BY k",
     "sql: SELECT k, median(v) AS m FROM t GROUP BY k"},
    {codes::kSessionFunction, "session-function", "a function that tells about the process",
     "version(), current_user, current_setting() and the like depend on where a task runs, not on\n"
     "its input.",
     "sql: SELECT *, current_user AS who FROM t", "sql: SELECT * FROM t"},
};

}  // namespace

std::span<const CodeInfo> sql_code_rows() { return kSql; }
std::span<const CodeInfo> repeat_code_rows() { return kRepeat; }

}  // namespace tidegate
