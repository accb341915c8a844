#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "reduce/combine_sql.h"
#include "reduce/kernel_fixture.h"

namespace tidegate::reduce {
namespace {

using Kind = AggregateKind;

constexpr uint64_t kRoom = uint64_t{256} << 20;
constexpr uint64_t kNarrow = uint64_t{8} << 20;

/// INTERVALs of few values in many forms, on both sides of zero.
class IntervalTest : public KernelFixture {
 protected:
  void SetUp() override {
    KernelFixture::SetUp();
    make_source(20'000);
  }
  void make_source(uint64_t rows) {
    const auto value = [](const char* of, int months) {
      return fmt::format(
          "CASE WHEN hash(i, '{0}') % 9 = 0 THEN NULL ELSE to_months((hash(i, '{0}m') % {1})"
          "::INTEGER - 2) + to_days((hash(i, '{0}d') % 3 * 30)::INTEGER - 30 + (hash(i, '{0}e') % "
          "2)::INTEGER) + to_hours((hash(i, '{0}h') % 4 * 360)::BIGINT - 720) END",
          of, months);
    };
    run(
        fmt::format("CREATE OR REPLACE TABLE source AS SELECT {} AS k, {} AS v, i::INTEGER AS n "
                    "FROM range({}) r(i)",
                    value("k", 5), value("v", 900), rows));
  }
  /// Intervals are equal in several forms: compares what they look like.
  std::string as_texts(const std::string& relation) {
    const sql::Schema schema = schema_of("SELECT * FROM " + relation);
    std::vector<std::string> texts;
    for (const sql::Column& column : schema)
      texts.push_back(fmt::format("{0}::VARCHAR AS {0}", quote_identifier(column.name)));
    return "(SELECT " + join(texts, ", ") + " FROM " + relation + ")";
  }
  void expect_same_forms(const std::string& sql, const std::string& table) {
    run("CREATE OR REPLACE TABLE expected AS " + sql);
    EXPECT_EQ(difference(as_texts("expected"), as_texts(table)), "0+0") << sql;
  }
};

TEST_F(IntervalTest, WindowsByIntervalsAreAsDuckdbHasThem) {
  const auto of = [](WindowKind kind, uint32_t peers, uint32_t column) {
    return WindowFunction{.kind = kind, .peers = peers, .aggregate = {.arguments = {column}}};
  };
  const auto fold = [](Kind kind, uint32_t peers, bool by_row) {
    return WindowFunction{.kind = WindowKind::kAggregate,
                          .by_row = by_row,
                          .peers = peers,
                          .aggregate = {.kind = kind, .arguments = {1}}};
  };
  const std::string by_v = " OVER (PARTITION BY k ORDER BY v DESC NULLS FIRST",
                    total = by_v + ", n", rows = " ROWS UNBOUNDED PRECEDING)";
  std::vector<std::pair<WindowFunction, std::string>> functions = {
      {{.kind = WindowKind::kRowNumber, .peers = 2}, "row_number()" + total + ")"},
      {{.kind = WindowKind::kRank, .peers = 1}, "rank()" + by_v + ")"},
      {{.kind = WindowKind::kDenseRank, .peers = 1}, "dense_rank()" + by_v + ")"},
      {{.kind = WindowKind::kCumeDist, .peers = 1}, "cume_dist()" + by_v + ")"},
      {of(WindowKind::kFirstValue, 2, 0), "first_value(k)" + total + ")"},
      {of(WindowKind::kLastValue, 2, 1), "last_value(v)" + total + ")"},
      {fold(Kind::kMax, 2, true), "max(v)" + total + rows},
      {fold(Kind::kMin, 2, true), "min(v)" + total + rows},
      {fold(Kind::kCount, 0, false), "count(v) OVER (PARTITION BY k)"},
  };
  for (const WindowKind kind : {WindowKind::kLag, WindowKind::kLead}) {
    WindowFunction window = of(kind, 2, 1);
    window.number = 2;
    functions.emplace_back(window, fmt::format("{}(v, 2)", to_string(kind)) + total + ")");
  }
  KernelSpec spec;
  spec.kind = KernelSpec::Kind::kWindow;
  spec.name = "kernel_result";
  spec.input_sql = "SELECT * FROM source";
  spec.input = spec.output = schema_of(spec.input_sql);
  spec.keys = 1;
  spec.order = {{1, true, true}, {2}};
  std::string items = "*";
  for (auto& [window, sql] : functions) {
    const std::string name = fmt::format("w{}", spec.windows.size());
    window.aggregate.type = schema_of("SELECT " + sql + " AS x FROM source").at(0).type;
    spec.output.push_back({name, window.aggregate.type});
    spec.windows.push_back(window);
    items += fmt::format(", {} AS {}", sql, name);
  }
  ASSERT_EQ(unsupported(spec).value_or(""), "");
  const std::string sql = "SELECT " + items + " FROM source";
  Status status = reduce_stream(spec, "streamed", kRoom);
  ASSERT_TRUE(status) << status.error().describe();
  expect_same_forms(sql, "streamed");
  status = reduce_buckets(spec, 3, "bucketed", kRoom);
  ASSERT_TRUE(status) << status.error().describe();
  expect_same_forms(sql, "bucketed");
  // Sorted on disk.
  make_source(100'000);
  status = reduce_buckets(spec, 2, "spilled", kNarrow);
  ASSERT_TRUE(status) << status.error().describe();
  EXPECT_GT(counts_->spilled_bytes, 0U);
  expect_same_forms(sql, "spilled");
}

TEST_F(IntervalTest, OrdersByIntervalsAreAsDuckdbHasThem) {
  const std::vector<OrderColumn> down = {{1, true, false}, {2}};
  const std::string by = "ORDER BY v DESC NULLS LAST, n";
  const KernelSpec spec =
      group_spec("source", 1,
                 {{{.kind = Kind::kFirst, .arguments = {1}, .order = down}, "first(v " + by + ")"},
                  {{.kind = Kind::kLast, .arguments = {2}, .order = down}, "last(n " + by + ")"},
                  {{.kind = Kind::kList, .arguments = {1}, .order = down}, "list(v " + by + ")"},
                  {{.kind = Kind::kCount, .arguments = {1}}, "count(v)"}});
  ASSERT_EQ(unsupported(spec).value_or(""), "");
  ASSERT_TRUE(reduce_buckets(spec, 3, "reduced", kRoom));
  // DuckDB's own arg_max has another order of intervals with parts of unlike signs.
  Aggregate other = {.kind = Kind::kArgMax, .arguments = {2, 1}, .type = "INTEGER"};
  EXPECT_EQ(unsupported(other, spec.input), "arg_max of INTEGER");
  run("CREATE OR REPLACE TABLE expected AS " + expected_);
  for (const char* each : {"g0::VARCHAR", "g1", "g2::VARCHAR", "g3"})
    EXPECT_EQ(difference(fmt::format("(SELECT k, {} FROM expected)", each),
                         fmt::format("(SELECT k, {} FROM reduced)", each)),
              "0+0")
        << each;
}

TEST_F(IntervalTest, OfEqualExtremesTheLeastFormIsGiven) {
  run("CREATE OR REPLACE TABLE source AS SELECT 1 AS k, unnest([INTERVAL '1 month', INTERVAL '30 "
      "days', INTERVAL '720 hours', INTERVAL '-1 day', INTERVAL '-24 hours', NULL]) AS v");
  KernelSpec spec = group_spec("source", 1,
                               {{{.kind = Kind::kMin, .arguments = {1}}, "min(v)"},
                                {{.kind = Kind::kMax, .arguments = {1}}, "max(v)"}});
  ASSERT_EQ(unsupported(spec).value_or(""), "");
  for (const char* order : {"v::VARCHAR", "v::VARCHAR DESC", "hash(v::VARCHAR)"}) {
    spec.input_sql = fmt::format("SELECT * FROM source ORDER BY {}", order);
    ASSERT_TRUE(reduce_stream(spec, "result", kRoom));
    EXPECT_EQ(scalar("SELECT g0::VARCHAR || ' ' || g1::VARCHAR FROM result"), "-1 day 720:00:00");
  }
}

// DuckDB gives the form that comes first.
TEST_F(IntervalTest, DuckdbCombinesNoIntervals) {
  const std::pair<Aggregate, std::string> count{{.kind = Kind::kCountRows}, "count(*)"};
  EXPECT_FALSE(combine_select(group_spec("source", 1, {count}), "rows"));
  run("CREATE OR REPLACE TABLE source AS SELECT n AS k, v FROM source");
  EXPECT_TRUE(combine_select(group_spec("source", 1, {count}), "rows"));
  EXPECT_FALSE(combine_select(
      group_spec("source", 1, {{{.kind = Kind::kMin, .arguments = {1}}, "min(v)"}}), "rows"));
}

}  // namespace
}  // namespace tidegate::reduce
