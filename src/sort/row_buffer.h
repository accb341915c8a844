#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "batch/chunk_view.h"
#include "batch/type.h"
#include "sort/slab.h"

namespace tidegate::sort {

/// Memory for many small pieces that goes as a whole. Pieces do not move.
class PieceStore {
 public:
  explicit PieceStore(SlabPool& pool) : pool_(pool) {}
  /// Uninitialised, not aligned.
  char* take(size_t size);
  uint64_t bytes() const { return bytes_; }
  uint64_t bytes_after(uint64_t more) const {
    return more <= left_ ? bytes_ : bytes_ + slab_bytes(more);
  }
  void clear();

 private:
  SlabPool& pool_;
  std::vector<Slab> blocks_;
  char* at_ = nullptr;
  size_t left_ = 0;
  uint64_t bytes_ = 0;
};

/// Rows of some columns in memory, to be read again in any order: the values of a row lie side by
/// side, so that each costs one look into memory.
class RowBuffer {
 public:
  /// `pool` outlives the buffer.
  RowBuffer(std::vector<batch::ColumnType> types, SlabPool& pool);

  /// Copies rows [begin, end). At most UINT32_MAX rows in all.
  void append(const batch::RowsView& rows, size_t begin, size_t end);
  uint32_t rows() const { return rows_; }
  /// What is allocated.
  uint64_t bytes() const { return blocks_.size() * block_bytes_ + texts_.bytes(); }
  /// What is allocated at most with so many more rows and bytes of texts.
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const;
  /// Bytes of a row besides what its longer texts take.
  uint64_t row_bytes() const { return row_bytes_; }
  const std::vector<batch::ColumnType>& types() const { return types_; }
  void clear();

  /// Where values of rows in another order go. Reused.
  struct Output {
    std::vector<std::vector<char>> values;
    std::vector<std::vector<uint64_t>> validity;
    std::vector<batch::ColumnView> views;
    void resize(size_t columns) {
      values.resize(columns);
      validity.resize(columns);
      views.resize(columns);
    }
  };
  /// Views of some columns of these rows in this order; texts are those of the buffer.
  void gather(const std::vector<uint32_t>& columns, const uint32_t* rows, uint32_t count,
              Output& out) const;

 private:
  struct Column {
    uint64_t offset = 0;    ///< of its value in a row
    uint64_t validity = 0;  ///< where its bitmap begins in a block
    uint32_t width = 0;
    bool any_null = false;
  };
  const char* row_at(uint32_t row) const {
    return blocks_[row >> block_shift_].get() + (row & ((1U << block_shift_) - 1)) * stride_;
  }
  void gather_validity(const Column& column, const uint32_t* rows, uint32_t count,
                       std::vector<uint64_t>& out) const;
  void copy_column(const batch::ColumnView& view, size_t begin, size_t count, size_t index);

  std::vector<batch::ColumnType> types_;
  std::vector<Column> columns_;
  SlabPool& pool_;
  std::vector<Slab> blocks_;  ///< each of rows, then of each column's bitmap
  PieceStore texts_;
  uint64_t row_bytes_ = 0;
  uint64_t stride_ = 0;       ///< of rows
  uint32_t block_shift_ = 0;  ///< a block has 1 << this rows
  uint64_t block_bytes_ = 0;
  uint32_t rows_ = 0;
};

}  // namespace tidegate::sort
