#include "reduce/group_table.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "duckdb.h"
#include "reduce/arena.h"
#include "reduce/emit.h"
#include "reduce/hash.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;
using batch::StringRef;

constexpr uint32_t kNoGroup = GroupTable::kNoGroup;
constexpr size_t kSlotsFirst = 1'024;
constexpr size_t kPrefetchAhead = 48;

/// Slots for `groups`: at most five eighths are taken.
bool is_full(size_t groups, size_t slots) { return groups > slots / 8 * 5; }

/// Makes floating-point values that are equal have one form of bits.
template <typename T>
T one_form(T value) {
  if (value == 0) return 0;
  return std::isnan(value) ? std::numeric_limits<T>::quiet_NaN() : value;
}

/// One key column within a packed key.
struct Part {
  Storage storage = Storage::kNull;
  uint32_t offset = 0;
  uint32_t width = 0;
};

template <typename T, typename Key>
void pack(const ColumnView& view, size_t rows, uint32_t offset, std::vector<Key>& keys) {
  const T* values = static_cast<const T*>(view.data);
  for (size_t row = 0; row < rows; ++row) {
    T value = values[row];
    if constexpr (std::is_floating_point_v<T>) value = one_form(value);
    if (!view.is_valid(row)) value = T{};
    std::memcpy(reinterpret_cast<char*>(&keys[row]) + offset, &value, sizeof value);
  }
}

struct Wide {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const Wide&) const = default;
};
uint64_t hash_key(uint64_t key) { return hash_word(key); }
uint64_t hash_key(const Wide& key) { return hash_words(key.low, key.high); }

/// Keys whose columns together take at most sizeof(Key) bytes.
template <typename Key>
class FixedTable final : public GroupTable {
 public:
  /// `null_byte`: where in the key the bits of NULL columns stand; negative if a single column
  /// fills the key: then NULL has a group of its own.
  FixedTable(std::vector<Part> parts, int null_byte)
      : parts_(std::move(parts)), null_byte_(null_byte) {
    slots_.resize(kSlotsFirst);
  }

  void find_or_add(const ColumnView* columns, size_t rows, uint32_t* groups) override {
    while (is_full(keys_.size() + rows, slots_.size())) grow();
    look_up<true>(columns, rows, groups);
  }
  void find(const ColumnView* columns, size_t rows, uint32_t* groups) override {
    look_up<false>(columns, rows, groups);
  }

  uint32_t size() const override { return static_cast<uint32_t>(keys_.size()); }
  uint64_t bytes() const override {
    return slots_.capacity() * sizeof(Slot) + keys_.capacity() * sizeof(Key) +
           packed_.capacity() * (sizeof(Key) + 8);
  }
  uint64_t bytes_after(size_t rows, uint64_t) const override {
    uint64_t more = 0;
    size_t slots = slots_.size();
    while (is_full(keys_.size() + rows, slots)) slots *= 2;
    if (slots != slots_.size()) more += slots * sizeof(Slot);
    if (keys_.size() + rows > keys_.capacity()) more += 2 * keys_.capacity() * sizeof(Key);
    return bytes() + more + rows * (sizeof(Key) + 8);
  }

  void emit(size_t key, const uint32_t* groups, uint32_t count,
            duckdb_vector vector) const override {
    const Part& part = parts_[key];
    char* out = static_cast<char*>(duckdb_vector_get_data(vector));
    uint64_t* validity = nullptr;
    for (uint32_t i = 0; i < count; ++i) {
      const char* from = reinterpret_cast<const char*>(&keys_[groups[i]]);
      std::memcpy(out + size_t{i} * part.width, from + part.offset, part.width);
      const bool null =
          null_byte_ < 0 ? groups[i] == null_group_ : ((from[null_byte_] >> key) & 1) != 0;
      if (null) set_null(vector, validity, i);
    }
  }

  void clear() override {
    keys_.clear();
    null_group_ = kNoGroup;
    std::fill(slots_.begin(), slots_.end(), Slot{});
  }

 private:
  struct Slot {
    Key key{};
    uint32_t group_plus_one = 0;
  };

  template <bool kAdd>
  void look_up(const ColumnView* columns, size_t rows, uint32_t* groups) {
    pack_rows(columns, rows);
    hashes_.resize(rows);
    for (size_t row = 0; row < rows; ++row) hashes_[row] = hash_key(packed_[row]);
    const ColumnView* null_from =
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

  void pack_rows(const ColumnView* columns, size_t rows) {
    packed_.assign(rows, Key{});
    for (size_t i = 0; i < parts_.size(); ++i) {
      const Part& part = parts_[i];
      const ColumnView& view = columns[i];
      if (part.storage == Storage::kF32) {
        pack<float>(view, rows, part.offset, packed_);
      } else if (part.storage == Storage::kF64) {
        pack<double>(view, rows, part.offset, packed_);
      } else if (part.width == 1) {
        pack<uint8_t>(view, rows, part.offset, packed_);
      } else if (part.width == 2) {
        pack<uint16_t>(view, rows, part.offset, packed_);
      } else if (part.width == 4) {
        pack<uint32_t>(view, rows, part.offset, packed_);
      } else if (part.width == 8) {
        pack<uint64_t>(view, rows, part.offset, packed_);
      } else {
        pack<batch::uint128>(view, rows, part.offset, packed_);
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

  std::vector<Part> parts_;
  int null_byte_;
  std::vector<Slot> slots_;
  std::vector<Key> keys_;  ///< by group
  uint32_t null_group_ = kNoGroup;
  std::vector<Key> packed_;  ///< of the current rows
  std::vector<uint64_t> hashes_;
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
constexpr Masks kMasks = make_masks();

/// A text as a key: the reference's two words, with nothing beside the text in them.
Wide words_of(const StringRef& text) {
  Wide words = std::bit_cast<Wide>(text);
  if (text.is_inline()) {
    words.low &= kMasks.low[text.size];
    words.high &= kMasks.high[text.size];
  }
  return words;
}

/// Keys of any length: one text column as it is, else all columns one after the other. Up to 12
/// bytes are compared as two words.
class BytesTable final : public GroupTable {
 public:
  explicit BytesTable(std::vector<ColumnType> types) : types_(std::move(types)) {
    slots_.resize(kSlotsFirst);
    is_text_ = types_.size() == 1 && types_[0].storage == Storage::kBytes;
  }

  void find_or_add(const ColumnView* columns, size_t rows, uint32_t* groups) override {
    while (is_full(entries_.size() + rows, slots_.size())) grow();
    look_up<true>(columns, rows, groups);
  }
  void find(const ColumnView* columns, size_t rows, uint32_t* groups) override {
    look_up<false>(columns, rows, groups);
  }

  uint32_t size() const override { return static_cast<uint32_t>(entries_.size()); }
  uint64_t bytes() const override {
    return slots_.capacity() * sizeof(Slot) + entries_.capacity() * sizeof(Wide) + arena_.bytes() +
           scratch_.capacity() + row_keys_.capacity() * sizeof(Wide);
  }
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const override {
    uint64_t more = 0;
    size_t slots = slots_.size();
    while (is_full(entries_.size() + rows, slots)) slots *= 2;
    if (slots != slots_.size()) more += slots * sizeof(Slot);
    if (entries_.size() + rows > entries_.capacity())
      more += 2 * entries_.capacity() * sizeof(Wide);
    return bytes() + more + 2 * text_bytes + Arena::kBlockBytes +
           rows * (sizeof(Wide) + 8 + types_.size() * 20);
  }

  void emit(size_t key, const uint32_t* groups, uint32_t count,
            duckdb_vector vector) const override {
    uint64_t* validity = nullptr;
    for (uint32_t i = 0; i < count; ++i) {
      const StringRef entry = text_of(entries_[groups[i]]);
      if (is_text_) {
        if (groups[i] == null_group_) {
          set_null(vector, validity, i);
        } else {
          duckdb_unsafe_vector_assign_string_element_len(vector, i, entry.data(), entry.size);
        }
        continue;
      }
      const char* at = entry.data();
      for (size_t c = 0; c < key; ++c) at += part_bytes(types_[c], at);
      if (*at == 0) {
        set_null(vector, validity, i);
      } else if (types_[key].storage == Storage::kBytes) {
        uint32_t size;
        std::memcpy(&size, at + 1, 4);
        duckdb_unsafe_vector_assign_string_element_len(vector, i, at + 5, size);
      } else {
        const size_t width = types_[key].width;
        std::memcpy(static_cast<char*>(duckdb_vector_get_data(vector)) + i * width, at + 1, width);
      }
    }
  }

  void clear() override {
    entries_.clear();
    arena_.clear();
    null_group_ = kNoGroup;
    std::fill(slots_.begin(), slots_.end(), Slot{});
  }

 private:
  struct Slot {
    uint32_t group_plus_one = 0;
    uint32_t tag = 0;
  };

  template <bool kAdd>
  void look_up(const ColumnView* columns, size_t rows, uint32_t* groups) {
    if (is_text_) {
      view_texts(columns[0], rows);
    } else {
      serialise(columns, rows);
    }
    hashes_.resize(rows);
    for (size_t row = 0; row < rows; ++row) hashes_[row] = hash_of(row_keys_[row]);
    const ColumnView* null_from = is_text_ && columns[0].validity != nullptr ? columns : nullptr;
    const int shift = 64 - std::countr_zero(slots_.size());
    const size_t mask = slots_.size() - 1;
    for (size_t row = 0; row < rows; ++row) {
      if (row + kPrefetchAhead < rows)
        __builtin_prefetch(&slots_[hashes_[row + kPrefetchAhead] >> shift]);
      if (row + kPrefetchAhead / 2 < rows) {
        const uint64_t hash = hashes_[row + kPrefetchAhead / 2];
        const uint32_t likely = likely_group(hash, hash >> shift, mask);
        likely_[(row + kPrefetchAhead / 2) % kPrefetchAhead] = likely;
        if (likely != kNoGroup) __builtin_prefetch(&entries_[likely]);
      }
      if (row + kPrefetchAhead / 4 < rows && row >= kPrefetchAhead / 4) {
        const uint32_t likely = likely_[(row + kPrefetchAhead / 4) % kPrefetchAhead];
        if (likely != kNoGroup) prefetch_text(entries_[likely]);
      }
      if (null_from != nullptr && !null_from->is_valid(row)) {
        if (kAdd && null_group_ == kNoGroup) {
          null_group_ = size();
          entries_.push_back(Wide{});
        }
        groups[row] = null_group_;
        continue;
      }
      groups[row] = look_up<kAdd>(row_keys_[row], hashes_[row], hashes_[row] >> shift, mask);
    }
  }

  /// The group of the first slot with the hash's tag: nearly always the key's, if it has one.
  uint32_t likely_group(uint64_t hash, size_t at, size_t mask) const {
    const auto tag = static_cast<uint32_t>(hash);
    while (slots_[at].group_plus_one != 0 && slots_[at].tag != tag) at = (at + 1) & mask;
    return slots_[at].group_plus_one - 1;
  }

  static StringRef text_of(const Wide& words) { return std::bit_cast<StringRef>(words); }
  static bool is_inline(const Wide& words) {
    return static_cast<uint32_t>(words.low) <= StringRef::kInlineMax;
  }
  /// Inlined early: a function that does nothing but prefetch is thrown away by GCC 12.
  [[gnu::always_inline]] static void prefetch_text(const Wide& words) {
    if (is_inline(words)) return;
    const char* text = text_of(words).pointer;
    __builtin_prefetch(text);
    __builtin_prefetch(text + 63);
  }
  static uint64_t hash_of(const Wide& words) {
    if (is_inline(words)) return hash_words(words.low, words.high);
    const StringRef text = text_of(words);
    return hash_bytes(text.pointer, text.size);
  }
  static size_t part_bytes(const ColumnType& type, const char* at) {
    if (*at == 0) return 1;
    if (type.storage != Storage::kBytes) return 1 + size_t{type.width};
    uint32_t size;
    std::memcpy(&size, at + 1, 4);
    return 5 + size_t{size};
  }

  template <bool kAdd>
  uint32_t look_up(const Wide& key, uint64_t hash, size_t at, size_t mask) {
    const uint32_t tag = static_cast<uint32_t>(hash);
    while (true) {
      Slot& slot = slots_[at];
      if (slot.group_plus_one == 0) {
        if (!kAdd) return kNoGroup;
        slot = {size() + 1, tag};
        Wide kept = key;
        if (!is_inline(key)) {
          StringRef text = text_of(key);
          text.pointer = arena_.copy(text.pointer, text.size);
          kept = std::bit_cast<Wide>(text);
        }
        entries_.push_back(kept);
        return slot.group_plus_one - 1;
      }
      if (slot.tag == tag && is_same(entries_[slot.group_plus_one - 1], key))
        return slot.group_plus_one - 1;
      at = (at + 1) & mask;
    }
  }
  static bool is_same(const Wide& entry, const Wide& key) {
    if (entry.low != key.low) return false;  // size and the first four bytes
    if (is_inline(key)) return entry.high == key.high;
    const StringRef a = text_of(entry), b = text_of(key);
    return std::memcmp(a.pointer, b.pointer, b.size) == 0;
  }

  void grow() {
    std::vector<Slot> bigger(slots_.size() * 2);
    const int shift = 64 - std::countr_zero(bigger.size());
    const size_t mask = bigger.size() - 1;
    for (const Slot& slot : slots_) {
      if (slot.group_plus_one == 0) continue;
      size_t at = hash_of(entries_[slot.group_plus_one - 1]) >> shift;
      while (bigger[at].group_plus_one != 0) at = (at + 1) & mask;
      bigger[at] = slot;
    }
    slots_ = std::move(bigger);
  }

  void view_texts(const ColumnView& view, size_t rows) {
    row_keys_.resize(rows);
    const StringRef* texts = static_cast<const StringRef*>(view.data);
    for (size_t row = 0; row < rows; ++row)
      row_keys_[row] = view.is_valid(row) ? words_of(texts[row]) : Wide{};
  }

  template <typename T>
  static void put_fixed(const void* data, size_t row, char* to) {
    T value;
    std::memcpy(&value, static_cast<const T*>(data) + row, sizeof value);
    if constexpr (std::is_floating_point_v<T>) value = one_form(value);
    std::memcpy(to, &value, sizeof value);
  }
  static void put_fixed(const ColumnType& type, const void* data, size_t row, char* to) {
    if (type.storage == Storage::kF32) return put_fixed<float>(data, row, to);
    if (type.storage == Storage::kF64) return put_fixed<double>(data, row, to);
    if (type.width == 1) return put_fixed<uint8_t>(data, row, to);
    if (type.width == 2) return put_fixed<uint16_t>(data, row, to);
    if (type.width == 4) return put_fixed<uint32_t>(data, row, to);
    if (type.width == 8) return put_fixed<uint64_t>(data, row, to);
    put_fixed<batch::uint128>(data, row, to);
  }

  /// Where each row's bytes end, one row after the other; makes room for them.
  void measure(const ColumnView* columns, size_t rows) {
    size_t fixed = types_.size();
    for (const ColumnType& type : types_)
      fixed += type.storage == Storage::kBytes ? 4 : size_t{type.width};
    ends_.assign(rows, fixed);
    for (size_t c = 0; c < types_.size(); ++c) {
      const ColumnView& view = columns[c];
      const bool text = types_[c].storage == Storage::kBytes;
      const size_t width = text ? 4 : size_t{types_[c].width};
      if (view.validity != nullptr)
        for (size_t row = 0; row < rows; ++row) ends_[row] -= view.is_valid(row) ? 0 : width;
      if (!text) continue;
      const auto* texts = static_cast<const StringRef*>(view.data);
      for (size_t row = 0; row < rows; ++row)
        ends_[row] += view.is_valid(row) ? texts[row].size : 0;
    }
    size_t end = 0;
    for (size_t row = 0; row < rows; ++row) ends_[row] = end += ends_[row];
    if (scratch_.size() < end) scratch_.resize(end + end / 4);
  }

  void serialise(const ColumnView* columns, size_t rows) {
    measure(columns, rows);
    char* to = scratch_.data();
    for (size_t row = 0; row < rows; ++row) {
      for (size_t c = 0; c < types_.size(); ++c) {
        const ColumnView& view = columns[c];
        const bool valid = view.is_valid(row);
        *to++ = static_cast<char>(valid);
        if (!valid) continue;
        if (types_[c].storage == Storage::kBytes) {
          const StringRef& text = static_cast<const StringRef*>(view.data)[row];
          std::memcpy(to, &text.size, 4);
          std::memcpy(to + 4, text.data(), text.size);
          to += 4 + text.size;
        } else {
          put_fixed(types_[c], view.data, row, to);
          to += types_[c].width;
        }
      }
    }
    row_keys_.resize(rows);
    size_t begin = 0;
    for (size_t row = 0; row < rows; ++row) {
      StringRef text;
      text.size = static_cast<uint32_t>(ends_[row] - begin);
      const char* data = scratch_.data() + begin;
      if (text.is_inline()) {
        std::memcpy(reinterpret_cast<char*>(&text) + 4, data, text.size);
      } else {
        std::memcpy(text.prefix, data, sizeof text.prefix);
        text.pointer = data;
      }
      row_keys_[row] = words_of(text);
      begin = ends_[row];
    }
  }

  std::vector<ColumnType> types_;
  bool is_text_ = false;
  std::vector<Slot> slots_;
  std::vector<Wide> entries_;  ///< by group: a StringRef's words
  uint32_t likely_[kPrefetchAhead];
  Arena arena_;
  uint32_t null_group_ = kNoGroup;
  std::vector<Wide> row_keys_;  ///< of the current rows
  std::vector<uint64_t> hashes_;
  std::string scratch_;
  std::vector<size_t> ends_;
};

/// No keys: all rows are one group.
class OneGroup final : public GroupTable {
 public:
  void find_or_add(const ColumnView*, size_t rows, uint32_t* groups) override {
    if (rows > 0) size_ = 1;
    std::fill(groups, groups + rows, 0);
  }
  void find(const ColumnView*, size_t rows, uint32_t* groups) override {
    std::fill(groups, groups + rows, size_ == 0 ? kNoGroup : 0);
  }
  uint32_t size() const override { return size_; }
  uint64_t bytes() const override { return 0; }
  uint64_t bytes_after(size_t, uint64_t) const override { return 0; }
  void emit(size_t, const uint32_t*, uint32_t, duckdb_vector) const override {}
  void clear() override { size_ = 0; }

 private:
  uint32_t size_ = 0;
};

}  // namespace

std::unique_ptr<GroupTable> GroupTable::create(std::vector<ColumnType> keys) {
  if (keys.empty()) return std::make_unique<OneGroup>();
  uint32_t width = 0;
  bool fixed = keys.size() <= 8;
  std::vector<Part> parts;
  for (const ColumnType& key : keys) {
    fixed &= key.storage != Storage::kBytes && key.width > 0;
    parts.push_back({key.storage, width, key.width});
    width += key.width;
  }
  if (fixed && keys.size() == 1 && width <= 8)
    return std::make_unique<FixedTable<uint64_t>>(std::move(parts), -1);
  if (fixed && width < 8)
    return std::make_unique<FixedTable<uint64_t>>(std::move(parts), static_cast<int>(width));
  if (fixed && keys.size() == 1) return std::make_unique<FixedTable<Wide>>(std::move(parts), -1);
  if (fixed && width < 16)
    return std::make_unique<FixedTable<Wide>>(std::move(parts), static_cast<int>(width));
  return std::make_unique<BytesTable>(std::move(keys));
}

}  // namespace tidegate::reduce
