#pragma once

#include <optional>
#include <string>

#include "base/thrift.h"
#include "batch/type.h"
#include "sink/format.h"

namespace tidegate::sink {

/// What a published column is in a file's schema: exactly what DuckDB 1.5.5's COPY writes.
struct ColumnForm {
  std::string name;
  batch::ColumnType published;
  Physical physical = Physical::kInt32;
  uint8_t fixed_bytes = 0;  ///< of Physical::kFixed
  Converted converted = Converted::kNone;
  Logical logical = Logical::kNone;
  bool utc = false;   ///< of times and timestamps
  int time_unit = 0;  ///< 1 milliseconds, 2 microseconds, 3 nanoseconds

  void put_schema_element(thrift::Writer& out) const;
};

/// The form of a column of a published type; nothing for types that are not written here.
std::optional<ColumnForm> column_form(const std::string& name, const std::string& published_type);

}  // namespace tidegate::sink
