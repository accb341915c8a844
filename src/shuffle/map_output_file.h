#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "shuffle/format.h"
#include "shuffle/shuffle.h"

namespace tidegate::shuffle {

/// An open map output whose head and tail were verified. Failures of its methods are of class lost
/// and name the path, unless the system itself failed (disk, memory, transient).
class MapOutputFile {
 public:
  /// A missing file is lost ("shuffle.missing"), a short or altered one too ("shuffle.torn"), one
  /// of another format version ("shuffle.version").
  static Result<MapOutputFile> open(Effects& effects, const std::string& path);

  const std::string& path() const { return path_; }
  std::string_view attempt() const { return {head_.attempt, head_.attempt_bytes}; }
  uint32_t buckets() const { return head_.buckets; }
  uint64_t rows() const { return tail_.rows; }
  const std::string& schema_bytes() const { return schema_; }
  Result<sql::Schema> schema() const;
  /// What the rows' buckets were chosen by; empty if not by hash.
  Result<std::vector<HashKey>> keys() const;
  /// Verified entries of buckets [begin, end).
  Result<std::vector<BucketEntry>> entries(uint32_t begin, uint32_t end) const;
  /// As above for all buckets; verifies the footer's own checksum too.
  Result<std::vector<BucketEntry>> all_entries() const;
  /// Reads exactly out.size() bytes; fewer is "shuffle.torn".
  Status read(std::span<std::byte> out, uint64_t offset) const;
  /// Has the system fetch bytes that will be read soon.
  void read_ahead(uint64_t offset, uint64_t size) const {
    effects_->read_ahead(fd_.get(), offset, size);
  }
  /// Where ranges may lie: [begin, end).
  uint64_t data_begin() const { return sizeof(FileHead) + head_.schema_bytes; }
  uint64_t data_end() const { return tail_.footer_offset; }

  std::unexpected<Failure> torn(std::string_view what) const;

 private:
  Status parse_schema(sql::Schema& schema, std::vector<HashKey>& keys) const;

  Effects* effects_ = nullptr;
  Fd fd_;
  std::string path_;
  FileHead head_{};
  FileTail tail_{};
  std::string schema_;
};

/// One range of a bucket, its chain to be checked again when it is read.
struct RangeRef {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t chain = 0;
};

/// A bucket's ranges in order, every link verified. Takes 24 bytes of memory a range; more than
/// `memory_bytes` is a failure of class memory.
Result<std::vector<RangeRef>> bucket_ranges(const MapOutputFile& file, const BucketEntry& entry,
                                            uint64_t memory_bytes);

/// Reads and verifies a range's block table and tail.
Result<std::vector<BlockEntry>> range_blocks(const MapOutputFile& file, const RangeRef& range,
                                             RangeTail& tail);

}  // namespace tidegate::shuffle
