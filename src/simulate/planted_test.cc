// Whether the simulation finds mistakes that are made on purpose.
#include <gtest/gtest.h>

#include "base/planted.h"
#include "simulate/simulate_fixture.h"
#include "simulate/simulation.h"

namespace tidegate {
namespace {

constexpr uint64_t kSeedsMax = 10'000;

class Planted : public testing::TestWithParam<int> {};

TEST_P(Planted, IsFound) {
  static const Simulation simulation(make_simulated_plan(8, 4), {});
  planted_mistake = static_cast<Mistake>(GetParam());
  uint64_t seed = 1;
  std::string found;
  for (; seed <= kSeedsMax && found.empty(); ++seed)
    for (const FaultProfile& profile : fault_profiles()) {
      const SimulationResult result = simulation.run(profile, seed);
      if (result.violations.empty()) continue;
      found = profile.name + ", seed " + std::to_string(seed) + ": " + result.violations.front();
      break;
    }
  planted_mistake = Mistake::kNone;
  EXPECT_NE(found, "") << "not found within " << kSeedsMax << " seeds of each profile";
  std::cout << found << "\n";
}

INSTANTIATE_TEST_SUITE_P(Mistakes, Planted, testing::Range(1, kMistakes));

}  // namespace
}  // namespace tidegate
