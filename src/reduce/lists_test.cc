#include <fmt/format.h>
#include <gtest/gtest.h>

#include "reduce/kernel_fixture.h"

namespace tidegate::reduce {
namespace {

using Kind = AggregateKind;

constexpr uint64_t kRoomy = uint64_t{256} << 20;

class ListsTest : public KernelFixture {};

TEST_F(ListsTest, WhichOfEqualValuesCameFirstDoesNotShowInAList) {
  run("CREATE TABLE source AS SELECT 1 AS k, unnest([-0.0, 0.0, NULL, -'nan'::DOUBLE, 'nan', 2]) "
      "AS v");
  KernelSpec spec =
      group_spec("source", 1,
                 {{{.kind = Kind::kList, .arguments = {1}, .distinct = true, .order = {{1}}},
                   "list(DISTINCT v ORDER BY v)"}});
  for (const char* order : {"v", "v DESC", "v::VARCHAR", "v::VARCHAR DESC"}) {
    spec.input_sql = fmt::format("SELECT * FROM source ORDER BY {}", order);
    ASSERT_TRUE(reduce_stream(spec, "result", kRoomy));
    EXPECT_EQ(scalar("SELECT g0::VARCHAR FROM result"), "[0.0, 2.0, nan, NULL]") << order;
  }
  spec.aggregates[0].order = {{0}};
  EXPECT_EQ(unsupported(spec), "list of DISTINCT values in another order than their own");
}

}  // namespace
}  // namespace tidegate::reduce
