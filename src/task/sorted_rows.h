#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "sort/external_sort.h"
#include "task/spec.h"

namespace tidegate {

/// The rows of an input's buckets in another order.
class SortedRows {
 public:
  /// Reads all of the input. `types` are those of its schema; `progress` is told of rows as they
  /// are read.
  static Result<std::unique_ptr<SortedRows>> read(
      Effects& effects, const TaskInput& input, std::vector<batch::ColumnType> types,
      const sort::SortOrder& order, sort::SortOptions options, uint64_t scan_bytes,
      const std::function<void(uint64_t rows)>& progress);

  /// The number of rows in `views`, valid until the next call; 0 at the end.
  Result<uint32_t> next(std::vector<batch::ColumnView>& views) { return sort_->next(views); }
  /// Writes all of them to a map output of one bucket.
  Status store(Effects& effects, const std::string& path, const std::string& attempt,
               uint64_t memory_bytes);
  const std::vector<batch::ColumnType>& types() const { return types_; }
  const sql::Schema& schema() const { return schema_; }
  const sort::SortCounts& counts() const { return sort_->counts(); }

 private:
  SortedRows(sql::Schema schema, std::vector<batch::ColumnType> types)
      : schema_(std::move(schema)), types_(std::move(types)) {}

  sql::Schema schema_;
  std::vector<batch::ColumnType> types_;
  std::unique_ptr<sort::ExternalSort> sort_;
};

}  // namespace tidegate
