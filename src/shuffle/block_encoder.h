#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "batch/type.h"
#include "shuffle/text_pool.h"

namespace tidegate::shuffle {

// A column of a block: ColumnHead; a validity bitmap of (rows + 7) / 8 bytes if validity is
// kBitmap (bit set: NULL; absent bits are 0); then by encoding. All without padding.
//
//   kFrame     base (8 bytes, 16 for 128-bit storage), rows x `delta_width` bytes: value = base +
//              delta, wrapping at the storage's width
//   kPlain     rows x value
//   kSame      one value for all rows
//   kDecimals  base (8 bytes), rows x `delta_width`: double = (base + delta) / 10^`exponent`
//   kIntervals three times {u8 delta_width, base, deltas}: months, days, microseconds
//   kTexts     u32 base, u32 total bytes, rows x `delta_width` lengths, bytes
//   kPrefixed  u32 bytes of a prefix, u32 base, u32 total bytes, the prefix, a bitmap as of
//   validity
//              if `bare` is 1, rows x `delta_width` lengths, bytes: of what follows the prefix.
//              Texts whose bit is set (without a bitmap: NULLs) do not have the prefix. Whole texts
//              take kPrefixedBytesMax at most
//   kDictionary u32 entries, u32 total bytes, entries x u32 lengths, bytes, rows x `delta_width`
//              codes (0 bytes if there is one entry)
//
// Under a NULL lies whatever packs best; it is a function of the valid values.

enum class Encoding : uint8_t {
  kNothing = 0,  ///< all rows are NULL
  kFrame = 1,
  kPlain = 2,
  kSame = 3,
  kDecimals = 4,
  kIntervals = 5,
  kTexts = 6,
  kDictionary = 7,
  kPrefixed = 8,
};

enum class Validity : uint8_t { kAll = 0, kBitmap = 1, kNone = 2 };

struct ColumnHead {
  Encoding encoding;
  Validity validity;
  batch::Storage storage;
  uint8_t delta_width;
  uint8_t exponent;
  uint8_t bare;  ///< kPrefixed: 1 if a bitmap says which texts lack the prefix
  uint8_t zero[2];
};
static_assert(sizeof(ColumnHead) == 8);

inline constexpr int kDecimalExponentMax = 9;
/// Integers that a double carries exactly with room to add the rounding constant.
inline constexpr int64_t kDecimalMagnitudeMax = int64_t{1} << 51;
extern const double kPowersOfTen[kDecimalExponentMax + 1];

/// One column's values as the writer buffers them.
struct RawColumn {
  batch::Storage storage = batch::Storage::kNull;
  void* values = nullptr;       ///< rows x width; rows x u32 for kBytes (pooled_text.h)
  const char* texts = nullptr;  ///< kBytes: the bytes of rows that have some, one after the other
  const TextPool* pool = nullptr;  ///< kBytes: of those that have a number
  uint64_t* nulls = nullptr;       ///< bit set: NULL; null: no NULLs. Bits from `rows` on are 0
};

/// Encodes columns into one growing buffer. Reused from block to block.
class BlockEncoder {
 public:
  /// Appends the encoded column. Overwrites what lies under NULLs.
  void encode(const RawColumn& column, uint32_t rows);

  std::vector<std::byte>& bytes() { return bytes_; }
  size_t held_bytes() const;
  /// Gives memory back if much is held.
  void trim(size_t keep_bytes);

 private:
  struct Slot {
    uint32_t entry;
    uint32_t stamp;
  };
  struct Prefix {
    const char* text = nullptr;
    uint32_t bytes = 0;
    bool bitmap = false;  ///< some texts lack it
    uint8_t width = 0;    ///< of the lengths of what follows it
    uint32_t low = 0;     ///< the least of these
    size_t total = 0;     ///< their sum
    size_t encoded = 0;   ///< what the column takes, but for head and validity
  };
  std::byte* grow(size_t size);
  template <typename T>
  void frame(T* values, const uint64_t* nulls, uint32_t rows, ColumnHead head);
  template <typename T, typename Bits>
  void floats(T* values, const uint64_t* nulls, uint32_t rows, ColumnHead head);
  bool decimals(const double* values, uint32_t rows, ColumnHead& head);
  void intervals(void* values, const uint64_t* nulls, uint32_t rows, ColumnHead head);
  void texts(const RawColumn& column, uint32_t rows, ColumnHead head);
  /// The same of texts that all have a number; false, and nothing is written, if they are no
  /// dictionary.
  bool pooled(const RawColumn& column, uint32_t rows, ColumnHead head);
  /// The column with the bytes of all its texts.
  RawColumn with_bytes(const RawColumn& column, uint32_t rows);
  void put_dictionary(size_t entry_bytes, uint32_t rows, ColumnHead& head);
  /// False, and nothing is written, if it would not take fewer bytes than `otherwise`.
  bool dictionary(const uint32_t* sizes, const char* bytes, size_t otherwise, uint32_t rows,
                  ColumnHead& head);
  /// What texts begin with; 0 bytes if that saves too little of `plain` bytes.
  Prefix find_prefix(const RawColumn& column, uint32_t rows, size_t total, size_t plain);
  void put_prefixed(const RawColumn& column, uint32_t rows, size_t total, const Prefix& prefix,
                    ColumnHead& head);
  void put_validity(const uint64_t* nulls, uint32_t rows);

  std::vector<std::byte> bytes_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> entry_sizes_;
  std::vector<const char*> entry_texts_;
  std::vector<uint16_t> codes_;
  std::vector<int64_t> integers_;
  std::vector<uint64_t> bare_;         ///< bit set: the text is stored without the prefix
  std::vector<uint32_t> rest_sizes_;   ///< of what is stored of each text
  std::vector<uint32_t> whole_sizes_;  ///< of texts, some of which had a number
  std::vector<char> whole_texts_;
  uint32_t stamp_ = 0;
};

}  // namespace tidegate::shuffle
