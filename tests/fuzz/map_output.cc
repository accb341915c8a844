#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "base/memory_file.h"
#include "shuffle/bucket_scan.h"
#include "shuffle/format.h"
#include "shuffle/map_output_file.h"
#include "targets.h"
#include "typed_chunk.h"

namespace tidegate::fuzz {
namespace {

using shuffle::BlockEntry;
using shuffle::BucketEntry;
using shuffle::FileHead;
using shuffle::FileTail;
using shuffle::RangeTail;

constexpr uint64_t kMemoryBytes = 1 << 20;

template <typename T>
T get(const std::string& bytes, uint64_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
template <typename T>
void put(std::string& bytes, uint64_t at, const T& value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

/// Makes the checksums of blocks and links of one bucket's ranges right, the oldest first; the
/// chain of the last.
std::optional<uint64_t> stamp_ranges(std::string& bytes, const BucketEntry& entry) {
  struct Place {
    uint64_t offset;
    uint64_t bytes;
  };
  std::vector<Place> places;
  Place at{entry.last_offset, entry.last_bytes};
  for (uint32_t i = 0; i < std::min(entry.ranges, 64u); ++i) {
    if (at.bytes < sizeof(RangeTail) || at.bytes > bytes.size() ||
        at.offset > bytes.size() - at.bytes) {
      break;
    }
    places.push_back(at);
    const auto tail = get<RangeTail>(bytes, at.offset + at.bytes - sizeof(RangeTail));
    at = {tail.previous_offset, tail.previous_bytes};
  }
  std::optional<uint64_t> chain;
  for (size_t i = places.size(); i-- > 0;) {
    const uint64_t end = places[i].offset + places[i].bytes;
    auto tail = get<RangeTail>(bytes, end - sizeof(RangeTail));
    if (chain) tail.previous_chain = *chain;
    put(bytes, end - sizeof tail, tail);
    const uint64_t links = uint64_t{tail.blocks} * sizeof(BlockEntry) + sizeof tail;
    if (links > places[i].bytes) continue;
    uint64_t block_at = places[i].offset;
    for (uint64_t b = 0; b < tail.blocks; ++b) {
      const uint64_t entry_at = end - links + b * sizeof(BlockEntry);
      auto block = get<BlockEntry>(bytes, entry_at);
      if (block.bytes > bytes.size() - block_at) break;
      block.check = xxh3_64(bytes.data() + block_at, block.bytes);
      put(bytes, entry_at, block);
      block_at += block.bytes;
    }
    chain = xxh3_64(bytes.data() + (end - links), links);
  }
  return chain;
}

/// Makes the checksums of all that the file says of itself right; with `place`, also where the
/// footer is and how many buckets it has, so that bytes may come and go before it.
void stamp(std::string& bytes, bool place) {
  if (bytes.size() < sizeof(FileHead) + sizeof(FileTail)) return;
  auto head = get<FileHead>(bytes, 0);
  const uint64_t tail_at = bytes.size() - sizeof(FileTail);
  auto tail = get<FileTail>(bytes, tail_at);
  if (head.schema_bytes <= tail_at - sizeof head) {
    head.schema_check = xxh3_64(bytes.data() + sizeof head, head.schema_bytes);
  }
  head.check = check_of(head);
  put(bytes, 0, head);
  if (place) {
    tail.buckets = head.buckets;
    tail.footer_offset = tail_at - uint64_t{head.buckets} * sizeof(BucketEntry);
    tail.content_check = head.content_check;
  }
  const uint64_t footer_bytes = uint64_t{tail.buckets} * sizeof(BucketEntry);
  if (footer_bytes <= tail_at && tail.footer_offset <= tail_at - footer_bytes) {
    for (uint64_t i = 0; i < tail.buckets; ++i) {
      const uint64_t at = tail.footer_offset + i * sizeof(BucketEntry);
      auto entry = get<BucketEntry>(bytes, at);
      if (const auto chain = stamp_ranges(bytes, entry)) entry.last_chain = *chain;
      entry.check = check_of(entry, head.content_check);
      put(bytes, at, entry);
    }
    tail.footer_check = xxh3_64(bytes.data() + tail.footer_offset, footer_bytes);
  }
  tail.check = check_of(tail);
  put(bytes, tail_at, tail);
}

TypedChunk& columns_chunk() {
  static const std::vector<std::string> types = [] {
    std::vector<std::string> out;
    for (const sql::Column& column : file_types()) out.push_back(column.type);
    return out;
  }();
  connection();
  static TypedChunk chunk(types);
  return chunk;
}

/// A failure of the bytes is of class lost; a bound of memory may be crossed, too.
template <typename T>
bool good(const Result<T>& result) {
  if (!result) {
    TG_ASSERT(result.error().cls == FailureClass::kLost ||
              result.error().cls == FailureClass::kMemory);
  }
  return result.has_value();
}

/// Reads all rows by a scan; the number, or nothing.
std::optional<uint64_t> scan(const shuffle::BucketTable& table, TypedChunk& chunk) {
  std::vector<uint32_t> columns;
  for (uint32_t i = 0; i < table.types.size(); ++i) columns.push_back(i);
  shuffle::BucketScan scan(table, columns);
  uint64_t rows = 0;
  while (true) {
    chunk.reset();
    if (!good(scan.fill(chunk.raw()))) return {};
    const uint64_t more = sql::chunk_rows(chunk.raw());
    if (more == 0) return rows;
    rows += more;
    std::vector<uint64_t> digests;
    for (size_t i = 0; i < table.types.size(); ++i) chunk.digests(i, more, digests);
  }
}

bool read_file(MemoryFile& memory) {
  const auto info = read_map_output_info(memory, "m");
  auto file = shuffle::MapOutputFile::open(memory, "m");
  if (!good(file)) {
    TG_ASSERT(!good(info));
    return false;
  }
  const auto schema = file->schema();
  good(schema);
  const auto all = file->all_entries();
  const uint32_t buckets = file->buckets();
  for (uint32_t begin = 0; begin < buckets; begin += 1'024) {
    const auto entries = file->entries(begin, std::min(buckets, begin + 1'024));
    if (!good(entries)) break;
    for (const BucketEntry& entry : *entries) {
      const auto ranges = shuffle::bucket_ranges(*file, entry, kMemoryBytes);
      TG_ASSERT(good(ranges) == ranges.has_value());
    }
  }
  TypedChunk& chunk = columns_chunk();
  if (!schema || schema->size() != chunk.types().size()) return false;
  shuffle::BucketTable table;
  table.effects = &memory;
  table.schema = *schema;
  table.types = chunk.types();
  table.files = {{"m", std::string(file->attempt())}};
  table.bucket_end = buckets;
  table.memory_bytes = kMemoryBytes;
  const auto rows = scan(table, chunk);
  // Whoever reads all must have the rows that footer and tail speak of.
  TG_ASSERT(!rows || !good(all) || *rows == file->rows());
  return rows && all && info;
}

}  // namespace

bool map_output(std::string_view input) {
  MemoryFile memory;
  memory.bytes = input;
  const bool read = read_file(memory);
  for (const bool place : {false, true}) {
    memory.bytes = input;
    stamp(memory.bytes, place);
    TG_ASSERT(!read || memory.bytes == input);
    read_file(memory);
  }
  return read;
}

}  // namespace tidegate::fuzz
