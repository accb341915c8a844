#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "batch/chunk_view.h"
#include "batch/type.h"

namespace tidegate::sort {

/// Part of identities: changes when the same rows may come in another order, or lie in other
/// ranges.
inline constexpr uint64_t kSortVersion = 1;

/// How rows are ordered by one of their columns. Its defaults are DuckDB's.
struct SortColumn {
  uint32_t column = 0;
  bool descending = false;
  bool nulls_first = false;
  bool operator==(const SortColumn&) const = default;
};
using SortOrder = std::vector<SortColumn>;

/// Nothing if rows can be sorted by a column of this type; else why not, in a few words.
std::optional<std::string> unsortable(std::string_view type);

/// The keys of some rows, one after the other. Reused from batch to batch.
struct KeyBatch {
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> begins;  ///< of each row's key, and the end of the last

  size_t rows() const { return begins.empty() ? 0 : begins.size() - 1; }
  std::string_view key(size_t row) const {
    return {reinterpret_cast<const char*>(bytes.data()) + begins[row],
            begins[row + 1] - begins[row]};
  }
};

/// Below zero, zero or above: the order of two keys.
inline int compare_keys(std::string_view left, std::string_view right) {
  return left.compare(right);
}

/// Turns the columns that rows are ordered by into keys: bytes whose order by memcmp is the order
/// of DuckDB's ORDER BY. No key begins with another one. Each column is a byte that says NULL or
/// not, then integers with their sign turned and the high byte first, floating-point numbers so
/// that NaN is the greatest and -0.0 is 0.0, intervals as months, days and microseconds of one
/// sign, text by its bytes with 0x00 as 0x00 0xff and 0x00 0x00 at its end; all but the first byte
/// inverted where the order descends. (Key normalisation: Graefe, "Implementing sorting in database
/// systems", 2006.)
class KeyMaker {
 public:
  /// `types` of all columns of the rows. A type that is `unsortable` is a defect ("sort.type").
  static Result<KeyMaker> create(const std::vector<batch::ColumnType>& types,
                                 const SortOrder& order);

  /// The keys of rows [begin, end). Texts of more than 1 GiB in all are the caller's to avoid.
  void make(const batch::RowsView& rows, size_t begin, size_t end, KeyBatch& out);
  /// The bytes of every key, or 0 if they differ.
  uint32_t fixed_width() const { return fixed_width_; }
  /// Bytes that row's key takes at most.
  uint64_t bytes_of(const batch::RowsView& rows, size_t row) const;

 private:
  struct Part {
    SortColumn column;
    batch::ColumnType type;
  };
  std::vector<Part> parts_;
  uint32_t fixed_width_ = 0;
  uint32_t fixed_bytes_ = 0;  ///< of the parts that are no text, and of the NULL bytes
  std::vector<uint32_t> cursors_;
};

}  // namespace tidegate::sort
