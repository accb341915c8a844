#include "shuffle/bucket_scan.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "base/units.h"
#include "duckdb.h"

namespace tidegate::shuffle {
namespace {

constexpr uint32_t kEntriesAtOnce = 1'024;
/// Blocks are read together up to this size.
constexpr uint64_t kReadBytes = 1 << 20;

}  // namespace

Result<MapOutputFile> open_for(const BucketTable& table, const MapOutputRef& ref) {
  TG_ASSIGN(MapOutputFile file, MapOutputFile::open(*table.effects, ref.path));
  if (file.attempt() != ref.attempt) {
    return fail(
        FailureClass::kLost, "shuffle.attempt",
        fmt::format("a map output is of another attempt ({}, not {}): {}",
                    quote_json(file.attempt()), quote_json(ref.attempt), quote_json(ref.path)));
  }
  TG_ASSIGN(const sql::Schema schema, file.schema());
  if (schema != table.schema) {
    return fail(FailureClass::kDefect, "shuffle.schema",
                "a map output has another schema than its readers: " + quote_json(ref.path));
  }
  if (table.bucket_end > file.buckets()) {
    return fail(FailureClass::kDefect, "shuffle.schema",
                fmt::format("a map output has {} buckets, bucket {} was asked for: {}",
                            file.buckets(), table.bucket_end - 1, quote_json(ref.path)));
  }
  return file;
}

Status BucketScan::fill(_duckdb_data_chunk* chunk) {
  const uint32_t room = static_cast<uint32_t>(duckdb_vector_size());
  uint32_t filled = 0;
  for (ColumnCursor& cursor : cursors_) cursor.vector_changed();
  while (filled < room) {
    if (rows_left_ == 0) {
      TG_ASSIGN(const bool more, next_block());
      if (!more) break;
    }
    const uint32_t count = std::min(rows_left_, room - filled);
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i] == kNoColumn) continue;
      auto read = cursors_[i].read(count, duckdb_data_chunk_get_vector(chunk, i), filled);
      if (!read) return file_->torn(read.error().message);
    }
    rows_left_ -= count;
    filled += count;
  }
  duckdb_data_chunk_set_size(chunk, filled);
  return {};
}

Result<uint32_t> BucketScan::next(std::vector<batch::ColumnView>& views) {
  TG_ASSIGN(const bool more, next_block());
  if (!more) return 0;
  views_.resize(columns_.size());
  views.resize(columns_.size());
  for (size_t i = 0; i < columns_.size(); ++i) views[i] = cursors_[i].view(views_[i]);
  return std::exchange(rows_left_, 0);
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
    return file_->torn("the checksum of a block");
  }
  auto columns = split_block(block, table_.schema.size());
  if (!columns) return file_->torn(columns.error().message);
  cursors_.clear();
  for (const uint32_t column : columns_) {
    if (column == kNoColumn) {
      cursors_.emplace_back();
      continue;
    }
    auto cursor = ColumnCursor::open(table_.types[column], (*columns)[column], entry.rows);
    if (!cursor) return file_->torn(cursor.error().message);
    cursors_.push_back(std::move(*cursor));
  }
  rows_left_ = entry.rows;
  return true;
}

/// Reads the range's next blocks: as many as fit, at least one.
Status BucketScan::read_blocks() {
  const uint64_t held = ranges_.capacity() * sizeof(RangeRef) +
                        entries_.capacity() * sizeof(BucketEntry) +
                        blocks_.capacity() * sizeof(BlockEntry);
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
  TG_TRY(file_->read({buffer_.data(), static_cast<size_t>(bytes)}, block_offset_));
  block_offset_ += bytes;
  buffer_at_ = 0;
  peak_bytes_ = std::max(peak_bytes_, held + buffer_.size());
  return {};
}

Result<bool> BucketScan::next_range() {
  while (range_index_ == ranges_.size()) {
    if (!file_ || (entry_index_ == entries_.size() && bucket_ == table_.bucket_end)) {
      if (file_index_ == table_.files.size()) {
        file_.reset();
        return false;
      }
      file_.reset();
      TG_ASSIGN(MapOutputFile file, open_for(table_, table_.files[file_index_++]));
      file_ = std::move(file);
      entries_.clear();
      entry_index_ = 0;
      bucket_ = table_.bucket_begin;
      if (bucket_ == table_.bucket_end) continue;
    }
    TG_TRY(next_bucket());
  }
  RangeTail tail;
  const RangeRef& range = ranges_[range_index_++];
  TG_ASSIGN(blocks_, range_blocks(*file_, range, tail));
  block_index_ = 0;
  blocks_read_ = 0;
  block_offset_ = range.offset;
  return true;
}

Status BucketScan::next_bucket() {
  if (entry_index_ == entries_.size()) {
    const uint32_t end = std::min(table_.bucket_end, bucket_ + kEntriesAtOnce);
    TG_ASSIGN(entries_, file_->entries(bucket_, end));
    entry_index_ = 0;
    bucket_ = end;
  }
  range_index_ = 0;
  ranges_.clear();
  TG_ASSIGN(ranges_, bucket_ranges(*file_, entries_[entry_index_++], table_.memory_bytes / 4));
  return {};
}

}  // namespace tidegate::shuffle
