#pragma once

#include <bit>
#include <cstring>
#include <type_traits>
#include <vector>

#include "reduce/emit.h"
#include "reduce/group_table.h"
#include "reduce/growing.h"
#include "reduce/key_words.h"

namespace tidegate::reduce {

/// One key column within a packed key. A text is a byte of its size and its bytes, at most
/// kInlineMax of them, and zeros.
struct KeyPart {
  batch::Storage storage = batch::Storage::kNull;
  uint32_t offset = 0;
  uint32_t width = 0;
};

/// Three words that are compared as such.
struct Triple {
  uint64_t words[3] = {};
  bool operator==(const Triple&) const = default;
};

template <typename T, typename Key>
void pack_column(const batch::ColumnView& view, size_t rows, uint32_t offset,
                 std::vector<Key>& keys) {
  const T* values = static_cast<const T*>(view.data);
  for (size_t row = 0; row < rows; ++row) {
    T value = values[row];
    if constexpr (std::is_floating_point_v<T>) value = one_form(value);
    if (!view.is_valid(row)) value = T{};
    std::memcpy(reinterpret_cast<char*>(&keys[row]) + offset, &value, sizeof value);
  }
}

/// Into keys that are zeros there.
template <typename Key>
void pack_texts(const batch::ColumnView& view, size_t rows, uint32_t offset,
                std::vector<Key>& keys) {
  constexpr size_t kWords = sizeof(Key) / 8;
  const auto* texts = static_cast<const batch::StringRef*>(view.data);
  const size_t first = offset / 8, shift = offset % 8 * 8;
  for (size_t row = 0; row < rows; ++row) {
    if (!view.is_valid(row)) continue;
    const Wide words = words_of(texts[row]);
    // The text's size in a byte, then its first four and its other bytes.
    const uint64_t low = (words.low & 0xff) | (words.low >> 32) << 8 | words.high << 40;
    const uint64_t high = words.high >> 24;
    uint64_t* key = reinterpret_cast<uint64_t*>(&keys[row]);
    key[first] |= low << shift;
    if (first + 1 < kWords) key[first + 1] |= (low >> 1 >> (63 - shift)) | high << shift;
    if (first + 2 < kWords) key[first + 2] |= high >> 1 >> (63 - shift);
  }
}

inline uint64_t hash_key(uint64_t key) { return hash_word(key); }
inline uint64_t hash_key(const Wide& key) { return hash_words(key.low, key.high); }
inline uint64_t hash_key(const Triple& key) {
  return hash_words(fold_multiply(key.words[0] ^ kSaltA, key.words[1] ^ kSaltB), key.words[2]);
}

/// Keys whose columns together take at most sizeof(Key) bytes. Texts are of two words at least.
template <typename Key>
class FixedTable final : public GroupTable {
 public:
  /// `null_byte`: where in the key the bits of NULL columns stand; negative if a single column
  /// fills the key: then NULL has a group of its own.
  FixedTable(std::vector<KeyPart> parts, int null_byte)
      : parts_(std::move(parts)), null_byte_(null_byte) {
    slots_.resize(kSlotsFirst);
  }

  void find_or_add(const batch::ColumnView* columns, size_t rows, uint32_t* groups) override {
    while (is_full(keys_.size() + rows, slots_.size())) grow();
    look_up<true>(columns, rows, groups);
  }
  void find(const batch::ColumnView* columns, size_t rows, uint32_t* groups) override {
    look_up<false>(columns, rows, groups);
  }

  uint32_t size() const override { return static_cast<uint32_t>(keys_.size()); }
  uint64_t bytes() const override {
    return slots_.capacity() * sizeof(Slot) + keys_.bytes() +
           packed_.capacity() * (sizeof(Key) + 8);
  }
  uint64_t bytes_after(size_t rows, uint64_t) const override {
    uint64_t more = 0;
    size_t slots = slots_.size();
    while (is_full(keys_.size() + rows, slots)) slots *= 2;
    if (slots != slots_.size()) more += slots * sizeof(Slot);
    more += keys_.bytes_after(rows) - keys_.bytes();
    return bytes() + more + rows * (sizeof(Key) + 8);
  }

  void emit(size_t key, const uint32_t* groups, uint32_t count,
            _duckdb_vector* vector) const override {
    uint64_t* validity = nullptr;
    for (uint32_t i = 0; i < count; ++i) emit_one(key, groups[i], vector, validity, i);
  }
  /// Writes column `key` of one group to row `row` of a DuckDB vector, whose `validity` is null
  /// until it is needed.
  void emit_one(size_t key, uint32_t group, _duckdb_vector* vector, uint64_t*& validity,
                uint32_t row) const {
    const KeyPart& part = parts_[key];
    const char* from = reinterpret_cast<const char*>(&keys_[group]);
    const bool null = null_byte_ < 0 ? group == null_group_ : ((from[null_byte_] >> key) & 1) != 0;
    if (null) set_null(vector, validity, row);
    from += part.offset;
    if (part.storage != batch::Storage::kBytes) {
      std::memcpy(values_of(vector) + size_t{row} * part.width, from, part.width);
    } else if (!null) {
      set_text(vector, row, from + 1, static_cast<uint8_t>(*from));
    }
  }

  void clear() override {
    keys_.clear();
    null_group_ = kNoGroup;
    std::fill(slots_.begin(), slots_.end(), Slot{});
  }

 private:
  static constexpr size_t kSlotsFirst = 1'024;
  static constexpr size_t kPrefetchAhead = 48;

  /// Slots for `groups`: at most five eighths are taken.
  static bool is_full(size_t groups, size_t slots) { return groups > slots / 8 * 5; }

  struct Slot {
    Key key{};
    uint32_t group_plus_one = 0;
  };

  template <bool kAdd>
  void look_up(const batch::ColumnView* columns, size_t rows, uint32_t* groups) {
    pack_rows(columns, rows);
    hashes_.resize(rows);
    for (size_t row = 0; row < rows; ++row) hashes_[row] = hash_key(packed_[row]);
    const batch::ColumnView* null_from =
        null_byte_ < 0 && columns[0].validity != nullptr ? columns : nullptr;
    const int shift = 64 - std::countr_zero(slots_.size());
    const size_t mask = slots_.size() - 1;
    for (size_t row = 0; row < rows; ++row) {
      if (row + kPrefetchAhead < rows)
        __builtin_prefetch(&slots_[hashes_[row + kPrefetchAhead] >> shift]);
      if (null_from != nullptr && !null_from->is_valid(row)) {
        if (kAdd && null_group_ == kNoGroup) {
          null_group_ = size();
          keys_.push_back(Key{});
        }
        groups[row] = null_group_;
        continue;
      }
      const Key& key = packed_[row];
      size_t at = hashes_[row] >> shift;
      while (true) {
        Slot& slot = slots_[at];
        if (slot.group_plus_one == 0) {
          if (!kAdd) {
            groups[row] = kNoGroup;
            break;
          }
          slot.key = key;
          slot.group_plus_one = size() + 1;
          keys_.push_back(key);
        }
        if (slot.key == key) {
          groups[row] = slot.group_plus_one - 1;
          break;
        }
        at = (at + 1) & mask;
      }
    }
  }

  void pack_rows(const batch::ColumnView* columns, size_t rows) {
    packed_.assign(rows, Key{});
    for (size_t i = 0; i < parts_.size(); ++i) {
      const KeyPart& part = parts_[i];
      const batch::ColumnView& view = columns[i];
      if (part.storage == batch::Storage::kBytes) {
        pack_texts<Key>(view, rows, part.offset, packed_);
      } else if (part.storage == batch::Storage::kF32) {
        pack_column<float>(view, rows, part.offset, packed_);
      } else if (part.storage == batch::Storage::kF64) {
        pack_column<double>(view, rows, part.offset, packed_);
      } else if (part.width == 1) {
        pack_column<uint8_t>(view, rows, part.offset, packed_);
      } else if (part.width == 2) {
        pack_column<uint16_t>(view, rows, part.offset, packed_);
      } else if (part.width == 4) {
        pack_column<uint32_t>(view, rows, part.offset, packed_);
      } else if (part.width == 8) {
        pack_column<uint64_t>(view, rows, part.offset, packed_);
      } else {
        pack_column<batch::uint128>(view, rows, part.offset, packed_);
      }
      if (null_byte_ < 0 || view.validity == nullptr) continue;
      for (size_t row = 0; row < rows; ++row) {
        if (!view.is_valid(row))
          reinterpret_cast<char*>(&packed_[row])[null_byte_] |= static_cast<char>(1U << i);
      }
    }
  }

  void grow() {
    std::vector<Slot> bigger(slots_.size() * 2);
    const int shift = 64 - std::countr_zero(bigger.size());
    const size_t mask = bigger.size() - 1;
    for (const Slot& slot : slots_) {
      if (slot.group_plus_one == 0) continue;
      size_t at = hash_key(slot.key) >> shift;
      while (bigger[at].group_plus_one != 0) at = (at + 1) & mask;
      bigger[at] = slot;
    }
    slots_ = std::move(bigger);
  }

  std::vector<KeyPart> parts_;
  int null_byte_;
  std::vector<Slot> slots_;
  Growing<Key> keys_;  ///< by group
  uint32_t null_group_ = kNoGroup;
  std::vector<Key> packed_;  ///< of the current rows
  std::vector<uint64_t> hashes_;
};

}  // namespace tidegate::reduce
