#include "reduce/stored_rows.h"

#include <algorithm>
#include <cstring>

#include "duckdb.h"
#include "reduce/emit.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;
using batch::StringRef;

template <typename T>
void gather_fixed(const ColumnView& from, const uint32_t* rows, uint32_t count,
                  duckdb_vector vector) {
  const T* in = static_cast<const T*>(from.data);
  T* out = static_cast<T*>(duckdb_vector_get_data(vector));
  uint64_t* validity = nullptr;
  if (from.validity == nullptr && std::find(rows, rows + count, kNoRow) == rows + count) {
    for (uint32_t i = 0; i < count; ++i) out[i] = in[rows[i]];
    return;
  }
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t row = rows[i];
    if (row == kNoRow || !from.is_valid(row)) {
      out[i] = T{};
      set_null(vector, validity, i);
    } else {
      out[i] = in[row];
    }
  }
}

void put(const ColumnType& type, const ColumnView& from, uint32_t row, duckdb_vector vector,
         uint64_t*& validity, uint32_t at) {
  if (row == kNoRow || !from.is_valid(row)) {
    set_null(vector, validity, at);
  } else if (type.storage == Storage::kBytes) {
    const StringRef& text = static_cast<const StringRef*>(from.data)[row];
    duckdb_unsafe_vector_assign_string_element_len(vector, at, text.data(), text.size);
  } else {
    std::memcpy(static_cast<char*>(duckdb_vector_get_data(vector)) + size_t{at} * type.width,
                static_cast<const char*>(from.data) + size_t{row} * type.width, type.width);
  }
}

}  // namespace

StoredRows::StoredRows(std::vector<ColumnType> types) {
  for (ColumnType& type : types) {
    const uint32_t width = batch::slot_bytes(type);
    columns_.push_back({std::move(type), width, {}, {}, false});
  }
}

void StoredRows::append(const ColumnView* views, uint32_t rows) {
  for (size_t c = 0; c < columns_.size(); ++c) {
    Column& column = columns_[c];
    const ColumnView& view = views[c];
    const size_t at = column.values.size();
    column.values.resize(at + size_t{rows} * column.width);
    if (rows > 0) std::memcpy(column.values.data() + at, view.data, size_t{rows} * column.width);
    column.validity.resize((size_t{rows_} + rows + 63) / 64, ~uint64_t{0});
    if (view.validity != nullptr) {
      for (uint32_t row = 0; row < rows; ++row) {
        if (view.is_valid(row)) continue;
        column.has_null = true;
        column.validity[(rows_ + row) / 64] &= ~(uint64_t{1} << ((rows_ + row) % 64));
      }
    }
    if (column.type.storage != Storage::kBytes) continue;
    auto* texts = reinterpret_cast<StringRef*>(column.values.data() + at);
    for (uint32_t row = 0; row < rows; ++row) {
      if (!view.is_valid(row)) {
        texts[row] = StringRef{};
      } else if (!texts[row].is_inline()) {
        texts[row].pointer = texts_.copy(texts[row].pointer, texts[row].size);
      }
    }
  }
  rows_ += rows;
}

ColumnView StoredRows::column(size_t index) const {
  const Column& column = columns_[index];
  return {column.values.data(), column.has_null ? column.validity.data() : nullptr};
}

uint64_t StoredRows::bytes() const {
  uint64_t bytes = texts_.bytes();
  for (const Column& column : columns_)
    bytes += column.values.capacity() + column.validity.capacity() * 8;
  return bytes;
}

uint64_t StoredRows::bytes_after(uint32_t rows, uint64_t text_bytes) const {
  uint64_t bytes = this->bytes() + text_bytes + Arena::kBlockBytes;
  for (const Column& column : columns_) {
    const uint64_t more = uint64_t{rows} * column.width;
    if (column.values.size() + more > column.values.capacity())
      bytes += 2 * column.values.capacity() + more;
  }
  return bytes;
}

void StoredRows::clear() {
  for (Column& column : columns_) {
    column.values.clear();
    column.validity.clear();
    column.has_null = false;
  }
  texts_.clear();
  rows_ = 0;
}

uint64_t text_bytes(const ColumnType& type, const ColumnView& view, uint32_t rows) {
  if (type.storage != Storage::kBytes) return 0;
  const auto* texts = static_cast<const StringRef*>(view.data);
  uint64_t bytes = 0;
  for (uint32_t row = 0; row < rows; ++row)
    if (view.is_valid(row) && !texts[row].is_inline()) bytes += texts[row].size;
  return bytes;
}

void gather(const ColumnType& type, const ColumnView& from, const uint32_t* rows, uint32_t count,
            duckdb_vector vector) {
  if (type.storage != Storage::kBytes) {
    switch (type.width) {
      case 1:
        return gather_fixed<uint8_t>(from, rows, count, vector);
      case 2:
        return gather_fixed<uint16_t>(from, rows, count, vector);
      case 4:
        return gather_fixed<uint32_t>(from, rows, count, vector);
      case 8:
        return gather_fixed<uint64_t>(from, rows, count, vector);
      default:
        break;
    }
  }
  uint64_t* validity = nullptr;
  for (uint32_t i = 0; i < count; ++i) put(type, from, rows[i], vector, validity, i);
}

void gather_either(const ColumnType& type, const ColumnView& from, const uint32_t* rows,
                   const ColumnView& other, const uint32_t* other_rows, uint32_t count,
                   duckdb_vector vector) {
  uint64_t* validity = nullptr;
  for (uint32_t i = 0; i < count; ++i) {
    if (rows[i] != kNoRow)
      put(type, from, rows[i], vector, validity, i);
    else
      put(type, other, other_rows[i], vector, validity, i);
  }
}

}  // namespace tidegate::reduce
