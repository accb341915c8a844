#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/failure.h"
#include "batch/type.h"
#include "reduce/rows_of_groups.h"
#include "reduce/spec.h"

namespace tidegate::reduce {

/// DuckDB's order of numbers: NaN is the greatest.
template <typename T>
struct Less {
  bool operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(b)) return !std::isnan(a);
    }
    return a < b;
  }
};

/// Which of a group's sorted values a median or quantile of numbers is made of, and how: numbers
/// give a DOUBLE; decimals, FLOATs and times their own type, dates moments.
template <typename T>
class QuantileRule {
 public:
  QuantileRule(const Aggregate& aggregate, const batch::ColumnType& type)
      : meaning_(type.meaning),
        discrete_(aggregate.kind == AggregateKind::kQuantileDisc ||
                  type.meaning == batch::Meaning::kBoolean),
        quantile_(aggregate.kind == AggregateKind::kMedian ? 0.5 : aggregate.quantile) {}

  /// The places of the two values, of `size`, that the result lies between; often one.
  size_t low(size_t size) const {
    return discrete_ ? discrete_index(quantile_, size)
                     : static_cast<size_t>(std::floor(place(size)));
  }
  size_t high(size_t size) const {
    return discrete_ ? low(size) : static_cast<size_t>(std::ceil(place(size)));
  }
  /// Writes row `i` of a vector's data.
  Status write(T low_value, T high_value, size_t size, void* out, uint32_t i) const {
    using batch::Meaning;
    if (discrete_) {
      static_cast<T*>(out)[i] = low_value;
      return {};
    }
    const size_t index = low(size);
    const bool between = index != high(size);
    const double share = place(size) - static_cast<double>(index);
    switch (meaning_) {
      case Meaning::kDecimal:
      case Meaning::kFloat: {
        const auto apart = static_cast<T>(high_value - low_value);
        const double step = static_cast<double>(apart) * share;
        static_cast<T*>(out)[i] = !between ? low_value
                                  : meaning_ == Meaning::kFloat
                                      ? static_cast<T>(static_cast<double>(low_value) + step)
                                      : static_cast<T>(low_value + static_cast<T>(step));
        return {};
      }
      case Meaning::kDate:
      case Meaning::kTime:
      case Meaning::kTimestampUs:
      case Meaning::kTimestampTz: {
        int64_t below = 0, above = 0;
        if (!microseconds(low_value, below) || !microseconds(high_value, above))
          return fail(FailureClass::kData, "reduce.out_of_range",
                      "a date of a median or quantile is out of the range of TIMESTAMP");
        static_cast<int64_t*>(out)[i] =
            between ? std::llround(static_cast<double>(below) * (1.0 - share) +
                                   static_cast<double>(above) * share)
                    : below;
        return {};
      }
      default:
        static_cast<double*>(out)[i] = between ? static_cast<double>(low_value) * (1.0 - share) +
                                                     static_cast<double>(high_value) * share
                                               : static_cast<double>(low_value);
        return {};
    }
  }

 private:
  double place(size_t size) const { return static_cast<double>(size - 1) * quantile_; }
  bool microseconds(T value, int64_t& out) const {
    out = static_cast<int64_t>(value);  // NOLINT(bugprone-signed-char-misuse): no text
    if (meaning_ != batch::Meaning::kDate) return true;
    constexpr int64_t kInfinity = std::numeric_limits<int64_t>::max();
    constexpr int64_t kDayMicros = 86'400'000'000;
    if (out == std::numeric_limits<int32_t>::max() || out == -std::numeric_limits<int32_t>::max()) {
      out = out > 0 ? kInfinity : -kInfinity;
      return true;
    }
    return !__builtin_mul_overflow(out, kDayMicros, &out);
  }

  batch::Meaning meaning_;
  bool discrete_;
  double quantile_;
};

}  // namespace tidegate::reduce
