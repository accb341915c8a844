#include <fmt/format.h>

#include "reduce/kernel_fixture.h"
#include "reduce/kernel_values_fixture.h"

namespace tidegate::reduce {
namespace {

constexpr uint64_t kRoomy = uint64_t{256} << 20;
using Kind = AggregateKind;

class KernelTest : public KernelFixture {
 protected:
  /// All kinds over all types.
  KernelSpec everything(const std::string& table, uint32_t keys) {
    KernelSpec names;
    names.input = schema_of("SELECT * FROM " + table);
    std::vector<std::pair<Aggregate, std::string>> all = {{{Kind::kCountRows}, "count(*)"}};
    const auto add = [&](Kind kind, const std::string& function, const std::string& on) {
      all.push_back({{kind, {column(names, on)}}, fmt::format("{}({})", function, on)});
    };
    for (const char* on : {"small", "big", "huge", "byte", "real", "cents", "single", "money",
                           "wide", "flag", "day", "moment", "name", "blob", "id"}) {
      add(Kind::kCount, "count", on);
      add(Kind::kMin, "min", on);
      add(Kind::kMax, "max", on);
    }
    for (const char* on : {"small", "big", "byte", "cents", "single", "money"}) {
      add(Kind::kSum, "sum", on);
      add(Kind::kAvg, "avg", on);
    }
    for (const char* on : {"small", "big", "byte"}) {
      add(Kind::kBitAnd, "bit_and", on);
      add(Kind::kBitOr, "bit_or", on);
      add(Kind::kBitXor, "bit_xor", on);
      add(Kind::kMedian, "median", on);
    }
    add(Kind::kMedian, "median", "cents");
    add(Kind::kSum, "sum", "flag");
    add(Kind::kBoolAnd, "bool_and", "flag");
    add(Kind::kBoolOr, "bool_or", "flag");
    for (const char* on : {"small", "big", "real", "name", "day", "money", "id"}) {
      all.push_back({{.kind = Kind::kCount, .arguments = {column(names, on)}, .distinct = true},
                     fmt::format("count(DISTINCT {})", on)});
    }
    all.push_back({{.kind = Kind::kSum, .arguments = {column(names, "small")}, .distinct = true},
                   "sum(DISTINCT small)"});
    const uint32_t flag = column(names, "flag");
    for (const auto& [one, other] : {std::pair("name", "flag"), {"small", "real"}, {"day", "id"}}) {
      const Aggregate rows{.kind = Kind::kCount,
                           .arguments = {column(names, one), column(names, other)},
                           .distinct = true};
      Aggregate some = rows;
      some.filter = flag;
      all.push_back({rows, fmt::format("count(DISTINCT ({}, {}))", one, other)});
      all.push_back(
          {some, fmt::format("count(DISTINCT ({}, {})) FILTER (WHERE flag)", one, other)});
    }
    all.push_back({{.kind = Kind::kCountRows, .filter = flag}, "count(*) FILTER (WHERE flag)"});
    all.push_back({{.kind = Kind::kSum, .arguments = {column(names, "big")}, .filter = flag},
                   "sum(big) FILTER (WHERE flag)"});
    all.push_back({{.kind = Kind::kCount,
                    .arguments = {column(names, "name")},
                    .filter = flag,
                    .distinct = true},
                   "count(DISTINCT name) FILTER (WHERE flag)"});
    all.push_back(
        {{.kind = Kind::kArgMax, .arguments = {column(names, "name"), column(names, "n")}},
         "arg_max(name, n)"});
    all.push_back(
        {{.kind = Kind::kArgMin, .arguments = {column(names, "money"), column(names, "n")}},
         "arg_min(money, n)"});
    all.push_back({{.kind = Kind::kFirst,
                    .arguments = {column(names, "name")},
                    .order = {{column(names, "n"), false, false}}},
                   "first(name ORDER BY n)"});
    all.push_back({{.kind = Kind::kLast,
                    .arguments = {column(names, "small")},
                    .order = {{column(names, "n"), false, false}}},
                   "last(small ORDER BY n)"});
    all.push_back({{.kind = Kind::kAnyValue,
                    .arguments = {column(names, "small")},
                    .order = {{column(names, "n"), true, false}}},
                   "any_value(small ORDER BY n DESC)"});
    for (const char* on : {"cents", "eighths"}) {
      add(Kind::kVarSamp, "var_samp", on);
      add(Kind::kVarPop, "var_pop", on);
      add(Kind::kStddevSamp, "stddev_samp", on);
      add(Kind::kStddevPop, "stddev_pop", on);
    }
    all.push_back(
        {{.kind = Kind::kVarPop, .arguments = {column(names, "eighths")}, .distinct = true},
         "var_pop(DISTINCT eighths)"});
    const std::vector<uint32_t> pair{column(names, "cents"), column(names, "eighths")};
    all.push_back({{.kind = Kind::kCovarSamp, .arguments = pair}, "covar_samp(cents, eighths)"});
    all.push_back({{.kind = Kind::kCovarPop, .arguments = pair, .filter = flag},
                   "covar_pop(cents, eighths) FILTER (WHERE flag)"});
    all.push_back({{.kind = Kind::kCorr, .arguments = pair}, "corr(cents, eighths)"});
    for (const char* on : {"single", "money", "day", "moment", "flag", "name"})
      add(Kind::kMedian, "median", on);
    for (const char* on : {"small", "real", "huge", "name", "day", "flag", "money", "id", "blob"})
      add(Kind::kMode, "mode", on);
    const std::vector<OrderColumn> by_name{{column(names, "name"), true, false},
                                           {column(names, "n"), false, false}};
    for (const char* on : {"small", "huge", "real", "name", "list", "flag", "moment", "span"}) {
      all.push_back({{.kind = Kind::kList, .arguments = {column(names, on)}, .order = by_name},
                     fmt::format("list({} ORDER BY name DESC NULLS LAST, n)", on)});
      all.push_back({{.kind = Kind::kList,
                      .arguments = {column(names, on)},
                      .filter = flag,
                      .order = {{column(names, "n")}}},
                     fmt::format("list({} ORDER BY n) FILTER (WHERE flag)", on)});
    }
    for (const char* on : {"list", "span"}) {
      all.push_back({{.kind = Kind::kFirst,
                      .arguments = {column(names, on)},
                      .order = {{column(names, "n"), true, false}}},
                     fmt::format("first({} ORDER BY n DESC)", on)});
      all.push_back({{.kind = Kind::kArgMin, .arguments = {column(names, on), column(names, "n")}},
                     fmt::format("arg_min({}, n)", on)});
    }
    all.push_back({{.kind = Kind::kStringAgg,
                    .arguments = {column(names, "name")},
                    .order = {{column(names, "small"), true, true}, {column(names, "n")}},
                    .separator = "; "},
                   "string_agg(name, '; ' ORDER BY small DESC NULLS FIRST, n)"});
    all.push_back({{.kind = Kind::kStringAgg,
                    .arguments = {column(names, "name")},
                    .filter = flag,
                    .distinct = true,
                    .order = {{column(names, "name")}}},
                   "string_agg(DISTINCT name, '' ORDER BY name) FILTER (WHERE flag)"});
    add(Kind::kApproxCountDistinct, "approx_count_distinct", "name_hash");
    all.back().second = "approx_count_distinct(name)";
    add(Kind::kApproxCountDistinct, "approx_count_distinct", "n_hash");
    all.back() = {all.back().first, "approx_count_distinct(n) FILTER (WHERE flag)"};
    all.back().first.filter = flag;
    for (const char* on : {"small", "single", "name", "id"}) {
      const uint32_t value = column(names, on);
      const Aggregate list{.kind = Kind::kList, .arguments = {value}, .distinct = true};
      all.push_back({list, fmt::format("list(DISTINCT {0} ORDER BY {0})", on)});
      all.back().first.order = {{value}};
      all.push_back(
          {list, fmt::format("list(DISTINCT {0} ORDER BY {0} DESC NULLS FIRST) FILTER (WHERE flag)",
                             on)});
      all.back().first.order = {{value, true, true}};
      all.back().first.filter = flag;
    }
    for (const double q : {0.1, 0.75}) {
      for (const char* on : {"single", "money", "day", "moment"})
        all.push_back(
            {{.kind = Kind::kQuantileCont, .arguments = {column(names, on)}, .quantile = q},
             fmt::format("quantile_cont({}, {})", on, q)});
      for (const char* on : {"huge", "single", "real", "wide", "day", "name", "id", "flag"})
        all.push_back(
            {{.kind = Kind::kQuantileDisc, .arguments = {column(names, on)}, .quantile = q},
             fmt::format("quantile_disc({}, {})", on, q)});
    }
    for (const double q : {0.0, 0.25, 0.9, 1.0}) {
      all.push_back(
          {{.kind = Kind::kQuantileCont, .arguments = {column(names, "cents")}, .quantile = q},
           fmt::format("quantile_cont(cents, {})", q)});
      all.push_back(
          {{.kind = Kind::kQuantileDisc, .arguments = {column(names, "small")}, .quantile = q},
           fmt::format("quantile_disc(small, {})", q)});
    }
    KernelSpec spec = group_spec(table, keys, all);
    EXPECT_EQ(unsupported(spec).value_or(""), "");
    return spec;
  }

  /// Results that DuckDB rounds at each row.
  static bool is_rough(Kind kind) {
    return kind == Kind::kSum || kind == Kind::kAvg ||
           (kind >= Kind::kVarSamp && kind <= Kind::kCorr);
  }

  /// Each group's row is as the SQL has it, what is rough to nine digits. Covariances may cancel
  /// out: they are as exact as what they are made of.
  void expect_same(const KernelSpec& spec, const std::string& got) {
    run("CREATE OR REPLACE TABLE expected AS " + expected_);
    EXPECT_EQ(scalar("SELECT count(*) FROM expected"), scalar("SELECT count(*) FROM " + got));
    std::string keys = "true", same;
    std::vector<std::string> conditions;
    for (size_t i = 0; i < spec.output.size(); ++i) {
      const std::string name = quote_identifier(spec.output[i].name);
      std::string equal = fmt::format("g.{0} IS NOT DISTINCT FROM e.{0}", name);
      if (i < spec.keys) {
        keys += " AND " + equal;
        continue;
      }
      const Aggregate& aggregate = spec.aggregates[i - spec.keys];
      if (spec.output[i].type == "DOUBLE" && is_rough(aggregate.kind))
        equal += fmt::format(
            " OR coalesce(abs(g.{0} - e.{0}) <= 1e-9 * greatest(abs(e.{0}), {1}), "
            "false)",
            name, aggregate.arguments.size() == 2 ? 1 : 0);
      conditions.push_back("(" + equal + ")");
      same += " AND " + conditions.back();
    }
    const auto alike = [&](const std::string& condition) {
      return scalar(fmt::format("SELECT count(*) FROM {} g JOIN expected e ON {} WHERE true{}", got,
                                keys, condition));
    };
    const std::string rows = scalar("SELECT count(*) FROM expected");
    if (alike(same) == rows) return;
    // Column by column, so that a difference names its aggregate.
    for (size_t i = spec.keys; i < spec.output.size(); ++i) {
      const Aggregate& aggregate = spec.aggregates[i - spec.keys];
      EXPECT_EQ(alike(" AND " + conditions[i - spec.keys]), rows)
          << spec.output[i].name << " " << to_string(aggregate.kind) << " of "
          << (aggregate.arguments.empty() ? "" : spec.input[aggregate.arguments[0]].name);
    }
    ADD_FAILURE() << "rows differ";
  }
};

struct KeyCase {
  const char* name;
  const char* sql;  ///< {} is the number of groups
  uint32_t keys;
};

class KernelKeys : public KernelTest, public ::testing::WithParamInterface<KeyCase> {};

TEST_P(KernelKeys, EveryAggregateIsAsDuckdbHasIt) {
  const KeyCase& key = GetParam();
  for (const int groups : {1, 60, 2'000}) {
    run("CREATE OR REPLACE TABLE source AS " + values_sql(4'000, groups, key.sql));
    const KernelSpec spec = everything("source", key.keys);
    Status status = reduce_stream(spec, "streamed", kRoomy);
    ASSERT_TRUE(status) << status.error().describe();
    expect_same(spec, "streamed");
    EXPECT_EQ(counts_->rows_in, 4'000U);
    status = reduce_buckets(spec, 7, "bucketed", kRoomy);
    ASSERT_TRUE(status) << status.error().describe();
    expect_same(spec, "bucketed");
    EXPECT_EQ(counts_->splits, 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Keys, KernelKeys,
    ::testing::Values(
        KeyCase{"int", "CASE WHEN i % 13 = 0 THEN NULL ELSE (hash(i) % {})::INTEGER END AS k", 1},
        KeyCase{"bigint", "(hash(i) % {})::BIGINT - 5 AS k", 1},
        KeyCase{"bigint_null",
                "CASE WHEN i % 13 = 0 THEN NULL ELSE (hash(i) % {})::BIGINT END AS k", 1},
        KeyCase{"huge",
                "CASE WHEN i % 9 = 0 THEN NULL ELSE (hash(i) % {})::HUGEINT * 1000000007 END "
                "AS k",
                1},
        KeyCase{"real",
                "([0.0, -0.0, 'nan'::DOUBLE, NULL, 1.5])[(i % 5)::INTEGER + 1] + (hash(i) % "
                "{})::DOUBLE AS k",
                1},
        KeyCase{"text",
                "CASE WHEN i % 11 = 0 THEN NULL ELSE repeat('ab', (hash(i) % 20)::INTEGER) || "
                "(hash(i) % {}) END AS k",
                1},
        KeyCase{"span", "to_months((hash(i) % 3)::INTEGER) + to_days((hash(i) % {})::INTEGER) AS k",
                1},
        KeyCase{
            "two_small",
            "CASE WHEN i % 3 = 0 THEN NULL ELSE (hash(i) % {})::SMALLINT END AS k, CASE WHEN i % 4 "
            "= 0 THEN NULL ELSE (i % 5)::UTINYINT END AS l",
            2},
        KeyCase{
            "two_wide",
            "CASE WHEN i % 3 = 0 THEN NULL ELSE (hash(i) % {})::BIGINT END AS k, CASE WHEN i % 4 = "
            "0 THEN NULL ELSE DATE '2020-01-01' + (i % 5)::INTEGER END AS l",
            2},
        KeyCase{
            "mixed",
            "(hash(i) % {})::INTEGER AS k, CASE WHEN i % 4 = 0 THEN NULL ELSE 'x' || (i % 3) END "
            "AS l, (i % 2)::DOUBLE AS m",
            3}),
    [](const auto& tested) { return tested.param.name; });

TEST_F(KernelTest, WithoutKeysThereIsOneRowAlsoOfNothing) {
  for (const int rows : {0, 1, 5'000}) {
    run("CREATE OR REPLACE TABLE source AS " + values_sql(rows, 1, "{} AS k"));
    const KernelSpec spec = everything("source", 0);
    const Status status = reduce_stream(spec, "streamed", kRoomy);
    ASSERT_TRUE(status) << status.error().describe();
    EXPECT_EQ(scalar("SELECT count(*) FROM streamed"), "1");
    expect_same(spec, "streamed");
  }
}

TEST_F(KernelTest, WhatDoesNotFitIsSplitAndComesOutTheSame) {
  run("CREATE TABLE source AS " + values_sql(15'000, 5'000, "(hash(i) % {})::BIGINT AS k"));
  const KernelSpec spec = everything("source", 1);
  Status status = reduce_stream(spec, "streamed", uint64_t{24} << 20);
  ASSERT_TRUE(status) << status.error().describe();
  EXPECT_GT(counts_->splits, 0U);
  EXPECT_LE(counts_->peak_bytes, uint64_t{24} << 20);
  expect_same(spec, "streamed");
  status = reduce_buckets(spec, 3, "bucketed", uint64_t{16} << 20);
  ASSERT_TRUE(status) << status.error().describe();
  EXPECT_GT(counts_->splits, 2U);
  expect_same(spec, "bucketed");
}

TEST_F(KernelTest, OneKeyThatDoesNotFitIsAFailureOfClassMemory) {
  run("CREATE TABLE source AS SELECT 1 AS k, i AS v FROM range(3000000) r(i)");
  const KernelSpec spec =
      group_spec("source", 1, {{{.kind = Kind::kMedian, .arguments = {1}}, "median(v)"}});
  const Status status = reduce_stream(spec, "streamed", uint64_t{4} << 20);
  ASSERT_FALSE(status);
  const Failure failure = map_output_failure(status.error());
  EXPECT_EQ(failure.cls, FailureClass::kMemory);
  EXPECT_EQ(failure.code, "reduce.memory");
}

TEST_F(KernelTest, TheFirstRowsOfEachKey) {
  for (const uint64_t limit : {1, 3}) {
    for (const bool descending : {false, true}) {
      run("CREATE OR REPLACE TABLE source AS " +
          values_sql(20'000, 3'000,
                     "CASE WHEN i % 13 = 0 THEN NULL ELSE (hash(i) % {})::INTEGER END AS k, (i % "
                     "2)::DOUBLE - 0.0 AS l"));
      KernelSpec spec;
      spec.kind = KernelSpec::Kind::kTop;
      spec.name = "kernel_result";
      spec.input_sql = "SELECT * FROM source";
      spec.input = spec.output = schema_of(spec.input_sql);
      spec.keys = 2;
      spec.limit = limit;
      spec.order = {{column(spec, "small"), descending, !descending},
                    {column(spec, "n"), true, false}};
      ASSERT_EQ(unsupported(spec).value_or(""), "");
      const std::string expected = fmt::format(
          "(SELECT * FROM source QUALIFY row_number() OVER (PARTITION BY k, l ORDER BY small {} "
          "NULLS "
          "{}, n DESC) <= {})",
          descending ? "DESC" : "ASC", descending ? "LAST" : "FIRST", limit);
      for (const uint64_t memory : {kRoomy, uint64_t{2} << 20}) {
        const Status status = reduce_stream(spec, "streamed", memory);
        ASSERT_TRUE(status) << status.error().describe();
        EXPECT_EQ(difference(expected, "streamed"), "0+0");
        EXPECT_EQ(counts_->splits > 0, memory < kRoomy);
      }
    }
  }
}

}  // namespace
}  // namespace tidegate::reduce
