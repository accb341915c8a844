#pragma once

#include <cstdint>

/// The numbers of Parquet's format that are written here (parquet.thrift, format 2.11).
namespace tidegate::sink {

enum class Physical : int8_t {
  kBoolean = 0,
  kInt32 = 1,
  kInt64 = 2,
  kFloat = 4,
  kDouble = 5,
  kByteArray = 6,
  kFixed = 7,  ///< FIXED_LEN_BYTE_ARRAY
};

enum class Encoding : int8_t {
  kPlain = 0,
  kRle = 3,          ///< levels only
  kDelta = 5,        ///< DELTA_BINARY_PACKED
  kDeltaLength = 6,  ///< DELTA_LENGTH_BYTE_ARRAY
  kDictionary = 8,   ///< RLE_DICTIONARY
  kSplit = 9,        ///< BYTE_STREAM_SPLIT
};

enum class Codec : int8_t { kNone = 0, kSnappy = 1, kZstd = 6 };

enum class Converted : int8_t {
  kNone = -1,
  kUtf8 = 0,
  kDecimal = 5,
  kDate = 6,
  kTimeMicros = 8,
  kTimestampMillis = 9,
  kTimestampMicros = 10,
  kUint8 = 11,
  kUint16 = 12,
  kUint32 = 13,
  kUint64 = 14,
  kInt8 = 15,
  kInt16 = 16,
  kInt32 = 17,
  kInt64 = 18,
  kJson = 19,
  kInterval = 21,
};

/// The field of the LogicalType union.
enum class Logical : int8_t {
  kNone = 0,
  kDecimal = 5,
  kTime = 7,
  kTimestamp = 8,
  kJson = 12,
  kUuid = 14,
};

}  // namespace tidegate::sink
