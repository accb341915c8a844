#include "reduce/window_chain.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "reduce/kernel_fixture.h"
#include "reduce/spec_json.h"

namespace tidegate::reduce {
namespace {

constexpr uint64_t kPlenty = uint64_t{256} << 20;
constexpr uint64_t kLittle = uint64_t{8} << 20;

class WindowChainTest : public KernelFixture {
 protected:
  void make_source(int rows) {
    run(fmt::format(
        "CREATE OR REPLACE TABLE source AS SELECT (hash(i) % 30)::INTEGER AS k, CASE WHEN i % 9 = "
        "0 THEN NULL ELSE (hash(i + 1) % 5)::INTEGER END AS l, i::INTEGER AS n, CASE WHEN i % 7 = "
        "0 THEN NULL ELSE (hash(i + 2) % 40)::BIGINT END AS a, repeat('text', (hash(i) % "
        "9)::INTEGER) || (hash(i) % 50) AS x, i % 3 = 0 AS flag, [i, NULL] AS list FROM range({}) "
        "r(i)",
        rows));
  }
  void add(WindowFunction window, const std::string& call) {
    const std::vector<std::string> over = {"PARTITION BY k ORDER BY a NULLS LAST, n",
                                           "PARTITION BY l, k ORDER BY x DESC NULLS LAST, n",
                                           "PARTITION BY k ORDER BY l DESC NULLS FIRST, n DESC"};
    const std::string sql = fmt::format(fmt::runtime(call), over[window.sort]);
    const std::string name = fmt::format("w{}", spec_.windows.size());
    window.aggregate.type = schema_of(fmt::format("SELECT {} AS x FROM source", sql)).at(0).type;
    items_ += fmt::format(", {} AS {}", sql, name);
    spec_.output.push_back({name, window.aggregate.type});
    spec_.windows.push_back(std::move(window));
  }
  /// Every kind of function in each of three partitions and orders, one after the other.
  void make_spec() {
    spec_ = {};
    items_.clear();
    spec_.kind = KernelSpec::Kind::kWindow;
    spec_.name = "kernel_result";
    spec_.input_sql = "SELECT * FROM source";
    spec_.input = spec_.output = schema_of(spec_.input_sql);
    spec_.keys = 1;
    const auto on = [&](const char* name) { return column(spec_, name); };
    spec_.order = {{on("a")}, {on("n")}};
    spec_.sorts = {{{on("l"), on("k")}, {{on("x"), true}, {on("n")}}},
                   {{on("k")}, {{on("l"), true, true}, {on("n"), true}}}};
    for (const uint32_t sort : {1U, 0U, 2U}) {
      const auto of = [&](const char* name) {
        return Aggregate{.kind = AggregateKind::kAnyValue, .arguments = {on(name)}};
      };
      add({.kind = WindowKind::kRowNumber, .sort = sort}, "row_number() OVER ({})");
      add({.kind = WindowKind::kNtile, .number = 3, .sort = sort}, "ntile(3) OVER ({})");
      add({.kind = WindowKind::kLag,
           .number = 2,
           .sort = sort,
           .otherwise = on("x"),
           .aggregate = of("x")},
          "lag(x, 2, x) OVER ({})");
      add({.kind = WindowKind::kLead, .number = 1, .sort = sort, .aggregate = of("list")},
          "lead(list) OVER ({})");
      add({.kind = WindowKind::kFirstValue,
           .by_row = true,
           .peers = 2,
           .sort = sort,
           .aggregate = of("list")},
          "first_value(list) OVER ({} ROWS UNBOUNDED PRECEDING)");
      Aggregate sum{.kind = AggregateKind::kSum, .arguments = {on("a")}, .filter = on("flag")};
      add({.kind = WindowKind::kAggregate, .peers = 2, .sort = sort, .aggregate = sum},
          "sum(a) FILTER (WHERE flag) OVER ({})");
      add({.kind = WindowKind::kAggregate,
           .sort = sort,
           .aggregate = {.kind = AggregateKind::kMax, .arguments = {on("x")}}},
          "max(x) OVER ({} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)");
    }
    EXPECT_EQ(unsupported(spec_).value_or(""), "");
  }
  void expect_same(const std::string& got) {
    EXPECT_EQ(difference(fmt::format("(SELECT *{} FROM source)", items_), got), "0+0");
  }

  KernelSpec spec_;
  std::string items_;
};

TEST_F(WindowChainTest, SeveralPartitionsAndOrdersGiveWhatTheirSqlGives) {
  for (const int rows : {0, 1, 5'000, 30'000}) {
    make_source(rows);
    make_spec();
    for (const uint64_t memory : {kPlenty, kLittle}) {
      Status status = reduce_stream(spec_, "streamed", memory);
      ASSERT_TRUE(status) << status.error().describe();
      expect_same("streamed");
      EXPECT_EQ(counts_->rows_in, static_cast<uint64_t>(rows));
      EXPECT_EQ(counts_->rows_out, static_cast<uint64_t>(rows));
      const bool spilled = counts_->spilled_bytes > 0;
      EXPECT_TRUE(!spilled || (memory == kLittle && rows > 1));
      EXPECT_TRUE(spilled || memory == kPlenty || rows < 10'000);
      status = reduce_buckets(spec_, 5, "bucketed", memory);
      ASSERT_TRUE(status) << status.error().describe();
      expect_same("bucketed");
    }
  }
}

TEST_F(WindowChainTest, SomeColumnsInAnyOrderCanBeAskedFor) {
  make_source(3'000);
  make_spec();
  ASSERT_TRUE(register_kernel(
      *connection_, real_effects(), spec_,
      {.stream = [this] { return connection_->stream("SELECT * FROM source"); }},
      {.memory_bytes = kPlenty, .spill_directory = directory_}, std::make_shared<KernelCounts>()));
  run("CREATE TABLE read AS SELECT w9, n, w0, k, w20 FROM kernel_result");
  EXPECT_EQ(
      difference(fmt::format("(SELECT w9, n, w0, k, w20 FROM (SELECT *{} FROM source))", items_),
                 "read"),
      "0+0");
}

TEST_F(WindowChainTest, EachLinkHasItsKeysFirstAndTheValuesOfThoseBefore) {
  make_source(1);
  make_spec();
  const auto read = stage_kernel_from_json(to_json({spec_, "SELECT 1"}));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->kernel, spec_);
  const WindowLink link = window_link(spec_, 1);
  EXPECT_EQ(link.spec.keys, 2u);
  EXPECT_EQ(link.spec.windows.size(), 7u);
  std::vector<std::string> names;
  for (const sql::Column& column : link.spec.input) names.push_back(column.name);
  EXPECT_EQ(join(names, " "), "l k n a x flag list w7 w8 w9 w10 w11 w12 w13");
  EXPECT_EQ(link.spec.order, (std::vector<OrderColumn>{{4, true}, {2}}));
  EXPECT_EQ(link.spec.windows[2].otherwise, 4u);
  EXPECT_EQ(link.spec.windows[5].aggregate.filter, 5u);
  EXPECT_EQ(unsupported(link.spec).value_or(""), "");

  spec_.sorts.pop_back();
  EXPECT_EQ(unsupported(spec_), "a window over an order that is not there");
  spec_.sorts[0].keys = {column(spec_, "list")};
  EXPECT_EQ(unsupported(spec_), "keys of BIGINT[]");
}

}  // namespace
}  // namespace tidegate::reduce
