#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "batch/text_words.h"

namespace tidegate::shuffle {

/// The texts of a column of few texts, numbered as they come, so that a row carries a number on its
/// way to a block. Texts that are long, or come when the pool is full, have none. What has a number
/// follows from the sequence of rows alone.
class TextPool {
 public:
  static constexpr uint32_t kTextsMax = 1'024;
  static constexpr uint32_t kTextBytesMax = 32;
  static constexpr uint16_t kNoCode = UINT16_MAX;

  TextPool();
  /// Writes each text's number or kNoCode; how many have none.
  uint32_t code(const batch::StringRef* texts, uint32_t rows, uint16_t* codes);
  /// Full, and most rows had other texts: no text is looked for any more.
  bool is_closed() const { return closed_; }
  uint32_t size() const { return static_cast<uint32_t>(texts_.size()); }
  /// By number; they stay where they are.
  const batch::StringRef* texts() const { return texts_.data(); }

  static constexpr uint64_t kHeldBytes =
      kTextsMax * (2 * sizeof(uint16_t) + sizeof(batch::StringRef) + kTextBytesMax);

 private:
  static constexpr uint32_t kSlots = 2 * kTextsMax;

  static uint32_t home_of(const batch::Wide& words, uint64_t rest);
  uint16_t find_or_add(const batch::StringRef& text);
  /// Codes rows from `row` on.
  uint32_t code_when_full(const batch::StringRef* texts, uint32_t row, uint32_t rows,
                          uint16_t* codes);
  void add(const batch::StringRef& text);

  std::array<uint16_t, kSlots> slots_{};  ///< a number plus one
  std::vector<batch::StringRef> texts_;   ///< of short ones nothing but the text
  std::vector<char> bytes_;               ///< kTextBytesMax for each
  int32_t balance_ = 0;                   ///< since it is full: rows found over rows not found
  bool closed_ = false;
};

}  // namespace tidegate::shuffle
