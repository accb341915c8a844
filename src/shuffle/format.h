#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/hash.h"

namespace tidegate::shuffle {

// A map output file, all numbers little-endian:
//
//   header    FileHead, schema and keys        names the attempt; checked by FileHead.check
//   ranges    blocks | BlockEntry x blocks | RangeTail
//   footer    BucketEntry x buckets
//   FileTail
//
// A range is a run of blocks of one bucket, 256 KiB and more where the data allows. Its tail links
// back to the bucket's previous range, so that neither writer nor footer holds more than one entry
// a bucket. `chain` is XXH3 of a range's block table and tail, and the tail holds its
// predecessor's chain: whoever has a verified BucketEntry can verify every link, and each link
// carries its blocks' checksums. A reader of some buckets reads the file's tail and those entries
// only.
//
// A block holds up to kBlockRowsMax rows of all columns: u32 sizes of the columns, then the
// columns (block_encoder.h has their layout).
//
// The blocks' checksums say that a reader has the bytes that were written. That it has the rows
// that were to be written, each once, is said by BucketEntry.rows and .keys: the writer sums up the
// hashes of the rows it was given, the reader those of the rows it hands on.
//
// The attempt's token stands in FileHead only; nothing but FileHead.check depends on it.

static_assert(std::endian::native == std::endian::little);

inline constexpr uint32_t kFormatVersion = 4;
/// 1.5 * 2^52: added to a double it leaves the nearest integer in the low bits.
inline constexpr double kRoundingMagic = 6755399441055744.0;
inline constexpr char kHeadMagic[8] = {'T', 'G', 'M', 'A', 'P', 'O', 'U', 'T'};
inline constexpr char kTailMagic[8] = {'T', 'G', 'M', 'A', 'P', 'E', 'N', 'D'};
inline constexpr uint32_t kRangeMagic = 0x474e4152;

inline constexpr uint32_t kBucketsMax = 65'536;
inline constexpr uint32_t kColumnsMax = 16'384;
inline constexpr uint32_t kBlockRowsMax = 4'096;
inline constexpr uint32_t kBlockBytesMax = uint32_t{1} << 31;
inline constexpr uint32_t kRangeBlocksMax = 65'536;
inline constexpr uint32_t kRangeBytes = 256 << 10;
/// Whole texts of a column that is stored with a prefix: a reader puts them together in memory.
inline constexpr uint32_t kPrefixedBytesMax = kRangeBytes;
inline constexpr uint32_t kAttemptBytesMax = 192;
inline constexpr uint32_t kSchemaBytesMax = 64 << 20;

struct FileHead {
  char magic[8];
  uint32_t version;
  uint32_t hash_version;
  uint32_t buckets;
  uint32_t columns;
  /// u32 length + name, u32 length + type for each column; then for each key u32 column,
  /// u32 length + type that it is hashed as
  uint32_t schema_bytes;
  uint32_t attempt_bytes;
  uint32_t keys;  ///< 0: not by hash
  uint32_t zero;
  char attempt[kAttemptBytesMax];
  uint64_t schema_check;   ///< XXH3 of schema and keys
  uint64_t content_check;  ///< XXH3 of schema, keys and of what else decides the rows' buckets
  uint64_t check;          ///< XXH3 of all before it
};
static_assert(sizeof(FileHead) == 256);

struct BlockEntry {
  uint32_t rows;
  uint32_t bytes;
  uint64_t check;  ///< XXH3 of the block
};
static_assert(sizeof(BlockEntry) == 16);

struct RangeTail {
  uint32_t magic;
  uint32_t bucket;
  uint32_t blocks;
  uint32_t sequence;         ///< of the range in its bucket, from 0
  uint64_t previous_offset;  ///< of the previous range of the bucket; 0 if sequence is 0
  uint64_t previous_bytes;
  uint64_t previous_chain;
};
static_assert(sizeof(RangeTail) == 40);

struct BucketEntry {
  uint64_t last_offset;  ///< of the last range; 0 if there is none
  uint64_t last_bytes;
  uint64_t last_chain;
  uint64_t rows;
  uint64_t bytes;    ///< of all ranges
  uint64_t content;  ///< digest of the bucket's blocks in order
  uint64_t keys;     ///< sum of the rows' hashes by the keys, whatever their order; 0: no keys
  uint32_t ranges;
  uint32_t bucket;
  uint64_t check;  ///< XXH3 of all before it, seeded with FileHead.content_check
};
static_assert(sizeof(BucketEntry) == 72);

struct FileTail {
  uint64_t footer_offset;
  uint64_t footer_check;  ///< XXH3 of the footer
  uint64_t rows;
  uint64_t content_digest;  ///< of schema and buckets: says nothing of offsets or attempts
  uint64_t content_check;   ///< as in FileHead
  uint32_t buckets;
  uint32_t version;
  uint64_t check;  ///< XXH3 of all before it
  char magic[8];
};
static_assert(sizeof(FileTail) == 64);

/// XXH3 of a struct's bytes before its member `check`.
template <typename T>
uint64_t check_of(const T& value, uint64_t seed = 0) {
  return xxh3_64(&value, offsetof(T, check), seed);
}

}  // namespace tidegate::shuffle
