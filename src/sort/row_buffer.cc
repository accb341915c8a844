#include "sort/row_buffer.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tidegate::sort {
namespace {

constexpr uint64_t kBlockRowsMin = 256;
constexpr uint64_t kBlockRowsMax = 65'536;

/// Values of `kWidth` bytes, found in blocks.
template <uint32_t kWidth>
void gather_values(const std::vector<Slab>& blocks, uint64_t begin, uint32_t shift,
                   const uint32_t* rows, uint32_t count, char* out) {
  const uint32_t mask = (1U << shift) - 1;
  for (uint32_t i = 0; i < count; ++i)
    std::memcpy(out + size_t{i} * kWidth,
                blocks[rows[i] >> shift].get() + begin + size_t{rows[i] & mask} * kWidth, kWidth);
}

}  // namespace

char* PieceStore::take(size_t size) {
  if (size > left_) {
    const size_t block = slab_bytes(size);
    blocks_.push_back(pool_.take(block));
    bytes_ += block;
    if (size > kSlabBytes) return blocks_.back().get();
    at_ = blocks_.back().get();
    left_ = block;
  }
  char* piece = at_;
  at_ += size;
  left_ -= size;
  return piece;
}

void PieceStore::clear() {
  blocks_.clear();
  at_ = nullptr;
  left_ = 0;
  bytes_ = 0;
}

RowBuffer::RowBuffer(std::vector<batch::ColumnType> types, SlabPool& pool)
    : types_(std::move(types)), columns_(types_.size()), pool_(pool), texts_(pool) {
  for (size_t i = 0; i < types_.size(); ++i) {
    columns_[i].width = batch::slot_bytes(types_[i]);
    row_bytes_ += columns_[i].width;
  }
  // A row takes its values and a bit a column.
  const uint64_t rows = std::clamp(kSlabBytes * 8 / (row_bytes_ * 8 + columns_.size() + 1),
                                   kBlockRowsMin, kBlockRowsMax);
  block_shift_ = static_cast<uint32_t>(std::bit_width(rows) - 1);
  uint64_t at = 0;
  // Wide values first: all lie as they must.
  for (const uint32_t width : {16U, 8U, 4U, 2U, 1U, 0U}) {
    for (Column& column : columns_) {
      if (column.width != width) continue;
      column.values = at;
      at += (uint64_t{width} << block_shift_) + (uint64_t{1} << block_shift_) / 8;
      column.validity = at - (uint64_t{1} << block_shift_) / 8;
    }
  }
  block_bytes_ = slab_bytes(at);
}

uint64_t RowBuffer::bytes_after(size_t rows, uint64_t text_bytes) const {
  const size_t blocks = (rows_ + rows + (size_t{1} << block_shift_) - 1) >> block_shift_;
  return blocks * block_bytes_ + texts_.bytes_after(text_bytes);
}

void RowBuffer::append(const batch::RowsView& rows, size_t begin, size_t end) {
  const uint32_t block_rows = 1U << block_shift_;
  while (begin < end) {
    const uint32_t used = rows_ & (block_rows - 1);
    if (used == 0) blocks_.push_back(pool_.take(block_bytes_));
    const size_t count = std::min<size_t>(end - begin, block_rows - used);
    for (size_t i = 0; i < columns_.size(); ++i) copy_column(rows.column(i), begin, count, i);
    rows_ += static_cast<uint32_t>(count);
    begin += count;
  }
}

void RowBuffer::copy_column(const batch::ColumnView& view, size_t begin, size_t count,
                            size_t index) {
  Column& column = columns_[index];
  const uint32_t at = rows_ & ((1U << block_shift_) - 1);
  char* out = blocks_.back().get() + column.values + size_t{at} * column.width;
  auto* validity = reinterpret_cast<uint64_t*>(blocks_.back().get() + column.validity);
  if (at == 0) std::memset(validity, 0xff, (size_t{1} << block_shift_) / 8);
  bool nulls = types_[index].storage == batch::Storage::kNull;
  for (size_t i = 0; i < count; ++i) {
    if (!nulls && view.is_valid(begin + i)) continue;
    validity[(at + i) / 64] &= ~(uint64_t{1} << ((at + i) % 64));
    column.any_null = true;
  }
  if (column.width == 0) return;
  if (types_[index].storage != batch::Storage::kBytes) {
    std::memcpy(out, static_cast<const char*>(view.data) + begin * column.width,
                count * column.width);
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    batch::StringRef text;
    if (view.is_valid(begin + i)) text = static_cast<const batch::StringRef*>(view.data)[begin + i];
    if (!text.is_inline()) {
      char* piece = texts_.take(text.size);
      std::memcpy(piece, text.pointer, text.size);
      text.pointer = piece;
    }
    std::memcpy(out + i * sizeof text, &text, sizeof text);
  }
}

void RowBuffer::clear() {
  for (Column& column : columns_) column.any_null = false;
  blocks_.clear();
  texts_.clear();
  rows_ = 0;
}

void RowBuffer::gather(const uint32_t* rows, uint32_t count, Output& out) const {
  out.resize(columns_.size());
  for (size_t c = 0; c < columns_.size(); ++c) gather_column(c, rows, count, c, out);
}

void RowBuffer::gather_column(size_t index, const uint32_t* rows, uint32_t count, size_t at,
                              Output& out) const {
  const uint32_t mask = (1U << block_shift_) - 1;
  const Column& column = columns_[index];
  out.values[at].resize(size_t{count} * column.width);
  char* values = out.values[at].data();
  switch (column.width) {
    case 0:
      break;
    case 1:
      gather_values<1>(blocks_, column.values, block_shift_, rows, count, values);
      break;
    case 2:
      gather_values<2>(blocks_, column.values, block_shift_, rows, count, values);
      break;
    case 4:
      gather_values<4>(blocks_, column.values, block_shift_, rows, count, values);
      break;
    case 8:
      gather_values<8>(blocks_, column.values, block_shift_, rows, count, values);
      break;
    default:
      TG_ASSERT(column.width == 16);
      gather_values<16>(blocks_, column.values, block_shift_, rows, count, values);
  }
  out.views[at] = {values, nullptr};
  if (!column.any_null) return;
  out.validity[at].assign((count + 63) / 64, 0);
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t word = 0;
    std::memcpy(&word,
                blocks_[rows[i] >> block_shift_].get() + column.validity +
                    (rows[i] & mask) / 64 * sizeof word,
                sizeof word);
    word >>= rows[i] % 64;
    out.validity[at][i / 64] |= (word & 1) << (i % 64);
  }
  out.views[at].validity = out.validity[at].data();
}

}  // namespace tidegate::sort
