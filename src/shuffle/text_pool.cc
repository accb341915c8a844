#include "shuffle/text_pool.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tidegate::shuffle {
namespace {

using batch::StringRef;
using batch::Wide;

/// A pool is closed when so many more rows were looked for in vain than were found.
constexpr int32_t kInVainMax = 4'096;

uint64_t word_at(const char* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

/// Of a text that is not inline, and so has 13 bytes or more.
uint64_t mix_long(const StringRef& text) {
  const char* end = text.pointer + text.size;
  const uint64_t first = word_at(text.pointer) + 0x9e37'79b9'7f4a'7c15ULL * word_at(end - 8);
  if (text.size <= 16) return first;
  const uint64_t middle = word_at(text.pointer + 8) ^ std::rotl(word_at(end - 16), 23);
  return first ^ (middle * 0xbf58'476d'1ce4'e5b9ULL);
}

}  // namespace

TextPool::TextPool() {
  texts_.reserve(kTextsMax);
  bytes_.resize(size_t{kTextsMax} * kTextBytesMax);
}

/// Where a text's number stands, or would.
uint32_t TextPool::home_of(const Wide& words, uint64_t rest) {
  uint64_t hash = words.low + rest * 0x9fb2'1c65'1e98'df25ULL;
  hash = (hash ^ hash >> 32) * 0xd6e8'feb8'6659'fd93ULL;
  return static_cast<uint32_t>(hash >> (64 - std::countr_zero(kSlots)));
}

uint16_t TextPool::find_or_add(const StringRef& text) {
  if (text.size > kTextBytesMax) return kNoCode;
  const Wide words = batch::words_of(text);
  const bool is_inline = text.is_inline();
  uint32_t at = home_of(words, is_inline ? words.high : mix_long(text));
  for (; slots_[at] != 0; at = (at + 1) % kSlots) {
    const uint16_t code = slots_[at] - 1;
    const Wide found = std::bit_cast<Wide>(texts_[code]);
    if (found.low != words.low) continue;  // size and first bytes
    if (is_inline ? found.high == words.high
                  : std::memcmp(texts_[code].pointer, text.pointer, text.size) == 0)
      return code;
  }
  if (size() == kTextsMax) return kNoCode;
  add(text);
  slots_[at] = static_cast<uint16_t>(size());
  return static_cast<uint16_t>(size() - 1);
}

void TextPool::add(const StringRef& text) {
  StringRef own = std::bit_cast<StringRef>(batch::words_of(text));
  if (!own.is_inline()) {
    char* bytes = bytes_.data() + texts_.size() * kTextBytesMax;
    std::memcpy(bytes, text.pointer, text.size);
    own.pointer = bytes;
  }
  texts_.push_back(own);
}

uint32_t TextPool::code(const StringRef* texts, uint32_t rows, uint16_t* codes) {
  uint32_t without = 0;
  for (uint32_t row = 0; row < rows; ++row) {
    if (size() == kTextsMax) return without + code_when_full(texts, row, rows, codes);
    // Nearly all are short texts that stand where they are looked for first.
    const StringRef& text = texts[row];
    if (text.is_inline()) {
      const Wide words = batch::words_of(text);
      const uint16_t found = slots_[home_of(words, words.high)];
      if (found != 0 && std::bit_cast<Wide>(texts_[found - 1]) == words) {
        codes[row] = found - 1;
        continue;
      }
    }
    codes[row] = find_or_add(text);
    without += codes[row] == kNoCode;
  }
  return without;
}

uint32_t TextPool::code_when_full(const StringRef* texts, uint32_t row, uint32_t rows,
                                  uint16_t* codes) {
  uint32_t without = 0;
  for (; row < rows; ++row) {
    codes[row] = closed_ ? kNoCode : find_or_add(texts[row]);
    const bool found = codes[row] != kNoCode;
    without += !found;
    balance_ = std::min(balance_ + (found ? 1 : -1), kInVainMax);
    if (balance_ < -kInVainMax) closed_ = true;
  }
  return without;
}

}  // namespace tidegate::shuffle
