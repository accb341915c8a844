#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "sort/row_buffer.h"
#include "sort/sort_key.h"

namespace tidegate::sort {

/// The keys of rows in memory, and the order that they make.
class KeyColumn {
 public:
  /// `fixed_width`: of every key; 0 if they differ.
  explicit KeyColumn(uint32_t fixed_width) : width_(fixed_width) {}

  void append(const KeyBatch& keys);
  uint32_t rows() const { return rows_; }
  std::string_view key(uint32_t row) const {
    if (width_ != 0) return {blocks_[row >> kShift].get() + size_t{row & kMask} * width_, width_};
    return texts_[row >> kShift][row & kMask];
  }
  uint64_t bytes() const {
    return (blocks_.size() * width_ + texts_.size() * sizeof(std::string_view)) *
               (uint64_t{kMask} + 1) +
           pieces_.bytes();
  }
  void clear();

  /// What `order` takes for so many rows, its result included.
  static uint64_t order_bytes(uint64_t rows) { return rows * (2 * sizeof(Entry)); }
  /// Row numbers in the order of their keys; rows of equal keys keep their order. Radix sort from
  /// the high byte on over eight bytes in which keys differ, the rest by comparing.
  std::vector<uint32_t> order() const;

 private:
  struct Entry {
    uint64_t head;  ///< bytes of the key in which keys differ, the high one first
    uint32_t row;
  };
  class Heads;
  class Sorter;
  static constexpr uint32_t kShift = 14;
  static constexpr uint32_t kMask = (1U << kShift) - 1;

  uint32_t width_;
  uint32_t rows_ = 0;
  std::vector<std::unique_ptr<char[]>> blocks_;  ///< keys of one width
  std::vector<std::unique_ptr<std::string_view[]>> texts_;  ///< others, in pieces_
  PieceStore pieces_;
};

}  // namespace tidegate::sort
