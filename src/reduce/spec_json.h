#pragma once

#include <nlohmann/json_fwd.hpp>

#include "reduce/spec.h"

namespace tidegate::reduce {

/// A stage's kernel in task specs and identities. The inverse throws nlohmann::json::exception.
nlohmann::json to_json(const StageKernel& kernel);
/// The same as text, for identities.
std::string to_json_text(const StageKernel& kernel);
StageKernel stage_kernel_from_json(const nlohmann::json& j);

}  // namespace tidegate::reduce
