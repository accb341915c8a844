#include "sink/encoding.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "base/failure.h"

namespace tidegate::sink {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kPackValues = 32;
constexpr size_t kMiniblockValues = 128;
constexpr size_t kMiniblocks = 8;
constexpr size_t kBlockValues = kMiniblockValues * kMiniblocks;
constexpr size_t kVarintMax = 10;
/// RLE beats packing from this mean run on.
constexpr size_t kMeanRun = 4;

/// Packs 32 values of W bits, lowest bit first, into 4 x W bytes. With W known every shift is a
/// constant.
template <typename U, int W>
uint8_t* pack32(const U* in, uint8_t* out) {
  uint64_t word = 0;
  int fill = 0;
#pragma GCC unroll 32
  for (size_t i = 0; i < kPackValues; ++i) {
    const uint64_t value = in[i];
    word |= value << fill;
    fill += W;
    if (fill >= 64) {
      std::memcpy(out, &word, 8);
      out += 8;
      fill -= 64;
      word = fill > 0 ? value >> (W - fill) : 0;
    }
  }
  if (fill > 0) {
    std::memcpy(out, &word, 4);
    out += 4;
  }
  return out;
}

template <typename U, int... W>
constexpr auto pack_table(std::integer_sequence<int, W...>) {
  return std::array{&pack32<U, W>...};
}

/// Packs `count` values, a multiple of 32.
template <typename U>
uint8_t* pack(const U* in, size_t count, int width, uint8_t* out) {
  static constexpr auto kPack = pack_table<U>(std::make_integer_sequence<int, sizeof(U) * 8 + 1>{});
  if (width == 0) return out;
  const auto pack_some = kPack[static_cast<size_t>(width)];
  for (size_t i = 0; i < count; i += kPackValues) out = pack_some(in + i, out);
  return out;
}

uint8_t* varint(uint8_t* out, uint64_t value) {
  while (value >= 0x80) {
    *out++ = static_cast<uint8_t>(value | 0x80);
    value >>= 7;
  }
  *out++ = static_cast<uint8_t>(value);
  return out;
}

uint8_t* signed_varint(uint8_t* out, int64_t value) {
  return varint(out, (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
}

/// Packs any number of values; the last group of 8 is filled with zeros.
uint8_t* pack_groups(const uint32_t* in, size_t count, int width, uint8_t* out) {
  const size_t whole = count / kPackValues * kPackValues;
  out = pack(in, whole, width, out);
  if (whole == count) return out;
  uint32_t rest[kPackValues] = {};
  std::copy(in + whole, in + count, rest);
  uint8_t bytes[kPackValues * 4];
  pack(rest, kPackValues, width, bytes);
  const size_t size = (count - whole + 7) / 8 * static_cast<size_t>(width);
  std::memcpy(out, bytes, size);
  return out + size;
}

uint8_t* literal_run(const uint32_t* in, size_t count, int width, uint8_t* out) {
  return pack_groups(in, count, width, varint(out, (count + 7) / 8 << 1 | 1));
}

uint8_t* repeated_run(uint32_t value, size_t count, int width, uint8_t* out) {
  out = varint(out, count << 1);
  std::memcpy(out, &value, 4);
  return out + (width + 7) / 8;
}

}  // namespace

template <typename U>
void put_delta(const U* values, size_t count, Buffer& out) {
  using S = std::make_signed_t<U>;
  const size_t blocks = count / kBlockValues + 1;
  uint8_t* const begin = out.room(4 * kVarintMax + blocks * (kVarintMax + kMiniblocks) +
                                  (count + kMiniblockValues) * sizeof(U));
  uint8_t* to = varint(begin, kBlockValues);
  to = varint(to, kMiniblocks);
  to = varint(to, count);
  to = signed_varint(to, count == 0 ? 0 : static_cast<S>(values[0]));
  U deltas[kBlockValues];
  for (size_t at = 1; at < count; at += kBlockValues) {
    const size_t n = std::min(kBlockValues, count - at);
    const U* const from = values + at;
    S least = static_cast<S>(from[0] - from[-1]);
    for (size_t i = 0; i < n; ++i) {
      const U delta = from[i] - from[static_cast<ptrdiff_t>(i) - 1];
      deltas[i] = delta;
      least = std::min(least, static_cast<S>(delta));
    }
    const size_t used = (n + kMiniblockValues - 1) / kMiniblockValues;
    std::fill(deltas + n, deltas + used * kMiniblockValues, static_cast<U>(least));
    to = signed_varint(to, least);
    uint8_t* const widths = to;
    std::memset(widths, 0, kMiniblocks);
    to += kMiniblocks;
    for (size_t block = 0; block < used; ++block) {
      U* const mini = deltas + block * kMiniblockValues;
      U any = 0;
      for (size_t i = 0; i < kMiniblockValues; ++i) {
        mini[i] -= static_cast<U>(least);
        any |= mini[i];
      }
      const int width = bits_for(any);
      widths[block] = static_cast<uint8_t>(width);
      to = pack(mini, kMiniblockValues, width, to);
    }
  }
  out.grow(static_cast<size_t>(to - begin));
}

template void put_delta(const uint32_t*, size_t, Buffer&);
template void put_delta(const uint64_t*, size_t, Buffer&);

void put_indices(const uint32_t* indices, size_t count, int width, Buffer& out) {
  TG_ASSERT(width >= 1 && width <= 32);
  // A literal run of one group costs at most a byte or two more than its values.
  uint8_t* const begin = out.room(1 + kVarintMax + (count + kPackValues) * 4 + count);
  uint8_t* to = begin;
  *to++ = static_cast<uint8_t>(width);
  size_t changes = 1;
  for (size_t i = 1; i < count; ++i) changes += indices[i] != indices[i - 1];
  if (count < changes * kMeanRun) {
    if (count > 0) to = literal_run(indices, count, width, to);
    out.grow(static_cast<size_t>(to - begin));
    return;
  }
  size_t literal = 0;  // where the values begin that no run holds yet; a multiple of 8 from a run
  for (size_t i = 0; i < count;) {
    size_t end = i + 1;
    while (end < count && indices[end] == indices[i]) ++end;
    // Before a run, the literals must fill their last group of 8, with values of the run.
    const size_t fill = (8 - (i - literal) % 8) % 8;
    if (end - i >= 8 + fill) {
      if (i + fill > literal) to = literal_run(indices + literal, i + fill - literal, width, to);
      to = repeated_run(indices[i], end - i - fill, width, to);
      literal = end;
    }
    i = end;
  }
  if (literal < count) to = literal_run(indices + literal, count - literal, width, to);
  out.grow(static_cast<size_t>(to - begin));
}

void put_levels(const uint64_t* bits, bool all, size_t count, Buffer& out) {
  const size_t words = (count + 63) / 64;
  uint8_t* const begin = out.room(4 + 2 * kVarintMax + words * 8 + words * 4);
  uint8_t* to = begin + 4;
  if (bits == nullptr) {
    to = repeated_run(all ? 1 : 0, count, 1, to);
  } else {
    const size_t whole = count / 64;
    for (size_t word = 0; word < words;) {
      const auto is_run = [&](size_t at) {
        return at < whole && (bits[at] == 0 || bits[at] == ~uint64_t{0});
      };
      size_t end = word + 1;
      if (is_run(word)) {
        while (end < whole && bits[end] == bits[word]) ++end;
        to = repeated_run(bits[word] & 1, (end - word) * 64, 1, to);
      } else {
        while (end < words && !is_run(end)) ++end;
        const size_t bytes = (std::min(end * 64, count) - word * 64 + 7) / 8;
        to = varint(to, bytes << 1 | 1);
        std::memcpy(to, bits + word, bytes);
        to += bytes;
      }
      word = end;
    }
  }
  const auto size = static_cast<uint32_t>(to - begin - 4);
  std::memcpy(begin, &size, 4);
  out.grow(size + 4);
}

void put_split(const uint8_t* values, size_t count, size_t width, Buffer& out) {
  uint8_t* const to = out.room(count * width);
  for (size_t byte = 0; byte < width; ++byte) {
    uint8_t* const stream = to + byte * count;
    const uint8_t* const from = values + byte;
    for (size_t i = 0; i < count; ++i) stream[i] = from[i * width];
  }
  out.grow(count * width);
}

void put_bits(const uint8_t* values, size_t count, Buffer& out) {
  const size_t bytes = (count + 7) / 8;
  uint8_t* const to = out.room(bytes);
  std::memset(to, 0, bytes);
  for (size_t i = 0; i < count; ++i) to[i / 8] |= static_cast<uint8_t>(values[i] << (i % 8));
  out.grow(bytes);
}

}  // namespace tidegate::sink
