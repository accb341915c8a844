#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "batch/text_words.h"
#include "reduce/hash.h"

namespace tidegate::reduce {

using batch::Wide;
using batch::words_of;

/// Makes floating-point values that are equal have one form of bits.
template <typename T>
T one_form(T value) {
  if (value == 0) return 0;
  return std::isnan(value) ? std::numeric_limits<T>::quiet_NaN() : value;
}

}  // namespace tidegate::reduce
