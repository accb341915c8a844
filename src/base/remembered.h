#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "base/hash.h"

namespace tidegate {

/// What was made of texts lately, by the texts themselves: the few that are asked for again and
/// again are made once. Holds one text a place; the largest is `kBytes`. Not thread-safe: one a
/// thread.
template <typename Value, size_t kPlaces, size_t kBytes>
class Remembered {
 public:
  static bool fits(std::string_view text) { return !text.empty() && text.size() <= kBytes; }
  /// Nothing if it is not known. Valid until the next `keep`.
  const Value* find(std::string_view text) const {
    const Known& there = place(text);
    return fits(text) && there.text == text ? &there.value : nullptr;
  }
  /// Keeps what was made of a text that fits. Valid as that of `find`.
  const Value& keep(std::string_view text, Value value) {
    Known& there = place(text);
    there.text = text;
    there.value = std::move(value);
    return there.value;
  }

 private:
  struct Known {
    std::string text;
    Value value;
  };
  Known& place(std::string_view text) { return known_[xxh3_64(text) % kPlaces]; }
  const Known& place(std::string_view text) const { return known_[xxh3_64(text) % kPlaces]; }

  std::array<Known, kPlaces> known_;
};

}  // namespace tidegate
