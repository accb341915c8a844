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

/// What a power cut takes, and a seed for it.
class CrashPoints : public testing::TestWithParam<std::pair<SimulatedDisk::Loss, uint64_t>> {};

/// Every call that changes the disk, SQLite's included, of a whole run over changed inputs.
TEST_P(CrashPoints, AConductorMayDieAtEachChangeOfTheDisk) {
  static const Simulation small(make_simulated_plan(3, 2), {});
  const auto& [loss, seed] = GetParam();
  ASSERT_GT(small.changes_of_a_run(), 100u);
  for (uint64_t change = 0; change < small.changes_of_a_run(); ++change) {
    const SimulationResult result = small.run_killed(change, loss, seed * 1'000'003 + change);
    ASSERT_EQ(told(result), "") << "change " << change;
    ASSERT_GE(result.runs, 2u);
  }
  std::cout << small.changes_of_a_run() << " changes of the disk\n";
}

using Loss = SimulatedDisk::Loss;
INSTANTIATE_TEST_SUITE_P(Losses, CrashPoints,
                         testing::Values(std::pair{Loss::kNothing, uint64_t{1}},
                                         std::pair{Loss::kAllUnsynced, uint64_t{1}},
                                         std::pair{Loss::kSomeUnsynced, uint64_t{1}},
                                         std::pair{Loss::kSomeUnsynced, uint64_t{2}},
                                         std::pair{Loss::kSomeUnsynced, uint64_t{3}}));

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
