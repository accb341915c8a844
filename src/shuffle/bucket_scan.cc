#include "shuffle/bucket_scan.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "base/units.h"
#include "duckdb.h"

namespace tidegate::shuffle {
namespace {

/// Blocks are read together up to this size.
constexpr uint64_t kReadBytes = 1 << 20;

}  // namespace

Status BucketScan::fill(_duckdb_data_chunk* chunk) {
  const uint32_t room = static_cast<uint32_t>(duckdb_vector_size());
  uint32_t filled = 0;
  for (ColumnCursor& cursor : cursors_) cursor.vector_changed();
  while (filled < room) {
    if (rows_left_ == 0) {
      TG_ASSIGN(const bool more, next_block());
      if (!more) break;
      for (Key& key : keys_)
        if (key.from_block) key.block = cursors_[key.place].view(buffers_[key.place]);
    }
    const uint32_t count = std::min(rows_left_, room - filled);
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i] == kNoColumn) continue;
      auto read = cursors_[i].read(count, duckdb_data_chunk_get_vector(chunk, i), filled);
      if (!read) return bucket_.file->torn(read.error().message);
    }
    view_keys(chunk, filled, count);
    TG_TRY(check_.add(key_views_.data(), count));
    rows_left_ -= count;
    filled += count;
  }
  duckdb_data_chunk_set_size(chunk, filled);
  return {};
}

Result<uint32_t> BucketScan::next(std::vector<batch::ColumnView>& views) {
  TG_ASSIGN(const bool more, next_block());
  if (!more) return 0;
  views.resize(columns_.size());
  for (size_t i = 0; i < columns_.size(); ++i) views[i] = cursors_[i].view(buffers_[i]);
  for (size_t i = 0; i < keys_.size(); ++i) {
    const uint32_t place = keys_[i].place;
    key_views_[i] = place < columns_.size() ? views[place] : cursors_[place].view(buffers_[place]);
  }
  TG_TRY(check_.add(key_views_.data(), rows_left_));
  return std::exchange(rows_left_, 0);
}

void BucketScan::view_keys(_duckdb_data_chunk* chunk, uint32_t at, uint32_t count) {
  const uint32_t done = block_rows_ - rows_left_;
  for (size_t i = 0; i < keys_.size(); ++i) {
    Key& key = keys_[i];
    const batch::ColumnType& type = table_.types[check_.keys()[i].column];
    const size_t width = batch::slot_bytes(type);
    batch::ColumnView& view = key_views_[i];
    if (key.from_block) {
      view = key.block;
    } else {
      duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, key.place);
      view = {duckdb_vector_get_data(vector), duckdb_vector_get_validity(vector)};
    }
    const uint32_t from = key.from_block ? done : at;
    view.codes = nullptr;
    view.data = static_cast<const char*>(view.data) + from * width;
    if (view.validity == nullptr) continue;
    // Under a NULL of a vector lies anything.
    if (!key.from_block && type.storage == batch::Storage::kBytes) {
      const auto* refs = static_cast<const batch::StringRef*>(view.data);
      key.texts.assign(count, {});
      for (uint32_t row = 0; row < count; ++row) {
        const uint32_t bit = from + row;
        if (view.validity[bit / 64] >> (bit % 64) & 1) key.texts[row] = refs[row];
      }
      view.data = key.texts.data();
    }
    if (from == 0) continue;
    key.validity.assign((count + 63) / 64, 0);
    for (uint32_t row = 0; row < count; ++row) {
      const uint32_t bit = from + row;
      key.validity[row / 64] |= (view.validity[bit / 64] >> (bit % 64) & 1) << (row % 64);
    }
    view.validity = key.validity.data();
  }
}

Result<bool> BucketScan::next_block() {
  while (block_index_ == blocks_.size()) {
    TG_ASSIGN(const bool more, next_range());
    if (!more) return false;
  }
  if (block_index_ == blocks_read_) TG_TRY(read_blocks());
  const BlockEntry& entry = blocks_[block_index_++];
  const std::span<const std::byte> block(buffer_.data() + buffer_at_, entry.bytes);
  buffer_at_ += entry.bytes;
  if (xxh3_64(block.data(), block.size()) != entry.check) {
    return bucket_.file->torn("the checksum of a block");
  }
  auto columns = split_block(block, table_.schema.size());
  if (!columns) return bucket_.file->torn(columns.error().message);
  TG_TRY(open_columns(*columns, entry.rows));
  rows_left_ = block_rows_ = entry.rows;
  return true;
}

Status BucketScan::open_columns(const std::vector<std::span<const std::byte>>& columns,
                                uint32_t rows) {
  cursors_.clear();
  const auto open = [&](uint32_t column) -> Status {
    auto cursor = ColumnCursor::open(table_.types[column], columns[column], rows);
    if (!cursor) return bucket_.file->torn(cursor.error().message);
    cursors_.push_back(std::move(*cursor));
    return {};
  };
  for (const uint32_t column : columns_) {
    if (column == kNoColumn)
      cursors_.emplace_back();
    else
      TG_TRY(open(column));
  }
  for (const uint32_t column : key_columns_) TG_TRY(open(column));
  return {};
}

void BucketScan::restart(uint32_t bucket_begin, uint32_t bucket_end) {
  finder_.restart(bucket_begin, bucket_end);
  bucket_ = {};
  following_ = {};
  range_index_ = asked_index_ = following_asked_ = 0;
  asked_bytes_ = 0;
  blocks_.clear();
  block_index_ = blocks_read_ = 0;
  rows_left_ = 0;
  in_bucket_ = all_found_ = false;
}

/// Finds the keys' columns among those that are read, or has them read, too.
void BucketScan::place_keys() {
  keys_.clear();
  key_columns_.clear();
  for (const HashKey& hashed : check_.keys()) {
    const auto at = std::find(columns_.begin(), columns_.end(), hashed.column);
    Key& key = keys_.emplace_back();
    key.place = static_cast<uint32_t>(at - columns_.begin());
    key.from_block = at == columns_.end() || table_.types[hashed.column].is_nested();
    if (at != columns_.end()) continue;
    key.place += static_cast<uint32_t>(key_columns_.size());
    key_columns_.push_back(hashed.column);
  }
  key_views_.resize(keys_.size());
  buffers_.resize(columns_.size() + key_columns_.size());
}

/// Reads the range's next blocks: as many as fit, at least one.
Status BucketScan::read_blocks() {
  const uint64_t held =
      (bucket_.ranges.capacity() + following_.ranges.capacity()) * sizeof(RangeRef) +
      finder_.held_bytes() + blocks_.capacity() * sizeof(BlockEntry);
  const uint64_t memory = table_.memory_bytes > held ? table_.memory_bytes - held : 0;
  const uint64_t most = std::min(kReadBytes, memory);
  uint64_t bytes = 0;
  while (blocks_read_ < blocks_.size() &&
         (bytes == 0 || bytes + blocks_[blocks_read_].bytes <= most)) {
    bytes += blocks_[blocks_read_++].bytes;
  }
  if (bytes > memory) {
    return fail(FailureClass::kMemory, "shuffle.memory",
                fmt::format("a block of {} does not fit in the {} of its reader",
                            format_size(bytes), format_size(table_.memory_bytes)));
  }
  if (buffer_.size() < bytes || buffer_.size() > std::max<uint64_t>(bytes, kReadBytes)) {
    std::vector<std::byte>().swap(buffer_);
    buffer_.resize(bytes);
  }
  TG_TRY(bucket_.file->read({buffer_.data(), static_cast<size_t>(bytes)}, block_offset_));
  block_offset_ += bytes;
  buffer_at_ = 0;
  peak_bytes_ = std::max(peak_bytes_, held + buffer_.size());
  return {};
}

Result<bool> BucketScan::next_range() {
  while (range_index_ == bucket_.ranges.size()) {
    if (std::exchange(in_bucket_, false)) TG_TRY(check_.end(*bucket_.file));
    TG_ASSIGN(const bool more, next_bucket());
    if (!more) return false;
  }
  TG_TRY(read_ahead());
  RangeTail tail;
  const RangeRef& range = bucket_.ranges[range_index_++];
  if (range_index_ <= asked_index_) asked_bytes_ -= range.bytes;
  TG_ASSIGN(blocks_, range_blocks(*bucket_.file, range, tail));
  block_index_ = 0;
  blocks_read_ = 0;
  block_offset_ = range.offset;
  return true;
}

Result<bool> BucketScan::next_bucket() {
  TG_TRY(find_following());
  range_index_ = 0;
  const auto before = std::move(bucket_.file);
  bucket_ = std::exchange(following_, {});
  asked_index_ = std::exchange(following_asked_, 0);
  if (!bucket_.file) return false;
  if (bucket_.file != before && bucket_.file->schema_bytes() != schema_bytes_) {
    TG_TRY(check_.open(*bucket_.file, table_.types));
    schema_bytes_ = bucket_.file->schema_bytes();
    place_keys();
  }
  check_.begin(bucket_.entry);
  in_bucket_ = true;
  return true;
}

Status BucketScan::find_following() {
  if (following_.file || all_found_) return {};
  TG_ASSIGN(const bool more, finder_.next(following_));
  all_found_ = !more;
  return {};
}

/// Asks for the bucket's next ranges, then for those of the bucket that follows, so that they come
/// from the disk while rows are handed out.
Status BucketScan::read_ahead() {
  const auto ask = [&](const FoundBucket& bucket, size_t& index) {
    while (index < bucket.ranges.size() && asked_bytes_ < kReadAheadBytes) {
      const RangeRef& range = bucket.ranges[index++];
      bucket.file->read_ahead(range.offset, std::min(range.bytes, kReadAheadBytes));
      asked_bytes_ += range.bytes;
    }
  };
  ask(bucket_, asked_index_);
  if (asked_bytes_ >= kReadAheadBytes) return {};
  TG_TRY(find_following());
  ask(following_, following_asked_);
  return {};
}

}  // namespace tidegate::shuffle
