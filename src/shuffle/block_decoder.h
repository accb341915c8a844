#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/failure.h"
#include "batch/chunk_view.h"
#include "batch/type.h"
#include "shuffle/block_encoder.h"

struct _duckdb_vector;

namespace tidegate::shuffle {

/// The values of one column of one block in a plain form. Its memory is reused from block to block.
struct ColumnBuffer {
  std::vector<std::byte> values;   ///< rows x width, or rows x StringRef into the block or `texts`
  std::vector<char> texts;         ///< those that the block does not hold in one piece
  std::vector<uint64_t> validity;  ///< bit set: valid
  std::vector<uint16_t> codes;     ///< of a dictionary
  std::vector<batch::StringRef> entries;
};

/// One column of a block, checked so far that its rows can be read without looking at the ends
/// again. Borrows the block's bytes. Rows are read from the first to the last.
class ColumnCursor {
 public:
  /// Checks the column's bytes; anything that is no column of this type and row count is a lost
  /// failure "shuffle.block".
  static Result<ColumnCursor> open(const batch::ColumnType& type, std::span<const std::byte> bytes,
                                   uint32_t rows);
  /// Writes the next `count` rows to rows [at, at + count) of a flat DuckDB vector.
  Status read(uint32_t count, _duckdb_vector* vector, size_t at);
  /// All rows of the block at once (none may have been read): texts point into the block's bytes
  /// or the buffer.
  /// What lies under a NULL is a value, but any.
  batch::ColumnView view(ColumnBuffer& buffer) const;
  /// Must be called before rows go to another vector.
  void vector_changed() { ++epoch_; }

 private:
  struct Frame {
    const std::byte* deltas = nullptr;
    batch::uint128 base = 0;
    uint8_t width = 0;
  };
  Status open_texts(std::span<const std::byte> rest);
  Status open_prefixed(std::span<const std::byte> rest);
  Status open_dictionary(std::span<const std::byte> rest);
  void read_fixed(uint32_t count, void* out, size_t at) const;
  void view_texts(batch::ColumnView& view, ColumnBuffer& buffer) const;
  /// Also what texts the rows share.
  void view_dictionary(batch::ColumnView& view, ColumnBuffer& buffer) const;
  void view_prefixed(batch::StringRef* out, std::vector<char>& texts) const;
  template <typename Length, bool kSomeBare>
  void join_prefixed(batch::StringRef* out, std::vector<char>& texts) const;
  Status read_texts(uint32_t count, _duckdb_vector* vector, size_t at);
  Status read_dictionary(uint32_t count, _duckdb_vector* vector, size_t at);
  Status put_text(_duckdb_vector* vector, size_t row, const char* data, uint32_t size);
  bool is_null(uint32_t row) const;

  const batch::ColumnType* type_ = nullptr;
  ColumnHead head_{};
  uint32_t rows_ = 0;
  uint32_t next_ = 0;                 ///< the next row to read
  const std::byte* nulls_ = nullptr;  ///< bitmap, or null
  const std::byte* values_ = nullptr;
  Frame frames_[3];
  const char* texts_ = nullptr;  ///< of the next row
  const char* texts_end_ = nullptr;
  const char* prefix_ = nullptr;
  uint32_t prefix_bytes_ = 0;        ///< kPrefixed only
  uint32_t whole_bytes_ = 0;         ///< of all texts with their prefixes
  uint32_t rest_bytes_max_ = 0;      ///< of what is stored of a text
  const std::byte* bare_ = nullptr;  ///< bitmap of texts without the prefix, or null
  std::vector<char> joined_;         ///< the prefix, and room for what follows it
  struct Entry {
    batch::StringRef ref;  ///< as DuckDB holds it in the current vector
    const char* data = nullptr;
    uint32_t size = 0;
    uint32_t epoch = 0;
  };
  std::vector<Entry> entries_;
  uint32_t epoch_ = 1;
};

/// Splits a block into its columns. Sizes that do not add up are a lost failure "shuffle.block".
Result<std::vector<std::span<const std::byte>>> split_block(std::span<const std::byte> block,
                                                            size_t columns);

}  // namespace tidegate::shuffle
