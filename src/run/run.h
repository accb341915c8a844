#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "contract/contract.h"
#include "plan/plan.h"
#include "plan/saved.h"
#include "run/reporter.h"

namespace tidegate {

struct RunOptions {
  std::string state_dir;  ///< absolute
  std::string command;    ///< as typed, for the lock's holder
  uint32_t workers = 0;
  uint64_t memory_bytes = 0;
  uint64_t seed = 0;      ///< 0: drawn
  bool cgroups = false;   ///< each worker in a memory cgroup of its bound
  bool force = false;     ///< publish identities that were rolled back
  int interrupt_fd = -1;  ///< a byte for each Ctrl-C; -1: none
  std::string program;    ///< what workers are started from; "": this one
  /// Run exactly this: a world that differs is refused (plan.changed).
  std::optional<SavedPlan> saved;
  std::optional<int64_t> run_time_us;
  /// What an attempt without a `timeout` may take; 0: as the conductor has it.
  int64_t attempt_us_max = 0;
  /// Called when planning has said all it has to say, before anything starts.
  std::function<void()> planned;
};

struct OutputSummary {
  std::string output;
  std::string state;  ///< published, unchanged, refused, failed, waiting
  std::string generation;
  std::string path;  ///< directory of its files
  uint64_t rows = 0;
  uint64_t files = 0;         ///< of that generation, ...
  uint64_t files_shared = 0;  ///< ... and how many of them are those of the one before
  std::string reason;         ///< refused or failed: why
  std::vector<std::string> reasons;
};

struct StageSummary {
  std::string stage;
  uint32_t ran = 0, reused = 0;
  int64_t us = 0, slowest_us = 0, median_us = 0;
  uint64_t rows_in = 0, rows_out = 0;
};

/// What a run came to.
struct RunSummary {
  std::string run;
  std::string state;  ///< succeeded, failed, refused, interrupted
  uint64_t tasks_ran = 0, tasks_reused = 0, tasks_retried = 0;
  uint64_t bytes_read = 0, bytes_shuffled = 0, bytes_spilled = 0, bytes_written = 0;
  uint64_t rows_quarantined = 0;
  int64_t us = 0;
  uint64_t peak_worker_bytes = 0, peak_total_bytes = 0, bound_bytes = 0;
  uint32_t workers = 0;
  JournalCost journal;
  std::vector<OutputSummary> outputs;
  std::vector<StageSummary> stages;
  std::vector<Failure> failures;
  int exit_code() const;
};

/// The newest run of a pipeline, if it was interrupted or its conductor died.
struct InterruptedRun {
  std::string run;
  int64_t run_time_us = 0;  ///< adopted by the run that goes on with it, so that its results serve
};
Result<std::optional<InterruptedRun>> interrupted_run(Journal& journal,
                                                      const std::string& pipeline);

/// Plans and runs a pipeline: takes the state directory's lock, recovers what an earlier run left,
/// runs what has no result yet, verifies and publishes each output, journals all of it.
/// Mistakes of the contract are in `diagnostics` (nothing was started then, and the summary is
/// empty); failures are those that kept the run from starting at all.
Result<RunSummary> run_pipeline(Effects& effects, Pipeline pipeline, const RunOptions& options,
                                Reporter& reporter, Diagnostics& diagnostics);

/// For people.
std::string render_summary(const RunSummary& summary, bool colour);

}  // namespace tidegate
