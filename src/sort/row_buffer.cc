#include "sort/row_buffer.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tidegate::sort {
namespace {

constexpr uint64_t kBlockRowsMin = 256;
constexpr uint64_t kBlockRowsMax = 65'536;

/// Rows whose places are fetched together.
constexpr uint32_t kStepRows = 128;
constexpr uint64_t kLineBytes = 64;

template <typename T>
struct Unaligned {
  T value;
} __attribute__((packed));

template <typename T>
void copy_values(const char* const* from, uint64_t offset, uint32_t count, char* to) {
  auto* out = reinterpret_cast<Unaligned<T>*>(to);
  for (uint32_t i = 0; i < count; ++i)
    out[i] = *reinterpret_cast<const Unaligned<T>*>(from[i] + offset);
}
void copy_values(uint32_t width, const char* const* from, uint64_t offset, uint32_t count,
                 char* to) {
  switch (width) {
    case 0:
      return;
    case 1:
      return copy_values<uint8_t>(from, offset, count, to);
    case 2:
      return copy_values<uint16_t>(from, offset, count, to);
    case 4:
      return copy_values<uint32_t>(from, offset, count, to);
    case 8:
      return copy_values<uint64_t>(from, offset, count, to);
    default:
      TG_ASSERT(width == 16);
      return copy_values<batch::uint128>(from, offset, count, to);
  }
}

template <typename T>
void spread_values(const char* from, size_t count, char* to, uint64_t stride) {
  for (size_t i = 0; i < count; ++i)
    *reinterpret_cast<Unaligned<T>*>(to + i * stride) =
        reinterpret_cast<const Unaligned<T>*>(from)[i];
}
void spread_values(uint32_t width, const char* from, size_t count, char* to, uint64_t stride) {
  switch (width) {
    case 1:
      return spread_values<uint8_t>(from, count, to, stride);
    case 2:
      return spread_values<uint16_t>(from, count, to, stride);
    case 4:
      return spread_values<uint32_t>(from, count, to, stride);
    case 8:
      return spread_values<uint64_t>(from, count, to, stride);
    default:
      TG_ASSERT(width == 16);
      return spread_values<batch::uint128>(from, count, to, stride);
  }
}

/// A row that is nearly as long as a share of a cache line gets all of it, and lies in one.
uint64_t stride_of(uint64_t row_bytes) {
  const uint64_t whole = std::bit_ceil(std::max<uint64_t>(row_bytes, 1));
  return whole <= kLineBytes && whole - row_bytes <= row_bytes / 6 ? whole : row_bytes;
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
  stride_ = stride_of(row_bytes_);
  // A row takes its values and a bit a column.
  const uint64_t rows = std::clamp(kSlabBytes * 8 / (stride_ * 8 + columns_.size() + 1),
                                   kBlockRowsMin, kBlockRowsMax);
  block_shift_ = static_cast<uint32_t>(std::bit_width(rows) - 1);
  uint64_t offset = 0;
  // Words of bitmaps lie as they must: there are 256 rows and more before them.
  uint64_t at = stride_ << block_shift_;
  for (Column& column : columns_) {
    column.offset = offset;
    offset += column.width;
    column.validity = at;
    at += (uint64_t{1} << block_shift_) / 8;
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
  char* out = blocks_.back().get() + at * stride_ + column.offset;
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
    spread_values(column.width, static_cast<const char*>(view.data) + begin * column.width, count,
                  out, stride_);
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
    std::memcpy(out + i * stride_, &text, sizeof text);
  }
}

void RowBuffer::clear() {
  for (Column& column : columns_) column.any_null = false;
  blocks_.clear();
  texts_.clear();
  rows_ = 0;
}

void RowBuffer::gather(const std::vector<uint32_t>& columns, const uint32_t* rows, uint32_t count,
                       Output& out) const {
  out.resize(columns.size());
  for (size_t i = 0; i < columns.size(); ++i)
    out.values[i].resize(size_t{count} * columns_[columns[i]].width);
  const char* places[kStepRows];
  for (uint32_t begin = 0; begin < count; begin += kStepRows) {
    const uint32_t step = std::min(kStepRows, count - begin);
    for (uint32_t i = 0; i < step; ++i) {
      places[i] = row_at(rows[begin + i]);
      for (uint64_t at = 0; at < stride_; at += kLineBytes) __builtin_prefetch(places[i] + at);
      __builtin_prefetch(places[i] + stride_ - 1);
    }
    for (size_t i = 0; i < columns.size(); ++i) {
      const Column& column = columns_[columns[i]];
      copy_values(column.width, places, column.offset, step,
                  out.values[i].data() + size_t{begin} * column.width);
    }
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    const Column& column = columns_[columns[i]];
    out.views[i] = {.data = out.values[i].data()};
    if (!column.any_null) continue;
    gather_validity(column, rows, count, out.validity[i]);
    out.views[i].validity = out.validity[i].data();
  }
}

void RowBuffer::gather_validity(const Column& column, const uint32_t* rows, uint32_t count,
                                std::vector<uint64_t>& out) const {
  const uint32_t mask = (1U << block_shift_) - 1;
  out.assign((count + 63) / 64, 0);
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t word = 0;
    std::memcpy(&word,
                blocks_[rows[i] >> block_shift_].get() + column.validity +
                    (rows[i] & mask) / 64 * sizeof word,
                sizeof word);
    word >>= rows[i] % 64;
    out[i / 64] |= (word & 1) << (i % 64);
  }
}

}  // namespace tidegate::sort
