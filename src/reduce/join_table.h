#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "reduce/join.h"
#include "shuffle/shuffle.h"
#include "sql/sql.h"

namespace tidegate::reduce {

/// Where the rows of one side of a join come from.
struct JoinInput {
  sql::Schema schema;
  std::vector<MapOutputRef> files;
  uint32_t bucket_begin = 0;
  uint32_t bucket_end = 0;
  uint64_t scan_bytes = 0;  ///< bound of a reader's blocks
};

struct JoinOptions {
  uint64_t memory_bytes = 0;                         ///< of the rows that are kept and their table
  std::function<void(uint64_t rows)> progress = {};  ///< called with rows as they are taken in
};

struct JoinCounts {
  uint64_t turns = 0;  ///< times that an input was read again because not all rows could be kept
  uint64_t peak_bytes = 0;
};

/// Makes the relations of `spec` tables of `connection`, to be read side by side and any number of
/// times, one after the other. Where both inputs have as many buckets, bucket is joined with
/// bucket: rows with equal keys must lie in buckets of the same number. Returns the names of the
/// table functions behind the relations ("" for one that there is not). Failures travel through
/// DuckDB as those of bucket tables do.
Result<std::pair<std::string, std::string>> register_join(sql::Connection& connection,
                                                          Effects& effects, const JoinSpec& spec,
                                                          JoinInput left, JoinInput right,
                                                          JoinOptions options,
                                                          std::shared_ptr<JoinCounts> counts);

}  // namespace tidegate::reduce
