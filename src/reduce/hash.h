#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "batch/type.h"

namespace tidegate::reduce {

// Hashes of tables in memory; nothing here stands on disk. They share no bits with the hash that
// chose the rows' bucket, else all keys of a bucket would fall into one corner of the table.

/// The two halves of a 128-bit product folded (as in wyhash, Wang Yi, 2019).
inline uint64_t fold_multiply(uint64_t a, uint64_t b) {
  const batch::uint128 product = static_cast<batch::uint128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline constexpr uint64_t kSaltA = 0xa076'1d64'78bd'642fULL;
inline constexpr uint64_t kSaltB = 0xe703'7ed1'a0b4'28dbULL;

/// Spreads a folded product over the upper bits, which choose the slot: consecutive numbers would
/// lie in clusters without it.
inline uint64_t spread(uint64_t folded) { return folded * 0x9e37'79b9'7f4a'7c15ULL; }
inline uint64_t hash_word(uint64_t a) { return spread(fold_multiply(a ^ kSaltA, kSaltB)); }
inline uint64_t hash_words(uint64_t a, uint64_t b) {
  return spread(fold_multiply(a ^ kSaltA, b ^ kSaltB));
}

inline uint64_t load_word(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

/// The last 16 bytes are taken as they lie, even if some of them were taken before.
inline uint64_t hash_bytes(const char* data, size_t size) {
  uint64_t hash = size * kSaltB;
  const auto take = [&](const char* at) {
    hash = fold_multiply(load_word(at) ^ kSaltA ^ hash, load_word(at + 8) ^ kSaltB);
  };
  if (size < 16) {
    char rest[16] = {};
    if (size > 0) std::memcpy(rest, data, size);
    take(rest);
  } else {
    for (size_t at = 0; at + 16 < size; at += 16) take(data + at);
    take(data + size - 16);
  }
  return hash ^ (hash >> 32);
}

}  // namespace tidegate::reduce
