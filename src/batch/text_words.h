#pragma once

#include <bit>
#include <cstdint>

#include "batch/chunk_view.h"

namespace tidegate::batch {

/// Two words that are compared as such: a short text, or what a StringRef holds of a long one.
struct Wide {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const Wide&) const = default;
};

/// The bytes of a StringRef that a text of that size fills, as masks of its two words.
struct Masks {
  uint64_t low[StringRef::kInlineMax + 1];
  uint64_t high[StringRef::kInlineMax + 1];
};
constexpr Masks make_masks() {
  Masks masks{};
  for (uint32_t size = 0; size <= StringRef::kInlineMax; ++size) {
    const uint32_t in_low = size < 4 ? size : 4;
    masks.low[size] = 0xffff'ffffULL | (((uint64_t{1} << (8 * in_low)) - 1) << 32);
    const uint32_t in_high = size - in_low;
    masks.high[size] = in_high == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * in_high)) - 1;
  }
  return masks;
}
inline constexpr Masks kMasks = make_masks();

/// A text as a key: the reference's two words, with nothing beside the text in them.
inline Wide words_of(const StringRef& text) {
  Wide words = std::bit_cast<Wide>(text);
  if (text.is_inline()) {
    words.low &= kMasks.low[text.size];
    words.high &= kMasks.high[text.size];
  }
  return words;
}

}  // namespace tidegate::batch
