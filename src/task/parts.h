#pragma once

#include <functional>
#include <string>

#include "base/effects.h"
#include "base/failure.h"
#include "task/spec.h"
#include "task/task.h"

namespace tidegate {

/// Runs a task part after part: the rows of inputs that have `split_keys` are put into spec.parts
/// spill files by other bits of their keys' hash than those that chose the bucket, the steps run
/// over each part as over a bucket of its own (which is what the proof of the stage allows, for any
/// number of buckets), and what comes out goes to the sinks together.
Result<TaskReport> run_in_parts(Effects& effects, const TaskSpec& spec,
                                const std::function<void(const TaskProgress&)>& progress,
                                const std::string& directory);

}  // namespace tidegate
