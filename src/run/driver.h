#pragma once

#include <string>

#include "base/effects.h"
#include "engine/engine.h"
#include "journal/journal.h"
#include "plan/plan.h"
#include "run/outputs.h"
#include "run/reporter.h"
#include "run/run.h"

namespace tidegate {

/// Runs a plan on an engine to its end: carries out what the conductor asks for, and tells it and
/// the journal what happened. `run_started` is in the journal already. A failure is one of the
/// conductor's own surroundings (its journal, its disk): what is finished stays, and another run
/// goes on from there.
Result<RunSummary> drive(Effects& effects, Plan plan, Journal& journal, RunContext context,
                         const RunOptions& options, Reporter& reporter, Engine& engine);

}  // namespace tidegate
