#include <algorithm>
#include <bit>
#include <cstring>

#include "batch/value_codec.h"
#include "duckdb.h"
#include "shuffle/block_bytes.h"
#include "shuffle/block_decoder.h"
#include "shuffle/deltas.h"
#include "shuffle/format.h"

namespace tidegate::shuffle {
namespace {

using batch::StringRef;

/// Short texts are copied so many bytes at once.
constexpr size_t kPieceBytes = 32;

bool bit_of(const std::byte* bits, uint32_t row) {
  return ((static_cast<uint8_t>(bits[row / 8]) >> (row % 8)) & 1) != 0;
}

uint32_t count_bits(const std::byte* bits, uint32_t rows) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < rows; ++i) count += bit_of(bits, i) ? 1 : 0;
  return count;
}

/// Calls `each` with the type of deltas that are so wide; void where there are none.
template <typename Each>
void with_width(uint8_t width, const Each& each) {
  switch (width) {
    case 0:
      return each.template operator()<void>();
    case 1:
      return each.template operator()<uint8_t>();
    case 2:
      return each.template operator()<uint16_t>();
    default:
      return each.template operator()<uint32_t>();
  }
}

/// Copies a text whose source ends at `end` and whose target has kPieceBytes of room behind it.
void copy_text(char* to, const char* from, uint32_t size, const char* end) {
  if (size <= kPieceBytes && static_cast<size_t>(end - from) >= kPieceBytes) {
    std::memcpy(to, from, kPieceBytes);
  } else if (size > 0) {
    std::memcpy(to, from, size);
  }
}

/// Puts a prefix before texts so that both are inline. In registers: what was just written to
/// memory in two pieces cannot be read as one without waiting for it.
class InlinePrefix {
 public:
  InlinePrefix(const char* prefix, uint32_t size) : size_(size) {
    if (size > 0 && size <= StringRef::kInlineMax) std::memcpy(&bytes_, prefix, size);
  }
  bool fits(uint32_t rest) const {
    return size_ <= StringRef::kInlineMax && rest <= StringRef::kInlineMax - size_;
  }
  /// `end`: of the bytes that may be read.
  StringRef ref(const char* rest, uint32_t rest_size, const char* end) const {
    batch::uint128 bytes = 0;
    if (static_cast<size_t>(end - rest) >= sizeof bytes) {
      std::memcpy(&bytes, rest, sizeof bytes);
      bytes &= (batch::uint128{1} << (8 * rest_size)) - 1;
    } else if (rest_size > 0) {
      std::memcpy(&bytes, rest, rest_size);
    }
    bytes = bytes_ | (bytes << (8 * size_));
    StringRef out;
    out.size = size_ + rest_size;
    std::memcpy(reinterpret_cast<char*>(&out) + 4, &bytes, StringRef::kInlineMax);
    return out;
  }

 private:
  uint32_t size_;
  batch::uint128 bytes_ = 0;
};

}  // namespace

Status ColumnCursor::open_texts(std::span<const std::byte> rest) {
  uint32_t base = 0;
  uint32_t total = 0;
  std::span<const std::byte> deltas;
  if (!is_delta_width(head_.delta_width, 4) || !take(rest, base) || !take(rest, total) ||
      !take(rest, size_t{head_.delta_width} * rows_, deltas) || rest.size() != total) {
    return malformed("texts");
  }
  uint64_t sum = uint64_t{base} * rows_;
  with_width(head_.delta_width, [&]<typename Length>() {
    if constexpr (!std::is_void_v<Length>)
      for (uint32_t i = 0; i < rows_; ++i) sum += load_delta<Length>(deltas.data(), i);
  });
  // No length may wrap at 32 bits: each is then at most the sum.
  if (sum != total) return malformed("lengths of texts");
  frames_[0] = {deltas.data(), base, head_.delta_width};
  texts_ = reinterpret_cast<const char*>(rest.data());
  texts_end_ = texts_ + rest.size();
  return {};
}

Status ColumnCursor::open_prefixed(std::span<const std::byte> rest) {
  uint32_t base = 0;
  uint32_t total = 0;
  std::span<const std::byte> part;
  if (!is_delta_width(head_.delta_width, 4) || !take(rest, prefix_bytes_) || !take(rest, base) ||
      !take(rest, total) || prefix_bytes_ == 0 || !take(rest, prefix_bytes_, part)) {
    return malformed("a prefix");
  }
  prefix_ = reinterpret_cast<const char*>(part.data());
  bare_ = nulls_;
  if (head_.bare != 0) {
    if (!take(rest, (size_t{rows_} + 7) / 8, part)) return malformed("texts without the prefix");
    bare_ = part.data();
  }
  if (!take(rest, size_t{head_.delta_width} * rows_, part) || rest.size() != total) {
    return malformed("texts after a prefix");
  }
  uint64_t sum = uint64_t{base} * rows_;
  uint64_t longest = 0;
  for (uint32_t i = 0; i < rows_; ++i) {
    const uint64_t delta = load_delta(part.data(), head_.delta_width, i);
    sum += delta;
    longest = std::max(longest, delta);
  }
  const uint32_t with = rows_ - (bare_ == nullptr ? 0 : count_bits(bare_, rows_));
  const uint64_t whole = sum + uint64_t{prefix_bytes_} * with;
  // As above, and no reader's memory may be used up by a prefix.
  if (sum != total || whole > kPrefixedBytesMax) return malformed("lengths after a prefix");
  whole_bytes_ = static_cast<uint32_t>(whole);
  frames_[0] = {part.data(), base, head_.delta_width};
  texts_ = reinterpret_cast<const char*>(rest.data());
  texts_end_ = texts_ + total;
  rest_bytes_max_ = static_cast<uint32_t>(base + longest);
  return {};
}

Status ColumnCursor::open_dictionary(std::span<const std::byte> rest) {
  uint32_t count = 0;
  uint32_t total = 0;
  std::span<const std::byte> sizes;
  std::span<const std::byte> texts;
  const size_t codes = size_t{head_.delta_width} * rows_;
  if (!is_delta_width(head_.delta_width, 2) || !take(rest, count) || !take(rest, total) ||
      count == 0 || count > rows_ || !take(rest, size_t{count} * 4, sizes) ||
      !take(rest, total, texts) || rest.size() != codes) {
    return malformed("dictionary");
  }
  entries_.resize(count);
  uint64_t offset = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t size = load_delta<uint32_t>(sizes.data(), i);
    if (size > total - offset) return malformed("lengths of a dictionary");
    Entry& entry = entries_[i];
    entry.data = reinterpret_cast<const char*>(texts.data()) + offset;
    entry.size = size;
    entry.ref.size = size;
    if (entry.ref.is_inline() && size > 0) std::memcpy(entry.ref.prefix, entry.data, size);
    offset += size;
  }
  if (offset != total) return malformed("lengths of a dictionary");
  uint32_t highest = 0;
  with_width(head_.delta_width, [&]<typename Code>() {
    if constexpr (!std::is_void_v<Code>)
      for (uint32_t i = 0; i < rows_; ++i)
        highest = std::max<uint32_t>(highest, load_delta<Code>(rest.data(), i));
  });
  if (highest >= count) return malformed("code");
  frames_[0] = {rest.data(), 0, head_.delta_width};
  return {};
}

Status ColumnCursor::put_text(_duckdb_vector* vector, size_t row, const char* data, uint32_t size) {
  if (type_->is_nested()) return batch::decode_value(*type_, {data, size}, vector, row);
  duckdb_unsafe_vector_assign_string_element_len(vector, row, data, size);
  return {};
}

Status ColumnCursor::read_texts(uint32_t count, _duckdb_vector* vector, size_t at) {
  const Frame& frame = frames_[0];
  const bool nested = type_->is_nested();
  StringRef* refs = nested ? nullptr : static_cast<StringRef*>(duckdb_vector_get_data(vector));
  const InlinePrefix prefix(prefix_, prefix_bytes_);
  if (prefix_bytes_ > 0 && joined_.empty()) {
    joined_.resize(size_t{prefix_bytes_} + rest_bytes_max_ + kPieceBytes);
    std::memcpy(joined_.data(), prefix_, prefix_bytes_);
  }
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t size = static_cast<uint32_t>(static_cast<uint64_t>(frame.base) +
                                          load_delta(frame.deltas, frame.width, next_ + i));
    const char* data = texts_;
    texts_ += size;
    if (prefix_bytes_ > 0 && !(bare_ != nullptr && bit_of(bare_, next_ + i))) {
      if (!nested && prefix.fits(size)) {
        refs[at + i] = prefix.ref(data, size, texts_end_);
        continue;
      }
      copy_text(joined_.data() + prefix_bytes_, data, size, texts_end_);
      data = joined_.data();
      size += prefix_bytes_;
    }
    if (nested) {
      if (!is_null(next_ + i)) TG_TRY(put_text(vector, at + i, data, size));
    } else if (size <= StringRef::kInlineMax) {
      StringRef ref;
      ref.size = size;
      if (size > 0) std::memcpy(ref.prefix, data, size);
      refs[at + i] = ref;
    } else {
      TG_TRY(put_text(vector, at + i, data, size));
    }
  }
  return {};
}

Status ColumnCursor::read_dictionary(uint32_t count, _duckdb_vector* vector, size_t at) {
  const Frame& frame = frames_[0];
  const bool nested = type_->is_nested();
  StringRef* refs = nested ? nullptr : static_cast<StringRef*>(duckdb_vector_get_data(vector));
  for (uint32_t i = 0; i < count; ++i) {
    Entry& entry = entries_[load_delta(frame.deltas, frame.width, next_ + i)];
    if (nested) {
      if (!is_null(next_ + i)) TG_TRY(put_text(vector, at + i, entry.data, entry.size));
    } else if (entry.size <= StringRef::kInlineMax || entry.epoch == epoch_) {
      refs[at + i] = entry.ref;
    } else {
      TG_TRY(put_text(vector, at + i, entry.data, entry.size));
      entry.ref = refs[at + i];
      entry.epoch = epoch_;
    }
  }
  return {};
}

void ColumnCursor::view_dictionary(batch::ColumnView& view, ColumnBuffer& buffer) const {
  const Frame& frame = frames_[0];
  buffer.entries.resize(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i) {
    StringRef& ref = buffer.entries[i];
    ref = entries_[i].ref;
    if (ref.is_inline()) continue;
    std::memcpy(ref.prefix, entries_[i].data, sizeof ref.prefix);
    ref.pointer = entries_[i].data;
  }
  if (buffer.codes.size() < kBlockRowsMax) buffer.codes.resize(kBlockRowsMax);
  StringRef* out = reinterpret_cast<StringRef*>(buffer.values.data());
  with_width(frame.width, [&]<typename Code>() {
    for (uint32_t i = 0; i < rows_; ++i) {
      uint16_t code = 0;
      if constexpr (!std::is_void_v<Code>)
        code = static_cast<uint16_t>(load_delta<Code>(frame.deltas, i));
      buffer.codes[i] = code;
      out[i] = buffer.entries[code];
    }
  });
  view.codes = buffer.codes.data();
  view.texts = buffer.entries.data();
  view.text_count = static_cast<uint32_t>(entries_.size());
}

/// Texts with their prefixes, one after the other.
template <typename Length, bool kSomeBare>
void ColumnCursor::join_prefixed(StringRef* out, std::vector<char>& texts) const {
  if (texts.size() < whole_bytes_ + 2 * kPieceBytes) texts.resize(whole_bytes_ + 2 * kPieceBytes);
  const auto length = [&](uint32_t row) -> uint32_t {
    const uint32_t base = static_cast<uint32_t>(frames_[0].base);
    if constexpr (std::is_void_v<Length>) {
      return base;
    } else {
      return base + load_delta<Length>(frames_[0].deltas, row);
    }
  };
  char piece[kPieceBytes] = {};
  const bool short_prefix = prefix_bytes_ <= kPieceBytes;
  if (short_prefix) std::memcpy(piece, prefix_, prefix_bytes_);
  const char* from = texts_;
  char* to = texts.data();
  const InlinePrefix inlined(prefix_, prefix_bytes_);
  for (uint32_t i = 0; i < rows_; ++i) {
    const uint32_t rest = length(i);
    if (kSomeBare && bit_of(bare_, i)) {
      out[i] = StringRef::of({from, rest});
    } else if (inlined.fits(rest)) {
      out[i] = inlined.ref(from, rest, texts_end_);
    } else {
      // What is copied beyond a text is overwritten by the next, and the buffer ends later.
      if (short_prefix) {
        std::memcpy(to, piece, kPieceBytes);
      } else {
        std::memcpy(to, prefix_, prefix_bytes_);
      }
      copy_text(to + prefix_bytes_, from, rest, texts_end_);
      StringRef ref;
      ref.size = prefix_bytes_ + rest;
      std::memcpy(ref.prefix, to, sizeof ref.prefix);
      ref.pointer = to;
      out[i] = ref;
      to += ref.size;
    }
    from += rest;
  }
}

void ColumnCursor::view_prefixed(StringRef* out, std::vector<char>& texts) const {
  with_width(frames_[0].width, [&]<typename Length>() {
    return bare_ == nullptr ? join_prefixed<Length, false>(out, texts)
                            : join_prefixed<Length, true>(out, texts);
  });
}

void ColumnCursor::view_texts(batch::ColumnView& view, ColumnBuffer& buffer) const {
  if (head_.encoding == Encoding::kDictionary) return view_dictionary(view, buffer);
  StringRef* out = reinterpret_cast<StringRef*>(buffer.values.data());
  if (head_.encoding == Encoding::kPrefixed) return view_prefixed(out, buffer.texts);
  const InlinePrefix nothing(nullptr, 0);
  with_width(frames_[0].width, [&]<typename Length>() {
    const auto base = static_cast<uint32_t>(frames_[0].base);
    const char* at = texts_;
    for (uint32_t i = 0; i < rows_; ++i) {
      uint32_t size = base;
      if constexpr (!std::is_void_v<Length>) size += load_delta<Length>(frames_[0].deltas, i);
      if (nothing.fits(size)) {
        out[i] = nothing.ref(at, size, texts_end_);
      } else {
        out[i].size = size;
        std::memcpy(out[i].prefix, at, sizeof out[i].prefix);
        out[i].pointer = at;
      }
      at += size;
    }
  });
}

}  // namespace tidegate::shuffle
