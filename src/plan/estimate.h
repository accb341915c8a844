#pragma once

#include <string>
#include <vector>

#include "base/effects.h"
#include "source/source.h"

namespace tidegate {

/// Of some rows from the beginning, the middle and the end of a source: how many different values
/// of these columns there are to a row (0..1). A guess, for choosing a strategy; reads a few row
/// groups of those columns.
Result<double> distinct_share(Effects& effects, const SourceSnapshot& snapshot,
                              const std::vector<std::string>& columns);

}  // namespace tidegate
