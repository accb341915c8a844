#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "reduce/kernel_fixture.h"

namespace tidegate::reduce {
namespace {

constexpr uint64_t kPlenty = uint64_t{256} << 20;
constexpr uint64_t kLittle = uint64_t{14} << 20;

class WindowTest : public KernelFixture {
 protected:
  /// A spec over all columns of `table`, its first `keys` columns the keys.
  KernelSpec window_spec(const std::string& table, uint32_t keys,
                         const std::vector<std::string>& order) {
    KernelSpec spec;
    spec.kind = KernelSpec::Kind::kWindow;
    spec.name = "kernel_result";
    spec.input_sql = "SELECT * FROM " + table;
    spec.input = spec.output = schema_of(spec.input_sql);
    spec.keys = keys;
    table_ = table;
    items_.clear();
    std::vector<std::string> names, orders;
    for (uint32_t i = 0; i < keys; ++i) names.push_back(quote_identifier(spec.input[i].name));
    partition_ = keys == 0 ? "" : "PARTITION BY " + join(names, ", ");
    for (const std::string& by : order) {
      OrderColumn column;
      column.column = index_of(spec, by.substr(0, by.find(' ')));
      column.descending = by.find("DESC") != std::string::npos;
      column.nulls_first = by.find("NULLS FIRST") != std::string::npos;
      spec.order.push_back(column);
      orders.push_back(by + (column.nulls_first ? "" : " NULLS LAST"));
    }
    orders_ = orders;
    return spec;
  }
  static uint32_t index_of(const KernelSpec& spec, const std::string& name) {
    return column(spec, name);
  }
  /// ORDER BY the first columns of the order.
  std::string over(size_t count, const std::string& frame = "") const {
    const std::vector<std::string> some(orders_.begin(),
                                        orders_.begin() + static_cast<long>(count));
    return fmt::format(" OVER ({} {} {})", partition_,
                       some.empty() ? "" : "ORDER BY " + join(some, ", "), frame);
  }
  void add(KernelSpec& spec, WindowFunction window, const std::string& sql) {
    const std::string name = fmt::format("w{}", spec.windows.size());
    const sql::Schema bound = schema_of(fmt::format("SELECT {} AS x FROM {}", sql, table_));
    if (bound.empty()) return;
    window.aggregate.type = bound[0].type;
    EXPECT_EQ(unsupported(window, spec.input).value_or(""), "") << sql;
    items_ += fmt::format(", {} AS {}", sql, name);
    spec.output.push_back({name, bound[0].type});
    spec.windows.push_back(std::move(window));
  }
  /// Every function there is over these columns, with every frame.
  void add_all(KernelSpec& spec, const std::vector<std::string>& columns) {
    const auto depth = static_cast<uint32_t>(orders_.size());
    const std::string all = over(depth), rows = over(depth, "ROWS UNBOUNDED PRECEDING");
    const std::string whole =
        over(depth, "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING");
    add(spec, {.kind = WindowKind::kRowNumber}, "row_number()" + all);
    for (uint32_t d = 1; d <= depth; ++d) {
      add(spec, {.kind = WindowKind::kRank, .peers = d}, "rank()" + over(d));
      add(spec, {.kind = WindowKind::kDenseRank, .peers = d}, "dense_rank()" + over(d));
      add(spec, {.kind = WindowKind::kPercentRank, .peers = d}, "percent_rank()" + over(d));
      add(spec, {.kind = WindowKind::kCumeDist, .peers = d}, "cume_dist()" + over(d));
      add(spec, count_rows(d), "count(*)" + over(d));
    }
    add(spec, {.kind = WindowKind::kNtile, .number = 3}, "ntile(3)" + all);
    add(spec, {.kind = WindowKind::kNtile, .number = 1000}, "ntile(1000)" + all);
    for (const std::string& name : columns) add_of(spec, name, depth, all, rows, whole);
  }
  static WindowFunction count_rows(uint32_t depth) {
    return {.kind = WindowKind::kAggregate,
            .peers = depth,
            .aggregate = {.kind = AggregateKind::kCountRows}};
  }
  void add_of(KernelSpec& spec, const std::string& name, uint32_t depth, const std::string& all,
              const std::string& rows, const std::string& whole) {
    const Aggregate of{.kind = AggregateKind::kAnyValue, .arguments = {index_of(spec, name)}};
    for (const uint64_t n : {0, 1, 2'500}) {
      add(spec, {.kind = WindowKind::kLag, .number = n, .aggregate = of},
          fmt::format("lag({}, {}){}", name, n, all));
      add(spec, {.kind = WindowKind::kLead, .number = n, .aggregate = of},
          fmt::format("lead({}, {}){}", name, n, all));
    }
    WindowFunction otherwise{
        .kind = WindowKind::kLag, .number = 2, .otherwise = index_of(spec, name), .aggregate = of};
    add(spec, otherwise, fmt::format("lag({0}, 2, {0}){1}", name, all));
    otherwise.kind = WindowKind::kLead;
    add(spec, otherwise, fmt::format("lead({0}, 2, {0}){1}", name, all));
    struct Frame {
      bool by_row;
      uint32_t peers;
      const std::string& over;
    };
    for (const Frame& frame :
         {Frame{false, depth, all}, Frame{true, depth, rows}, Frame{false, 0, whole}}) {
      WindowFunction window{.by_row = frame.by_row, .peers = frame.peers, .aggregate = of};
      for (const bool ignore : {false, true}) {
        window.ignore_nulls = ignore;
        const std::string nulls = ignore ? " IGNORE NULLS)" : ")";
        window.kind = WindowKind::kFirstValue;
        add(spec, window, fmt::format("first_value({}{}{}", name, nulls, frame.over));
        window.kind = WindowKind::kLastValue;
        add(spec, window, fmt::format("last_value({}{}{}", name, nulls, frame.over));
        window.kind = WindowKind::kNthValue;
        window.number = 3;
        add(spec, window, fmt::format("nth_value({}, 3{}{}", name, nulls, frame.over));
      }
      window = {.kind = WindowKind::kAggregate,
                .by_row = frame.by_row,
                .peers = frame.peers,
                .aggregate = of};
      for (const AggregateKind kind :
           {AggregateKind::kCount, AggregateKind::kMin, AggregateKind::kMax, AggregateKind::kSum,
            AggregateKind::kAvg}) {
        const bool adds = kind == AggregateKind::kSum || kind == AggregateKind::kAvg;
        const std::string& type = spec.input[of.arguments[0]].type;
        if (adds && type.find("INT") == std::string::npos && type != "DOUBLE" && type != "FLOAT" &&
            !type.starts_with("DECIMAL"))
          continue;
        window.aggregate.kind = kind;
        add(spec, window, fmt::format("{}({}){}", to_string(kind), name, frame.over));
      }
    }
  }

  std::string wanted() const { return "SELECT *" + items_ + " FROM " + table_; }
  void expect_rows(const std::string& table) {
    EXPECT_EQ(difference(fmt::format("SELECT * FROM {}", table), wanted()), "");
  }
  std::string difference(const std::string& one, const std::string& other) {
    auto made = connection_->execute("CREATE OR REPLACE TEMP TABLE wanted AS " + other);
    if (!made) return made.error().message;
    auto diff = connection_->query(fmt::format(
        "SELECT (SELECT count(*) FROM ({0} EXCEPT ALL FROM wanted)) || ' too many, ' || (SELECT "
        "count(*) FROM (FROM wanted EXCEPT ALL {0})) || ' missing of ' || (SELECT count(*) FROM "
        "wanted)",
        one));
    if (!diff) return diff.error().message;
    if (diff->scalar().starts_with("0 too many, 0 missing of ")) return "";
    std::string columns;
    for (const auto& [name, type] : schema_of("FROM wanted")) {
      auto differs = connection_->query(fmt::format(
          "SELECT count(*) FROM (SELECT i, {0} FROM ({1}) EXCEPT ALL SELECT i, {0} FROM wanted)",
          quote_identifier(name), one));
      if (differs && differs->scalar() != "0") columns += " " + name;
    }
    return diff->scalar() + ":" + columns + "\n" + items_;
  }
  void run_everywhere(const KernelSpec& spec) {
    ASSERT_EQ(unsupported(spec).value_or(""), "");
    const Status stream = reduce_stream(spec, "streamed", kPlenty);
    ASSERT_TRUE(stream) << stream.error().describe();
    expect_rows("streamed");
    if (spec.keys == 0) return;
    const Status status = reduce_buckets(spec, 7, "bucketed", kPlenty);
    ASSERT_TRUE(status) << status.error().describe();
    expect_rows("bucketed");
  }

  std::string table_, partition_, items_;
  std::vector<std::string> orders_;
};

TEST_F(WindowTest, EveryFunctionOverEveryFrame) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT (i * 7919 % 13)::INTEGER AS k, CASE WHEN i % 5 > 0 THEN i // 3 % "
      "50 "
      "END AS d, i, CASE WHEN i % 3 > 0 THEN i * 31 % 101 END AS n FROM range(6000) r(i)"));
  for (const std::vector<std::string>& order :
       {std::vector<std::string>{"i"}, {"d", "i"}, {"d DESC NULLS FIRST", "i DESC"}, {"i DESC"}}) {
    KernelSpec spec = window_spec("t", 1, order);
    add_all(spec, {"n", "k"});
    run_everywhere(spec);
  }
}

TEST_F(WindowTest, NestedValuesStandInForRowsThatAreMissing) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT i % 3 AS k, i, CASE WHEN i % 5 > 0 THEN {'a': CASE WHEN i % 2 = 0 "
      "THEN i END, 'b': [i, NULL], 'c': {'d': 'x' || i}} END AS s, i % 2 = 0 AS p FROM range(5000) "
      "r(i)"));
  KernelSpec spec = window_spec("t", 1, {"i"});
  const Aggregate of{.kind = AggregateKind::kAnyValue, .arguments = {2}};
  for (const uint64_t n : {1, 1'000}) {
    add(spec, {.kind = WindowKind::kLag, .number = n, .otherwise = 2, .aggregate = of},
        fmt::format("lag(s, {}, s){}", n, over(1)));
    add(spec, {.kind = WindowKind::kLead, .number = n, .otherwise = 2, .aggregate = of},
        fmt::format("lead(s, {}, s){}", n, over(1)));
    add(spec, {.kind = WindowKind::kLead, .number = n, .aggregate = of},
        fmt::format("lead(s, {}){}", n, over(1)));
  }
  run_everywhere(spec);
}

/// All rows of a few partitions, of one each, of one alone; and none.
TEST_F(WindowTest, PartitionsOfAllSizes) {
  for (const char* key : {"i", "i // 2", "i // 2047", "CASE WHEN i > 5 THEN 1 END"}) {
    for (const int rows : {0, 1, 2048, 5'000}) {
      ASSERT_TRUE(connection_->execute(
          fmt::format("CREATE OR REPLACE TABLE t AS SELECT ({})::BIGINT AS k, i, i % 9 AS n FROM "
                      "range({}) r(i)",
                      key, rows)));
      KernelSpec spec = window_spec("t", 1, {"i"});
      add_all(spec, {"n"});
      SCOPED_TRACE(fmt::format("{} of {} rows", key, rows));
      run_everywhere(spec);
    }
  }
}

TEST_F(WindowTest, PeersAcrossSlices) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT i // 9000 AS k, i // 3000 AS d, i, i % 7 AS n FROM range(20000) "
      "r(i)"));
  KernelSpec spec = window_spec("t", 1, {"d", "i"});
  const Aggregate of{.kind = AggregateKind::kSum, .arguments = {3}};
  add(spec, {.kind = WindowKind::kAggregate, .peers = 1, .aggregate = of}, "sum(n)" + over(1));
  add(spec, {.kind = WindowKind::kAggregate, .peers = 0, .aggregate = of},
      "sum(n) OVER (PARTITION BY k)");
  add(spec, {.kind = WindowKind::kCumeDist, .peers = 1}, "cume_dist()" + over(1));
  run_everywhere(spec);
}

TEST_F(WindowTest, EveryType) {
  for (const char* type : {"TINYINT",       "SMALLINT",     "INTEGER",
                           "BIGINT",        "HUGEINT",      "UTINYINT",
                           "USMALLINT",     "UINTEGER",     "UBIGINT",
                           "DECIMAL(4,1)",  "DECIMAL(9,2)", "DECIMAL(18,3)",
                           "DECIMAL(30,3)", "DATE",         "TIMESTAMP",
                           "TIME",          "BOOLEAN",      "UUID",
                           "VARCHAR",       "BLOB",         "ENUM('1', '0', '2')"}) {
    const std::string text(type);
    std::string value = "(i % 50)";
    if (text == "DATE" || text == "TIMESTAMP") value = "(DATE '2000-01-01' + (i % 50)::INTEGER)";
    if (text == "TIME") value = "to_seconds(i % 50)::VARCHAR";
    if (text == "BOOLEAN") value = "(i % 2)";
    if (text == "UUID") value = "md5((i % 50)::VARCHAR)";
    if (text == "VARCHAR" || text == "BLOB")
      value = "(repeat('some', (i % 9)::INTEGER) || (i % 50))";
    if (text.starts_with("ENUM")) value = "(i % 3)::VARCHAR";
    ASSERT_TRUE(connection_->execute(fmt::format(
        "CREATE OR REPLACE TABLE t AS SELECT CASE WHEN i % 11 > 0 THEN {0}::{1} END AS k, CASE "
        "WHEN i % 7 > 0 THEN {0}::{1} END AS v, i FROM (SELECT hash(i) % 10000 AS i FROM "
        "range(1500) r(i))",
        value, type)));
    ASSERT_TRUE(
        connection_->execute("CREATE OR REPLACE TABLE t AS SELECT DISTINCT ON (i) * FROM t"));
    for (const std::vector<std::string>& order :
         {std::vector<std::string>{"v", "i"}, {"v DESC NULLS FIRST", "i"}}) {
      KernelSpec spec = window_spec("t", 1, order);
      add_all(spec, {"v"});
      SCOPED_TRACE(type);
      run_everywhere(spec);
    }
  }
}

TEST_F(WindowTest, FloatsThatAreEqualArePeers) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT v AS k, w AS v, row_number() OVER () AS i FROM (SELECT "
      "unnest(['nan', '-0.0', '0.0', 'inf', '-inf', '1.5', NULL])::DOUBLE AS v), (SELECT "
      "unnest(['nan', '-nan', '-0.0', '0.0', 'inf', '-inf', '1.5', NULL])::DOUBLE AS w), "
      "range(3)"));
  for (const char* order : {"v", "v DESC", "v NULLS FIRST"}) {
    KernelSpec spec = window_spec("t", 1, {order, "i"});
    const Aggregate of{.kind = AggregateKind::kSum, .arguments = {1}};
    for (uint32_t d = 1; d <= 2; ++d) {
      add(spec, {.kind = WindowKind::kRank, .peers = d}, "rank()" + over(d));
      add(spec, {.kind = WindowKind::kCumeDist, .peers = d}, "cume_dist()" + over(d));
      add(spec, {.kind = WindowKind::kAggregate, .peers = d, .aggregate = of}, "sum(v)" + over(d));
      Aggregate extreme = of;
      extreme.kind = AggregateKind::kMax;
      add(spec, {.kind = WindowKind::kAggregate, .peers = d, .aggregate = extreme},
          "max(v)" + over(d));
    }
    run_everywhere(spec);
  }
}

TEST_F(WindowTest, RunningSumsOfDoublesDoNotDependOnTheSplit) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT i % 5 AS k, i, (hash(i) % 1000003)::DOUBLE / 997 * (CASE WHEN i % "
      "3 = 0 THEN -1 ELSE 1 END) AS v FROM range(20000) r(i)"));
  KernelSpec spec = window_spec("t", 1, {"i"});
  const Aggregate of{.kind = AggregateKind::kSum, .arguments = {2}};
  add(spec, {.kind = WindowKind::kAggregate, .by_row = true, .peers = 1, .aggregate = of},
      "sum(v)" + over(1, "ROWS UNBOUNDED PRECEDING"));
  ASSERT_TRUE(reduce_stream(spec, "streamed", kPlenty));
  ASSERT_TRUE(reduce_buckets(spec, 3, "bucketed", kLittle));
  EXPECT_EQ(difference("FROM bucketed", "FROM streamed"), "");
  auto off = connection_->query(fmt::format(
      "SELECT max(abs(a.w0 - b.w0) / greatest(abs(b.w0), 1)) < 1e-12 FROM streamed a JOIN ({}) b "
      "USING (i)",
      wanted()));
  ASSERT_TRUE(off) << off.error().describe();
  EXPECT_EQ(off->scalar(), "true");
}

TEST_F(WindowTest, OneConditionForEachRow) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT i % 3 AS k, i, CASE WHEN i % 4 > 0 THEN i % 2 = 0 END AS p, i % 10 "
      "AS n FROM range(5000) r(i)"));
  KernelSpec spec = window_spec("t", 1, {"i"});
  for (const bool by_row : {false, true}) {
    const std::string at = over(1, by_row ? "ROWS UNBOUNDED PRECEDING" : "");
    Aggregate of{.kind = AggregateKind::kSum, .arguments = {3}, .filter = 2};
    add(spec, {.kind = WindowKind::kAggregate, .by_row = by_row, .peers = 1, .aggregate = of},
        "sum(n) FILTER (WHERE p)" + at);
    of = {.kind = AggregateKind::kCountRows, .filter = 2};
    add(spec, {.kind = WindowKind::kAggregate, .by_row = by_row, .peers = 1, .aggregate = of},
        "count(*) FILTER (WHERE p)" + at);
  }
  run_everywhere(spec);
}

/// A partition of many times the memory, with texts and nested values: spilled, then read by a
/// block at a time.
TEST_F(WindowTest, APartitionLargerThanMemory) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT CASE WHEN i % 10 = 0 THEN i % 50 ELSE 1 END AS k, i // 15000 AS d, "
      "i, 'a text of some length ' || (i * 7919 % 1000003) AS s, [i % 3, NULL] AS l FROM "
      "range(100000) r(i) ORDER BY hash(i)"));
  KernelSpec spec = window_spec("t", 1, {"d", "i"});
  add_all(spec, {});
  const Aggregate text{.kind = AggregateKind::kAnyValue, .arguments = {3}};
  const Aggregate nested{.kind = AggregateKind::kAnyValue, .arguments = {4}};
  Aggregate most = text;
  most.kind = AggregateKind::kMax;
  for (const bool by_row : {false, true}) {
    const std::string at = over(2, by_row ? "ROWS UNBOUNDED PRECEDING" : "");
    add(spec, {.kind = WindowKind::kAggregate, .by_row = by_row, .peers = 2, .aggregate = most},
        "max(s)" + at);
    add(spec, {.kind = WindowKind::kLastValue, .by_row = by_row, .peers = 2, .aggregate = nested},
        "last_value(l)" + at);
  }
  add(spec, {.kind = WindowKind::kAggregate, .peers = 0, .aggregate = most},
      "max(s) OVER (PARTITION BY k)");
  add(spec, {.kind = WindowKind::kAggregate, .peers = 1, .aggregate = most}, "max(s)" + over(1));
  add(spec, {.kind = WindowKind::kFirstValue, .peers = 1, .aggregate = text},
      "first_value(s)" + over(1));
  add(spec, {.kind = WindowKind::kLag, .number = 7, .aggregate = text}, "lag(s, 7)" + over(2));
  add(spec, {.kind = WindowKind::kLead, .number = 20'000, .aggregate = nested},
      "lead(l, 20000)" + over(2));
  ASSERT_EQ(unsupported(spec).value_or(""), "");
  const Status status = reduce_stream(spec, "spilled", kLittle);
  ASSERT_TRUE(status) << status.error().describe();
  EXPECT_GT(counts_->spilled_bytes, uint64_t{4} << 20);
  EXPECT_LE(counts_->peak_bytes, kLittle);
  expect_rows("spilled");
  ASSERT_TRUE(connection_->execute("DROP TABLE spilled"));
  ASSERT_TRUE(reduce_buckets(spec, 3, "bucketed", kLittle));
  expect_rows("bucketed");
}

TEST_F(WindowTest, RowsOfTiesStandAsTheyCame) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT i % 3 AS k, i // 100 AS d, i FROM range(9000) r(i)"));
  KernelSpec spec = window_spec("t", 1, {"d"});
  add(spec, {.kind = WindowKind::kRowNumber}, "row_number() OVER (PARTITION BY k ORDER BY d, i)");
  run_everywhere(spec);
}

TEST_F(WindowTest, WithoutKeysAllRowsAreOnePartition) {
  ASSERT_TRUE(connection_->execute("CREATE TABLE t AS SELECT i % 9 AS n, i FROM range(9000) r(i)"));
  KernelSpec spec = window_spec("t", 0, {"n", "i"});
  add_all(spec, {"n"});
  run_everywhere(spec);
}

TEST_F(WindowTest, OnlyWhatIsReadIsComputed) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT i % 9 AS k, i, i % 5 AS n FROM range(9000) r(i)"));
  KernelSpec spec = window_spec("t", 1, {"i"});
  add_all(spec, {"n"});
  for (const char* select : {"count(*)", "sum(w0)", "sum(w3), count(w7), max(i)"}) {
    counts_ = std::make_shared<KernelCounts>();
    KernelInput input;
    input.stream = [&] { return connection_->stream(spec.input_sql); };
    ASSERT_TRUE(register_kernel(*connection_, real_effects(), spec, std::move(input),
                                {.memory_bytes = kPlenty, .spill_directory = directory_}, counts_));
    auto ours = connection_->query(fmt::format("SELECT {} FROM kernel_result", select));
    auto whole = connection_->query(fmt::format("SELECT {} FROM ({})", select, wanted()));
    ASSERT_TRUE(ours) << ours.error().describe();
    ASSERT_TRUE(whole) << whole.error().describe();
    for (size_t i = 0; i < ours->rows[0].size(); ++i)
      EXPECT_EQ(ours->rows[0][i].text, whole->rows[0][i].text) << select;
  }
}

}  // namespace
}  // namespace tidegate::reduce
