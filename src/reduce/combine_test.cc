#include <fmt/format.h>

#include "reduce/combine.h"
#include "reduce/combine_sql.h"
#include "reduce/kernel_fixture.h"
#include "reduce/kernel_values_fixture.h"

namespace tidegate::reduce {
namespace {

constexpr uint64_t kRoomy = uint64_t{256} << 20;
using Kind = AggregateKind;

class CombineTest : public KernelFixture {};

TEST_F(CombineTest, StatesOfPartsMergeToTheWhole) {
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

TEST_F(CombineTest, StatesThatDuckdbMakesMergeToTheSameWhole) {
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

}  // namespace
}  // namespace tidegate::reduce
