#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/graph.h"
#include "run/run.h"
#include "task/spec.h"

namespace tidegate {

/// Adds up what the tasks of a run say of themselves, by group. Times in microseconds.
class RunTally {
 public:
  explicit RunTally(const Graph& graph);

  void ran(uint32_t group, const TaskReport& report);
  void reused(uint32_t group);
  /// A worker's resident size, whatever it did.
  void saw_worker(uint64_t peak_bytes);
  /// Fills in the stages, the sums of bytes, what was reused and the largest worker.
  void tell(RunSummary& summary) const;

 private:
  std::vector<StageSummary> stages_;
  std::vector<std::vector<int64_t>> durations_;  ///< of each group's tasks
  uint64_t read_ = 0, shuffled_ = 0, spilled_ = 0, written_ = 0;
  uint64_t peak_worker_ = 0;
};

/// The data of the event run_finished.
std::string run_finished_data(const RunSummary& summary);

}  // namespace tidegate
