#pragma once

#include <optional>

#include "reduce/spec.h"

namespace tidegate::reduce {

/// A GROUP BY in two steps: `partial` over some of the rows gives states, one row a group and step;
/// `merge` over the states gives what the whole kernel gives over all rows, whatever rows went
/// together into a state.
struct CombinedKernel {
  KernelSpec partial;
  KernelSpec merge;
};

/// Nothing if some aggregate has no small state (DISTINCT, quantiles, first and last).
std::optional<CombinedKernel> combine(const KernelSpec& spec);

}  // namespace tidegate::reduce
