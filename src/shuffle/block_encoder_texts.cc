#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "base/failure.h"
#include "base/hash.h"
#include "batch/chunk_view.h"
#include "shuffle/block_encoder.h"
#include "shuffle/deltas.h"
#include "shuffle/format.h"
#include "shuffle/pooled_text.h"

namespace tidegate::shuffle {
namespace {

using batch::StringRef;

constexpr uint32_t kSlots = 16'384;
/// A dictionary is given up if so many rows hold more different texts than this; of short texts
/// half as many: an index for each takes as much time as it saves.
constexpr uint32_t kDictionarySample = 256;
constexpr uint32_t kDictionarySampleTexts = kDictionarySample / 8 * 7;
constexpr uint32_t kDictionaryShortTexts = kDictionarySample / 2;
constexpr size_t kInlineBytes = StringRef::kInlineMax;
/// A prefix is looked for among so many texts, and is one if all but an eighth of them have it.
constexpr uint32_t kPrefixSample = 32;
constexpr uint32_t kPrefixSampleApart = 8;
constexpr uint32_t kPrefixBytesMin = 4;
/// Whole texts must be put together again by every reader: worth it for an eighth of the bytes.
constexpr size_t kPrefixGain = 8;
/// Short texts are copied so many bytes at once.
constexpr uint32_t kCopiedBytes = 32;

/// How many bytes two texts begin with alike, of `most`.
uint32_t shared_bytes(const char* a, const char* b, uint32_t most) {
  uint32_t at = 0;
  for (; at + 8 <= most; at += 8) {
    uint64_t left = 0;
    uint64_t right = 0;
    std::memcpy(&left, a + at, 8);
    std::memcpy(&right, b + at, 8);
    if (left != right) return at + static_cast<uint32_t>(std::countr_zero(left ^ right)) / 8;
  }
  while (at < most && a[at] == b[at]) ++at;
  return at;
}

uint8_t code_width(size_t entries) { return entries == 1 ? 0 : entries <= 256 ? 1 : 2; }
size_t dictionary_bytes(size_t entries, size_t entry_bytes, uint32_t rows) {
  return 8 + entries * 4 + entry_bytes + size_t{code_width(entries)} * rows;
}

bool has_bit(const uint64_t* bits, uint32_t row) {
  return bits != nullptr && ((bits[row / 64] >> (row % 64)) & 1) != 0;
}

/// Whether texts begin with a prefix; mostly by their first eight bytes at once.
class PrefixTest {
 public:
  /// `end` is where the bytes of all texts end.
  PrefixTest(const char* prefix, uint32_t size, const char* end)
      : prefix_(prefix),
        size_(size),
        end_(end),
        mask_(size < 8 ? (uint64_t{1} << (8 * size)) - 1 : ~uint64_t{0}) {
    std::memcpy(&first_, prefix, std::min<uint32_t>(size, 8));
  }
  bool holds(const char* text, uint32_t size) const {
    if (size < size_) return false;
    if (end_ - text < 8) return std::memcmp(text, prefix_, size_) == 0;
    uint64_t first = 0;
    std::memcpy(&first, text, 8);
    if (((first ^ first_) & mask_) != 0) return false;
    return size_ <= 8 || std::memcmp(text + 8, prefix_ + 8, size_ - 8) == 0;
  }

 private:
  const char* prefix_;
  uint32_t size_;
  const char* end_;
  uint64_t first_ = 0;
  uint64_t mask_;
};

struct SampledText {
  const char* bytes;
  uint32_t size;
};

/// Valid texts from all over the block; how many.
uint32_t sample_texts(const RawColumn& column, uint32_t rows,
                      std::array<SampledText, kPrefixSample>& out) {
  const uint32_t* sizes = static_cast<const uint32_t*>(column.values);
  const uint32_t wanted = std::min(rows, kPrefixSample);
  const char* at = column.texts;
  uint32_t count = 0;
  uint32_t row = 0;
  for (uint32_t i = 0; i < wanted; ++i) {
    const uint32_t next = i * rows / wanted;
    size_t skipped = 0;
    for (; row < next; ++row) skipped += sizes[row];
    at += skipped;
    if (!has_bit(column.nulls, row)) out[count++] = {at, sizes[row]};
  }
  return count;
}

/// What all but an eighth of the sample begin with; empty if it is not worth a look.
SampledText sampled_prefix(const std::array<SampledText, kPrefixSample>& sample, uint32_t count) {
  // One of three is not among those apart.
  for (const uint32_t candidate : {uint32_t{0}, count / 2, count - 1}) {
    const SampledText& text = sample[candidate];
    std::array<uint32_t, kPrefixSample> shared;
    for (uint32_t i = 0; i < count; ++i) {
      shared[i] = shared_bytes(text.bytes, sample[i].bytes, std::min(text.size, sample[i].size));
    }
    const auto apart = shared.begin() + count / kPrefixSampleApart;
    std::nth_element(shared.begin(), apart, shared.begin() + count);
    if (*apart >= kPrefixBytesMin) return {text.bytes, *apart};
  }
  return {nullptr, 0};
}

}  // namespace

void BlockEncoder::texts(const RawColumn& column, uint32_t rows, ColumnHead head) {
  const uint32_t* sizes = static_cast<const uint32_t*>(column.values);
  uint32_t low = sizes[0];
  uint32_t high = sizes[0];
  size_t total = 0;
  for (uint32_t i = 0; i < rows; ++i) {
    low = std::min(low, sizes[i]);
    high = std::max(high, sizes[i]);
    total += sizes[i];
  }
  const uint8_t width = delta_width<uint32_t>(high - low);
  const size_t plain = 8 + size_t{width} * rows + total;
  const size_t start = bytes_.size();
  grow(sizeof head);
  put_validity(column.nulls, rows);
  const Prefix prefix = find_prefix(column, rows, total, plain);
  // Each text of a dictionary goes into a reader's vector once: better unless far larger.
  const size_t otherwise = prefix.bytes > 0 ? std::min(plain, prefix.encoded / 2 * 3) : plain;
  if (dictionary(sizes, column.texts, otherwise, rows, head)) {
    std::memcpy(bytes_.data() + start, &head, sizeof head);
    return;
  }
  if (prefix.bytes > 0) {
    put_prefixed(column, rows, total, prefix, head);
    std::memcpy(bytes_.data() + start, &head, sizeof head);
    return;
  }
  head.encoding = Encoding::kTexts;
  head.delta_width = width;
  std::memcpy(bytes_.data() + start, &head, sizeof head);
  const uint32_t numbers[2] = {low, static_cast<uint32_t>(total)};
  std::memcpy(grow(8), numbers, 8);
  put_deltas(width, sizes, low, rows, grow(size_t{width} * rows));
  if (total > 0) std::memcpy(grow(total), column.texts, total);
}

BlockEncoder::Prefix BlockEncoder::find_prefix(const RawColumn& column, uint32_t rows, size_t total,
                                               size_t plain) {
  if (rows < 2 || total > kPrefixedBytesMax) return {};
  std::array<SampledText, kPrefixSample> sample;
  const uint32_t count = sample_texts(column, rows, sample);
  if (count == 0) return {};
  const SampledText found = sampled_prefix(sample, count);
  if (found.size == 0) return {};

  const uint32_t* sizes = static_cast<const uint32_t*>(column.values);
  bare_.assign((rows + 63) / 64, 0);
  uint32_t shortest = found.size;  // what all valid texts begin with
  uint32_t bare = 0;               // those that do not begin with all of `found`, or are NULL
  uint32_t nulls = 0;
  const char* at = column.texts;
  const PrefixTest test(found.bytes, found.size, column.texts + total);
  for (uint32_t i = 0; i < rows; ++i) {
    const uint32_t size = sizes[i];
    const char* text = at;
    at += size;
    const bool null = has_bit(column.nulls, i);
    if (!null && test.holds(text, size)) continue;
    bare_[i / 64] |= uint64_t{1} << (i % 64);
    ++bare;
    if (null) {
      ++nulls;
    } else {
      shortest = std::min(shortest, shared_bytes(text, found.bytes, std::min(size, shortest)));
    }
  }
  // Either all valid texts share a little, or most a little more and a bitmap says which.
  const size_t saved_by_all = size_t{shortest} * (rows - nulls - 1);
  const size_t bitmap = (size_t{rows} + 7) / 8;
  const size_t saved_by_most = size_t{found.size} * (rows - bare - 1);
  Prefix prefix{.text = found.bytes, .bytes = found.size};
  prefix.bitmap = shortest < found.size && saved_by_most > saved_by_all + bitmap;
  if (!prefix.bitmap) {
    if (shortest == 0) return {};
    prefix.bytes = shortest;
    std::fill(bare_.begin(), bare_.end(), 0);
    if (column.nulls != nullptr) std::copy_n(column.nulls, bare_.size(), bare_.begin());
  }
  rest_sizes_.resize(rows);
  prefix.low = std::numeric_limits<uint32_t>::max();
  uint32_t high = 0;
  for (uint32_t i = 0; i < rows; ++i) {
    rest_sizes_[i] = sizes[i] - prefix.bytes;
  }
  if (bare > 0) {
    for (uint32_t i = 0; i < rows; ++i) {
      if (has_bit(bare_.data(), i)) rest_sizes_[i] = sizes[i];
    }
  }
  for (uint32_t i = 0; i < rows; ++i) {
    const uint32_t rest = rest_sizes_[i];
    prefix.low = std::min(prefix.low, rest);
    high = std::max(high, rest);
    prefix.total += rest;
  }
  prefix.width = delta_width<uint32_t>(high - prefix.low);
  prefix.encoded =
      12 + prefix.bytes + (prefix.bitmap ? bitmap : 0) + size_t{prefix.width} * rows + prefix.total;
  if (prefix.encoded > plain - plain / kPrefixGain) return {};
  return prefix;
}

void BlockEncoder::put_prefixed(const RawColumn& column, uint32_t rows, size_t total,
                                const Prefix& prefix, ColumnHead& head) {
  head.encoding = Encoding::kPrefixed;
  head.delta_width = prefix.width;
  head.bare = prefix.bitmap ? 1 : 0;
  const uint32_t numbers[3] = {prefix.bytes, prefix.low, static_cast<uint32_t>(prefix.total)};
  std::memcpy(grow(sizeof numbers), numbers, sizeof numbers);
  std::memcpy(grow(prefix.bytes), prefix.text, prefix.bytes);
  if (prefix.bitmap) put_validity(bare_.data(), rows);
  put_deltas(prefix.width, rest_sizes_.data(), prefix.low, rows, grow(size_t{prefix.width} * rows));
  const uint32_t* sizes = static_cast<const uint32_t*>(column.values);
  const char* at = column.texts;
  const char* end = at + total;
  const size_t texts_at = bytes_.size();
  std::byte* out = grow(prefix.total + kCopiedBytes);
  for (uint32_t i = 0; i < rows; ++i) {
    const uint32_t rest = rest_sizes_[i];
    const char* from = at + (sizes[i] - rest);
    at += sizes[i];
    if (rest <= kCopiedBytes && end - from >= ptrdiff_t{kCopiedBytes}) {
      std::memcpy(out, from, kCopiedBytes);  // what is too much is overwritten
    } else if (rest > 0) {
      std::memcpy(out, from, rest);
    }
    out += rest;
  }
  bytes_.resize(texts_at + prefix.total);
}

bool BlockEncoder::dictionary(const uint32_t* sizes, const char* bytes, size_t otherwise,
                              uint32_t rows, ColumnHead& head) {
  if (slots_.empty()) slots_.assign(kSlots, Slot{0, 0});
  if (++stamp_ == 0) {
    slots_.assign(kSlots, Slot{0, 0});
    stamp_ = 1;
  }
  entry_sizes_.clear();
  entry_texts_.clear();
  codes_.resize(rows);
  const char* at = bytes;
  size_t entry_bytes = 0;
  for (uint32_t i = 0; i < rows; ++i) {
    uint32_t slot = static_cast<uint32_t>(xxh3_64(at, sizes[i]) >> 32) % kSlots;
    while (true) {
      Slot& found = slots_[slot];
      if (found.stamp != stamp_) {
        found = {static_cast<uint32_t>(entry_sizes_.size()), stamp_};
        entry_sizes_.push_back(sizes[i]);
        entry_texts_.push_back(at);
        entry_bytes += sizes[i];
        codes_[i] = static_cast<uint16_t>(found.entry);
        break;
      }
      if (entry_sizes_[found.entry] == sizes[i] &&
          (sizes[i] == 0 || std::memcmp(entry_texts_[found.entry], at, sizes[i]) == 0)) {
        codes_[i] = static_cast<uint16_t>(found.entry);
        break;
      }
      slot = (slot + 1) % kSlots;
    }
    at += sizes[i];
    if (i + 1 == kDictionarySample) {
      const bool inlined = static_cast<size_t>(at - bytes) <= kDictionarySample * kInlineBytes;
      const size_t most = inlined ? kDictionaryShortTexts : kDictionarySampleTexts;
      if (entry_sizes_.size() > most) return false;
    }
  }
  if (entry_sizes_.size() > 1 &&
      dictionary_bytes(entry_sizes_.size(), entry_bytes, rows) >= otherwise)
    return false;
  put_dictionary(entry_bytes, rows, head);
  return true;
}

/// Of entry_sizes_, entry_texts_ and codes_.
void BlockEncoder::put_dictionary(size_t entry_bytes, uint32_t rows, ColumnHead& head) {
  const size_t entries = entry_sizes_.size();
  const uint8_t width = code_width(entries);
  head.encoding = Encoding::kDictionary;
  head.delta_width = width;
  const uint32_t numbers[2] = {static_cast<uint32_t>(entries), static_cast<uint32_t>(entry_bytes)};
  std::memcpy(grow(8), numbers, 8);
  std::memcpy(grow(entries * 4), entry_sizes_.data(), entries * 4);
  std::byte* texts = grow(entry_bytes);
  for (size_t i = 0; i < entries; ++i) {
    if (entry_sizes_[i] > 0) std::memcpy(texts, entry_texts_[i], entry_sizes_[i]);
    texts += entry_sizes_[i];
  }
  put_deltas(width, codes_.data(), uint16_t{0}, rows, grow(size_t{width} * rows));
}

bool BlockEncoder::pooled(const RawColumn& column, uint32_t rows, ColumnHead head) {
  constexpr uint16_t kUnseen = UINT16_MAX;
  std::array<uint16_t, TextPool::kTextsMax> entry_of;
  entry_of.fill(kUnseen);
  entry_sizes_.clear();
  entry_texts_.clear();
  codes_.resize(rows);
  const uint32_t* values = static_cast<const uint32_t*>(column.values);
  const StringRef* texts = column.pool->texts();
  size_t total = 0;
  size_t entry_bytes = 0;
  for (uint32_t i = 0; i < rows; ++i) {
    const uint32_t code = pooled_code(values[i]);
    uint16_t& entry = entry_of[code];
    const uint32_t size = texts[code].size;
    if (entry == kUnseen) {
      entry = static_cast<uint16_t>(entry_sizes_.size());
      entry_sizes_.push_back(size);
      entry_texts_.push_back(texts[code].data());
      entry_bytes += size;
    }
    codes_[i] = entry;
    total += size;
  }
  const size_t entries = entry_sizes_.size();
  const auto [low, high] = std::minmax_element(entry_sizes_.begin(), entry_sizes_.end());
  const size_t plain = 8 + size_t{delta_width<uint32_t>(*high - *low)} * rows + total;
  if (entries > 1 && dictionary_bytes(entries, entry_bytes, rows) >= plain) return false;
  const size_t start = bytes_.size();
  grow(sizeof head);
  put_validity(column.nulls, rows);
  put_dictionary(entry_bytes, rows, head);
  std::memcpy(bytes_.data() + start, &head, sizeof head);
  return true;
}

RawColumn BlockEncoder::with_bytes(const RawColumn& column, uint32_t rows) {
  const uint32_t* values = static_cast<const uint32_t*>(column.values);
  const StringRef* texts = column.pool->texts();
  whole_sizes_.resize(rows);
  size_t total = 0;
  for (uint32_t i = 0; i < rows; ++i) {
    whole_sizes_[i] = is_pooled(values[i]) ? texts[pooled_code(values[i])].size : values[i];
    total += whole_sizes_[i];
  }
  whole_texts_.resize(total);
  char* to = whole_texts_.data();
  const char* from = column.texts;
  for (uint32_t i = 0; i < rows; ++i) {
    const uint32_t size = whole_sizes_[i];
    if (size == 0) continue;
    const bool numbered = is_pooled(values[i]);
    std::memcpy(to, numbered ? texts[pooled_code(values[i])].data() : from, size);
    if (!numbered) from += size;
    to += size;
  }
  RawColumn whole = column;
  whole.values = whole_sizes_.data();
  whole.texts = whole_texts_.data();
  return whole;
}

}  // namespace tidegate::shuffle
