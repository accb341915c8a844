#pragma once

#include <string>
#include <vector>

#include "base/effects.h"
#include "source/source.h"

namespace tidegate {

/// About how many different values these columns have in a source, by some rows from its beginning,
/// its middle and its end: a guess for choosing a strategy. Reads a few row groups of those
/// columns.
Result<double> estimate_distinct(Effects& effects, const SourceSnapshot& snapshot,
                                 const std::vector<std::string>& columns);

/// How many different values there are among `rows` drawn from `distinct`, all as likely.
double expected_distinct(double distinct, double rows);

}  // namespace tidegate
