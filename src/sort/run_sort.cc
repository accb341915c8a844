#include "sort/run_sort.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace tidegate::sort {
namespace {

/// Bytes of a key, from its first on, among which a head's eight are chosen.
constexpr size_t kLookedAt = 32;
constexpr size_t kHeadBytes = 8;
/// Fewer rows are sorted by insertion.
constexpr size_t kInsertionMax = 24;

}  // namespace

void KeyColumn::append(const KeyBatch& keys) {
  const size_t count = keys.rows();
  if (width_ == 0) {
    char* out = pieces_.take(keys.begins[count]);
    std::memcpy(out, keys.bytes.data(), keys.begins[count]);
    for (size_t i = 0; i < count; ++i, ++rows_) {
      const uint32_t at = rows_ % block_rows_;
      if (at == 0) blocks_.push_back(pool_.take(block_bytes_));
      reinterpret_cast<std::string_view*>(blocks_.back().get())[at] = {
          out + keys.begins[i], keys.begins[i + 1] - keys.begins[i]};
    }
    return;
  }
  for (size_t i = 0; i < count;) {
    const uint32_t used = rows_ % block_rows_;
    if (used == 0) blocks_.push_back(pool_.take(block_bytes_));
    const size_t part = std::min<size_t>(count - i, block_rows_ - used);
    std::memcpy(blocks_.back().get() + size_t{used} * width_, keys.bytes.data() + i * width_,
                part * width_);
    rows_ += static_cast<uint32_t>(part);
    i += part;
  }
}

template <typename Take>
void KeyColumn::each(Take take) const {
  for (uint32_t row = 0; row < rows_;) {
    const char* entry = blocks_[row / block_rows_].get();
    const uint32_t end = std::min(rows_, row + block_rows_);
    for (; row < end; ++row, entry += entry_bytes_)
      take(row, width_ != 0 ? std::string_view(entry, width_)
                            : *reinterpret_cast<const std::string_view*>(entry));
  }
}

void KeyColumn::clear() {
  blocks_.clear();
  pieces_.clear();
  rows_ = 0;
}

/// Chooses the bytes that a head is made of: the first eight places in which keys differ. What is
/// left out before the last of them is the same in all keys, so heads are in the keys' order.
class KeyColumn::Heads {
 public:
  explicit Heads(const KeyColumn& keys) {
    if (keys.rows_ == 0) return;
    std::array<uint8_t, kLookedAt> differ{};
    size_t longest = keys.width_;
    if (keys.width_ >= sizeof(uint64_t))
      look_at_fixed(keys, differ);
    else
      longest = look_at_any(keys, differ);
    for (size_t byte = 0; byte < kLookedAt; ++byte) {
      if (differ[byte] == 0) continue;
      if (places_ == kHeadBytes) {
        whole_ = false;
        return;
      }
      place_[places_++] = static_cast<uint8_t>(byte);
    }
    whole_ = longest <= kLookedAt;
  }

  uint64_t head(std::string_view key) const {
    uint64_t head = 0;
    for (size_t i = 0; i < places_; ++i)
      head |= uint64_t{place_[i] < key.size() ? static_cast<uint8_t>(key[place_[i]]) : uint8_t{0}}
              << (56 - 8 * i);
    return head;
  }
  size_t bytes() const { return places_; }
  /// True if rows of one head have one key.
  bool whole() const { return whole_; }

 private:
  static uint64_t word_at(const char* at) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  static void note(uint64_t word, size_t begin, std::array<uint8_t, kLookedAt>& differ) {
    for (size_t i = 0; i < sizeof word; ++i)
      differ[begin + i] |= static_cast<uint8_t>(word >> (8 * i));
  }

  /// By words, the last of which begins so that it ends with what is looked at.
  static void look_at_fixed(const KeyColumn& keys, std::array<uint8_t, kLookedAt>& differ) {
    const size_t span = std::min<size_t>(keys.width_, kLookedAt), words = (span + 7) / 8;
    std::array<size_t, kLookedAt / 8> begins{};
    std::array<uint64_t, kLookedAt / 8> first{}, differing{};
    for (size_t w = 0; w < words; ++w) {
      begins[w] = std::min(8 * w, span - 8);
      first[w] = word_at(keys.key(0).data() + begins[w]);
    }
    keys.each([&](uint32_t, std::string_view key) {
      for (size_t w = 0; w < words; ++w) differing[w] |= word_at(key.data() + begins[w]) ^ first[w];
    });
    for (size_t w = 0; w < words; ++w) note(differing[w], begins[w], differ);
  }

  /// Returns the longest key's length.
  static size_t look_at_any(const KeyColumn& keys, std::array<uint8_t, kLookedAt>& differ) {
    const auto first = looked_at(keys.key(0));
    std::array<uint64_t, kLookedAt / 8> differing{};
    size_t longest = 0;
    keys.each([&](uint32_t, std::string_view key) {
      longest = std::max(longest, key.size());
      const auto words = looked_at(key);
      for (size_t w = 0; w < words.size(); ++w) differing[w] |= words[w] ^ first[w];
    });
    for (size_t w = 0; w < differing.size(); ++w) note(differing[w], 8 * w, differ);
    return longest;
  }

  static std::array<uint64_t, kLookedAt / 8> looked_at(std::string_view key) {
    std::array<uint64_t, kLookedAt / 8> words{};
    std::memcpy(words.data(), key.data(), std::min(key.size(), kLookedAt));
    return words;
  }

  std::array<uint8_t, kHeadBytes> place_{};
  size_t places_ = 0;
  bool whole_ = true;
};

/// Sorts entries that come in row order; equal keys keep it.
class KeyColumn::Sorter {
 public:
  Sorter(const KeyColumn& keys, size_t bytes, bool whole)
      : keys_(keys), shift_end_(static_cast<int>(64 - 8 * bytes)), whole_(whole) {}

  /// `room` has as many entries.
  void sort(Entry* entries, Entry* room, size_t count, int shift) const {
    while (true) {
      if (count <= kInsertionMax) return insert(entries, count);
      if (shift < shift_end_) return compare(entries, count);
      std::array<uint32_t, 256> counts{};
      for (size_t i = 0; i < count; ++i) ++counts[entries[i].head >> shift & 0xff];
      if (counts[entries[0].head >> shift & 0xff] != count) {
        split(entries, room, count, shift, counts);
        return;
      }
      shift -= 8;
    }
  }

 private:
  void split(Entry* entries, Entry* room, size_t count, int shift,
             const std::array<uint32_t, 256>& counts) const {
    std::array<uint32_t, 256> places;
    uint32_t place = 0;
    for (size_t b = 0; b < counts.size(); ++b) {
      places[b] = place;
      place += counts[b];
    }
    for (size_t i = 0; i < count; ++i) room[places[entries[i].head >> shift & 0xff]++] = entries[i];
    std::memcpy(entries, room, count * sizeof(Entry));
    size_t begin = 0;
    for (const uint32_t part : counts) {
      if (part > 1) sort(entries + begin, room + begin, part, shift - 8);
      begin += part;
    }
  }

  bool before(const Entry& a, const Entry& b) const {
    if (a.head != b.head) return a.head < b.head;
    if (!whole_) {
      const int order = compare_keys(keys_.key(a.row), keys_.key(b.row));
      if (order != 0) return order < 0;
    }
    return a.row < b.row;
  }

  void insert(Entry* entries, size_t count) const {
    for (size_t i = 1; i < count; ++i) {
      const Entry entry = entries[i];
      size_t at = i;
      for (; at > 0 && before(entry, entries[at - 1]); --at) entries[at] = entries[at - 1];
      entries[at] = entry;
    }
  }

  void compare(Entry* entries, size_t count) const {
    if (whole_) return;
    std::sort(entries, entries + count,
              [this](const Entry& a, const Entry& b) { return before(a, b); });
  }

  const KeyColumn& keys_;
  int shift_end_;
  bool whole_;
};

std::vector<uint32_t> KeyColumn::order() const {
  const Heads heads(*this);
  const Slab memory = pool_.take(rows_ * sizeof(Entry));
  auto* entries = reinterpret_cast<Entry*>(memory.get());
  std::vector<uint32_t> rows;
  {
    const Slab room = pool_.take(rows_ * sizeof(Entry));
    each([&](uint32_t row, std::string_view key) { entries[row] = {heads.head(key), row}; });
    Sorter(*this, heads.bytes(), heads.whole())
        .sort(entries, reinterpret_cast<Entry*>(room.get()), rows_, 56);
  }
  rows.resize(rows_);
  for (uint32_t i = 0; i < rows_; ++i) rows[i] = entries[i].row;
  return rows;
}

}  // namespace tidegate::sort
