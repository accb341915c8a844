#include "sink/dictionary.h"

#include <cmath>

namespace tidegate::sink {

double expected_distinct(double distinct, double seen, double rows) {
  if (distinct >= seen) return rows;
  // distinct = D (1 - exp(-seen / D)) grows with D: found by halving.
  const auto drawn = [](double of, double draws) { return of * -std::expm1(-draws / of); };
  double low = distinct;
  double high = std::max(distinct, 1.0);
  while (drawn(high, seen) < distinct && high < 1e12) high *= 2;
  constexpr int kHalvings = 40;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (drawn(middle, seen) < distinct ? low : high) = middle;
  }
  return drawn(high, rows);
}

}  // namespace tidegate::sink
