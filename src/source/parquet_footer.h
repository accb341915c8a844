#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "source/snapshot.h"

namespace tidegate {

/// What planning needs of a Parquet file's footer.
struct ParquetFooter {
  std::string
      schema;  ///< its list of SchemaElement, as it stands there: equal bytes, equal columns
  std::vector<RowGroup> row_groups;
};

/// Reads a FileMetaData struct in Thrift's compact protocol, all of it, and keeps what planning
/// needs. DuckDB's parquet_metadata() makes a row of 30 values for each column of each row group,
/// which takes eight times as long. Any bytes are read without harm; what is no such struct fails
/// with source.bad_file (class data).
Result<ParquetFooter> parse_parquet_footer(std::string_view bytes);

}  // namespace tidegate
