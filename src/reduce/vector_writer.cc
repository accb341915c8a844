#include "reduce/vector_writer.h"

#include <cstring>

#include "batch/value_codec.h"
#include "duckdb.h"
#include "reduce/emit.h"
#include "reduce/stored_rows.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;
using batch::StringRef;

template <uint32_t kWidth>
void gather_fixed(const void* data, const uint32_t* rows, uint32_t count, char* out) {
  for (uint32_t i = 0; i < count; ++i) {
    if (rows[i] == kNoRow) continue;
    std::memcpy(out + size_t{i} * kWidth, static_cast<const char*>(data) + size_t{rows[i]} * kWidth,
                kWidth);
  }
}

void put_null(const ColumnType& type, duckdb_vector vector, uint64_t*& validity, uint32_t at) {
  if (type.is_nested())
    batch::set_value_null(type, vector, at);
  else
    set_null(vector, validity, at);
}

Status put_bytes(const ColumnType& type, const void* data, size_t row, duckdb_vector vector,
                 uint32_t at) {
  StringRef text;
  std::memcpy(&text, static_cast<const char*>(data) + row * sizeof text, sizeof text);
  if (type.is_nested()) return batch::decode_value(type, text.view(), vector, at);
  duckdb_unsafe_vector_assign_string_element_len(vector, at, text.data(), text.size);
  return {};
}

char* place_in(const ColumnType& type, duckdb_vector vector, uint32_t at) {
  return static_cast<char*>(duckdb_vector_get_data(vector)) + size_t{at} * type.width;
}

}  // namespace

Status copy_rows(const ColumnType& type, const ColumnView& from, uint32_t begin, uint32_t count,
                 duckdb_vector vector, uint32_t at) {
  uint64_t* validity = nullptr;
  const bool bytes = type.storage == Storage::kBytes, none = type.storage == Storage::kNull;
  if (!bytes && !none)
    std::memcpy(place_in(type, vector, at),
                static_cast<const char*>(from.data) + size_t{begin} * type.width,
                size_t{count} * type.width);
  else if (bytes)
    for (uint32_t i = 0; i < count; ++i)
      if (from.is_valid(begin + i)) TG_TRY(put_bytes(type, from.data, begin + i, vector, at + i));
  if (from.validity == nullptr && !none) return {};
  for (uint32_t i = 0; i < count; ++i)
    if (none || !from.is_valid(begin + i)) put_null(type, vector, validity, at + i);
  return {};
}

Status gather_rows(const ColumnType& type, const ColumnView& from, const uint32_t* rows,
                   uint32_t count, duckdb_vector vector, uint32_t at, bool skips) {
  uint64_t* validity = nullptr;
  const bool none = type.storage == Storage::kNull;
  const auto is_null = [&](uint32_t row) { return none || row == kNoRow || !from.is_valid(row); };
  if (type.storage == Storage::kBytes) {
    for (uint32_t i = 0; i < count; ++i)
      if (!is_null(rows[i])) TG_TRY(put_bytes(type, from.data, rows[i], vector, at + i));
  } else if (!none) {
    char* out = place_in(type, vector, at);
    if (type.width == 1) gather_fixed<1>(from.data, rows, count, out);
    if (type.width == 2) gather_fixed<2>(from.data, rows, count, out);
    if (type.width == 4) gather_fixed<4>(from.data, rows, count, out);
    if (type.width == 8) gather_fixed<8>(from.data, rows, count, out);
    if (type.width == 16) gather_fixed<16>(from.data, rows, count, out);
  }
  for (uint32_t i = 0; i < count; ++i)
    if (is_null(rows[i]) && !(skips && rows[i] == kNoRow)) put_null(type, vector, validity, at + i);
  return {};
}

}  // namespace tidegate::reduce
