#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/failure.h"
#include "batch/chunk_view.h"
#include "shuffle/block_encoder.h"
#include "shuffle/format.h"
#include "shuffle/spill_buffer.h"

namespace tidegate::shuffle {

/// The rows of all buckets on their way to the file.
///
/// Each bucket has one buffer that grows 16, 64, ... block_rows rows; its columns lie one after the
/// other, wide ones first: column c of bucket b starts at base + offset_c * capacity. Text columns
/// hold lengths there and their bytes in one arena a bucket and column. A full buffer is encoded to
/// a block; blocks wait until a range is full, then go to the file.
///
/// When a buffer cannot grow within the budget, the buckets that hold most give way, an eighth of
/// the budget at a time: first waiting blocks, then buffers. Every such decision follows from the
/// sequence of rows alone, never from how chunks cut it.
class BucketStore {
 public:
  /// `types` in schema order. Fails with class memory ("shuffle.memory") if the tables of so many
  /// buckets leave no room for rows.
  static Result<std::unique_ptr<BucketStore>> create(std::vector<batch::ColumnType> types,
                                                     uint32_t buckets, uint64_t memory_bytes,
                                                     FileAppender& file);

  /// Adds rows, row i to bucket rows_buckets[i].
  Status add(const batch::RowsView& chunk, const uint32_t* row_buckets);
  /// Encodes and writes all that waits, bucket by bucket.
  Status finish();

  /// What the footer says of each bucket; final after finish().
  const std::vector<BucketEntry>& entries() const { return entries_; }
  uint64_t peak_bytes() const { return peak_bytes_; }

 private:
  struct Bucket {
    std::byte* base = nullptr;
    uint32_t capacity = 0;
    uint32_t rows = 0;
  };
  struct Arena {
    char* bytes = nullptr;
    uint32_t size = 0;
    uint32_t capacity = 0;
  };
  struct Waiting {
    BlockEntry entry;
    Memory bytes;
  };
  struct Pending {
    std::vector<Waiting> blocks;
    uint64_t bytes = 0;
  };
  struct Held {
    uint64_t bytes;
    uint32_t bucket;
  };
  struct Column {
    batch::Storage storage;
    uint32_t width;     ///< bytes a row in the buffer
    uint64_t offset;    ///< times capacity: where the column starts
    int32_t text = -1;  ///< index among the text columns
    bool any_null = false;
  };

  BucketStore(FileAppender& file, uint32_t buckets, uint64_t memory_bytes)
      : file_(file),
        budget_(memory_bytes),
        buckets_(buckets),
        entries_(buckets),
        pending_(buckets) {}

 public:
  ~BucketStore();
  BucketStore(const BucketStore&) = delete;
  BucketStore& operator=(const BucketStore&) = delete;

 private:
  Status plan(std::vector<batch::ColumnType> types);
  uint32_t claim(const uint32_t* row_buckets, uint32_t row, uint32_t rows);
  Status make_room(uint32_t bucket, uint32_t row);
  Status grow_rows(uint32_t bucket);
  Status grow_arena(uint32_t bucket, uint32_t text, uint32_t size);
  Status reserve(uint64_t bytes);
  Status relieve();
  void copy_rows(const batch::RowsView& chunk, const uint32_t* row_buckets, uint32_t begin,
                 uint32_t end);
  void copy_nulls(const batch::ColumnView& view, size_t column, const uint32_t* row_buckets,
                  uint32_t begin, uint32_t end);
  void copy_texts(const batch::ColumnView& view, size_t column, const uint32_t* row_buckets,
                  uint32_t begin, uint32_t end);
  Status encode(uint32_t bucket);
  Status encode_and_relieve(uint32_t bucket);
  Status write_range(uint32_t bucket, const BlockEntry* direct = nullptr);
  void release(uint32_t bucket);
  uint64_t* nulls_of(const Bucket& bucket, size_t column) const;
  uint64_t held_bytes(uint32_t bucket) const;
  static uint64_t bitmap_bytes(uint32_t capacity) { return capacity < 64 ? 8 : capacity / 8; }
  uint64_t buffer_bytes(uint32_t capacity) const {
    return capacity * row_bytes_ + bitmap_bytes(capacity) * columns_.size();
  }
  Arena& arena(uint32_t text, uint32_t bucket) {
    return arenas_[size_t{text} * bucket_count() + bucket];
  }
  const Arena& arena(uint32_t text, uint32_t bucket) const {
    return arenas_[size_t{text} * bucket_count() + bucket];
  }
  uint32_t bucket_count() const { return static_cast<uint32_t>(buckets_.size()); }
  void note_peak();

  FileAppender& file_;
  Budget budget_;
  std::vector<Column> columns_;
  uint32_t text_count_ = 0;
  uint64_t row_bytes_ = 0;  ///< of a row's fixed part
  uint32_t block_rows_ = 0;
  uint32_t arena_bytes_max_ = 0;  ///< of a text column's bytes in a block of more than one row
  uint64_t value_bytes_max_ = 0;  ///< of a row's texts
  std::vector<Bucket> buckets_;
  std::vector<BucketEntry> entries_;
  std::vector<Pending> pending_;
  std::vector<Arena> arenas_;
  uint64_t pending_bytes_ = 0;
  std::vector<Held> order_;
  BlockEncoder encoder_;
  std::vector<std::byte> links_;  ///< a range's block table and tail
  uint64_t peak_bytes_ = 0;
  std::vector<uint32_t> positions_;       ///< of a chunk's rows in their buckets
  std::vector<uint32_t> text_positions_;  ///< of a chunk's texts in their arenas, column by column
  uint32_t stride_ = 0;                   ///< of text_positions_: the chunk's rows
  std::vector<const batch::StringRef*> texts_;  ///< of the current chunk
};

}  // namespace tidegate::shuffle
