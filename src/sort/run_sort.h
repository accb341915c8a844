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
    const char* block = blocks_[row >> kShift].get();
    if (width_ != 0) return {block + size_t{row & kMask} * width_, width_};
    return reinterpret_cast<const std::string_view*>(block)[row & kMask];
  }
  uint64_t bytes() const {
    return blocks_.size() * block_bytes() + pieces_.bytes();
  }
  /// What is allocated at most with so many more keys.
  uint64_t bytes_after(size_t rows, uint64_t key_bytes) const {
    const size_t blocks = (rows_ + rows + kMask) >> kShift;
    return blocks * block_bytes() + (width_ == 0 ? pieces_.bytes_after(key_bytes) : pieces_.bytes());
  }
  void clear();

  /// What `order` takes for so many rows, its result included.
  static uint64_t order_bytes(uint64_t rows) { return 2 * slab_bytes(rows * sizeof(Entry)); }
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
  static constexpr uint32_t kShift = 15;
  static constexpr uint32_t kMask = (1U << kShift) - 1;

  uint32_t width_;
  uint32_t rows_ = 0;
  uint64_t block_bytes() const {
    return slab_bytes((width_ != 0 ? width_ : sizeof(std::string_view)) << kShift);
  }

  std::vector<Slab> blocks_;  ///< keys of one width; or of others, views of what lies in pieces_
  PieceStore pieces_;
};

}  // namespace tidegate::sort
