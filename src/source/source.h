#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "contract/contract.h"
#include "source/scan.h"
#include "source/snapshot.h"
#include "sql/sql.h"

namespace tidegate {

/// A file that the caller names itself: one of an `output:` source's published generation.
struct GivenFile {
  std::string path;      ///< absolute
  std::string identity;  ///< "" means as for any input file
};

struct SnapshotOptions {
  /// The wall clock of this look at the world; Effects::now_us() if 0.
  int64_t now_us = 0;
  /// What is known of files' insides (STATE/inputs.cache); "" remembers nothing.
  std::string cache_path = {};
  /// False gives schema, files and arrival only.
  bool with_partitions = true;
  /// For a source with `output: NAME`: the files of the generation to read. Required there.
  std::optional<std::vector<GivenFile>> files = {};
  /// ... and what they are called in the arrival.
  std::string upstream_output = {};
  std::string upstream_generation = {};
  /// Files whose loss a person has accepted: name and identity.
  std::vector<std::pair<std::string, std::string>> accepted = {};
  /// Files that a person wants to have read again though they look the same: name and the identity
  /// that they had. They get another one, so that all that was made of them is made again.
  std::vector<std::pair<std::string, std::string>> released = {};
};

/// Looks at a source: finds its files, names them by identity, reads what their metadata says,
/// makes one schema of them, cuts them into partitions and counts what has arrived.
///
/// `connection` may be null. Then all files must be known to the cache, else the failure is
/// `source.needs_sql`: open a DuckDB (not locked: metadata is read by it) and call again. With it a
/// plan over files that did not change needs stat and the cache only.
///
/// What is wrong with the input goes to `diagnostics` at the span that named it; if any of it is an
/// error the answer is the failure `source.invalid` (class data). Warnings alone do not fail.
Result<SourceSnapshot> snapshot_source(Effects& effects, const Pipeline& pipeline,
                                       const Source& source, sql::Connection* connection,
                                       Diagnostics& diagnostics, const SnapshotOptions& options);

/// Stats the file again: a task calls it after it has used the file. A change (or its absence) is
/// the failure `source.changed`, class dependency: no retry of the same task can succeed, its
/// identity belongs to bytes that are gone; the next run plans with the file as it is then.
Status verify_unchanged(Effects& effects, const InputFile& file);
/// The same for every file of a partition.
Status verify_unchanged(Effects& effects, const SourceSnapshot& snapshot,
                        const Partition& partition);

}  // namespace tidegate
