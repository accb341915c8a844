#include <algorithm>
#include <cstring>
#include <vector>

#include "batch/chunk_view.h"
#include "shuffle/block_decoder.h"
#include "shuffle/block_encoder.h"
#include "targets.h"
#include "typed_chunk.h"

namespace tidegate::fuzz {
namespace {

constexpr uint32_t kVectorRows = 2'048;

bool split(std::span<const std::byte> block, size_t columns) {
  const auto parts = shuffle::split_block(block, columns);
  if (!parts) return false;
  size_t bytes = columns * 4;
  for (const auto& part : *parts) bytes += part.size();
  TG_ASSERT(bytes == block.size());
  return true;
}

/// The column's values in a form that can be encoded: raw.values, raw.nulls and the texts' bytes
/// are written over.
struct Values {
  std::vector<std::byte> fixed;
  std::vector<uint64_t> nulls;
  std::string texts;
  shuffle::RawColumn raw;

  Values(const batch::ColumnView& view, const batch::ColumnType& type, size_t rows)
      : nulls((rows + 63) / 64) {
    raw.storage = type.storage;
    for (size_t row = 0; row < rows; ++row) {
      if (!view.is_valid(row)) nulls[row / 64] |= uint64_t{1} << (row % 64);
    }
    raw.nulls = nulls.data();
    if (type.storage == batch::Storage::kNull) return;
    if (type.storage == batch::Storage::kBytes) {
      fixed.resize(rows * 4);
      for (size_t row = 0; row < rows; ++row) {
        const auto text = static_cast<const batch::StringRef*>(view.data)[row];
        std::memcpy(fixed.data() + row * 4, &text.size, 4);
        texts += text.view();
      }
    } else {
      fixed.resize(rows * type.width);
      std::memcpy(fixed.data(), view.data, fixed.size());
    }
    raw.values = fixed.data();
    raw.texts = texts.data();
  }
};

/// The digests of all rows, read `step` rows at a time; nothing if a row cannot be read. With
/// `encode`, each vector of rows goes through the encoder and back, too.
bool read(TypedChunk& chunk, std::span<const std::byte> bytes, uint32_t rows, uint32_t step,
          bool encode, std::vector<uint64_t>& out) {
  auto cursor = shuffle::ColumnCursor::open(chunk.types()[0], bytes, rows);
  TG_ASSERT(cursor);
  for (uint32_t row = 0; row < rows;) {
    chunk.reset();
    cursor->vector_changed();
    const uint32_t filled = std::min(kVectorRows, rows - row);
    for (uint32_t at = 0; at < filled;) {
      const uint32_t count = std::min(step, filled - at);
      const auto done = cursor->read(count, chunk.vector(0), at);
      if (!done) {
        TG_ASSERT(done.error().cls == FailureClass::kLost);
        return false;
      }
      at += count;
    }
    chunk.digests(0, filled, out);
    row += filled;
    if (!encode) continue;
    chunk.set_rows(filled);
    batch::ChunkView view(chunk.types());
    TG_ASSERT(view.load(chunk.raw()));
    Values values(view.column(0), chunk.types()[0], filled);
    shuffle::BlockEncoder encoder;
    encoder.encode(values.raw, filled);
    chunk.reset();
    std::vector<uint64_t> again;
    TG_ASSERT(read(chunk, encoder.bytes(), filled, kVectorRows, false, again));
    TG_ASSERT(std::equal(again.begin(), again.end(), out.end() - filled, out.end()));
  }
  return true;
}

}  // namespace

bool block(std::string_view input) {
  if (input.size() < 3) return false;
  const size_t type = static_cast<uint8_t>(input[0]);
  uint16_t rows = 0;
  std::memcpy(&rows, input.data() + 1, 2);
  // Its own allocation, exactly as long: a byte too far is seen by the sanitizer.
  const auto* from = reinterpret_cast<const std::byte*>(input.data()) + 3;
  const std::vector<std::byte> bytes(from, from + (input.size() - 3));
  if (type >= block_types().size()) return split(bytes, rows % 32);
  TypedChunk& chunk = chunk_of(block_types(), type);
  const auto cursor = shuffle::ColumnCursor::open(chunk.types()[0], bytes, rows);
  if (!cursor) {
    TG_ASSERT(cursor.error().cls == FailureClass::kLost);
    return false;
  }
  std::vector<uint64_t> whole;
  std::vector<uint64_t> stepped;
  const bool good = read(chunk, bytes, rows, kVectorRows, true, whole);
  TG_ASSERT(read(chunk, bytes, rows, 7, false, stepped) == good);
  TG_ASSERT(!good || whole == stepped);
  return good;
}

}  // namespace tidegate::fuzz
