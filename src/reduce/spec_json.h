#pragma once

#include <string>

#include "base/failure.h"
#include "reduce/spec.h"

namespace tidegate::reduce {

/// A stage's kernel as JSON, for task specs and identities, and back.
std::string to_json(const StageKernel& kernel);
Result<StageKernel> stage_kernel_from_json(const std::string& text);

}  // namespace tidegate::reduce
