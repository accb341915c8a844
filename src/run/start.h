#pragma once

#include <memory>
#include <optional>

#include "base/effects.h"
#include "journal/journal.h"
#include "plan/plan.h"
#include "run/outputs.h"
#include "run/run.h"
#include "store/state_dir.h"

namespace tidegate {

/// What a run begins with, held until it ends.
struct RunStart {
  StateDir state;
  ConductorLock lock;
  std::unique_ptr<Journal> journal;
  RunContext context;
};

/// Takes the state directory's lock and puts in order what an earlier run left: its spill, its
/// journal, its publications.
Result<RunStart> begin_run(Effects& effects, const Pipeline& pipeline, const RunOptions& options);

/// Appends "run_started". `before`: the run that this one goes on with.
Status record_start(Journal& journal, const RunContext& context, const Plan& plan,
                    const std::optional<InterruptedRun>& before);

}  // namespace tidegate
