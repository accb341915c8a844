#include "reduce/bytes_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "duckdb.h"
#include "reduce/emit.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;
using batch::StringRef;

constexpr size_t kBytesSlotsFirst = 1'024;

/// Slots for `groups`: at most five eighths are taken.
bool lacks_slots(size_t groups, size_t slots) { return groups > slots / 8 * 5; }

StringRef text_of(const Wide& words) { return std::bit_cast<StringRef>(words); }
bool is_inline(const Wide& words) {
  return static_cast<uint32_t>(words.low) <= StringRef::kInlineMax;
}

/// Equality of texts beyond what is inline, which are nearly always equal: no early way out.
bool is_equal_text(const char* a, const char* b, size_t size) {
  uint64_t differs = 0;
  if (size < 16) {
    differs = load_word(a) ^ load_word(b);
    return (differs | (load_word(a + size - 8) ^ load_word(b + size - 8))) == 0;
  }
  for (size_t at = 0; at + 16 < size; at += 16)
    differs |=
        (load_word(a + at) ^ load_word(b + at)) | (load_word(a + at + 8) ^ load_word(b + at + 8));
  a += size - 16;
  b += size - 16;
  return (differs | (load_word(a) ^ load_word(b)) | (load_word(a + 8) ^ load_word(b + 8))) == 0;
}

uint32_t tag_of(const Wide& words) {
  const StringRef text = text_of(words);
  const uint64_t hash =
      is_inline(words) ? hash_words(words.low, words.high) : hash_bytes(text.pointer, text.size);
  return static_cast<uint32_t>(hash >> 32) & ~uint32_t{1};
}

/// The words of what follows `prefix` bytes of a text that is not inline.
Wide words_after(const StringRef& text, size_t prefix) {
  const char* rest = text.pointer + prefix;
  const uint64_t size = text.size - prefix;
  if (size <= StringRef::kInlineMax) return words_of(StringRef::of({rest, size}));
  uint32_t first;
  std::memcpy(&first, rest, sizeof first);
  return {size | uint64_t{first} << 32, std::bit_cast<uint64_t>(rest)};
}

/// Of a column within a serialised key.
size_t part_bytes(const ColumnType& type, const char* at) {
  if (*at == 0) return 1;
  if (type.storage != Storage::kBytes) return 1 + size_t{type.width};
  uint32_t size;
  std::memcpy(&size, at + 1, 4);
  return 5 + size_t{size};
}

template <typename T>
void put_fixed(const void* data, size_t row, char* to) {
  T value;
  std::memcpy(&value, static_cast<const T*>(data) + row, sizeof value);
  if constexpr (std::is_floating_point_v<T>) value = one_form(value);
  std::memcpy(to, &value, sizeof value);
}
void put_fixed(const ColumnType& type, const void* data, size_t row, char* to) {
  if (type.storage == Storage::kF32) return put_fixed<float>(data, row, to);
  if (type.storage == Storage::kF64) return put_fixed<double>(data, row, to);
  if (type.width == 1) return put_fixed<uint8_t>(data, row, to);
  if (type.width == 2) return put_fixed<uint16_t>(data, row, to);
  if (type.width == 4) return put_fixed<uint32_t>(data, row, to);
  if (type.width == 8) return put_fixed<uint64_t>(data, row, to);
  put_fixed<batch::uint128>(data, row, to);
}

}  // namespace

BytesTable::BytesTable(std::vector<ColumnType> types) : types_(std::move(types)) {
  slots_.resize(kBytesSlotsFirst);
  shift_ = 32 - std::countr_zero(kBytesSlotsFirst);
  is_text_ = types_.size() == 1 && types_[0].storage == Storage::kBytes;
}

void BytesTable::find_or_add(const ColumnView* columns, size_t rows, uint32_t* groups) {
  while (lacks_slots(places_.size() + rows, slots_.size())) grow();
  look_up<true>(columns, rows, groups);
}

void BytesTable::find(const ColumnView* columns, size_t rows, uint32_t* groups) {
  look_up<false>(columns, rows, groups);
}

uint64_t BytesTable::bytes() const {
  return slots_.capacity() * sizeof(Slot) + places_.capacity() * sizeof(uint32_t) +
         records_.bytes() + scratch_.capacity() + row_keys_.capacity() * sizeof(Wide) +
         tags_.capacity() * sizeof(uint32_t) + ends_.capacity() * sizeof(size_t);
}

uint64_t BytesTable::bytes_after(size_t rows, uint64_t text_bytes) const {
  uint64_t more = 0;
  size_t slots = slots_.size();
  while (lacks_slots(places_.size() + rows, slots)) slots *= 2;
  if (slots != slots_.size()) more += slots * sizeof(Slot);
  if (places_.size() + rows > places_.capacity()) more += 2 * places_.capacity() * sizeof(uint32_t);
  // Of a key: its columns with a byte and a size or a value each.
  const uint64_t keys = text_bytes + (is_text_ ? 0 : rows * types_.size() * 17);
  const uint64_t records = records_.bytes_after(keys + rows * 28);
  // What would not be found by its place is as good as what does not fit.
  if (records > Records::kBytesMax) return UINT64_MAX / 2;
  more += records - records_.bytes() + (is_text_ ? 0 : keys / 4 * 5);
  return bytes() + more + rows * (sizeof(Wide) + sizeof(uint32_t) + sizeof(size_t));
}

void BytesTable::emit(size_t key, const uint32_t* groups, uint32_t count,
                      duckdb_vector vector) const {
  uint64_t* validity = nullptr;
  for (uint32_t i = 0; i < count; ++i) emit_one(key, groups[i], vector, validity, i);
}

void BytesTable::emit_one(size_t key, uint32_t group, duckdb_vector vector, uint64_t*& validity,
                          uint32_t row) const {
  if (group == null_group_) return set_null(vector, validity, row);
  const char* at = records_.at(places_[group]);
  if (is_text_) {
    uint32_t size, group_bits;
    std::memcpy(&group_bits, at, sizeof group_bits);
    std::memcpy(&size, at + kSizeAt, sizeof size);
    at += kTextAt;
    if ((group_bits & kPrefixBit) == 0)
      return duckdb_unsafe_vector_assign_string_element_len(vector, row, at, size);
    std::string text(prefix_, prefix_size_);
    text.append(at, size);
    duckdb_unsafe_vector_assign_string_element_len(vector, row, text.data(), text.size());
    return;
  }
  at += kTextAt;
  for (size_t c = 0; c < key; ++c) at += part_bytes(types_[c], at);
  if (*at == 0) {
    set_null(vector, validity, row);
  } else if (types_[key].storage == Storage::kBytes) {
    uint32_t size;
    std::memcpy(&size, at + 1, 4);
    duckdb_unsafe_vector_assign_string_element_len(vector, row, at + 5, size);
  } else {
    const size_t width = types_[key].width;
    std::memcpy(static_cast<char*>(duckdb_vector_get_data(vector)) + row * width, at + 1, width);
  }
}

void BytesTable::clear() {
  places_.clear();
  records_.clear();
  null_group_ = kNoGroup;
  prefix_size_ = 0;
  std::fill(slots_.begin(), slots_.end(), Slot{});
}

/// Three steps, each over rows of its own: slots are fetched, then looked at and what they point
/// to fetched, then compared. A group that a row adds is not there for the rows whose slots have
/// been looked at; those look again.
template <bool kAdd>
void BytesTable::look_up(const ColumnView* columns, size_t rows, uint32_t* groups) {
  if (is_text_) {
    view_texts(columns[0], rows);
  } else {
    serialise(columns, rows);
  }
  const ColumnView* null_from = is_text_ && columns[0].validity != nullptr ? columns : nullptr;
  prefetch_slots(0, std::min(rows, 2 * kStep));
  find_likely(0, std::min(rows, kStep));
  for (size_t begin = 0; begin < rows; begin += kStep) {
    const size_t end = std::min(rows, begin + kStep);
    prefetch_slots(std::min(rows, end + kStep), std::min(rows, end + 2 * kStep));
    find_likely(end, std::min(rows, end + kStep));
    for (size_t row = begin; row < end; ++row) {
      if (null_from != nullptr && !null_from->is_valid(row)) {
        groups[row] = null_group(kAdd);
        continue;
      }
      const char* likely = likely_[row % (2 * kStep)];
      groups[row] = likely != nullptr && is_same(likely, row_keys_[row])
                        ? group_of(likely)
                        : look_up<kAdd>(row_keys_[row], tags_[row]);
    }
  }
}

void BytesTable::prefetch_slots(size_t begin, size_t end) const {
  for (size_t row = begin; row < end; ++row) __builtin_prefetch(&slots_[tags_[row] >> shift_]);
}

/// The record of the first slot with the hash's tag: nearly always the key's, if it has one.
void BytesTable::find_likely(size_t begin, size_t end) {
  const size_t mask = slots_.size() - 1;
  for (size_t row = begin; row < end; ++row) {
    const uint32_t tag = tags_[row];
    size_t at = tag >> shift_;
    while (slots_[at].place_plus_one != 0 && slots_[at].tag != tag) at = (at + 1) & mask;
    const char* record =
        slots_[at].place_plus_one == 0 ? nullptr : records_.at(slots_[at].place_plus_one - 1);
    likely_[row % (2 * kStep)] = record;
    if (record == nullptr) continue;
    const uint32_t size = static_cast<uint32_t>(row_keys_[row].low);
    __builtin_prefetch(record);
    __builtin_prefetch(record + kTextAt + std::min(size, uint32_t{56}));
  }
}

template <bool kAdd>
uint32_t BytesTable::look_up(const Wide& key, uint32_t tag) {
  const size_t mask = slots_.size() - 1;
  size_t at = tag >> shift_;
  while (true) {
    Slot& slot = slots_[at];
    if (slot.place_plus_one == 0) {
      if (!kAdd) return kNoGroup;
      const uint32_t group = add(key, tag);
      slot = {tag, places_.back() + 1};
      return group;
    }
    if (slot.tag == tag) {
      const char* record = records_.at(slot.place_plus_one - 1);
      if (is_same(record, key)) return group_of(record);
    }
    at = (at + 1) & mask;
  }
}

uint32_t BytesTable::add(const Wide& key, uint32_t tag) {
  const uint32_t group = size();
  const uint32_t group_bits = group | ((tag & 1) != 0 ? kPrefixBit : 0);
  const StringRef text = text_of(key);
  const uint32_t place = records_.add(kTextAt + std::max<size_t>(text.size, StringRef::kInlineMax));
  char* record = records_.at(place);
  std::memcpy(record, &group_bits, sizeof group_bits);
  if (is_inline(key)) {
    std::memcpy(record + kSizeAt, &key, sizeof key);
  } else {
    std::memcpy(record + kSizeAt, &text.size, sizeof text.size);
    std::memcpy(record + kTextAt, text.pointer, text.size);
  }
  places_.push_back(place);
  return group;
}

uint32_t BytesTable::null_group(bool add) {
  if (add && null_group_ == kNoGroup) {
    null_group_ = size();
    places_.push_back(0);
  }
  return null_group_;
}

bool BytesTable::is_same(const char* record, const Wide& key) {
  if (load_word(record + kSizeAt) != key.low) return false;  // size and the first four bytes
  if (is_inline(key)) return load_word(record + kSizeAt + 8) == key.high;
  const StringRef text = text_of(key);
  return is_equal_text(record + kTextAt, text.pointer, text.size);
}

uint32_t BytesTable::group_of(const char* record) {
  uint32_t group;
  std::memcpy(&group, record, sizeof group);
  return group & ~kPrefixBit;
}

/// Tags say where slots belong: they stay in their order.
void BytesTable::grow() {
  std::vector<Slot> bigger(slots_.size() * 2);
  const size_t mask = bigger.size() - 1;
  --shift_;
  for (const Slot& slot : slots_) {
    if (slot.place_plus_one == 0) continue;
    size_t at = slot.tag >> shift_;
    while (bigger[at].place_plus_one != 0) at = (at + 1) & mask;
    bigger[at] = slot;
  }
  slots_ = std::move(bigger);
}

void BytesTable::view_texts(const ColumnView& view, size_t rows) {
  if (places_.empty()) choose_prefix(view, rows);
  row_keys_.resize(rows);
  tags_.resize(rows);
  const StringRef* texts = static_cast<const StringRef*>(view.data);
  for (size_t row = 0; row < rows; ++row) {
    Wide& key = row_keys_[row];
    if (!view.is_valid(row)) {
      key = {};
      tags_[row] = 0;
      continue;
    }
    const StringRef& text = texts[row];
    const bool shorter = prefix_size_ > 0 && !text.is_inline() && has_prefix(text);
    key = shorter ? words_after(text, prefix_size_) : words_of(text);
    tags_[row] = tag_of(key) | static_cast<uint32_t>(shorter);
  }
}

/// What the first long texts begin with, all of them.
void BytesTable::choose_prefix(const ColumnView& view, size_t rows) {
  constexpr size_t kRowsMax = 256;
  const StringRef* texts = static_cast<const StringRef*>(view.data);
  const char* first = nullptr;
  prefix_size_ = 0;
  for (size_t row = 0; row < std::min(rows, kRowsMax); ++row) {
    if (!view.is_valid(row) || texts[row].is_inline()) continue;
    const char* text = texts[row].pointer;
    if (first == nullptr) {
      first = text;
      prefix_size_ = std::min<size_t>(texts[row].size, kPrefixMax);
    }
    const size_t most = std::min<size_t>(prefix_size_, texts[row].size);
    prefix_size_ = static_cast<size_t>(std::mismatch(first, first + most, text).first - first);
  }
  if (prefix_size_ < kPrefixMin) prefix_size_ = 0;
  if (prefix_size_ > 0) std::memcpy(prefix_, first, prefix_size_);
}

/// For texts that are not inline.
bool BytesTable::has_prefix(const StringRef& text) const {
  if (text.size < prefix_size_) return false;
  const size_t last = prefix_size_ - 8;
  return ((load_word(text.pointer) ^ load_word(prefix_)) |
          (load_word(text.pointer + last) ^ load_word(prefix_ + last))) == 0;
}

/// Where each row's bytes end, one row after the other; makes room for them.
void BytesTable::measure(const ColumnView* columns, size_t rows) {
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
    for (size_t row = 0; row < rows; ++row) ends_[row] += view.is_valid(row) ? texts[row].size : 0;
  }
  size_t end = 0;
  for (size_t row = 0; row < rows; ++row) ends_[row] = end += ends_[row];
  if (scratch_.size() < end) scratch_.resize(end + end / 4);
}

void BytesTable::serialise(const ColumnView* columns, size_t rows) {
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
  tags_.resize(rows);
  size_t begin = 0;
  for (size_t row = 0; row < rows; ++row) {
    const StringRef text = StringRef::of({scratch_.data() + begin, ends_[row] - begin});
    row_keys_[row] = words_of(text);
    tags_[row] = tag_of(row_keys_[row]);
    begin = ends_[row];
  }
}

}  // namespace tidegate::reduce
