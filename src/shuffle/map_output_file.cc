#include "shuffle/map_output_file.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/text.h"
#include "base/units.h"
#include "batch/row_hash.h"

namespace tidegate::shuffle {
namespace {

std::string shown(const std::string& path) { return quote_json(path); }

template <typename T>
std::span<std::byte> bytes_of(T& value) {
  return {reinterpret_cast<std::byte*>(&value), sizeof(T)};
}

}  // namespace

std::unexpected<Failure> MapOutputFile::torn(std::string_view what) const {
  return fail(FailureClass::kLost, "shuffle.torn",
              fmt::format("a map output is torn or altered ({}): {}", what, shown(path_)));
}

Status MapOutputFile::read(std::span<std::byte> out, uint64_t offset) const {
  TG_ASSIGN(const size_t got, effects_->pread(fd_.get(), out, offset));
  if (got != out.size()) return torn("it is too short");
  return {};
}

Result<MapOutputFile> MapOutputFile::open(Effects& effects, const std::string& path) {
  MapOutputFile file;
  file.effects_ = &effects;
  file.path_ = path;
  auto raw = effects.open(path, O_RDONLY);
  if (!raw) {
    if (!is_not_found(raw.error())) return std::unexpected(std::move(raw).error());
    return fail(FailureClass::kLost, "shuffle.missing",
                fmt::format("a map output is missing: {}", shown(path)));
  }
  file.fd_ = Fd(effects, *raw);
  TG_ASSIGN(const FileStat stat, effects.fstat(file.fd_.get()));
  if (!stat.is_regular) return file.torn("it is no regular file");
  if (stat.size < sizeof(FileHead) + sizeof(FileTail)) return file.torn("it is too short");
  FileHead& head = file.head_;
  TG_TRY(file.read(bytes_of(head), 0));
  if (std::memcmp(head.magic, kHeadMagic, sizeof kHeadMagic) != 0) return file.torn("its magic");
  if (head.version != kFormatVersion || head.hash_version != batch::kRowHashVersion) {
    return fail(
        FailureClass::kLost, "shuffle.version",
        fmt::format("a map output has another format version ({}): {}", head.version, shown(path)));
  }
  if (head.check != check_of(head)) return file.torn("its head's checksum");
  FileTail& tail = file.tail_;
  TG_TRY(file.read(bytes_of(tail), stat.size - sizeof tail));
  if (std::memcmp(tail.magic, kTailMagic, sizeof kTailMagic) != 0 || tail.check != check_of(tail) ||
      tail.content_check != head.content_check || tail.buckets != head.buckets) {
    return file.torn("its end");
  }
  // Limits beside the checksums: what follows sizes buffers.
  if (head.buckets < 1 || head.buckets > kBucketsMax || head.columns < 1 ||
      head.columns > kColumnsMax || head.keys > kColumnsMax ||
      head.schema_bytes > kSchemaBytesMax || head.attempt_bytes > kAttemptBytesMax ||
      tail.footer_offset < file.data_begin() ||
      tail.footer_offset + uint64_t{head.buckets} * sizeof(BucketEntry) + sizeof tail !=
          stat.size) {
    return file.torn("its sizes");
  }
  file.schema_.resize(head.schema_bytes);
  TG_TRY(file.read({reinterpret_cast<std::byte*>(file.schema_.data()), file.schema_.size()},
                   sizeof head));
  if (xxh3_64(file.schema_) != head.schema_check) return file.torn("its schema's checksum");
  return file;
}

Result<sql::Schema> MapOutputFile::schema() const {
  sql::Schema schema;
  std::vector<HashKey> keys;
  TG_TRY(parse_schema(schema, keys));
  return schema;
}

Result<std::vector<HashKey>> MapOutputFile::keys() const {
  sql::Schema schema;
  std::vector<HashKey> keys;
  TG_TRY(parse_schema(schema, keys));
  return keys;
}

Status MapOutputFile::parse_schema(sql::Schema& schema, std::vector<HashKey>& keys) const {
  std::string_view rest = schema_;
  auto number = [&](uint32_t& out) {
    if (rest.size() < sizeof out) return false;
    std::memcpy(&out, rest.data(), sizeof out);
    rest.remove_prefix(sizeof out);
    return true;
  };
  auto text = [&](std::string& out) {
    uint32_t size = 0;
    if (!number(size) || rest.size() < size) return false;
    out = rest.substr(0, size);
    rest.remove_prefix(size);
    return true;
  };
  for (uint32_t i = 0; i < head_.columns; ++i) {
    sql::Column column;
    if (!text(column.name) || !text(column.type)) return torn("its schema");
    schema.push_back(std::move(column));
  }
  for (uint32_t i = 0; i < head_.keys; ++i) {
    HashKey key;
    if (!number(key.column) || !text(key.type) || key.column >= head_.columns) {
      return torn("its keys");
    }
    keys.push_back(std::move(key));
  }
  if (!rest.empty()) return torn("its schema");
  return {};
}

Result<std::vector<BucketEntry>> MapOutputFile::entries(uint32_t begin, uint32_t end) const {
  TG_ASSERT(begin <= end && end <= head_.buckets);
  std::vector<BucketEntry> entries(end - begin);
  TG_TRY(read({reinterpret_cast<std::byte*>(entries.data()), entries.size() * sizeof(BucketEntry)},
              tail_.footer_offset + uint64_t{begin} * sizeof(BucketEntry)));
  for (uint32_t i = begin; i < end; ++i) {
    const BucketEntry& entry = entries[i - begin];
    if (entry.bucket != i || entry.check != check_of(entry, head_.content_check)) {
      return torn(fmt::format("the footer of bucket {}", i));
    }
  }
  return entries;
}

Result<std::vector<BucketEntry>> MapOutputFile::all_entries() const {
  TG_ASSIGN(auto entries, this->entries(0, head_.buckets));
  if (xxh3_64(entries.data(), entries.size() * sizeof(BucketEntry)) != tail_.footer_check) {
    return torn("its footer's checksum");
  }
  uint64_t rows = 0;
  for (const BucketEntry& entry : entries) rows += entry.rows;
  if (rows != tail_.rows) return torn("its row count");
  return entries;
}

Result<std::vector<BlockEntry>> range_blocks(const MapOutputFile& file, const RangeRef& range,
                                             RangeTail& tail) {
  if (range.offset < file.data_begin() || range.bytes < sizeof tail ||
      range.bytes > file.data_end() || range.offset > file.data_end() - range.bytes) {
    return file.torn("the place of a range");
  }
  const uint64_t end = range.offset + range.bytes;
  TG_TRY(file.read(bytes_of(tail), end - sizeof tail));
  if (tail.magic != kRangeMagic || tail.blocks < 1 || tail.blocks > kRangeBlocksMax ||
      range.bytes < sizeof tail + uint64_t{tail.blocks} * sizeof(BlockEntry)) {
    return file.torn("the tail of a range");
  }
  const size_t table_bytes = size_t{tail.blocks} * sizeof(BlockEntry);
  std::vector<std::byte> links(table_bytes + sizeof tail);
  TG_TRY(file.read(links, end - links.size()));
  if (xxh3_64(links.data(), links.size()) != range.chain) return file.torn("the chain of a range");
  std::memcpy(&tail, links.data() + table_bytes, sizeof tail);
  std::vector<BlockEntry> blocks(tail.blocks);
  std::memcpy(blocks.data(), links.data(), table_bytes);
  uint64_t bytes = links.size();
  for (const BlockEntry& block : blocks) {
    if (block.rows < 1 || block.rows > kBlockRowsMax || block.bytes > kBlockBytesMax) {
      return file.torn("the block table of a range");
    }
    bytes += block.bytes;
  }
  if (bytes != range.bytes) return file.torn("the block table of a range");
  return blocks;
}

Result<std::vector<RangeRef>> bucket_ranges(const MapOutputFile& file, const BucketEntry& entry,
                                            uint64_t memory_bytes) {
  const uint64_t most = (file.data_end() - file.data_begin()) / sizeof(RangeTail);
  if (entry.ranges > most) return file.torn("the footer of a bucket");
  if (uint64_t{entry.ranges} * sizeof(RangeRef) > memory_bytes) {
    return fail(FailureClass::kMemory, "shuffle.memory",
                fmt::format("the list of a bucket's {} ranges does not fit in {}", entry.ranges,
                            format_size(memory_bytes)));
  }
  std::vector<RangeRef> ranges(entry.ranges);
  RangeRef at{entry.last_offset, entry.last_bytes, entry.last_chain};
  uint64_t rows = 0;
  for (uint32_t i = entry.ranges; i-- > 0;) {
    RangeTail tail;
    TG_ASSIGN(const auto blocks, range_blocks(file, at, tail));
    if (tail.bucket != entry.bucket || tail.sequence != i) return file.torn("the order of ranges");
    for (const BlockEntry& block : blocks) rows += block.rows;
    ranges[i] = at;
    at = {tail.previous_offset, tail.previous_bytes, tail.previous_chain};
  }
  if (rows != entry.rows) return file.torn("the row count of a bucket");
  return ranges;
}

}  // namespace tidegate::shuffle
