#pragma once

#include <compare>
#include <cstdint>

#include "batch/type.h"

namespace tidegate::reduce {

/// DuckDB's INTERVAL. A month is 30 days and a day 24 hours, so that equal ones may look different:
/// `normal` is the same for those, and in DuckDB's order. The comparison goes by the form: months,
/// then days, then microseconds.
struct Interval {
  int32_t months = 0;
  int32_t days = 0;
  int64_t micros = 0;

  batch::int128 normal() const {
    constexpr int64_t kMicrosPerDay = int64_t{24} * 60 * 60 * 1'000'000;
    constexpr int64_t kDaysPerMonth = 30;
    const int64_t all_days = days + micros / kMicrosPerDay;
    const int64_t all_months = months + all_days / kDaysPerMonth;
    // Days are fewer than 30 here, and microseconds than a day's, on either side of zero.
    return static_cast<batch::int128>(all_months * 64 + all_days % kDaysPerMonth) *
               (int64_t{1} << 40) +
           micros % kMicrosPerDay;
  }
  auto operator<=>(const Interval&) const = default;
};

}  // namespace tidegate::reduce
