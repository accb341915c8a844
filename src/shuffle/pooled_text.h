#pragma once

#include <cstdint>

namespace tidegate::shuffle {

// What a row of a text column is in a buffer: the length of its bytes, or its number in the
// column's TextPool.

inline constexpr uint32_t kPooledBit = uint32_t{1} << 31;
inline bool is_pooled(uint32_t value) { return (value & kPooledBit) != 0; }
inline uint32_t pooled_code(uint32_t value) { return value & ~kPooledBit; }

}  // namespace tidegate::shuffle
