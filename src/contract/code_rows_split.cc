#include "contract/code_rows.h"

namespace tidegate {
namespace {

constexpr CodeInfo kSplit[] = {
    {codes::kGroupByMissesKey, "group-by-misses-key", "GROUP BY without all partition keys",
     "A group whose rows lie in several buckets would be counted once in each. Each partition key\n"
     "must be among the GROUP BY columns as it is: an expression of it is not the key.",
     "partition_by: [carrier, origin]\nsql: SELECT carrier, count(*) AS n FROM legs GROUP BY "
     "carrier",
     "partition_by: [carrier]\nsql: SELECT carrier, count(*) AS n FROM legs GROUP BY carrier"},
    {codes::kAggregateWithoutGroupBy, "aggregate-without-group-by", "an aggregate over everything",
     "Each task would emit its own total. A total needs one task that sees all rows.",
     "partition_by: [carrier]\nsql: SELECT count(*) AS n FROM legs",
     "partition_by: all\nsql: SELECT count(*) AS n FROM legs"},
    {codes::kDistinctMissesKey, "distinct-misses-key", "DISTINCT without all partition keys",
     "Equal rows may lie in different buckets, and each bucket would keep one of them.",
     "partition_by: [origin]\nsql: SELECT DISTINCT carrier FROM legs",
     "partition_by: [carrier]\nsql: SELECT DISTINCT carrier FROM legs"},
    {codes::kDistinctOnMissesKey, "distinct-on-misses-key",
     "DISTINCT ON without all partition keys",
     "Each bucket would keep a row for the same ON columns.",
     "partition_by: [origin]\nsql: SELECT DISTINCT ON (carrier) * FROM legs",
     "partition_by: [carrier]\nsql: SELECT DISTINCT ON (carrier) * FROM legs ORDER BY carrier, "
     "day"},
    {codes::kWindowMissesKey, "window-misses-key",
     "a window whose PARTITION BY misses a partition key",
     "Rows of one window would lie in several buckets. Every window of the stage must be "
     "partitioned\n"
     "by all keys.",
     "partition_by: [carrier]\nsql: SELECT *, row_number() OVER (ORDER BY day) AS n FROM legs",
     "partition_by: [carrier]\nsql: SELECT *, row_number() OVER (PARTITION BY carrier ORDER BY "
     "day) AS n FROM legs"},
    {codes::kJoinMissesKey, "join-misses-key", "a join that does not equate the partition keys",
     "Rows meet only inside a bucket. The join must be by equality of all keys, one by one; "
     "further\n"
     "conditions are free.",
     "partition_by: {a: [x], b: [y]}\nsql: SELECT * FROM a JOIN b ON a.z = b.z",
     "partition_by: {a: [z], b: [z]}\nsql: SELECT a.*, b.v FROM a JOIN b ON a.z = b.z"},
    {codes::kJoinWithoutEquality, "join-without-equality",
     "a CROSS or inequality join of two split inputs",
     "Each row of the one would have to meet all rows of the other. Broadcast the smaller side.",
     "sql: SELECT a.x, b.y FROM a JOIN b ON a.x < b.y",
     "broadcast: [b]\nsql: SELECT a.x, b.y FROM a JOIN b ON a.x < b.y"},
    {codes::kJoinPreservesBroadcast, "join-preserves-broadcast",
     "an outer join that keeps the broadcast side",
     "Every task has the whole broadcast side and knows only its own rows of the other: each "
     "would\n"
     "emit the unmatched rows. Partition both sides by the join keys.",
     "broadcast: [airports]\nsql: SELECT iata, day FROM airports LEFT JOIN legs ON iata = origin",
     "partition_by: {airports: [iata], legs: [origin]}\nsql: SELECT iata, day FROM airports LEFT "
     "JOIN legs ON iata = origin"},
    {codes::kPositionalJoin, "positional-join", "a POSITIONAL join of split inputs",
     "It pairs rows by their place in the whole, which no task knows.",
     "sql: SELECT * FROM a POSITIONAL JOIN b",
     "partition_by: {a: [id], b: [id]}\nsql: SELECT a.*, b.v FROM a JOIN b ON a.id = b.id"},
    {codes::kAsofNotAllowed, "asof-not-allowed", "an ASOF RIGHT or FULL join, or one over NULLs",
     "This DuckDB does not end on some ASOF RIGHT joins: exchange the sides and use ASOF LEFT "
     "JOIN.\n"
     "And in an ASOF join that has keys it gives a left row whose time is NULL any row of its "
     "key,\n"
     "where there should be none: the left time must be proven not to be NULL, by a WHERE below "
     "the\n"
     "join or a coalesce(). Without keys beside the time NULLs do no harm.",
     "sql: SELECT ... FROM a ASOF RIGHT JOIN b ON ...",
     "sql: SELECT ... FROM b ASOF LEFT JOIN a ON ..."},
    {codes::kKeyTypesDiffer, "key-types-differ", "keys that are compared with a loss",
     "Equal values must meet in one bucket, so both sides are hashed as one type. BIGINT = "
     "DOUBLE,\n"
     "DOUBLE = DECIMAL and INTEGER = VARCHAR have none without loss (2^53 + 1 is no DOUBLE). "
     "Write\n"
     "the cast that is meant, in the stage before.",
     "sql: ... ON a.id = b.id_as_text", "sql: SELECT CAST(id_as_text AS BIGINT) AS id FROM raw"},
    {codes::kSubqueryMissesKey, "subquery-misses-key",
     "a subquery that is not correlated by the keys",
     "It sees one bucket of its input only. Its WHERE must equate all keys with those of the "
     "outer\n"
     "row, or its input must be broadcast.",
     "sql: SELECT * FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.v > a.v)",
     "sql: SELECT * FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.v > a.v)"},
    {codes::kInAsValue, "in-as-value", "IN (SELECT ...) used as a value",
     "A NULL in another bucket turns FALSE into NULL. As a WHERE condition this makes no "
     "difference,\n"
     "as a value it does. Use EXISTS.",
     "sql: SELECT k IN (SELECT k FROM b) AS known FROM a",
     "sql: SELECT EXISTS (SELECT 1 FROM b WHERE b.k = a.k) AS known FROM a"},
    {codes::kNotInOverPartitions, "not-in-over-partitions", "NOT IN over a split input",
     "One NULL anywhere in the list makes the answer NULL for every row, also in buckets that do "
     "not\n"
     "have it. NOT EXISTS says what is usually meant.",
     "sql: SELECT * FROM a WHERE k NOT IN (SELECT k FROM b)",
     "sql: SELECT * FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k)"},
    {codes::kUnionWithBroadcast, "union-with-broadcast",
     "UNION of a split input with a broadcast one",
     "Every task would add all rows of the broadcast side.",
     "broadcast: [b]\nsql: SELECT x FROM a UNION ALL SELECT x FROM b",
     "sql: SELECT x FROM a UNION ALL SELECT x FROM b"},
    {codes::kSetOperationMissesKey, "set-operation-misses-key",
     "UNION, INTERSECT or EXCEPT of rows that are not split alike",
     "Equal rows of both sides must lie in one bucket: the keys must stand at the same places of\n"
     "both column lists and be hashed as one type.",
     "partition_by: {a: [x], b: [y]}\nsql: SELECT x, y FROM a EXCEPT SELECT x, y FROM b",
     "partition_by: {a: [x], b: [x]}\nsql: SELECT x, y FROM a EXCEPT SELECT x, y FROM b"},
    {codes::kExceptFromBroadcast, "except-from-broadcast",
     "EXCEPT that subtracts a split input from a broadcast one",
     "Every task would subtract only its own part. The other way round is allowed.",
     "broadcast: [b]\nsql: SELECT x FROM b EXCEPT SELECT x FROM a",
     "partition_by: {a: [x], b: [x]}\nsql: SELECT x FROM b EXCEPT SELECT x FROM a"},
    {codes::kOrderByAtTop, "order-by-at-top", "ORDER BY at the top of a split stage",
     "The order would hold inside each task only. Say it by `sort_by`, which sorts over all of "
     "them.",
     "sql: SELECT * FROM legs ORDER BY day", "sort_by: [day]\nsql: SELECT * FROM legs"},
    {codes::kLimitOverPartitions, "limit-over-partitions", "LIMIT or OFFSET over a split input",
     "Each task would take its own first rows.", "sql: SELECT * FROM legs LIMIT 10",
     "partition_by: all\nsql: SELECT * FROM legs ORDER BY delay DESC, id LIMIT 10"},
    {codes::kSampleOverPartitions, "sample-over-partitions", "SAMPLE over a split input",
     "Each task would draw a sample of its own. Choose by a hash of the key instead.",
     "sql: SELECT * FROM legs USING SAMPLE 10 ROWS",
     "sql: SELECT * FROM legs WHERE hash(id) % 100 = 0"},
    {codes::kPivotMissesKey, "pivot-misses-key", "PIVOT whose groups miss a partition key",
     "PIVOT is a GROUP BY over the columns that it does not use; the keys must be among them.",
     "partition_by: [day]\nsql: PIVOT legs ON carrier USING count(*) GROUP BY origin",
     "partition_by: [origin]\nsql: PIVOT legs ON carrier USING count(*) GROUP BY origin"},
    {codes::kRecursiveCte, "recursive-cte", "a recursive CTE over a split input",
     "Its steps may lead from one bucket into another. Broadcast its inputs, or use one task.",
     "partition_by: [id]\nsql: WITH RECURSIVE ...", "partition_by: all\nsql: WITH RECURSIVE ..."},
    {codes::kTopIsBroadcast, "top-is-broadcast",
     "a stage whose rows come from broadcast inputs only", "Every task would emit the same rows.",
     "broadcast: [airports]\nsql: SELECT * FROM airports", "sql: SELECT * FROM airports"},
    {codes::kGroupingSetMissesKey, "grouping-set-misses-key",
     "a grouping set of ROLLUP, CUBE or GROUPING SETS without all partition keys",
     "Subtotals above the keys run over several buckets.",
     "partition_by: [a]\nsql: SELECT a, b, sum(v) AS s FROM t GROUP BY ROLLUP (a, b)",
     "partition_by: [a]\nsql: SELECT a, b, sum(v) AS s FROM t GROUP BY GROUPING SETS ((a, b), "
     "(a))"},
    {codes::kNeedsPartitionBy, "needs-partition-by", "a map stage that needs rows brought together",
     "Without `partition_by` each task sees one partition of its input. GROUP BY, DISTINCT, "
     "windows\n"
     "and joins need the rows that belong together in one place.",
     "legs:\n  sql: SELECT carrier, count(*) AS n FROM flights GROUP BY carrier",
     "legs:\n  partition_by: [carrier]\n  sql: SELECT carrier, count(*) AS n FROM flights GROUP BY "
     "carrier"},
    {codes::kMapJoinsInputs, "map-joins-inputs", "a map stage that joins two split inputs",
     "Partitions of different inputs have nothing to do with each other. Broadcast the small "
     "input,\n"
     "or give `partition_by`.",
     "sql: SELECT ... FROM legs JOIN airports ON origin = iata",
     "broadcast: [airports]\nsql: SELECT ... FROM legs JOIN airports ON origin = iata"},
    {codes::kKeyNotPlain, "key-not-plain", "an expression where the key itself is needed",
     "lower(k) or CAST(k AS DATE) brings different keys together that lie in different buckets.\n"
     "Compute the expression in the stage before and partition by it.",
     "partition_by: [ts]\nsql: SELECT CAST(ts AS DATE) AS day, count(*) AS n FROM t GROUP BY 1",
     "partition_by: [day]\nsql: SELECT day, count(*) AS n FROM t_with_day GROUP BY day"},
    {codes::kCollation, "collation", "a key with a collation",
     "Under a collation texts are equal that have different bytes and so different buckets. Make\n"
     "them alike in the stage before, e.g. by lower().",
     "sql: ... GROUP BY name COLLATE NOCASE", "sql: SELECT lower(name) AS name, ... FROM t"},
    {codes::kBroadcastOrder, "broadcast-order", "an order-dependent construct over a broadcast",
     "LIMIT without a total order, DISTINCT ON or ties may choose other rows in another task, and\n"
     "all tasks must agree. Make the ORDER BY total.",
     "sql: SELECT * FROM a CROSS JOIN (SELECT * FROM b LIMIT 1)",
     "sql: SELECT * FROM a CROSS JOIN (SELECT * FROM b ORDER BY id LIMIT 1)"},
    {codes::kNotProven, "not-proven", "a construct that the prover does not know",
     "A wrong yes would be a wrong number in a report, so what is not proven is refused. Write it\n"
     "differently, or let one task see everything: `partition_by: all`.",
     "", "partition_by: all"},
    {codes::kKeyHashedOtherwise, "key-hashed-otherwise", "keys that were hashed as different types",
     "One side was already brought to its buckets as another type, so equal values lie apart. "
     "Cast\n"
     "the column before the first shuffle.",
     "", ""},
    {codes::kKeyTypeUnhashable, "key-type", "a key of a type that cannot be hashed",
     "Keys are numbers, texts, dates and times, booleans, UUIDs, enums, blobs. Use a column of "
     "the\n"
     "nested value instead.",
     "partition_by: [address]", "partition_by: [zip]"},
    {codes::kNeedlessPartitionBy, "needless-partition-by",
     "a shuffle that the stage does not need (warning)",
     "Nothing in the SQL needs rows brought together. Without `partition_by` it is a map stage "
     "and\n"
     "much cheaper.",
     "partition_by: [carrier]\nsql: SELECT * FROM legs WHERE delay > 0",
     "sql: SELECT * FROM legs WHERE delay > 0"},
    {codes::kSortColumn, "sort-column", "`sort_by` names no column of the stage's result",
     "Rows are sorted by columns as the SQL gives them out, by their names there.",
     "sort_by: [dep_time]\nsql: SELECT origin, dep_time AS departs FROM flights",
     "sort_by: [departs]\nsql: SELECT origin, dep_time AS departs FROM flights"},
    {codes::kSortType, "sort-type", "a column of a type that rows cannot be sorted by",
     "Rows are sorted by numbers, texts, dates and times, intervals, booleans, UUIDs, enums and\n"
     "blobs. Take a column of the nested value out, or cast it.",
     "sort_by: [address]\nsql: SELECT address FROM people",
     "sort_by: [zip]\nsql: SELECT address.zip AS zip, address FROM people"},
    {codes::kSortDiffers, "sort-differs", "an ORDER BY at the top that is not what `sort_by` says",
     "The SQL may leave the order out, as `sort_by` gives it; if it says one, it must be the "
     "same:\n"
     "the same columns of the result, directions and places of NULLs.",
     "sort_by: [day]\nsql: SELECT day, delay FROM legs ORDER BY day, delay",
     "sort_by: [day, delay]\nsql: SELECT day, delay FROM legs ORDER BY day, delay"},
};

}  // namespace

std::span<const CodeInfo> split_code_rows() { return kSplit; }

}  // namespace tidegate
