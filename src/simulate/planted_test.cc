// Whether the simulation finds mistakes that are made on purpose.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/planted.h"
#include "simulate/simulate_fixture.h"
#include "simulate/simulation.h"

namespace tidegate {
namespace {

constexpr uint64_t kSeedsMax = 10'000;

/// What must go wrong for a mistake to show.
const char* faults_for(Mistake mistake) {
  switch (mistake) {
    case Mistake::kGenerationNotSynced:
    case Mistake::kCommitNotSynced:
    case Mistake::kJournalNotSynced:
      return "power_cut=1";
    case Mistake::kPublishedBeforeCommit:
      return "disk_error=1";
    case Mistake::kForeignWriterNotSeen:
      return "other_conductor=1";
    case Mistake::kNotRecovered:
      return "all";
    case Mistake::kUncertainIsDone:
      return "swap_answer_lost=1";
    case Mistake::kResultNotHashed:
    case Mistake::kLostNotMadeAgain:
      return "results";
    case Mistake::kChecksIgnored:
      return "checks";
    case Mistake::kCompletionTwice:
      return "answer_twice=0.3";
    case Mistake::kInputsNotInName:
    case Mistake::kStandingDropped:
    case Mistake::kNone:
      break;
  }
  return "none";
}

/// The first seed at which a world is broken; "" if none is.
std::string search(Mistake mistake) {
  static const Simulation simulation(make_simulated_plan(8, 4), {});
  std::string problem;
  const auto profile = fault_profile(faults_for(mistake), problem);
  for (uint64_t seed = 1; profile && seed <= kSeedsMax; ++seed) {
    const SimulationResult result = simulation.run(*profile, seed);
    if (!result.violations.empty())
      return profile->name + ", seed " + std::to_string(seed) + ": " + result.violations.front();
  }
  return problem;
}

/// What a search with that mistake finds, in a process of its own: an assertion of the program that
/// fails is a find as well.
std::string found_with(Mistake mistake) {
  int ends[2];
  if (::pipe(ends) != 0) return "";
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    planted_mistake = mistake;
    const std::string found = search(mistake);
    (void)!::write(ends[1], found.data(), found.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string found;
  char part[4096];
  for (ssize_t n; (n = ::read(ends[0], part, sizeof part)) > 0;)
    found.append(part, static_cast<size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return "the program's own assertion";
  return WEXITSTATUS(status) == 0 ? found : "";
}

class Planted : public testing::TestWithParam<int> {};

TEST_P(Planted, IsFound) {
  const auto mistake = static_cast<Mistake>(GetParam());
  const std::string found = found_with(mistake);
  EXPECT_NE(found, "") << "not found within " << kSeedsMax << " seeds of " << faults_for(mistake);
  std::cout << found << "\n";
}

INSTANTIATE_TEST_SUITE_P(Mistakes, Planted, testing::Range(1, kMistakes));

}  // namespace
}  // namespace tidegate
