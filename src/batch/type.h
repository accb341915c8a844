#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "sql/sql.h"

namespace tidegate::batch {

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

/// How a column's values lie in memory and in map outputs. Numbers stand on disk.
enum class Storage : uint8_t {
  kI8 = 1,
  kI16 = 2,
  kI32 = 3,
  kI64 = 4,
  kI128 = 5,
  kU8 = 6,
  kU16 = 7,
  kU32 = 8,
  kU64 = 9,
  kU128 = 10,
  kF32 = 11,
  kF64 = 12,
  kInterval = 13,  ///< months i32, days i32, microseconds i64
  kBytes = 14,     ///< text and anything else of variable length
  kNull = 15,      ///< every value is NULL
};

/// What a value means, as far as hashing and encoding care.
enum class Meaning : uint8_t {
  kBoolean,
  kInteger,
  kDecimal,
  kFloat,
  kDouble,
  kDate,
  kTime,
  kTimeNs,
  kTimeTz,
  kTimestampS,
  kTimestampMs,
  kTimestampUs,
  kTimestampNs,
  kTimestampTz,
  kInterval,
  kUuid,
  kVarchar,
  kBlob,
  kBit,
  kBignum,
  kEnum,
  kList,
  kArray,
  kStruct,
  kMap,
  kUnion,
  kNull,
};

/// A DuckDB type taken apart. Nested types travel as kBytes: one encoded value a row.
struct ColumnType {
  Storage storage = Storage::kNull;
  Meaning meaning = Meaning::kNull;
  uint8_t width = 0;  ///< bytes of one value; 0 for kBytes and kNull
  uint8_t decimal_width = 0;
  uint8_t decimal_scale = 0;
  uint64_t array_size = 0;
  std::string text;  ///< as DuckDB writes it; empty for children
  std::vector<std::string> enum_texts;
  std::vector<ColumnType>
      children;  ///< list, array: 1; map: the struct of key and value; struct, union

  bool is_nested() const { return meaning >= Meaning::kList && meaning <= Meaning::kUnion; }
  bool is_signed_integer() const { return storage <= Storage::kI128; }
};

/// Types below this depth are refused, in nested values and in type texts.
inline constexpr int kTypeDepthMax = 64;

/// Takes a logical type apart. Types that the C API cannot carry (VARIANT, GEOMETRY and what is
/// not known here) are a defect failure "batch.type".
Result<ColumnType> column_type(_duckdb_logical_type* type);
/// The types of a schema's columns, by their texts.
Result<std::vector<ColumnType>> column_types(sql::Connection& connection,
                                             const sql::Schema& schema);

/// Parses the text of a type that can be a hash key without children: everything but nested
/// types. Aliases that DuckDB keeps (JSON) count as what they are stored as. A nested or unknown
/// type is a defect failure "batch.type".
Result<ColumnType> parse_scalar_type(std::string_view text);

/// The text with quotes taken from names that need none, so that two ways to write a type compare
/// equal.
std::string plain_type_text(std::string_view text);

/// Bytes of one value of `storage`; 0 for kBytes and kNull.
uint8_t storage_width(Storage storage);

}  // namespace tidegate::batch
