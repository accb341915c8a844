#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace tidegate {

/// XXH3-64 of bytes: for checksums of data and for partitioning, stable on disk.
uint64_t xxh3_64(const void* data, size_t size, uint64_t seed = 0);
inline uint64_t xxh3_64(std::string_view text, uint64_t seed = 0) {
  return xxh3_64(text.data(), text.size(), seed);
}

/// XXH3-64 over a stream.
class Xxh3Stream {
 public:
  Xxh3Stream();
  ~Xxh3Stream();
  Xxh3Stream(const Xxh3Stream&) = delete;
  Xxh3Stream& operator=(const Xxh3Stream&) = delete;
  void update(const void* data, size_t size);
  uint64_t digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// SHA-256 for identities. Each `add` is framed by its length, so that no two sequences of adds
/// collide by concatenation.
class IdentityHash {
 public:
  IdentityHash();
  ~IdentityHash();
  IdentityHash(const IdentityHash&) = delete;
  IdentityHash& operator=(const IdentityHash&) = delete;
  IdentityHash& add(std::string_view text);
  IdentityHash& add(uint64_t value);
  /// 64 lowercase hex digits. The hash may not be used after.
  std::string hex();
  /// The same as 32 bytes.
  std::string bytes();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// SHA-256 of bytes as 64 lowercase hex digits, unframed (as sha256sum prints it).
std::string sha256_hex(std::string_view bytes);

/// 16 lowercase hex digits.
std::string hex64(uint64_t value);
/// The inverse of hex64; false if `text` is not 16 hex digits.
bool parse_hex64(std::string_view text, uint64_t& out);

}  // namespace tidegate
