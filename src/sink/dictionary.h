#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/hash.h"
#include "sink/buffer.h"

namespace tidegate::sink {

/// How many distinct values are to be expected among `rows`, when the first `seen` held `distinct`
/// and the first half of those `half`. Values drawn alike from D follow distinct = D x (1 -
/// exp(-seen / D)), by Poisson, and are nearly all seen at some time; where the half shows fewer
/// than that has, some values are seldom and new ones keep coming, by Heaps' law: as a power of the
/// rows.
double expected_distinct(double half, double distinct, double seen, double rows);

/// Numbers the distinct values of a chunk in the order they come, by open addressing; a slot has
/// the number and a part of the hash. Entries owns the values: `hash(value)`, `same(index, value)`,
/// `add(value)`, `size()`, `bytes()` (as a dictionary page has them), `cut(size)`.
template <typename Entries>
class Dictionary {
 public:
  using Value = typename Entries::Value;

  /// Gives each of `count` values its number. False if the entries would take more than
  /// `bytes_max`; then it is as before, and may only be read until `clear`.
  template <typename Source>
  bool map(const Source& source, size_t count, size_t bytes_max, uint32_t* out) {
    const size_t before = entries.size();
    if (slots_.empty()) slots_.resize(kSlotsMin);
    for (size_t i = 0; i < count; ++i) {
      if (i == count / 2) half_ = entries.size() - before;
      const Value value = source(i);
      const uint64_t hash = Entries::hash(value);
      const auto tag = static_cast<uint32_t>(hash);
      size_t at = hash >> shift_;
      while (true) {
        const Slot slot = slots_[at];
        if (slot.number == 0) {
          if (entries.bytes() >= bytes_max) {
            entries.cut(before);
            return false;
          }
          entries.add(value);
          slots_[at] = {static_cast<uint32_t>(entries.size()), tag};
          out[i] = static_cast<uint32_t>(entries.size() - 1);
          if (entries.size() * 2 > slots_.size()) grow();
          break;
        }
        if (slot.tag == tag && entries.same(slot.number - 1, value)) {
          out[i] = slot.number - 1;
          break;
        }
        at = (at + 1) & (slots_.size() - 1);
      }
    }
    return true;
  }
  /// Forgets all; keeps the room, or gives it back.
  void clear(bool keep) {
    if (!keep) {
      entries = {};
      slots_ = {};
      shift_ = kShift;
      return;
    }
    entries.cut(0);
    std::fill(slots_.begin(), slots_.end(), Slot{});
  }
  /// The values that the first half of the last `map` added.
  size_t half() const { return half_; }
  size_t slot_bytes() const { return slots_.capacity() * sizeof(Slot); }

  Entries entries;

 private:
  struct Slot {
    uint32_t number = 0;  ///< index + 1; 0: free
    uint32_t tag = 0;
  };
  static constexpr size_t kSlotsMin = 1024;
  static constexpr int kShift = 64 - std::countr_zero(kSlotsMin);

  void grow() {
    std::vector<Slot> grown(slots_.size() * 2);
    --shift_;
    for (const Slot& slot : slots_) {
      if (slot.number == 0) continue;
      size_t at = Entries::hash(entries.value(slot.number - 1)) >> shift_;
      while (grown[at].number != 0) at = (at + 1) & (grown.size() - 1);
      grown[at] = slot;
    }
    slots_ = std::move(grown);
  }

  std::vector<Slot> slots_;
  size_t half_ = 0;
  int shift_ = kShift;
};

inline uint64_t mix(uint64_t value) {
  value *= 0x9e3779b97f4a7c15u;
  value ^= value >> 32;
  return value * 0xd6e8feb86659fd93u;
}

/// Entries of one size.
template <typename T, size_t kBytes>
class FixedEntries {
 public:
  using Value = T;
  static uint64_t hash(const T& value) {
    if constexpr (sizeof(T) <= 8) {
      uint64_t bits = 0;
      std::memcpy(&bits, &value, sizeof(T));
      return mix(bits);
    } else {
      uint64_t bits[2] = {};
      std::memcpy(bits, &value, sizeof(T));
      return mix(mix(bits[0]) ^ bits[1]);
    }
  }
  bool same(size_t index, const T& value) const {
    return std::memcmp(&values_[index], &value, sizeof(T)) == 0;
  }
  const T& value(size_t index) const { return values_[index]; }
  void add(const T& value) { values_.push_back(value); }
  size_t size() const { return values_.size(); }
  size_t bytes() const { return values_.size() * kBytes; }
  void cut(size_t size) { values_.resize(size); }
  const T* data() const { return values_.data(); }
  size_t held_bytes() const { return values_.capacity() * sizeof(T); }

 private:
  std::vector<T> values_;
};

/// Texts, held as a dictionary page has them.
class TextEntries {
 public:
  using Value = std::string_view;
  static uint64_t hash(std::string_view text) { return mix(xxh3_64(text)); }
  bool same(size_t index, std::string_view text) const { return value(index) == text; }
  std::string_view value(size_t index) const {
    const size_t begin = begins_[index];
    uint32_t size = 0;
    std::memcpy(&size, page_.data() + begin, 4);
    return {reinterpret_cast<const char*>(page_.data()) + begin + 4, size};
  }
  void add(std::string_view text) {
    begins_.push_back(page_.size());
    const auto size = static_cast<uint32_t>(text.size());
    page_.append(&size, 4);
    page_.append(text);
  }
  size_t size() const { return begins_.size(); }
  size_t bytes() const { return page_.size(); }
  void cut(size_t size) {
    if (size >= begins_.size()) return;
    page_.resize(begins_[size]);
    begins_.resize(size);
  }
  const uint8_t* data() const { return page_.data(); }
  size_t held_bytes() const { return page_.capacity() + begins_.capacity() * 8; }

 private:
  Buffer page_;
  std::vector<uint64_t> begins_;
};

}  // namespace tidegate::sink
