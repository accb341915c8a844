#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/effects.h"
#include "contract/contract.h"
#include "journal/records.h"
#include "sql/sql.h"

namespace tidegate {

/// One row group of a Parquet file: its rows are [row_begin, row_begin + rows) of the file.
struct RowGroup {
  uint64_t row_begin = 0;
  uint64_t rows = 0;
  uint64_t bytes = 0;  ///< compressed, all columns
  bool operator==(const RowGroup&) const = default;
};

/// Rows [row_begin, row_end) of files[file]; row_end -1 means to the end.
struct FileSlice {
  uint32_t file = 0;
  int64_t row_begin = 0;
  int64_t row_end = -1;
  bool whole() const { return row_begin == 0 && row_end < 0; }
};

/// One input file as it stood when the snapshot was taken.
struct InputFile {
  std::string path;  ///< absolute, no component of it a symbolic link
  std::string name;  ///< as found, relative to the pipeline file where it lies under it
  FileStat stat;
  std::string identity;  ///< 64 hex digits: see source/content.h
  uint64_t rows = 0;
  bool rows_known = false;  ///< from metadata (Parquet); CSV and JSON tell only when read
  std::vector<RowGroup> row_groups;
  std::shared_ptr<const sql::Schema> columns;  ///< of this file itself
};

/// What one task reads of a source.
struct Partition {
  std::vector<FileSlice> slices;
  std::string identity;  ///< 64 hex digits over reading recipe, files and ranges
  std::string label;     ///< "flights-3m.parquet rows 0..818,181", "a.csv .. f.csv (6 files)"
  uint64_t bytes = 0;    ///< compressed, as stored
  uint64_t rows = 0;     ///< 0 where not known
  bool rows_known = false;
};

/// An input file that cannot be read and is left out (quarantine).
struct FileSetAside {
  std::string path;
  std::string name;
  std::string identity;
  std::string reason;     ///< one line
  bool accepted = false;  ///< a person has accepted the loss: it counts as if it were there
  uint64_t bytes = 0;
};

/// How files are read: all that decides the rows but the files themselves. Every option is pinned,
/// so that each partition is read with the same dialect and types.
struct ReadRecipe {
  FileFormat format = FileFormat::kParquet;
  /// Reader options, name -> SQL literal text; `${env:NAME}` and `${file:PATH}` stand as written.
  std::vector<std::pair<std::string, std::string>> options;
  /// Quarantine: bad rows, and files that cannot be read, are left out and counted.
  bool set_aside_bad_rows = false;
  std::string directory;  ///< what `${file:PATH}` is relative to
};

/// A source at one moment: what a plan is made from and a task reads by.
struct SourceSnapshot {
  std::string source;
  sql::Schema schema;
  ReadRecipe recipe;
  std::vector<InputFile> files;       ///< ordered by name, bytewise
  std::vector<Partition> partitions;  ///< in file order; together all rows, each once
  uint64_t bytes = 0;
  uint64_t rows = 0;
  bool rows_known = true;
  std::vector<FileSetAside> set_aside;  ///< found unreadable when the snapshot was taken, by name
  SourceArrival arrival;                ///< rows_read and rows_quarantined are the run's to fill
};

}  // namespace tidegate
