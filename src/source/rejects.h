#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/effects.h"
#include "source/snapshot.h"

namespace tidegate {

/// Bad rows of one partition that are named, and how much of each one's text. All are counted.
inline constexpr size_t kRejectsNamedMax = 4096;
inline constexpr size_t kRejectTextMax = 500;

/// A row that could not be read as the source's columns.
struct RejectedRow {
  std::string file;  ///< the input file's name
  /// From 1, as an editor counts (the row's first line); 0: the file as a whole.
  uint64_t line = 0;
  std::string column;  ///< "" where the row as a whole is wrong
  std::string reason;  ///< one line
  std::string raw;     ///< the row's text, cut at kRejectTextMax bytes, valid UTF-8
};

struct Rejects {
  uint64_t rows = 0;  ///< all of them, each row once
  /// How many of each input file that has any, by the file's name.
  std::vector<std::pair<std::string, uint64_t>> files;
  std::vector<RejectedRow> first;  ///< at most kRejectsNamedMax, in file and line order
};

/// The bad rows of a partition whose scan (with quarantine) has run to its end on this connection.
/// CSV: from what DuckDB noted while it scanned, so it costs nothing more; a partition that one
/// task scans twice counts once. JSON: by reading the lines a second time. Parquet has none.
///
/// A CSV value that no stage reads is not converted and so cannot make its row bad; a row of the
/// wrong shape always is.
Result<Rejects> read_rejects(Effects& effects, sql::Connection& connection,
                             const SourceSnapshot& snapshot, const Partition& partition);

/// Turns the failure of a statement that scanned a CSV or JSON partition into one of class data
/// that names file, line, column, reason and the row's text (source.bad_row), by looking for the
/// first bad row. What is not about a bad row (memory, disk, interruption) or cannot be found again
/// comes back as it was. A Parquet file that cannot be read becomes source.bad_file (class data);
/// where DuckDB does not name it, the partition's files are read one by one. `columns` as in
/// scan_sql.
Failure explain_scan_failure(Effects& effects, sql::Connection& connection,
                             const SourceSnapshot& snapshot, const Partition& partition,
                             const Failure& from_duckdb,
                             const std::vector<std::string>& columns = {});

/// The failure source.bad_file (class data): an input file that cannot be read, and why.
Failure bad_file(const std::string& name, Failure cause);

/// The file of the partition that a failure source.bad_file is about; null if it is none.
const InputFile* bad_file_of(const SourceSnapshot& snapshot, const Partition& partition,
                             const Failure& failure);

}  // namespace tidegate
