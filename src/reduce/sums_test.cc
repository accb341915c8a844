#include <fmt/format.h>

#include "reduce/kernel_fixture.h"

namespace tidegate::reduce {
namespace {

constexpr uint64_t kRoomy = uint64_t{256} << 20;
using Kind = AggregateKind;

class SumsTest : public KernelFixture {};

TEST_F(SumsTest, SumsOfDoublesAreExactWhateverTheOrder) {
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

TEST_F(SumsTest, VariancesAreExactWhateverTheOrder) {
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

TEST_F(SumsTest, VariancesBeyondRangeFailAsInDuckdb) {
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
