#include "batch/type.h"

#include <algorithm>
#include <charconv>
#include <memory>

#include "duckdb.h"

namespace tidegate::batch {
namespace {

struct TypeDeleter {
  void operator()(_duckdb_logical_type* type) const {
    duckdb_logical_type handle = type;
    duckdb_destroy_logical_type(&handle);
  }
};
using TypePtr = std::unique_ptr<_duckdb_logical_type, TypeDeleter>;

ColumnType make(Meaning meaning, Storage storage) {
  ColumnType type;
  type.meaning = meaning;
  type.storage = storage;
  type.width = storage_width(storage);
  return type;
}

Storage decimal_storage(uint8_t width) {
  if (width <= 4) return Storage::kI16;
  if (width <= 9) return Storage::kI32;
  if (width <= 18) return Storage::kI64;
  return Storage::kI128;
}

Storage enum_storage(uint64_t count) {
  if (count <= 0xff) return Storage::kU8;
  if (count <= 0xffff) return Storage::kU16;
  return Storage::kU32;
}

struct Named {
  const char* name;
  duckdb_type id;
  Meaning meaning;
  Storage storage;
};

constexpr Named kNamed[] = {
    {"BOOLEAN", DUCKDB_TYPE_BOOLEAN, Meaning::kBoolean, Storage::kU8},
    {"TINYINT", DUCKDB_TYPE_TINYINT, Meaning::kInteger, Storage::kI8},
    {"SMALLINT", DUCKDB_TYPE_SMALLINT, Meaning::kInteger, Storage::kI16},
    {"INTEGER", DUCKDB_TYPE_INTEGER, Meaning::kInteger, Storage::kI32},
    {"BIGINT", DUCKDB_TYPE_BIGINT, Meaning::kInteger, Storage::kI64},
    {"HUGEINT", DUCKDB_TYPE_HUGEINT, Meaning::kInteger, Storage::kI128},
    {"UTINYINT", DUCKDB_TYPE_UTINYINT, Meaning::kInteger, Storage::kU8},
    {"USMALLINT", DUCKDB_TYPE_USMALLINT, Meaning::kInteger, Storage::kU16},
    {"UINTEGER", DUCKDB_TYPE_UINTEGER, Meaning::kInteger, Storage::kU32},
    {"UBIGINT", DUCKDB_TYPE_UBIGINT, Meaning::kInteger, Storage::kU64},
    {"UHUGEINT", DUCKDB_TYPE_UHUGEINT, Meaning::kInteger, Storage::kU128},
    {"FLOAT", DUCKDB_TYPE_FLOAT, Meaning::kFloat, Storage::kF32},
    {"DOUBLE", DUCKDB_TYPE_DOUBLE, Meaning::kDouble, Storage::kF64},
    {"DATE", DUCKDB_TYPE_DATE, Meaning::kDate, Storage::kI32},
    {"TIME", DUCKDB_TYPE_TIME, Meaning::kTime, Storage::kI64},
    {"TIME_NS", DUCKDB_TYPE_TIME_NS, Meaning::kTimeNs, Storage::kI64},
    {"TIME WITH TIME ZONE", DUCKDB_TYPE_TIME_TZ, Meaning::kTimeTz, Storage::kU64},
    {"TIMESTAMP_S", DUCKDB_TYPE_TIMESTAMP_S, Meaning::kTimestampS, Storage::kI64},
    {"TIMESTAMP_MS", DUCKDB_TYPE_TIMESTAMP_MS, Meaning::kTimestampMs, Storage::kI64},
    {"TIMESTAMP", DUCKDB_TYPE_TIMESTAMP, Meaning::kTimestampUs, Storage::kI64},
    {"TIMESTAMP_NS", DUCKDB_TYPE_TIMESTAMP_NS, Meaning::kTimestampNs, Storage::kI64},
    {"TIMESTAMP WITH TIME ZONE", DUCKDB_TYPE_TIMESTAMP_TZ, Meaning::kTimestampTz, Storage::kI64},
    {"INTERVAL", DUCKDB_TYPE_INTERVAL, Meaning::kInterval, Storage::kInterval},
    {"UUID", DUCKDB_TYPE_UUID, Meaning::kUuid, Storage::kI128},
    {"VARCHAR", DUCKDB_TYPE_VARCHAR, Meaning::kVarchar, Storage::kBytes},
    {"BLOB", DUCKDB_TYPE_BLOB, Meaning::kBlob, Storage::kBytes},
    {"BIT", DUCKDB_TYPE_BIT, Meaning::kBit, Storage::kBytes},
    {"BIGNUM", DUCKDB_TYPE_BIGNUM, Meaning::kBignum, Storage::kBytes},
    {"\"NULL\"", DUCKDB_TYPE_SQLNULL, Meaning::kNull, Storage::kNull},
};

constexpr struct {
  const char* alias;
  const char* name;
} kAliases[] = {
    {"JSON", "VARCHAR"},  {"TIMETZ", "TIME WITH TIME ZONE"},
    {"BOOL", "BOOLEAN"},  {"TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"},
    {"TEXT", "VARCHAR"},  {"STRING", "VARCHAR"},
    {"INT", "INTEGER"},   {"REAL", "FLOAT"},
    {"BITSTRING", "BIT"}, {"DATETIME", "TIMESTAMP"},
    {"BYTEA", "BLOB"},    {"TIMESTAMP_US", "TIMESTAMP"},
    {"NULL", "\"NULL\""},
};

std::unexpected<Failure> refuse(std::string_view text, std::string_view why) {
  return fail(
      FailureClass::kDefect, "batch.type",
      std::string("this type cannot be shuffled (") + std::string(why) + "): " + std::string(text));
}

Result<ColumnType> take_apart(duckdb_logical_type type, int depth) {
  if (depth > kTypeDepthMax) return refuse("", "nested too deep");
  const duckdb_type id = duckdb_get_type_id(type);
  for (const Named& named : kNamed) {
    if (named.id == id) return make(named.meaning, named.storage);
  }
  auto child = [&](ColumnType& into, duckdb_logical_type raw) -> Status {
    TypePtr owned(raw);
    TG_ASSIGN(ColumnType part, take_apart(owned.get(), depth + 1));
    into.children.push_back(std::move(part));
    return {};
  };
  switch (id) {
    case DUCKDB_TYPE_DECIMAL: {
      const uint8_t width = duckdb_decimal_width(type);
      ColumnType out = make(Meaning::kDecimal, decimal_storage(width));
      out.decimal_width = width;
      out.decimal_scale = duckdb_decimal_scale(type);
      return out;
    }
    case DUCKDB_TYPE_ENUM: {
      const uint32_t count = duckdb_enum_dictionary_size(type);
      Storage storage = Storage::kU32;
      const duckdb_type physical = duckdb_enum_internal_type(type);
      if (physical == DUCKDB_TYPE_UTINYINT) storage = Storage::kU8;
      if (physical == DUCKDB_TYPE_USMALLINT) storage = Storage::kU16;
      ColumnType out = make(Meaning::kEnum, storage);
      out.enum_texts.reserve(count);
      for (uint32_t i = 0; i < count; ++i) {
        char* text = duckdb_enum_dictionary_value(type, i);
        out.enum_texts.emplace_back(text != nullptr ? text : "");
        duckdb_free(text);
      }
      return out;
    }
    case DUCKDB_TYPE_LIST: {
      ColumnType out = make(Meaning::kList, Storage::kBytes);
      TG_TRY(child(out, duckdb_list_type_child_type(type)));
      return out;
    }
    case DUCKDB_TYPE_ARRAY: {
      ColumnType out = make(Meaning::kArray, Storage::kBytes);
      out.array_size = duckdb_array_type_array_size(type);
      TG_TRY(child(out, duckdb_array_type_child_type(type)));
      return out;
    }
    case DUCKDB_TYPE_MAP: {
      ColumnType entry = make(Meaning::kStruct, Storage::kBytes);
      TG_TRY(child(entry, duckdb_map_type_key_type(type)));
      TG_TRY(child(entry, duckdb_map_type_value_type(type)));
      ColumnType out = make(Meaning::kMap, Storage::kBytes);
      out.children.push_back(std::move(entry));
      return out;
    }
    case DUCKDB_TYPE_STRUCT: {
      ColumnType out = make(Meaning::kStruct, Storage::kBytes);
      const idx_t count = duckdb_struct_type_child_count(type);
      for (idx_t i = 0; i < count; ++i) {
        TG_TRY(child(out, duckdb_struct_type_child_type(type, i)));
      }
      return out;
    }
    case DUCKDB_TYPE_UNION: {
      ColumnType out = make(Meaning::kUnion, Storage::kBytes);
      const idx_t count = duckdb_union_type_member_count(type);
      for (idx_t i = 0; i < count; ++i) {
        TG_TRY(child(out, duckdb_union_type_member_type(type, i)));
      }
      return out;
    }
    case DUCKDB_TYPE_GEOMETRY:
      return refuse("GEOMETRY", "cast it to BLOB or VARCHAR");
    case DUCKDB_TYPE_VARIANT:
      return refuse("VARIANT", "DuckDB's C interface cannot carry it; cast it to JSON or VARCHAR");
    default:
      return refuse(sql::type_text(type), "unknown to this version");
  }
}

bool parse_number(std::string_view text, uint8_t& out) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

uint8_t storage_width(Storage storage) {
  switch (storage) {
    case Storage::kI8:
    case Storage::kU8:
      return 1;
    case Storage::kI16:
    case Storage::kU16:
      return 2;
    case Storage::kI32:
    case Storage::kU32:
    case Storage::kF32:
      return 4;
    case Storage::kI64:
    case Storage::kU64:
    case Storage::kF64:
      return 8;
    case Storage::kI128:
    case Storage::kU128:
    case Storage::kInterval:
      return 16;
    case Storage::kBytes:
    case Storage::kNull:
      return 0;
  }
  return 0;
}

Result<ColumnType> column_type(_duckdb_logical_type* type) {
  TG_ASSIGN(ColumnType out, take_apart(type, 0));
  out.text = sql::type_text(type);
  return out;
}

Result<std::vector<ColumnType>> column_types(sql::Connection& connection,
                                             const sql::Schema& schema) {
  std::vector<ColumnType> types;
  for (const sql::Column& column : schema) {
    TG_ASSIGN(duckdb_logical_type type, connection.make_type(column.type));
    auto parts = column_type(type);
    duckdb_destroy_logical_type(&type);
    if (!parts) return std::unexpected(std::move(parts).error());
    types.push_back(std::move(*parts));
  }
  return types;
}

Result<ColumnType> parse_scalar_type(std::string_view text) {
  std::string_view name = text;
  for (const auto& alias : kAliases) {
    if (name == alias.alias) name = alias.name;
  }
  ColumnType out;
  for (const Named& named : kNamed) {
    if (name != named.name) continue;
    out = make(named.meaning, named.storage);
    out.text = text;
    return out;
  }
  if (name.ends_with("]")) return refuse(text, "nested");
  if (name.starts_with("DECIMAL(") && name.ends_with(")")) {
    const std::string_view inner = name.substr(8, name.size() - 9);
    const size_t comma = inner.find(',');
    uint8_t width = 0;
    uint8_t scale = 0;
    if (comma == std::string_view::npos || !parse_number(inner.substr(0, comma), width) ||
        !parse_number(inner.substr(comma + 1), scale) || width < 1 || width > 38 || scale > width) {
      return refuse(text, "malformed decimal");
    }
    out = make(Meaning::kDecimal, decimal_storage(width));
    out.decimal_width = width;
    out.decimal_scale = scale;
    out.text = text;
    return out;
  }
  if (name.starts_with("ENUM(") && name.ends_with(")")) {
    const std::string_view inner = name.substr(5, name.size() - 6);
    size_t at = 0;
    while (at < inner.size()) {
      if (inner[at] != '\'') return refuse(text, "malformed enum");
      std::string value;
      bool closed = false;
      for (++at; at < inner.size(); ++at) {
        if (inner[at] != '\'') {
          value += inner[at];
        } else if (at + 1 < inner.size() && inner[at + 1] == '\'') {
          value += '\'';
          ++at;
        } else {
          closed = true;
          ++at;
          break;
        }
      }
      if (!closed) return refuse(text, "malformed enum");
      out.enum_texts.push_back(std::move(value));
      while (at < inner.size() && (inner[at] == ',' || inner[at] == ' ')) ++at;
    }
    std::vector<std::string> texts = std::move(out.enum_texts);
    out = make(Meaning::kEnum, enum_storage(texts.size()));
    out.enum_texts = std::move(texts);
    out.text = text;
    return out;
  }
  return refuse(text, "nested or unknown");
}

std::string plain_type_text(std::string_view text) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const char quote = text[at];
    if (quote != '"' && quote != '\'') {
      out += text[at++];
      continue;
    }
    // A quote inside doubles itself, so it starts the next piece of the same name.
    const size_t end = std::min(text.find(quote, at + 1), text.size() - 1);
    const std::string_view inner = text.substr(at + 1, end > at ? end - at - 1 : 0);
    bool plain = quote == '"' && !inner.empty() && (at == 0 || text[at - 1] != '"') &&
                 (end + 1 >= text.size() || text[end + 1] != '"');
    for (const char c : inner) {
      plain = plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                        (c >= '0' && c <= '9'));
    }
    out += plain ? inner : text.substr(at, end - at + 1);
    at = end + 1;
  }
  return out;
}

}  // namespace tidegate::batch
