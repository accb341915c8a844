#include "batch/value_codec.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "batch/chunk_view.h"
#include "duckdb.h"

namespace tidegate::batch {
namespace {

void put_varint(uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

/// Reads an encoded value; every read is checked against the end.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  bool take(size_t size, std::string_view& out) {
    if (size > left()) return false;
    out = {at_, size};
    at_ += size;
    return true;
  }
  bool byte(uint8_t& out) {
    if (at_ == end_) return false;
    out = static_cast<uint8_t>(*at_++);
    return true;
  }
  bool varint(uint64_t& out) {
    out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t part = 0;
      if (!byte(part)) return false;
      out |= static_cast<uint64_t>(part & 0x7f) << shift;
      if (part < 0x80) return true;
    }
    return false;
  }

 private:
  const char* at_;
  const char* end_;
};

std::unexpected<Failure> malformed() {
  return fail(FailureClass::kLost, "batch.value", "a nested value is malformed");
}

Status canonical(const ColumnType& type, Reader& in, std::string& out) {
  uint8_t present = 0;
  if (!in.byte(present) || present > 1) return malformed();
  out += static_cast<char>(present);
  if (present == 0 || type.storage == Storage::kNull) return {};
  std::string_view bytes;
  uint64_t count = 0;
  switch (type.meaning) {
    case Meaning::kList:
    case Meaning::kMap:
      if (!in.varint(count) || count > in.left()) return malformed();
      put_varint(count, out);
      for (uint64_t i = 0; i < count; ++i) TG_TRY(canonical(type.children[0], in, out));
      return {};
    case Meaning::kArray:
      for (uint64_t i = 0; i < type.array_size; ++i) TG_TRY(canonical(type.children[0], in, out));
      return {};
    case Meaning::kStruct:
      for (const ColumnType& part : type.children) TG_TRY(canonical(part, in, out));
      return {};
    case Meaning::kUnion: {
      uint8_t tag = 0;
      if (!in.byte(tag) || tag >= type.children.size()) return malformed();
      out += static_cast<char>(tag);
      return canonical(type.children[tag], in, out);
    }
    default:
      break;
  }
  if (type.storage == Storage::kBytes) {
    if (!in.varint(count) || !in.take(count, bytes)) return malformed();
    put_varint(count, out);
    out += bytes;
    return {};
  }
  if (!in.take(type.width, bytes)) return malformed();
  if (type.storage == Storage::kF32 || type.storage == Storage::kF64) {
    double value = 0;
    float narrow = 0;
    if (type.storage == Storage::kF32) {
      std::memcpy(&narrow, bytes.data(), 4);
      value = narrow;
    } else {
      std::memcpy(&value, bytes.data(), 8);
    }
    if (value == 0) value = 0;
    if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();
    out.append(reinterpret_cast<const char*>(&value), 8);
    return {};
  }
  if (type.storage == Storage::kInterval) {
    duckdb_interval value;
    std::memcpy(&value, bytes.data(), 16);
    const int128 day_us = 86'400'000'000;
    const int128 length = (int128{value.months} * 30 + value.days) * day_us + value.micros;
    out.append(reinterpret_cast<const char*>(&length), 16);
    return {};
  }
  out += bytes;
  return {};
}

Status decode(const ColumnType& type, Reader& in, duckdb_vector vector, size_t row) {
  uint8_t present = 0;
  if (!in.byte(present) || present > 1) return malformed();
  if (present == 0 || type.storage == Storage::kNull) {
    set_value_null(type, vector, row);
    return {};
  }
  std::string_view bytes;
  uint64_t count = 0;
  switch (type.meaning) {
    case Meaning::kList:
    case Meaning::kMap: {
      if (!in.varint(count) || count > in.left()) return malformed();
      const idx_t offset = duckdb_list_vector_get_size(vector);
      if (duckdb_list_vector_reserve(vector, offset + count) != DuckDBSuccess ||
          duckdb_list_vector_set_size(vector, offset + count) != DuckDBSuccess) {
        return malformed();
      }
      static_cast<duckdb_list_entry*>(duckdb_vector_get_data(vector))[row] = {offset, count};
      duckdb_vector child = duckdb_list_vector_get_child(vector);
      for (uint64_t i = 0; i < count; ++i) {
        TG_TRY(decode(type.children[0], in, child, offset + i));
      }
      return {};
    }
    case Meaning::kArray: {
      duckdb_vector child = duckdb_array_vector_get_child(vector);
      for (uint64_t i = 0; i < type.array_size; ++i) {
        TG_TRY(decode(type.children[0], in, child, row * type.array_size + i));
      }
      return {};
    }
    case Meaning::kStruct:
      for (size_t i = 0; i < type.children.size(); ++i) {
        TG_TRY(decode(type.children[i], in, duckdb_struct_vector_get_child(vector, i), row));
      }
      return {};
    case Meaning::kUnion: {
      uint8_t tag = 0;
      if (!in.byte(tag) || tag >= type.children.size()) return malformed();
      static_cast<uint8_t*>(
          duckdb_vector_get_data(duckdb_struct_vector_get_child(vector, 0)))[row] = tag;
      for (size_t i = 0; i < type.children.size(); ++i) {
        duckdb_vector member = duckdb_struct_vector_get_child(vector, i + 1);
        if (i == tag) {
          TG_TRY(decode(type.children[i], in, member, row));
        } else {
          set_value_null(type.children[i], member, row);
        }
      }
      return {};
    }
    default:
      break;
  }
  if (type.storage == Storage::kBytes) {
    if (!in.varint(count) || !in.take(count, bytes)) return malformed();
    duckdb_unsafe_vector_assign_string_element_len(vector, row, bytes.data(), bytes.size());
    return {};
  }
  if (!in.take(type.width, bytes)) return malformed();
  if (type.meaning == Meaning::kEnum) {
    uint32_t index = 0;
    std::memcpy(&index, bytes.data(), bytes.size());
    if (index >= type.enum_texts.size()) return malformed();
  }
  std::memcpy(static_cast<char*>(duckdb_vector_get_data(vector)) + row * type.width, bytes.data(),
              bytes.size());
  return {};
}

}  // namespace

VectorTree VectorTree::of(const ColumnType& type, duckdb_vector vector) {
  VectorTree tree;
  tree.data = duckdb_vector_get_data(vector);
  tree.validity = duckdb_vector_get_validity(vector);
  switch (type.meaning) {
    case Meaning::kList:
    case Meaning::kMap:
      tree.children.push_back(of(type.children[0], duckdb_list_vector_get_child(vector)));
      break;
    case Meaning::kArray:
      tree.children.push_back(of(type.children[0], duckdb_array_vector_get_child(vector)));
      break;
    case Meaning::kStruct:
      for (size_t i = 0; i < type.children.size(); ++i) {
        tree.children.push_back(of(type.children[i], duckdb_struct_vector_get_child(vector, i)));
      }
      break;
    case Meaning::kUnion: {
      duckdb_vector tag = duckdb_struct_vector_get_child(vector, 0);
      tree.data = duckdb_vector_get_data(tag);
      for (size_t i = 0; i < type.children.size(); ++i) {
        tree.children.push_back(
            of(type.children[i], duckdb_struct_vector_get_child(vector, i + 1)));
      }
      break;
    }
    default:
      break;
  }
  return tree;
}

void encode_value(const ColumnType& type, const VectorTree& tree, size_t row, std::string& out) {
  const bool valid = type.storage != Storage::kNull && tree.is_valid(row);
  out += static_cast<char>(valid ? 1 : 0);
  if (!valid) return;
  switch (type.meaning) {
    case Meaning::kList:
    case Meaning::kMap: {
      const duckdb_list_entry entry = static_cast<const duckdb_list_entry*>(tree.data)[row];
      put_varint(entry.length, out);
      for (uint64_t i = 0; i < entry.length; ++i) {
        encode_value(type.children[0], tree.children[0], entry.offset + i, out);
      }
      return;
    }
    case Meaning::kArray:
      for (uint64_t i = 0; i < type.array_size; ++i) {
        encode_value(type.children[0], tree.children[0], row * type.array_size + i, out);
      }
      return;
    case Meaning::kStruct:
      for (size_t i = 0; i < type.children.size(); ++i) {
        encode_value(type.children[i], tree.children[i], row, out);
      }
      return;
    case Meaning::kUnion: {
      const uint8_t tag = static_cast<const uint8_t*>(tree.data)[row];
      TG_ASSERT(tag < type.children.size());
      out += static_cast<char>(tag);
      encode_value(type.children[tag], tree.children[tag], row, out);
      return;
    }
    default:
      break;
  }
  if (type.storage == Storage::kBytes) {
    const StringRef& text = static_cast<const StringRef*>(tree.data)[row];
    put_varint(text.size, out);
    out.append(text.data(), text.size);
    return;
  }
  out.append(static_cast<const char*>(tree.data) + row * type.width, type.width);
}

void set_value_null(const ColumnType& type, duckdb_vector vector, size_t row) {
  duckdb_vector_ensure_validity_writable(vector);
  duckdb_validity_set_row_invalid(duckdb_vector_get_validity(vector), row);
  // DuckDB expects the fields of a NULL struct and the elements of a NULL array to be NULL too.
  if (type.meaning == Meaning::kStruct) {
    for (size_t i = 0; i < type.children.size(); ++i) {
      set_value_null(type.children[i], duckdb_struct_vector_get_child(vector, i), row);
    }
  } else if (type.meaning == Meaning::kUnion) {
    duckdb_vector tag = duckdb_struct_vector_get_child(vector, 0);
    duckdb_vector_ensure_validity_writable(tag);
    duckdb_validity_set_row_invalid(duckdb_vector_get_validity(tag), row);
    for (size_t i = 0; i < type.children.size(); ++i) {
      set_value_null(type.children[i], duckdb_struct_vector_get_child(vector, i + 1), row);
    }
  } else if (type.meaning == Meaning::kArray) {
    duckdb_vector child = duckdb_array_vector_get_child(vector);
    for (uint64_t i = 0; i < type.array_size; ++i) {
      set_value_null(type.children[0], child, row * type.array_size + i);
    }
  } else if (type.meaning == Meaning::kList || type.meaning == Meaning::kMap) {
    static_cast<duckdb_list_entry*>(duckdb_vector_get_data(vector))[row] = {
        duckdb_list_vector_get_size(vector), 0};
  }
}

Result<std::string> canonical_value(const ColumnType& type, std::string_view encoded) {
  Reader in(encoded);
  std::string out;
  out.reserve(encoded.size());
  TG_TRY(canonical(type, in, out));
  if (in.left() != 0) return malformed();
  return out;
}

Status decode_value(const ColumnType& type, std::string_view encoded, duckdb_vector vector,
                    size_t row) {
  Reader in(encoded);
  TG_TRY(decode(type, in, vector, row));
  if (in.left() != 0) return malformed();
  return {};
}

}  // namespace tidegate::batch
