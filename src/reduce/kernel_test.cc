#include <fmt/format.h>

#include "reduce/combine.h"
#include "reduce/combine_sql.h"
#include "reduce/kernel_fixture.h"

namespace tidegate::reduce {
namespace {

constexpr uint64_t kRoomy = uint64_t{256} << 20;
using Kind = AggregateKind;

/// Every type of value, with NULLs, extremes and long texts.
std::string values_sql(int rows, int groups, const std::string& key) {
  return fmt::format(
      "SELECT {1}, i::INTEGER AS n, CASE WHEN i % 7 = 0 THEN NULL ELSE (hash(i) % 200)::INTEGER - "
      "100 END AS small, (hash(i + 1)::HUGEINT - 9223372036854775808)::BIGINT AS big, "
      "(hash(i + 2)::HUGEINT * 1000003)::HUGEINT AS huge, (hash(i) % 255)::UTINYINT AS byte, "
      "([0.1, 2.5, -0.0, 0.0, 1e300, -1e300, 1e-300, 'nan'::DOUBLE, NULL, 123456.789, "
      "'inf'::DOUBLE])[1 + (hash(i * 3) % 10)::INTEGER] AS real, (hash(i) % 100000)::DOUBLE / 100 "
      "AS cents, CASE WHEN i % 6 > 0 THEN (hash(i + 7) % 1000)::DOUBLE / 8 END AS eighths, "
      "(hash(i + 9) % 1000)::DOUBLE * pow(10, (hash(i) % 90)::INTEGER - 45) AS wide_reals, "
      "((hash(i) % 1000) / 8)::FLOAT AS single, "
      "((hash(i) % 100000) / 100)::DECIMAL(12,2) AS money, "
      "(hash(i)::DECIMAL(38,4) / 7)::DECIMAL(38,4) AS wide, i % 3 = 0 AS flag, "
      "DATE '2020-01-01' + (hash(i) % 1000)::INTEGER AS day, "
      "make_timestamp((hash(i) % 4000000000000)::BIGINT) AS moment, "
      "CASE WHEN i % 5 = 0 THEN NULL WHEN i % 5 = 1 THEN '' ELSE "
      "repeat('text', (hash(i) % 9)::INTEGER) || (hash(i) % 50) END AS name, "
      "CASE WHEN name IS NOT NULL THEN hash(name) END AS name_hash, hash(i) AS n_hash, "
      "(hash(i) % 256)::UTINYINT::VARCHAR::BLOB AS blob, md5(i::VARCHAR)::UUID AS id, "
      "[i, NULL, i + 1] AS list, to_months((hash(i) % 20)::INTEGER) + to_days((hash(i + 1) % "
      "90)::INTEGER) AS span FROM range({0}) r(i)",
      rows, fmt::format(fmt::runtime(key), groups));
}

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

TEST_F(KernelTest, StatesOfPartsMergeToTheWhole) {
  run("CREATE TABLE source AS " +
      values_sql(20'000, 300,
                 "CASE WHEN i % 13 = 0 THEN NULL ELSE (hash(i) % {})::INTEGER END AS k"));
  KernelSpec names;
  names.input = schema_of("SELECT * FROM source");
  const auto on = [&](const char* name) { return std::vector<uint32_t>{column(names, name)}; };
  const uint32_t flag = column(names, "flag");
  const KernelSpec spec = group_spec(
      "source", 1,
      {{{Kind::kCountRows}, "count(*)"},
       {{Kind::kCount, on("name")}, "count(name)"},
       {{Kind::kSum, on("small")}, "sum(small)"},
       {{Kind::kSum, on("real")}, "sum(real)"},
       {{Kind::kSum, on("cents")}, "sum(cents)"},
       {{Kind::kSum, on("money")}, "sum(money)"},
       {{Kind::kAvg, on("small")}, "avg(small)"},
       {{Kind::kAvg, on("cents")}, "avg(cents)"},
       {{Kind::kAvg, on("money")}, "avg(money)"},
       {{.kind = Kind::kSum, .arguments = on("cents"), .filter = flag},
        "sum(cents) FILTER (WHERE flag)"},
       {{Kind::kMin, on("name")}, "min(name)"},
       {{Kind::kMax, on("moment")}, "max(moment)"},
       {{Kind::kBoolAnd, on("flag")}, "bool_and(flag)"},
       {{Kind::kBitXor, on("big")}, "bit_xor(big)"},
       {{Kind::kApproxCountDistinct, on("name_hash")}, "approx_count_distinct(name)"},
       {{Kind::kApproxCountDistinct, on("n_hash")}, "approx_count_distinct(n)"},
       {{Kind::kStddevSamp, on("cents")}, "stddev_samp(cents)"},
       {{Kind::kCovarPop, {on("cents")[0], on("eighths")[0]}}, "covar_pop(cents, eighths)"},
       {{Kind::kCorr, {on("eighths")[0], on("wide_reals")[0]}}, "corr(eighths, wide_reals)"}});
  const auto combined = combine(spec);
  ASSERT_TRUE(combined);
  // Parts by a column that is no key: every group has states from each.
  for (int part = 0; part < 5; ++part) {
    KernelSpec partial = combined->partial;
    partial.name = "part_" + std::to_string(part);
    partial.input_sql = fmt::format("SELECT * FROM source WHERE n % 5 = {}", part);
    const Status status = reduce_stream(partial, "p" + std::to_string(part), kRoomy);
    ASSERT_TRUE(status) << status.error().describe();
  }
  KernelSpec merge = combined->merge;
  merge.input_sql =
      "FROM p0 UNION ALL FROM p1 UNION ALL FROM p2 UNION ALL FROM p3 UNION ALL FROM p4";
  Status status = reduce_stream(merge, "merged", kRoomy);
  ASSERT_TRUE(status) << status.error().describe();
  status = reduce_stream(spec, "whole", kRoomy);
  ASSERT_TRUE(status) << status.error().describe();
  // To the last bit, sums of doubles too.
  EXPECT_EQ(difference("whole", "merged"), "0+0");
}

TEST_F(KernelTest, StatesThatDuckdbMakesMergeToTheSameWhole) {
  run("CREATE TABLE source AS " +
      values_sql(20'000, 300,
                 "CASE WHEN i % 13 = 0 THEN NULL ELSE (hash(i) % {})::INTEGER END AS k"));
  ASSERT_TRUE(register_exact_sum(*connection_));
  KernelSpec names;
  names.input = schema_of("SELECT * FROM source");
  const auto on = [&](const char* name) { return std::vector<uint32_t>{column(names, name)}; };
  const uint32_t flag = column(names, "flag");
  std::vector<std::pair<Aggregate, std::string>> aggregates = {
      {{Kind::kCountRows}, "count(*)"},
      {{Kind::kCount, on("name")}, "count(name)"},
      {{Kind::kSum, on("small")}, "sum(small)"},
      {{Kind::kSum, on("real")}, "sum(real)"},
      {{Kind::kSum, on("wide_reals")}, "sum(wide_reals)"},
      {{Kind::kAvg, on("wide_reals")}, "avg(wide_reals)"},
      {{Kind::kSum, on("cents")}, "sum(cents)"},
      {{Kind::kAvg, on("small")}, "avg(small)"},
      {{Kind::kAvg, on("cents")}, "avg(cents)"},
      {{.kind = Kind::kSum, .arguments = on("cents"), .filter = flag},
       "sum(cents) FILTER (WHERE flag)"},
      {{.kind = Kind::kCountRows, .filter = flag}, "count(*) FILTER (WHERE flag)"},
      {{Kind::kMin, on("name")}, "min(name)"},
      {{Kind::kMax, on("wide_reals")}, "max(wide_reals)"},
      {{Kind::kMax, on("moment")}, "max(moment)"},
      {{Kind::kBoolAnd, on("flag")}, "bool_and(flag)"},
      {{Kind::kBitXor, on("big")}, "bit_xor(big)"}};
  const KernelSpec spec = group_spec("source", 1, aggregates);
  const auto combined = combine(spec);
  ASSERT_TRUE(combined);
  for (int part = 0; part < 5; ++part) {
    run(fmt::format("CREATE VIEW part{} AS SELECT * FROM ({}) WHERE n % 5 = {}", part,
                    spec.input_sql, part));
    const auto select = combine_select(combined->partial, fmt::format("part{}", part));
    ASSERT_TRUE(select);
    EXPECT_EQ(schema_of(*select), combined->partial.output);
    run(fmt::format("CREATE TABLE d{} AS {}", part, *select));
  }
  KernelSpec merge = combined->merge;
  merge.input_sql =
      "FROM d0 UNION ALL FROM d1 UNION ALL FROM d2 UNION ALL FROM d3 UNION ALL FROM d4";
  Status status = reduce_stream(merge, "merged", kRoomy);
  ASSERT_TRUE(status) << status.error().describe();
  status = reduce_stream(spec, "whole", kRoomy);
  ASSERT_TRUE(status) << status.error().describe();
  EXPECT_EQ(difference("whole", "merged"), "0+0");
  // Variances have no state that DuckDB makes, and sums of 128 bits overflow elsewhere.
  for (const auto& [aggregate, sql] :
       {std::pair<Aggregate, std::string>{{Kind::kStddevSamp, on("cents")}, "stddev_samp(cents)"},
        {{Kind::kSum, on("huge")}, "sum(huge)"}}) {
    const auto other = combine(group_spec("source", 1, {{aggregate, sql}}));
    ASSERT_TRUE(other) << sql;
    EXPECT_FALSE(combine_select(other->partial, "source")) << sql;
  }
}

TEST_F(KernelTest, SumsOfDoublesAreExactWhateverTheOrder) {
  run("CREATE TABLE source AS SELECT (i % 3)::INTEGER AS k, CASE (hash(i) % 6)::INTEGER WHEN 0 "
      "THEN "
      "1e300 WHEN 1 THEN -1e300 WHEN 2 THEN 1e-300 WHEN 3 THEN 0.1 WHEN 4 THEN 1e17 ELSE -0.3 END "
      "* "
      "(1 + (hash(i) % 1000)) AS v FROM range(30000) r(i)");
  const KernelSpec spec =
      group_spec("source", 1, {{{.kind = Kind::kSum, .arguments = {1}}, "sum(v)"}});
  ASSERT_TRUE(reduce_stream(spec, "forwards", kRoomy));
  KernelSpec backwards = spec;
  backwards.input_sql = "SELECT * FROM source ORDER BY hash(v), v DESC";
  ASSERT_TRUE(reduce_stream(backwards, "backwards", kRoomy));
  EXPECT_EQ(difference("forwards", "backwards"), "0+0");
  // What cancels leaves exactly the rest.
  run("CREATE TABLE cancels AS SELECT 1 AS k, unnest([1e300, 1.0, -1e300, 1e-300, 2.5, -1e-300]) "
      "AS v");
  const KernelSpec rest =
      group_spec("cancels", 1, {{{.kind = Kind::kSum, .arguments = {1}}, "sum(v)"}});
  ASSERT_TRUE(reduce_stream(rest, "left_over", kRoomy));
  EXPECT_EQ(scalar("SELECT g0 FROM left_over"), "3.5");
}

TEST_F(KernelTest, VariancesAreExactWhateverTheOrder) {
  // Far from zero and close together, of every size, and the same throughout.
  run("CREATE TABLE source AS SELECT (i % 5)::INTEGER AS k, CASE i % 5 WHEN 0 THEN 1e15 + hash(i) "
      "% "
      "10 WHEN 1 THEN (hash(i) % 1000)::DOUBLE * pow(10, (hash(i, 1) % 200)::INTEGER - 100) WHEN 2 "
      "THEN 0.1 WHEN 3 THEN 1e300 ELSE 3e-170 END AS v, (hash(i, 2) % 1000)::DOUBLE / 7 AS w "
      "FROM range(30000) r(i)");
  const auto aggregates = [](Kind kind) {
    return kind == Kind::kCorr ? Aggregate{.kind = kind, .arguments = {1, 2}}
                               : Aggregate{.kind = kind, .arguments = {1}};
  };
  const KernelSpec spec = group_spec("source", 1,
                                     {{aggregates(Kind::kVarPop), "var_pop(v)"},
                                      {aggregates(Kind::kStddevSamp), "stddev_samp(v)"},
                                      {aggregates(Kind::kCorr), "corr(v, w)"}});
  ASSERT_TRUE(reduce_stream(spec, "forwards", kRoomy));
  KernelSpec backwards = spec;
  backwards.input_sql = "SELECT * FROM source ORDER BY hash(v, w), v DESC";
  ASSERT_TRUE(reduce_stream(backwards, "backwards", kRoomy));
  EXPECT_EQ(difference("forwards", "backwards"), "0+0");
  EXPECT_EQ(scalar("SELECT count(*) FROM forwards WHERE k >= 2 AND g0 = 0 AND g1 = 0 AND "
                   "isnan(g2)"),
            "3");
  // What DuckDB gives where its own rounding cannot be seen.
  EXPECT_EQ(scalar("SELECT count(*) FROM forwards f JOIN (SELECT k, var_pop(v) AS p FROM source "
                   "GROUP BY k) e ON f.k = e.k WHERE f.k = 1 AND abs(g0 / p - 1) < 1e-9"),
            "1");
  EXPECT_EQ(scalar("SELECT count(*) FROM forwards f, (SELECT var_pop(v - 1e15) AS p FROM source "
                   "WHERE k = 0) e WHERE f.k = 0 AND abs(g0 / p - 1) < 1e-14"),
            "1");
}

TEST_F(KernelTest, VariancesBeyondRangeFailAsInDuckdb) {
  const Aggregate var{.kind = Kind::kVarSamp, .arguments = {1}};
  const Aggregate covar{.kind = Kind::kCovarPop, .arguments = {1, 1}};
  for (const char* values : {"'inf'::DOUBLE", "'nan'::DOUBLE", "1e300"}) {
    run(std::string("CREATE OR REPLACE TABLE source AS SELECT 1 AS k, unnest([1.0, ") + values +
        "]) AS v");
    const KernelSpec spec = group_spec("source", 1, {{var, "var_samp(v)"}});
    const Status status = reduce_stream(spec, "result", kRoomy);
    ASSERT_FALSE(status);
    EXPECT_EQ(map_output_failure(status.error()).code, "reduce.out_of_range");
    EXPECT_EQ(map_output_failure(status.error()).cls, FailureClass::kData);
    const KernelSpec other = group_spec("source", 1, {{covar, "covar_pop(v, v)"}});
    ASSERT_TRUE(reduce_stream(other, "result", kRoomy));
    EXPECT_EQ(difference("(" + expected_ + ")", "result"), "0+0");
  }
  run("CREATE OR REPLACE TABLE source AS SELECT 1 AS k, 'inf'::DOUBLE AS v");
  const KernelSpec one =
      group_spec("source", 1,
                 {{var, "var_samp(v)"}, {{.kind = Kind::kVarPop, .arguments = {1}}, "var_pop(v)"}});
  ASSERT_TRUE(reduce_stream(one, "result", kRoomy));
  EXPECT_EQ(difference("(" + expected_ + ")", "result"), "0+0");
}

}  // namespace
}  // namespace tidegate::reduce
