#include <fmt/format.h>
#include <gtest/gtest.h>

#include "reduce/combine.h"
#include "reduce/kernel_fixture.h"

namespace tidegate::reduce {
namespace {

constexpr uint64_t kRoomy = uint64_t{256} << 20;

class IntervalKeysTest : public KernelFixture {
 protected:
  /// What the kernel makes of the rows in that order.
  std::string result(KernelSpec spec, const std::string& order) {
    spec.input_sql = "SELECT * FROM source ORDER BY " + order;
    const Status status = reduce_stream(spec, "result", kRoomy);
    if (!status) return status.error().describe();
    return shown();
  }
  std::string shown() {
    return scalar("SELECT string_agg(k || '=' || g0, '; ' ORDER BY k, k::VARCHAR) FROM result");
  }
};

TEST_F(IntervalKeysTest, OfEqualFormsTheLeastIsGivenWhicheverCameFirst) {
  run("CREATE TABLE source AS SELECT unnest([INTERVAL '1 month', INTERVAL '30 days', INTERVAL '30 "
      "days', INTERVAL '720 hours', INTERVAL '-1 day', INTERVAL '-24 hours', INTERVAL '31 days', "
      "INTERVAL '2 months -29 days', INTERVAL '1 month 5 days', NULL, INTERVAL '0 days', INTERVAL "
      "'1 month -30 days']) AS k, generate_subscripts(range(12), 1) AS n");
  const KernelSpec spec =
      group_spec("source", 1, {{{.kind = AggregateKind::kCountRows}, "count(*)"}});
  EXPECT_EQ(unsupported(spec).value_or(""), "");
  const std::string expected =
      "-1 day=2; 00:00:00=2; 720:00:00=4; 31 days=1; 1 month 5 days=1; 2 months -29 days=1";
  for (const char* order : {"n", "n DESC", "hash(n)", "k::VARCHAR", "k::VARCHAR DESC"})
    EXPECT_EQ(result(spec, order), expected) << order;
  EXPECT_EQ(scalar("SELECT g0 FROM result WHERE k IS NULL"), "1");
}

TEST_F(IntervalKeysTest, StatesOfPartsHaveTheLeastFormToo) {
  run("CREATE TABLE source AS SELECT CASE i % 3 WHEN 0 THEN to_months((i % 7)::INTEGER) WHEN 1 "
      "THEN "
      "to_days((i % 7 * 30)::INTEGER) ELSE to_hours(i % 7 * 720) END AS k, (i % 5)::INTEGER AS l, "
      "i "
      "AS n FROM range(2000) r(i)");
  const KernelSpec spec =
      group_spec("source", 2, {{{.kind = AggregateKind::kCountRows}, "count(*)"}});
  ASSERT_TRUE(reduce_buckets(spec, 5, "whole", kRoomy));
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(g0) || ' ' || count(*) FILTER (WHERE k::VARCHAR "
                   "SIMILAR TO '\\d+:00:00') FROM whole"),
            "35 2000 35");
  EXPECT_EQ(difference("(" + expected_ + ")", "whole"), "0+0");
  const auto combined = combine(spec);
  ASSERT_TRUE(combined);
  KernelSpec partial = combined->partial, merge = combined->merge;
  for (int part = 0; part < 3; ++part) {
    partial.name = "part_" + std::to_string(part);
    partial.input_sql = fmt::format("SELECT * FROM source WHERE n % 3 = {}", part);
    ASSERT_TRUE(reduce_stream(partial, "p" + std::to_string(part), kRoomy));
  }
  merge.input_sql = "FROM p0 UNION ALL FROM p1 UNION ALL FROM p2";
  ASSERT_TRUE(reduce_stream(merge, "merged", kRoomy));
  EXPECT_EQ(
      difference("(SELECT k::VARCHAR, l, g0 FROM whole)", "(SELECT k::VARCHAR, l, g0 FROM merged)"),
      "0+0");
}

TEST_F(IntervalKeysTest, FirstRowsKeepTheirForms) {
  run("CREATE TABLE source AS SELECT CASE WHEN i % 2 = 0 THEN INTERVAL '1 month' ELSE INTERVAL '30 "
      "days' END AS k, i AS n FROM range(10) r(i)");
  KernelSpec spec = group_spec("source", 1, {});
  spec.kind = KernelSpec::Kind::kTop;
  spec.output = spec.input;
  spec.order = {{1, true, false}};
  spec.limit = 3;
  ASSERT_TRUE(reduce_stream(spec, "result", kRoomy));
  EXPECT_EQ(scalar("SELECT string_agg(k || ' ' || n, '; ' ORDER BY n) FROM result"),
            "30 days 7; 1 month 8; 30 days 9");
}

}  // namespace
}  // namespace tidegate::reduce
