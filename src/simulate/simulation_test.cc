#include "simulate/simulation.h"

#include <gtest/gtest.h>

#include "simulate/simulate_fixture.h"

namespace tidegate {
namespace {

std::string told(const SimulationResult& result) {
  std::string text;
  for (const std::string& line : result.violations) text += line + "\n";
  return text;
}

const Simulation& simulation() {
  static const Simulation made(make_simulated_plan(8, 4), {});
  return made;
}

TEST(Simulation, AWorldWithoutFaultsPublishesTheTruthEachDay) {
  const SimulationResult result = simulation().run(fault_profiles().front(), 1);
  EXPECT_EQ(told(result), "");
  EXPECT_EQ(result.runs, 3u);
}

TEST(Simulation, ASeedGivesTheSameWorldEachTime) {
  const auto all = fault_profiles().back();
  const SimulationResult once = simulation().run(all, 7), again = simulation().run(all, 7);
  EXPECT_EQ(once.calls, again.calls);
  EXPECT_EQ(once.events, again.events);
  EXPECT_EQ(once.faults, again.faults);
  EXPECT_EQ(once.virtual_us, again.virtual_us);
}

/// Every call that changes the disk, SQLite's included, of a whole run over changed inputs.
TEST(CrashPoints, AConductorMayDieAtEachChangeOfTheDisk) {
  static const Simulation small(make_simulated_plan(3, 2), {});
  using Loss = SimulatedDisk::Loss;
  ASSERT_GT(small.changes_of_a_run(), 100u);
  for (uint64_t change = 0; change < small.changes_of_a_run(); ++change)
    for (const auto& [loss, seed] : {std::pair{Loss::kNothing, 1},
                                     {Loss::kAllUnsynced, 1},
                                     {Loss::kSomeUnsynced, 1},
                                     {Loss::kSomeUnsynced, 2},
                                     {Loss::kSomeUnsynced, 3}}) {
      const SimulationResult result =
          small.run_killed(change, loss, static_cast<uint64_t>(seed) * 1'000'003 + change);
      ASSERT_EQ(told(result), "") << "change " << change << ", loss " << static_cast<int>(loss)
                                  << ", seed " << seed;
      ASSERT_GE(result.runs, 2u);
    }
}

class FaultyWorlds : public testing::TestWithParam<FaultProfile> {};

TEST_P(FaultyWorlds, NothingIsLostDoubledOrPublishedUnverified) {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    const SimulationResult result = simulation().run(GetParam(), seed);
    ASSERT_EQ(told(result), "") << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Profiles, FaultyWorlds, testing::ValuesIn(fault_profiles()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tidegate
