#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "plan/plan.h"
#include "simulate/contents.h"
#include "simulate/faults.h"
#include "simulate/process.h"
#include "store/results.h"

namespace tidegate {

/// Workers of a simulated machine: what they make are tallies of what they read (contents.h), in
/// files that the machine's disk holds. `poll` moves the machine's time on. What goes wrong is
/// drawn from the faults.
class SimulatedEngine final : public Engine {
 public:
  /// What a task costs, in microseconds.
  static constexpr int64_t kTaskUs = 40'000, kMillionRowsUs = 400'000, kReplaceUs = 60'000;
  static constexpr int64_t kSlowTimes = 20;
  /// How long a host is down, slow or out of reach.
  static constexpr int64_t kHostDownUs = 30'000'000, kHostSlowUs = 10'000'000;
  static constexpr int64_t kUnreachableUs = 5'000'000;
  /// A run that takes longer does not end.
  static constexpr int64_t kRunUsMax = int64_t{12} * 3'600 * 1'000'000;

  /// `tell`: called with what went wrong. `refused`: gets the directories of generations that did
  /// not pass their checks.
  /// Slots are spread over `hosts`, each host in a domain of its own.
  SimulatedEngine(SimulatedMachine& machine, const Plan& plan, uint32_t hosts, FaultStream& faults,
                  std::function<void(const std::string&)> tell, std::set<std::string>& refused);
  ~SimulatedEngine() override;

  Status start(uint32_t slots) override;
  void run(uint32_t slot, const TaskSpec& spec) override;
  void stop(uint32_t slot, const std::string& why) override;
  Result<std::vector<EngineEvent>> poll(int64_t timeout_us, int wake_fd) override;
  void shutdown() override;
  WorkerPlace place(uint32_t slot) const override { return {slot % hosts_, slot % hosts_}; }
  uint64_t peak_worker_bytes() const override { return 0; }
  uint64_t peak_total_bytes() const override { return 0; }

 private:
  struct Worker {
    std::unique_ptr<SimulatedProcess> process;
    std::optional<Attempt> attempt;
    TaskSpec spec;
    bool busy = false;
    int64_t ready_us = 0;
    uint64_t turn = 0;  ///< what was planned for an earlier turn does not happen
  };
  enum class Due : uint8_t { kReady, kEnd, kDeath, kHostDeath, kHostUnreachable, kEvent };
  struct Planned {
    Due due;
    uint32_t slot;
    uint64_t turn;
    std::optional<EngineEvent> event;
  };

  void plan(int64_t at_us, Planned what) { planned_.emplace(at_us, std::move(what)); }
  void begin(uint32_t slot);
  void happen(const Planned& what);
  void end(uint32_t slot);
  void lose(uint32_t slot, Failure failure, int64_t after_us = kReplaceUs);
  void lose_host(uint32_t host, bool dies);
  void replace(uint32_t slot, int64_t after_us = kReplaceUs);
  Result<TaskReport> work(Worker& worker);
  Result<Tally> read_rows(Worker& worker);
  Result<TaskReport> verify(Worker& worker);
  void spoil(const Worker& worker);

  SimulatedMachine& machine_;
  const Plan& plan_;
  const uint32_t hosts_;
  std::vector<int64_t> slow_until_us_;  ///< by host
  FaultStream& faults_;
  std::function<void(const std::string&)> tell_;
  std::set<std::string>& refused_;
  std::vector<Worker> workers_;
  std::multimap<int64_t, Planned> planned_;
  const int64_t deadline_us_;
  std::vector<EngineEvent> events_;
};

}  // namespace tidegate
