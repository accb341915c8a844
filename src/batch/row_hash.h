#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "base/hash.h"
#include "batch/chunk_view.h"
#include "batch/type.h"

namespace tidegate::batch {

/// Rows' hashes by a list of key columns, each hashed as a given type: values that DuckDB calls
/// equal after a cast to that type have one hash (NULL and NULL, NaN and NaN, -0.0 and 0.0, one
/// month and 30 days too). Stable on disk and across machines; kRowHashVersion changes with it.
///
/// A value's hash: integers, decimals (unscaled, at the target's scale), dates and times (as
/// counts of the target's unit) by `hash_integer`; FLOAT and DOUBLE by the bits of the double;
/// text and bytes by `hash_text`; intervals by their length in microseconds; enums by their text;
/// nested values by XXH3 of their canonical bytes; NULL is kNullHash. Keys are folded in order by
/// `combine_hashes`.
inline constexpr uint32_t kRowHashVersion = 2;
inline constexpr uint64_t kNullHash = 0x6e7c'36c6'0f1a'9b5dULL;

/// A bijection of 64 bits that spreads every input bit (xorshift-multiply finaliser; Steele, Lea
/// and Flood, "Fast splittable pseudorandom number generators", 2014, variant 13 of Stafford).
inline uint64_t mix64(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58'476d'1ce4'e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d0'49bb'1331'11ebULL;
  return x ^ (x >> 31);
}
/// One hash for a number, whatever the width it is stored in.
inline uint64_t hash_integer(uint64_t low, uint64_t high) {
  const uint64_t sign = static_cast<uint64_t>(static_cast<int64_t>(low) >> 63);
  const uint64_t salted = low ^ 0x9e37'79b9'7f4a'7c15ULL;
  return high == sign ? mix64(salted) : mix64(salted + mix64(high + 0x2545'f491'4f6c'dd1dULL));
}
/// Up to 12 bytes by their first four and the other ones, longer text by XXH3.
inline uint64_t hash_text(const StringRef& text) {
  if (!text.is_inline()) return xxh3_64(text.pointer, text.size);
  const auto first_bytes = [](uint64_t word, uint32_t count) {
    return count >= 8 ? word : word & ((uint64_t{1} << (8 * count)) - 1);
  };
  // What lies behind a short text is anything.
  uint32_t head = 0;
  uint64_t rest = 0;
  const char* words = reinterpret_cast<const char*>(&text);
  std::memcpy(&head, words + 4, sizeof head);
  std::memcpy(&rest, words + 8, sizeof rest);
  const uint64_t low = first_bytes(head, text.size < 4 ? text.size : 4);
  rest = first_bytes(rest, text.size < 4 ? 0 : text.size - 4);
  const uint64_t first = (low << 32 | text.size) ^ 0xa24b'aed4'963e'e407ULL;
  return mix64(mix64(first) + rest * 0x9fb2'1c65'1e98'df25ULL);
}
/// Depends on the order of its arguments.
inline uint64_t combine_hashes(uint64_t before, uint64_t value) {
  return mix64((before << 1 | before >> 63) * 0x9fb2'1c65'1e98'df25ULL + value);
}
/// The bucket of a hash: monotone in the hash, so that twice as many buckets split each in two.
inline uint32_t bucket_of(uint64_t hash, uint32_t buckets) {
  return static_cast<uint32_t>((static_cast<uint128>(hash) * buckets) >> 64);
}

/// One key column and how its values become hashes.
class KeyHasher {
 public:
  /// `target` is the type's text. A conversion that is not exact for every value, or not known, is
  /// a defect failure "batch.hash_type" that names both types.
  static Result<KeyHasher> create(const ColumnType& source, std::string_view target);
  /// Folds the hashes of the column's first `rows` values into `hashes`, or sets them if `first`.
  Status fold(const ColumnView& column, size_t rows, bool first, uint64_t* hashes) const;
  /// Adds the hashes of the column's first `rows` values to `sum`: for rows of one key.
  Status sum(const ColumnView& column, size_t rows, uint64_t& sum) const;

 private:
  enum class Method : uint8_t {
    kInteger,
    kScaled,
    kTimestamp,
    kDouble,
    kInterval,
    kBytes,
    kEnum,
    kNested,
    kNull
  };
  using TextHashes = std::array<uint64_t, 1'024>;
  /// Of the texts that rows share; false if they share none, or too many.
  bool hash_texts(const ColumnView& column, size_t rows, TextHashes& out) const;
  Status hash(const ColumnView& column, size_t begin, size_t count, uint64_t* out) const;
  void values(const ColumnView& column, size_t rows, uint64_t* out) const;
  Status nested(const ColumnView& column, size_t rows, uint64_t* out) const;

  Method method_ = Method::kNull;
  ColumnType source_;
  uint128 factor_ = 1;
  std::vector<uint64_t> enum_hashes_;
};

}  // namespace tidegate::batch
