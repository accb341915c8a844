#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "batch/type.h"
#include "sql/sql.h"

namespace tidegate::reduce {

// A stage that a kernel of ours runs is a chain of relations:
//
//   inputs of the stage -> kernel.input_sql (DuckDB) -> kernel (ours) -> output_sql (DuckDB)
//
// `input_sql` filters and computes keys and arguments, so that it can be moved into the map task
// that makes the rows; `output_sql` does what comes after the aggregates.

/// What an aggregate computes. Numbers stand in task specs and in map outputs' states.
enum class AggregateKind : uint8_t {
  kCountRows = 1,  ///< count(*)
  kCount = 2,      ///< count(x); count(DISTINCT row(x, y)) if there are several arguments
  kSum = 3,
  kAvg = 4,
  kMin = 5,
  kMax = 6,
  kFirst = 7,     ///< the first row's value, NULL too, by `order` (none: as they come)
  kLast = 8,      ///< the last row's
  kAnyValue = 9,  ///< the first value that is not NULL, by `order`
  kBoolAnd = 10,
  kBoolOr = 11,
  kBitAnd = 12,
  kBitOr = 13,
  kBitXor = 14,
  kVarSamp = 15,  ///< these of DOUBLE; or of kMomentState's BLOB
  kVarPop = 16,
  kStddevSamp = 17,
  kStddevPop = 18,
  kCovarSamp = 19,
  kCovarPop = 20,
  kCorr = 21,
  kArgMin = 22,  ///< arg_min(value, by): arguments {value, by}
  kArgMax = 23,
  kArgMinNull = 24,  ///< as above, a NULL value counts too
  kArgMaxNull = 25,
  kMedian = 26,
  kQuantileCont = 27,
  kQuantileDisc = 28,
  kMode = 29,
  kList = 30,       ///< list(x ORDER BY ...), NULLs too; if DISTINCT, by x
  kStringAgg = 31,  ///< string_agg(x, separator ORDER BY ...)
  /// Of values' hashes, UBIGINT; or of kSketchState's BLOB.
  kApproxCountDistinct = 32,
  kProduct = 33,
  // States of the above and what merges them (combine.h); no SQL names them.
  kExactState = 64,   ///< FLOAT or DOUBLE to BLOB: an exact sum (exact_sum.h)
  kSumCounts = 65,    ///< counts to their sum, BIGINT
  kSumStates = 66,    ///< exact sums to DOUBLE
  kAvgSums = 67,      ///< {sums of 128 bits, counts} to DOUBLE, over 10^scale
  kAvgStates = 68,    ///< {exact sums, counts} to DOUBLE
  kMomentState = 69,  ///< one or two DOUBLEs to BLOB: exact sums of values and products
  kSketchState = 70,  ///< hashes to BLOB: the registers of an approximate count
};

/// Part of identities: changes when a kernel may give other bytes for the same spec and rows.
inline constexpr uint64_t kKernelVersion = 3;

/// How rows are ordered by one column of the kernel's input.
struct OrderColumn {
  uint32_t column = 0;
  bool descending = false;
  bool nulls_first = false;
  bool operator==(const OrderColumn&) const = default;
};

struct Aggregate {
  AggregateKind kind = AggregateKind::kCountRows;
  std::vector<uint32_t> arguments = {};  ///< columns of the kernel's input
  std::optional<uint32_t> filter = {};   ///< a BOOLEAN column: only rows where it is true count
  bool distinct = false;                 ///< each value of the arguments once
  std::vector<OrderColumn> order = {};   ///< of the rows that go in
  double quantile = 0.5;                 ///< kQuantileCont, kQuantileDisc: 0..1
  std::string separator = {};            ///< kStringAgg
  uint32_t scale = 0;                    ///< kAvgSums: decimal digits after the point
  std::string type = {};                 ///< of the result, as DuckDB binds it
  bool operator==(const Aggregate&) const = default;
};

/// What a window function computes for each row of a partition. Numbers stand in task specs.
enum class WindowKind : uint8_t {
  kRowNumber = 1,
  kRank = 2,
  kDenseRank = 3,
  kPercentRank = 4,
  kCumeDist = 5,
  kNtile = 6,
  kLag = 7,
  kLead = 8,
  kFirstValue = 9,  ///< of the frame
  kLastValue = 10,
  kNthValue = 11,
  kAggregate = 12,  ///< count, sum, avg, min or max of the frame
};

/// A window function over a partition and order of the spec's. Its frame begins with the partition.
struct WindowFunction {
  WindowKind kind = WindowKind::kRowNumber;
  /// The frame ends with the row itself (ROWS); else with the last of its peers.
  bool by_row = false;
  /// Rows that agree in so many of the first order columns are peers; 0: the whole partition
  /// is. Ranks go by it, too.
  uint32_t peers = 0;
  uint64_t number = 0;  ///< of rows (lag, lead), of parts (ntile), of the value (nth_value)
  uint32_t sort = 0;    ///< 0: over the spec's keys and order; n: over the n-th of its `sorts`
  std::optional<uint32_t> otherwise = {};  ///< lag, lead: the column in place of a missing row
  bool ignore_nulls = false;               ///< first, last and nth value
  /// Arguments and the result's type; for kAggregate all of it.
  Aggregate aggregate = {};
  bool operator==(const WindowFunction&) const = default;
};

/// Another partition and order of a window kernel's rows. Each partition lies within a bucket.
struct WindowSort {
  std::vector<uint32_t> keys = {};  ///< columns of the kernel's input
  std::vector<OrderColumn> order = {};
  bool operator==(const WindowSort&) const = default;
};

struct KernelSpec {
  enum class Kind : uint8_t {
    kGroup = 1,   ///< GROUP BY; without aggregates it is DISTINCT
    kTop = 2,     ///< the first `limit` rows of each group by `order`: all input columns come out
    kWindow = 3,  ///< all rows, each with the values of `windows`
  };
  Kind kind = Kind::kGroup;
  std::string name = {};       ///< the relation that the kernel's result is called
  std::string input_sql = {};  ///< a SELECT over the stage's inputs
  /// The only table that `input_sql` reads if it is one exchanged input and nothing else (no other
  /// table, no subquery): then it may run where the rows are made. Else "".
  std::string input_table = {};
  sql::Schema input = {};  ///< columns of input_sql: the keys, then what is needed
  uint32_t keys = 0;       ///< the first columns of `input`
  /// Columns of `input` that are the stage's partition keys, in their order and unchanged, with
  /// `input_table`'s names; empty if one is missing or changed.
  std::vector<uint32_t> partition = {};
  std::vector<Aggregate> aggregates = {};    ///< kGroup
  std::vector<OrderColumn> order = {};       ///< kTop, kWindow
  uint64_t limit = 1;                        ///< kTop: 1 and more
  std::vector<WindowSort> sorts = {};        ///< kWindow: beside the keys and `order`
  std::vector<WindowFunction> windows = {};  ///< kWindow
  /// kGroup: the keys, then a column for each aggregate. kTop: as `input`. kWindow: as `input`,
  /// then a column for each window function.
  sql::Schema output = {};
  bool operator==(const KernelSpec&) const = default;
};

/// A stage as a kernel and what comes after it.
struct StageKernel {
  KernelSpec kernel = {};
  /// A SELECT over kernel.name (and broadcast inputs) with the stage's columns. "" if the kernel's
  /// output is the stage's result as it is.
  std::string output_sql = {};
  bool operator==(const StageKernel&) const = default;
};

/// The text of a kind as SQL calls it ("count_star" for kCountRows), and back.
std::string_view to_string(AggregateKind kind);
/// "row_number", ...; kAggregate is called by its aggregate.
std::string_view to_string(WindowKind kind);

/// Nothing if the kernel can run this aggregate over columns of these types and gives what DuckDB's
/// binder says (`aggregate.type`), bit for bit but for the order of sums of floating-point numbers;
/// else the reason in a few words ("sum of INTERVAL").
std::optional<std::string> unsupported(const Aggregate& aggregate, const sql::Schema& input);

/// The same for a window function.
std::optional<std::string> unsupported(const WindowFunction& window, const sql::Schema& input);

/// The same for a whole kernel: its keys, its order columns, each aggregate and window function.
std::optional<std::string> unsupported(const KernelSpec& spec);

}  // namespace tidegate::reduce
