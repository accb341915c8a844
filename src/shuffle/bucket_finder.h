#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "batch/type.h"
#include "shuffle/map_output_file.h"
#include "sql/sql.h"

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
/// `known` are the schema's bytes of another file that passed: most files of a table have the same.
Result<MapOutputFile> open_for(const BucketTable& table, const MapOutputRef& ref,
                               std::string_view known = {});

/// One bucket of one file, its ranges' links verified.
struct FoundBucket {
  std::shared_ptr<const MapOutputFile> file;
  BucketEntry entry = {};
  std::vector<RangeRef> ranges;
};

/// Goes through a table's buckets, file by file.
class BucketFinder {
 public:
  /// `table` must outlive the finder.
  explicit BucketFinder(const BucketTable& table)
      : table_(table), bucket_begin_(table.bucket_begin), bucket_end_(table.bucket_end) {}
  /// Begins again, with buckets [begin, end). Files stay open.
  void restart(uint32_t bucket_begin, uint32_t bucket_end);
  /// The next bucket; false at the end. A bucket's list of ranges may take a share of the table's
  /// memory, kRangeListShare; more is a failure of class memory.
  Result<bool> next(FoundBucket& out);
  uint64_t held_bytes() const { return entries_.capacity() * sizeof(BucketEntry); }

  static constexpr uint64_t kRangeListShare = 8;

 private:
  Status open_file();

  const BucketTable& table_;
  uint32_t bucket_begin_;
  uint32_t bucket_end_;
  size_t file_index_ = 0;
  std::shared_ptr<const MapOutputFile> file_;
  /// The table's first files, for who starts again.
  std::vector<std::shared_ptr<const MapOutputFile>> opened_;
  std::vector<BucketEntry> entries_;  ///< of some buckets of the file
  size_t entry_index_ = 0;
  uint32_t bucket_ = 0;       ///< the next whose entry is read
  std::string schema_bytes_;  ///< of the last file
};

}  // namespace tidegate::shuffle
