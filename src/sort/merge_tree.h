#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/failure.h"

namespace tidegate::sort {

/// Which of several sorted inputs is the next, found again with one comparison a level after it has
/// moved on: a tree of losers (Knuth, The Art of Computer Programming 3, 5.4.1). `before(a, b)` is
/// a strict order of the inputs' current rows; inputs that have ended stand behind all others.
class MergeTree {
 public:
  explicit MergeTree(uint32_t inputs) : losers_(inputs), inputs_(inputs) { TG_ASSERT(inputs > 0); }

  template <typename Before>
  void build(Before before) {
    winner_ = inputs_ == 1 ? 0 : build_node(1, before);
  }
  uint32_t winner() const { return winner_; }
  /// The winner's row is another one now.
  template <typename Before>
  void replay(uint32_t input, Before before) {
    TG_ASSERT(input == winner_);
    for (uint32_t node = (input + inputs_) / 2; node >= 1; node /= 2)
      if (before(losers_[node], input)) std::swap(losers_[node], input);
    winner_ = input;
  }

 private:
  /// Leaf i is node i + inputs; returns the winner below a node.
  template <typename Before>
  uint32_t build_node(uint32_t node, Before before) {
    if (node >= inputs_) return node - inputs_;
    uint32_t left = build_node(2 * node, before), right = build_node(2 * node + 1, before);
    if (before(right, left)) std::swap(left, right);
    losers_[node] = right;
    return left;
  }

  std::vector<uint32_t> losers_;  ///< by node, from 1 on
  uint32_t inputs_;
  uint32_t winner_ = 0;
};

}  // namespace tidegate::sort
