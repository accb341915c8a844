#include "conductor/stragglers.h"

#include <algorithm>

namespace tidegate {

void Stragglers::finished(uint32_t group, uint64_t rows, int64_t us) {
  Group& of = groups_[group];
  const double pace = static_cast<double>(us) / static_cast<double>(std::max<uint64_t>(rows, 1));
  if (of.paces.size() < kRememberedMax) {
    of.paces.push_back(pace);
  } else {
    of.paces[of.next] = pace;
    of.next = (of.next + 1) % kRememberedMax;
  }
}

std::optional<int64_t> Stragglers::expected_us(uint32_t group, uint64_t rows) const {
  const auto found = groups_.find(group);
  if (found == groups_.end() || found->second.paces.size() < kSiblingsMin) return std::nullopt;
  std::vector<double> paces = found->second.paces;
  const auto middle = paces.begin() + static_cast<ptrdiff_t>(paces.size() / 2);
  std::nth_element(paces.begin(), middle, paces.end());
  return static_cast<int64_t>(*middle * static_cast<double>(std::max<uint64_t>(rows, 1)));
}

bool Stragglers::is_late(uint32_t group, uint64_t rows, uint64_t rows_done,
                         int64_t elapsed_us) const {
  const auto expected = expected_us(group, rows);
  if (!expected || elapsed_us < kElapsedUsMin) return false;
  const auto fresh = static_cast<double>(*expected), elapsed = static_cast<double>(elapsed_us);
  if (elapsed < kTimes * fresh) return false;
  if (rows_done == 0 || rows == 0) return true;
  const double left = rows > rows_done ? static_cast<double>(rows - rows_done) : 0;
  return elapsed / static_cast<double>(rows_done) * left > kTimes * fresh;
}

}  // namespace tidegate
