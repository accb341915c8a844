#pragma once

#include <string>

#include "base/failure.h"

namespace tidegate::shuffle {

/// How a failure travels through DuckDB, which carries text only; `map_output_failure` reads it.
std::string failure_text(const Failure& failure);

}  // namespace tidegate::shuffle
