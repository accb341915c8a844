#pragma once

#include <string>
#include <vector>

#include "base/effects.h"
#include "source/source.h"

namespace tidegate {

/// A guess for choosing a strategy.
struct KeySample {
  double distinct = 1;  ///< about so many different keys there are
  double bytes = 0;     ///< of a key's text as it is written, on average
};

/// The values of these columns in a source, by some rows from its beginning, its middle and its
/// end. Reads a few row groups of those columns.
Result<KeySample> sample_keys(Effects& effects, const SourceSnapshot& snapshot,
                              const std::vector<std::string>& columns);

/// How many different values there are among `rows` drawn from `distinct`, all as likely.
double expected_distinct(double distinct, double rows);

}  // namespace tidegate
