#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/failure.h"
#include "batch/chunk_view.h"
#include "shuffle/block_encoder.h"
#include "shuffle/format.h"
#include "shuffle/pooled_text.h"
#include "shuffle/spill_buffer.h"
#include "shuffle/text_pool.h"

namespace tidegate::shuffle {

/// The rows of all buckets on their way to the file.
///
/// Each bucket has one buffer that grows 16, 64, ... block_rows rows; its columns lie one after the
/// other, wide ones first: column c of bucket b starts at base + offset_c * capacity. Text columns
/// hold lengths there and their bytes in one arena a bucket and column; or, where the column has
/// few texts, their numbers in its pool (pooled_text.h) and no bytes. A full buffer is encoded to a
/// block; blocks wait until a range is full, then go to the file.
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

  /// Looks at the rows that are to be added next. The view says what texts they share; it is valid
  /// until the next call, as long as `chunk` is.
  batch::RowsView look_at(const batch::RowsView& chunk);
  /// Adds the rows that were looked at last, row i to bucket row_buckets[i].
  Status add(const uint32_t* row_buckets);
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
  /// A text column, and the current chunk's rows of it.
  struct Text {
    std::unique_ptr<TextPool> pool;
    const batch::StringRef* refs = nullptr;
    std::vector<uint16_t> codes;   ///< by row
    std::vector<uint32_t> values;  ///< by row: what the buffer holds (pooled_text.h)
    std::vector<uint32_t> places;  ///< by row: of its bytes in the arena
    bool has_bytes = false;        ///< some rows have no number
    /// What a row takes of the arena.
    uint32_t bytes(uint32_t row) const { return is_pooled(values[row]) ? 0 : values[row]; }
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
  void look_at_texts(Text& text, batch::ColumnView& view);
  uint32_t claim(const uint32_t* row_buckets, uint32_t row, uint32_t rows);
  Status make_room(uint32_t bucket, uint32_t row);
  Status grow_rows(uint32_t bucket);
  Status grow_arena(uint32_t bucket, uint32_t text, uint32_t size);
  Status reserve(uint64_t bytes);
  Status relieve();
  void copy_rows(const uint32_t* row_buckets, uint32_t begin, uint32_t end);
  void copy_nulls(const batch::ColumnView& view, size_t column, const uint32_t* row_buckets,
                  uint32_t begin, uint32_t end);
  void copy_texts(const Text& text, uint32_t index, const uint32_t* row_buckets, uint32_t begin,
                  uint32_t end);
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
  std::vector<Text> texts_;
  std::vector<uint32_t> with_bytes_;      ///< of texts_, those that have bytes in the current chunk
  std::vector<batch::ColumnView> views_;  ///< of the current chunk
  uint32_t rows_ = 0;                     ///< in it
  std::vector<uint32_t> positions_;       ///< of its rows in their buckets
};

}  // namespace tidegate::shuffle
