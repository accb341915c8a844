#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "batch/type.h"
#include "shuffle/block_decoder.h"
#include "shuffle/bucket_finder.h"
#include "shuffle/map_output_file.h"
#include "shuffle/read_check.h"
#include "shuffle/table_function.h"

struct _duckdb_data_chunk;

namespace tidegate::shuffle {

/// One pass over a bucket table's rows: file by file, bucket by bucket. Who reads to the end has
/// read each bucket's rows as they were written, each once, or has a failure. One thread at a time.
class BucketScan {
 public:
  /// `columns` are the schema's columns to produce, in order; for kNoColumn the vector is left.
  BucketScan(const BucketTable& table, std::vector<uint32_t> columns)
      : table_(table), finder_(table), columns_(std::move(columns)) {}
  /// Begins again, with buckets [begin, end) instead of the table's. Files stay open.
  void restart(uint32_t bucket_begin, uint32_t bucket_end);
  /// Fills `chunk` (its vectors are `columns`) with up to a vector of rows; none at the end.
  Status fill(_duckdb_data_chunk* chunk);
  /// The next block as views of `columns`, valid until the next call; 0 rows at the end. Not to be
  /// mixed with `fill`.
  Result<uint32_t> next(std::vector<batch::ColumnView>& views);
  /// What the system is asked to fetch ahead of the range that is read, but for the last of these
  /// ranges, and not more than this of one.
  static constexpr uint64_t kReadAheadBytes = 4 << 20;
  /// The most bytes of blocks and range lists held so far.
  uint64_t peak_bytes() const { return peak_bytes_; }

 private:
  Result<bool> next_block();
  Status open_columns(const std::vector<std::span<const std::byte>>& columns, uint32_t rows);
  void place_keys();
  /// Views of the keys of rows that were put into the chunk's rows from `at` on.
  void view_keys(_duckdb_data_chunk* chunk, uint32_t at, uint32_t count);
  Result<bool> next_range();
  Result<bool> next_bucket();
  Status find_following();
  Status read_ahead();
  Status read_blocks();

  const BucketTable& table_;
  BucketFinder finder_;
  std::vector<uint32_t> columns_;
  FoundBucket bucket_;     ///< the current one; no file: none
  FoundBucket following_;  ///< the next, if it was looked for
  bool all_found_ = false;
  size_t asked_index_ = 0;      ///< the bucket's first range that was not asked for ahead
  size_t following_asked_ = 0;  ///< the same of the following bucket
  uint64_t asked_bytes_ = 0;    ///< of ranges that were asked for and not yet begun
  size_t range_index_ = 0;
  std::vector<BlockEntry> blocks_;  ///< of the current range
  size_t block_index_ = 0;          ///< the next block to open
  uint64_t block_offset_ = 0;       ///< of the next block to read into the buffer
  size_t blocks_read_ = 0;          ///< blocks of the range that were read into the buffer
  std::vector<std::byte> buffer_;
  size_t buffer_at_ = 0;
  std::vector<ColumnCursor> cursors_;
  std::vector<ColumnBuffer> buffers_;  ///< by column: the views' memory
  uint32_t block_rows_ = 0;
  uint32_t rows_left_ = 0;  ///< of the open block
  ReadCheck check_;
  std::string schema_bytes_;  ///< of the last file
  bool in_bucket_ = false;
  /// A key's values: the place of its column, those after `columns_` being read for nothing else.
  struct Key {
    uint32_t place = 0;
    bool from_block = false;  ///< not as they were put into a chunk
    batch::ColumnView block = {};
    std::vector<uint64_t> validity = {};
    std::vector<batch::StringRef> texts = {};
  };
  std::vector<Key> keys_;
  std::vector<uint32_t> key_columns_;  ///< read beside `columns_`
  std::vector<batch::ColumnView> key_views_;
  uint64_t peak_bytes_ = 0;
};

}  // namespace tidegate::shuffle
