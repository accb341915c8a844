#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "batch/type.h"

struct _duckdb_data_chunk;
struct _duckdb_vector;

namespace tidegate::batch {

/// DuckDB's string_t: up to 12 bytes inline, else a pointer.
struct StringRef {
  uint32_t size = 0;
  char prefix[4] = {};
  const char* pointer = nullptr;

  static constexpr uint32_t kInlineMax = 12;
  bool is_inline() const { return size <= kInlineMax; }
  const char* data() const { return is_inline() ? prefix : pointer; }
  std::string_view view() const { return {data(), size}; }
  /// Borrows the text, or holds it where it is short.
  static StringRef of(std::string_view text) {
    StringRef ref;
    ref.size = static_cast<uint32_t>(text.size());
    if (ref.is_inline()) {
      if (!text.empty()) std::memcpy(reinterpret_cast<char*>(&ref) + 4, text.data(), text.size());
    } else {
      std::memcpy(ref.prefix, text.data(), sizeof prefix);
      ref.pointer = text.data();
    }
    return ref;
  }
};
static_assert(sizeof(StringRef) == 16);

/// Bytes that a value of the type takes in a ColumnView.
inline uint32_t slot_bytes(const ColumnType& type) {
  return type.storage == Storage::kBytes ? sizeof(StringRef) : type.width;
}

/// One column of a chunk: values and validity, borrowed from the chunk or held by the view.
struct ColumnView {
  const void* data = nullptr;          ///< rows x width, or rows x StringRef for kBytes
  const uint64_t* validity = nullptr;  ///< bit set: valid; null: all valid
  /// Where it is known that rows share few texts: row i has texts[codes[i]], and each code is
  /// below `text_count`, also that of a NULL. Null elsewhere.
  const uint16_t* codes = nullptr;
  const StringRef* texts = nullptr;
  uint32_t text_count = 0;

  bool is_valid(size_t row) const {
    return validity == nullptr || ((validity[row / 64] >> (row % 64)) & 1) != 0;
  }
  /// The rows from `row` on, a multiple of 64; a row takes `width` bytes.
  ColumnView from(size_t row, size_t width) const {
    ColumnView rest = *this;
    if (data != nullptr) rest.data = static_cast<const char*>(data) + row * width;
    if (validity != nullptr) rest.validity = validity + row / 64;
    if (codes != nullptr) rest.codes = codes + row;
    return rest;
  }
  /// Whether to look at each of the texts once is less work than to look at `rows` rows.
  bool shares_texts(size_t rows) const { return codes != nullptr && text_count <= rows / 2; }
};

/// Rows of some columns, borrowed.
struct RowsView {
  const ColumnView* columns = nullptr;
  size_t rows = 0;

  const ColumnView& column(size_t index) const { return columns[index]; }
};

/// The columns of one DuckDB chunk in a plain form: text of NULLs is empty, nested values are
/// encoded to bytes. Reused from chunk to chunk; a view is valid until the next `load`.
class ChunkView {
 public:
  explicit ChunkView(std::vector<ColumnType> types);
  ~ChunkView();
  /// Views `chunk`, which must have these types and outlive the use of the views.
  Status load(_duckdb_data_chunk* chunk);
  size_t rows() const { return rows_; }
  const ColumnView& column(size_t index) const { return columns_[index]; }
  RowsView view() const { return {columns_.data(), rows_}; }
  const std::vector<ColumnType>& types() const { return types_; }
  /// Bytes that the view itself holds.
  size_t held_bytes() const;

 private:
  struct Scratch;
  Status load_nested(size_t index, _duckdb_vector* vector);
  void load_bytes(size_t index, const void* data);
  void load_fixed(size_t index, const void* data);

  std::vector<ColumnType> types_;
  std::vector<ColumnView> columns_;
  std::vector<std::unique_ptr<Scratch>> scratch_;  ///< one a column, made when needed
  size_t rows_ = 0;
};

/// The types of a chunk's columns.
Result<std::vector<ColumnType>> chunk_types(_duckdb_data_chunk* chunk);

}  // namespace tidegate::batch
