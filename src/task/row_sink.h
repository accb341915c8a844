#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "task/spec.h"

struct _duckdb_data_chunk;

namespace tidegate {

/// What every sink of a task knows of it.
struct RowSinkOptions {
  sql::Schema schema;  ///< of the rows
  std::string path;
  std::string attempt;
  uint32_t unit = 0;                  ///< the task's place among those of its group
  uint64_t memory_bytes = 0;          ///< bound of the sink's buffers
  std::vector<MapOutputRef> samples;  ///< kRanges: what ranges are cut by
};

/// Takes a task's rows to one file of its result. The file's xxh3 is its content's digest.
class RowSink {
 public:
  /// By sink.kind, but for kParquet.
  static Result<std::unique_ptr<RowSink>> create(Effects& effects, const TaskSink& sink,
                                                 RowSinkOptions options);
  virtual ~RowSink() = default;
  virtual Status append(_duckdb_data_chunk* rows) = 0;
  virtual Result<TaskOutputFile> finish() = 0;
};

}  // namespace tidegate
