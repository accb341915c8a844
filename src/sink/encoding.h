#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "sink/buffer.h"

namespace tidegate::sink {

/// Bits that hold every number up to `max`.
inline int bits_for(uint64_t max) { return static_cast<int>(std::bit_width(max)); }

/// Appends numbers as DELTA_BINARY_PACKED: blocks of 1,024 deltas in miniblocks of 128. U is
/// uint32_t or uint64_t, the bits of INT32 or INT64; deltas wrap around.
template <typename U>
void put_delta(const U* values, size_t count, Buffer& out);
extern template void put_delta(const uint32_t*, size_t, Buffer&);
extern template void put_delta(const uint64_t*, size_t, Buffer&);

/// Appends a dictionary page's indices: the bit width in a byte, then the RLE/bit-packed hybrid.
/// Values that seldom repeat in a row are packed as one run.
void put_indices(const uint32_t* indices, size_t count, int width, Buffer& out);

/// Appends definition levels of 0 and 1 as a v1 data page has them: the length in four bytes, then
/// the hybrid. `bits` (bit set: 1) may be null: all levels are `all`.
void put_levels(const uint64_t* bits, bool all, size_t count, Buffer& out);

/// Appends values of `width` bytes (4 or 8) as BYTE_STREAM_SPLIT.
void put_split(const uint8_t* values, size_t count, size_t width, Buffer& out);

/// Appends 0 or 1 in each byte as bits.
void put_bits(const uint8_t* values, size_t count, Buffer& out);

}  // namespace tidegate::sink
