#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "sql/sql.h"
#include "task/spec.h"

namespace tidegate {

/// Values of its `by` columns that an output may have: a file each, a line each in its manifest.
inline constexpr size_t kPublishValuesMax = 10'000;
/// Bytes of a row's values in `by`: nobody finds a file by a longer name.
inline constexpr size_t kPublishValueBytesMax = 1'024;

/// Buckets of finished results, to be published in a file for each value.
struct ByValueWork {
  const TaskInput& input;  ///< bound in the connection under its name
  const TaskSink& sink;    ///< with `by`
  std::string attempt;
  std::string directory;        ///< for the files
  std::string spill_directory;  ///< for rows that are put in order of their values
  uint64_t scan_bytes = 0;      ///< of a reader of buckets
  uint64_t split_bytes = 0;     ///< of what puts rows in order
  uint64_t parquet_bytes = 0;   ///< of the file that is being written
  std::function<void(uint64_t rows)> progress;
};

struct ByValueFiles {
  uint64_t rows = 0;
  uint64_t bytes = 0;
  std::vector<TaskOutputFile>
      files;  ///< in order of their labels; one without rows if there is none
};

/// Writes one Parquet file for each value, one after the other, so that no more than one file's
/// buffers are held however many values there are. The rows are read once for the values that there
/// are; if it is more than one, they go to a spill file in a bucket a value, and from there into
/// the files. A file's bytes follow from its own rows and their order alone, not from what else
/// lies in the same bucket. More than kPublishValuesMax values are a data failure
/// "publish.by_values", a value of more than kPublishValueBytesMax "publish.by_value".
Result<ByValueFiles> write_by_value(Effects& effects, sql::Connection& connection,
                                    const ByValueWork& work);

}  // namespace tidegate
