#include <gtest/gtest.h>

#include "reduce/kernel_fixture.h"

namespace tidegate::reduce {
namespace {

using Kind = AggregateKind;

constexpr uint64_t kRoomy = uint64_t{256} << 20;

class CardinalityTest : public KernelFixture {};

TEST_F(CardinalityTest, ApproximateCountsAreThoseOfDuckdbOfAnyRanks) {
  // Numbers that DuckDB's hash, a bijection, makes into hashes with chosen ranks, which data has
  // not: up to all zeros above the register's number.
  run("CREATE MACRO times(a, b) AS ((a::UHUGEINT * b::UHUGEINT) % 18446744073709551616)::UBIGINT");
  run("CREATE MACRO halves(a) AS xor(a, a >> 32)");
  run("CREATE MACRO unhash(h) AS halves(times(halves(times(halves(h), 14982988110149298331)), "
      "14982988110149298331))");
  run("CREATE TABLE source AS SELECT (i % 53)::INTEGER AS k, CASE WHEN i % 19 = 0 THEN 64 ELSE "
      "6 + k + (hash(i) // 64) % 3 END AS bit, (power(2, bit)::UHUGEINT % 18446744073709551616 + "
      "hash(i) % 64)::UBIGINT AS h, unhash(h) AS v FROM range(30000) r(i)");
  ASSERT_EQ(scalar("SELECT count(*) FROM source WHERE hash(v) <> h"), "0");
  const KernelSpec spec = group_spec(
      "source", 1,
      {{{.kind = Kind::kApproxCountDistinct, .arguments = {2}}, "approx_count_distinct(v)"}});
  ASSERT_TRUE(reduce_stream(spec, "result", kRoomy));
  EXPECT_EQ(difference("(" + expected_ + ")", "result"), "0+0");
}

}  // namespace
}  // namespace tidegate::reduce
