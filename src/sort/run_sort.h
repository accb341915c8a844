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
  /// `fixed_width`: of every key; 0 if they differ. `pool` outlives the column.
  KeyColumn(uint32_t fixed_width, SlabPool& pool)
      : pool_(pool),
        width_(fixed_width),
        entry_bytes_(fixed_width != 0 ? fixed_width : sizeof(std::string_view)),
        block_bytes_(slab_bytes(entry_bytes_)),
        block_rows_(static_cast<uint32_t>(block_bytes_ / entry_bytes_)),
        pieces_(pool) {}

  void append(const KeyBatch& keys);
  uint32_t rows() const { return rows_; }
  std::string_view key(uint32_t row) const {
    const char* entry = blocks_[row / block_rows_].get() + size_t{row % block_rows_} * entry_bytes_;
    if (width_ != 0) return {entry, width_};
    return *reinterpret_cast<const std::string_view*>(entry);
  }
  uint64_t bytes() const { return blocks_.size() * block_bytes_ + pieces_.bytes(); }
  /// What is allocated at most with so many more keys.
  uint64_t bytes_after(size_t rows, uint64_t key_bytes) const {
    const size_t blocks = (rows_ + rows + block_rows_ - 1) / block_rows_;
    return blocks * block_bytes_ + (width_ == 0 ? pieces_.bytes_after(key_bytes) : 0);
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

  /// `take(row, key)` for each row from the first on.
  template <typename Take>
  void each(Take take) const;

  SlabPool& pool_;
  uint32_t width_;
  size_t entry_bytes_;
  size_t block_bytes_;
  uint32_t block_rows_;
  uint32_t rows_ = 0;
  std::vector<Slab> blocks_;  ///< keys of one width; or of others, views of what lies in pieces_
  PieceStore pieces_;
};

}  // namespace tidegate::sort
