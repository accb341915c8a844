#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "batch/type.h"
#include "shuffle/block_decoder.h"
#include "shuffle/map_output_file.h"

struct _duckdb_data_chunk;

namespace tidegate::shuffle {

/// What every scan of a bucket table shares; constant after construction.
struct BucketTable {
  Effects* effects = nullptr;
  sql::Schema schema;
  std::vector<batch::ColumnType> types;
  std::vector<MapOutputRef> files;
  uint32_t bucket_begin = 0;
  uint32_t bucket_end = 0;
  uint64_t memory_bytes = 0;
};

/// Opens a file of the table and checks attempt, schema and buckets: another attempt is lost
/// ("shuffle.attempt"), another schema or bucket count is a defect ("shuffle.schema").
Result<MapOutputFile> open_for(const BucketTable& table, const MapOutputRef& ref);

/// One pass over a bucket table's rows: file by file, bucket by bucket. One thread at a time.
class BucketScan {
 public:
  static constexpr uint32_t kNoColumn = UINT32_MAX;
  /// `columns` are the schema's columns to produce, in order; for kNoColumn the vector is left.
  BucketScan(const BucketTable& table, std::vector<uint32_t> columns)
      : table_(table), columns_(std::move(columns)) {}
  /// Fills `chunk` (its vectors are `columns`) with up to a vector of rows; none at the end.
  Status fill(_duckdb_data_chunk* chunk);
  /// The next block as views of `columns`, valid until the next call; 0 rows at the end. Not to be
  /// mixed with `fill`.
  Result<uint32_t> next(std::vector<batch::ColumnView>& views);
  /// The most bytes of blocks and range lists held so far.
  uint64_t peak_bytes() const { return peak_bytes_; }

 private:
  Result<bool> next_block();
  Result<bool> next_range();
  Status next_bucket();
  Status read_blocks();

  const BucketTable& table_;
  std::vector<uint32_t> columns_;
  size_t file_index_ = 0;
  std::optional<MapOutputFile> file_;
  std::vector<BucketEntry> entries_;  ///< of some buckets of the file
  size_t entry_index_ = 0;
  uint32_t bucket_ = 0;  ///< the next whose entry is read
  std::vector<RangeRef> ranges_;
  size_t range_index_ = 0;
  std::vector<BlockEntry> blocks_;  ///< of the current range
  size_t block_index_ = 0;          ///< the next block to open
  uint64_t block_offset_ = 0;       ///< of the next block to read into the buffer
  size_t blocks_read_ = 0;          ///< blocks of the range that were read into the buffer
  std::vector<std::byte> buffer_;
  size_t buffer_at_ = 0;
  std::vector<ColumnCursor> cursors_;
  std::vector<ColumnBuffer> views_;  ///< what `next` gave out
  uint32_t rows_left_ = 0;           ///< of the open block
  uint64_t peak_bytes_ = 0;
};

}  // namespace tidegate::shuffle
