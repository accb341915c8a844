#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "simulate/faults.h"

namespace tidegate {

struct SimulationOptions {
  /// When a world begins: 2023-11-14, a midnight. A plan for it has this time of its run.
  static constexpr int64_t kBeginUs = int64_t{19'675} * 86'400 * 1'000'000;
  /// What each of its hosts has, and a plan for it counts on.
  static constexpr uint64_t kHostBytes = uint64_t{16} << 30;

  uint32_t workers = 4;
  uint32_t hosts = 2;    ///< that the workers are spread over
  uint32_t days = 3;     ///< how often the input changes and a run begins
  uint32_t tries = 6;    ///< runs of a day, the last of them without faults
  uint32_t changed = 2;  ///< partitions of each source that are new on a day
  bool trace = false;    ///< keep what happened
};

/// What one seed came to.
struct SimulationResult {
  uint64_t seed = 0;
  std::vector<std::string> violations;  ///< of what must never happen; empty: none
  std::vector<std::string> trace;       ///< what went wrong in this world, and the journal's events
  uint64_t runs = 0;                    ///< lives of a conductor
  uint64_t events = 0;                  ///< of the journal
  uint64_t calls = 0;                   ///< that reached the disk
  int64_t virtual_us = 0;
  std::array<uint64_t, kFaultKinds> faults{};
  std::array<uint64_t, 9> failures{};  ///< by class: failed attempts
};

/// Calls to the disk of a run in which nothing goes wrong.
struct UsualCalls {
  uint64_t all = 0;
  uint64_t publishing = 0;  ///< those below the directory of the outputs
};

/// A plan whose world is simulated: the program's own conductor, driver, journal, publication and
/// verdict, over a disk, a clock, workers and rivals that fail as a seed says. What they publish is
/// compared with the truth after each life of a conductor.
class Simulation {
 public:
  /// `plan` as make_plan gives it with the time and the memory of SimulationOptions, without a
  /// state directory. Its sources' files are not read.
  Simulation(Plan plan, SimulationOptions options);

  /// The same for the same seed, profile and options.
  SimulationResult run(const FaultProfile& profile, uint64_t seed) const;

  /// Calls that change the disk in a run over changed inputs in which nothing goes wrong.
  uint64_t changes_of_a_run() const { return changes_; }
  /// Such a run whose conductor dies ahead of that change of the disk, from 0, and loses so much;
  /// then one in which nothing goes wrong.
  SimulationResult run_killed(uint64_t change, SimulatedDisk::Loss loss, uint64_t seed) const;

 private:
  const Plan plan_;
  const SimulationOptions options_;
  UsualCalls usual_;
  uint64_t changes_ = 0;  ///< as changes_of_a_run
};

}  // namespace tidegate
