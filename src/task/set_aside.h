#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "source/rejects.h"
#include "task/spec.h"

namespace tidegate {

// The side table of the rows that a task has set aside of a source: a file of its result, so it
// counts exactly if the result does, is found again where the result is reused, and goes with it.
// JSON lines in file and line order, line 0 standing for a whole file:
// {"source","file","line","column","reason","raw","stage", "attempt"}. At most kRejectsNamedMax
// rows and kSetAsideBytesMax bytes; how many rows there are in all stands in the task's report.

inline constexpr uint64_t kSetAsideBytesMax = uint64_t{4} << 20;

struct SetAside {
  std::string source;
  std::string stage;  ///< of the task that set them aside
  std::string attempt;
  std::vector<RejectedRow> rows;
};

/// How many rows a slice of a Parquet file has, by its metadata.
uint64_t rows_in(const SourceSnapshot& snapshot, const FileSlice& slice);

/// Takes the file that a failure source.bad_file is about out of the input, or the rows that checks
/// refer to, that reads it, and notes its rows as lost. False if nothing that sets files aside
/// does.
bool set_file_aside(TaskSpec& spec, const Failure& failure);

/// The table's name in a result, by the source's place in the task's report.
std::string set_aside_table(size_t index);

/// {"file","line","column","reason","raw"}.
std::string set_aside_json(const RejectedRow& row);

/// Writes the table, which must not be there yet. Gives how many rows it has: the first that fit.
/// Secrets that this process has read are replaced by their references.
Result<uint64_t> write_set_aside(Effects& effects, const std::string& path, const SetAside& aside);

/// Reads a table. One that is no such table is a failure of class lost (quarantine.table).
Result<SetAside> read_set_aside(Effects& effects, const std::string& path);

}  // namespace tidegate
