#include "sink/dictionary.h"

#include <cmath>

namespace tidegate::sink {

double expected_distinct(double half, double distinct, double seen, double rows) {
  if (distinct >= seen) return rows;
  const auto drawn = [](double of, double draws) { return of * -std::expm1(-draws / of); };
  // What is drawn grows with D: found by halving.
  double low = distinct;
  double high = std::max(distinct, 1.0);
  while (drawn(high, seen) < distinct && high < 1e12) high *= 2;
  constexpr int kHalvings = 40;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (drawn(middle, seen) < distinct ? low : high) = middle;
  }
  constexpr double kAlike = 0.98;
  if (half >= kAlike * drawn(high, seen / 2)) return drawn(high, rows);
  return std::min(rows,
                  distinct * std::pow(rows / seen, std::log2(distinct / std::max(half, 1.0))));
}

}  // namespace tidegate::sink
