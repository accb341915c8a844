#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace tidegate::reduce {

/// Sets of numbers, one a group, for groups whose numbers lie close together: a bit for each
/// number of a range. What lies beside its group's range is not for these sets.
class DenseValues {
 public:
  bool empty() const { return dense_ == 0; }
  /// Whether `value` is one of those that the group's set is for; if so it is in it from now on.
  bool add(uint32_t group, uint64_t value) {
    if (group >= sets_.size()) return false;
    Set& set = sets_[group];
    const uint64_t at = value - set.base;
    if (at >= set.bits) return false;
    uint64_t& word = set.words[at / 64];
    const uint64_t bit = uint64_t{1} << (at % 64);
    set.count += static_cast<uint64_t>((word & bit) == 0);
    word |= bit;
    return true;
  }
  /// Adds what the sets are for; the others stay, at the beginning. Returns how many.
  size_t add_all(uint64_t* values, uint32_t* groups, size_t count) {
    constexpr size_t kAhead = 24;
    size_t left = 0;
    for (size_t i = 0; i < count; ++i) {
      if (i + kAhead < count) prefetch(groups[i + kAhead], values[i + kAhead]);
      if (add(groups[i], values[i])) continue;
      values[left] = values[i];
      groups[left++] = groups[i];
    }
    return left;
  }
  uint64_t count(uint32_t group) const { return group < sets_.size() ? sets_[group].count : 0; }

  /// Widens a group's set to [low, high] if that takes at most `bytes_max` more bytes.
  void widen(uint32_t group, uint64_t low, uint64_t high, uint64_t bytes_max) {
    if (group >= sets_.size()) sets_.resize(group + 1);
    Set& set = sets_[group];
    if (set.bits > 0) {
      low = std::min(low, set.base);
      high = std::max(high, set.base + (set.bits - 1));
    }
    low -= low % 64;
    const uint64_t words = (high - low) / 64 + 1;
    if (words * 8 > bytes_max + set.bits / 8) return;
    auto made = std::make_unique<uint64_t[]>(words);
    if (set.bits > 0)
      std::copy_n(set.words.get(), set.bits / 64, made.get() + (set.base - low) / 64);
    dense_ += set.bits == 0;
    bytes_ += words * 8 - set.bits / 8;
    set.words = std::move(made);
    set.base = low;
    set.bits = words * 64;
  }

  uint64_t bytes() const { return bytes_ + sets_.capacity() * sizeof(Set); }
  /// At most, while and after sets of all `groups` were widened by `more` bytes.
  uint64_t bytes_after(uint64_t groups, uint64_t more) const {
    return bytes() + bytes_ + more + groups * 2 * sizeof(Set);
  }
  void clear() {
    std::vector<Set>().swap(sets_);
    dense_ = 0;
    bytes_ = 0;
  }

 private:
  struct Set {
    uint64_t base = 0;  ///< a multiple of 64
    uint64_t bits = 0;  ///< of all words; none: no set
    uint64_t count = 0;
    std::unique_ptr<uint64_t[]> words;
  };
  void prefetch(uint32_t group, uint64_t value) const {
    if (group >= sets_.size()) return;
    const Set& set = sets_[group];
    const uint64_t at = value - set.base;
    if (at < set.bits) __builtin_prefetch(&set.words[at / 64], 1);
  }

  std::vector<Set> sets_;
  size_t dense_ = 0;    ///< groups with a set
  uint64_t bytes_ = 0;  ///< of all words
};

}  // namespace tidegate::reduce
