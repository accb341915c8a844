#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"

namespace tidegate {

/// How far a source had arrived when a run read it. Part of each output's record, because
/// freshness and completeness are counted from it.
struct SourceArrival {
  std::string source;
  std::string known_by;                   ///< "arrives", "manifest", "output" or "" (not known)
  std::optional<int64_t> complete_to_us;  ///< exclusive end: all expected up to here is there
  uint64_t expected = 0;                  ///< partitions (arrives) or rows (manifest) expected
  uint64_t arrived = 0;
  uint64_t rows_read = 0;
  uint64_t rows_quarantined = 0;     ///< count as missing
  uint64_t rows_dropped = 0;         ///< set aside, too, but a person accepted their loss
  uint64_t files_quarantined = 0;    ///< that could not be read; they count as missing
  std::vector<std::string> missing;  ///< names of the first 10 missing
  std::string identity;              ///< hash over the input files' identities
  std::string upstream_output;       ///< for `output:` sources: NAME ...
  std::string upstream_generation;   ///< ... and the generation read
  /// The expectation itself (arrives), so that trust can count again at a later time.
  std::optional<int64_t> every_us;
  std::optional<int64_t> arrives_from_us;
  std::optional<int64_t> arrives_to_us;
};

/// What a check found on exactly the staged bytes.
struct CheckOutcome {
  std::string name;
  std::string kind;
  std::string status;    ///< "pass", "warn", "fail", "error", "baseline" (no earlier generation)
  uint64_t failing = 0;  ///< rows (or groups) that break it
  uint64_t total = 0;
  double tolerance = 0;
  std::string message;                    ///< "3 of 100 rows break not_null(carrier)"
  std::vector<std::string> samples = {};  ///< at most 10 rows as JSON objects (texts)
};

/// One file of a generation.
struct GenerationFile {
  std::string name;  ///< within the generation directory
  uint64_t rows = 0;
  uint64_t bytes = 0;
  std::string xxh3;  ///< of the whole file, hex64
  FileStat stat;     ///< after the last change that publish made
  /// The generation before, if this file is a link to one of its files; "" if it is new.
  std::string shared_from = {};
};

/// All that is known about one generation of an output: what publish writes with
/// "output_published" and what trust reads. Serialised as JSON; unknown fields are kept out.
struct GenerationRecord {
  std::string output;
  std::string pipeline;
  std::string pipeline_file;  ///< absolute
  std::string publish_root;   ///< absolute directory (holds gen/, log/, current)
  uint64_t number = 0;        ///< 42
  std::string generation;     ///< "000042-1f9c"
  std::string state;          ///< "published", "rolled_back", "rejected"
  std::string run;
  uint64_t fence = 0;         ///< fencing token of the conductor that committed it
  std::string identity;       ///< hash over the identities of the tasks that made it
  std::string contract_hash;  ///< of checks, freshness and schema (not of the data)
  int64_t published_us = 0;
  int64_t hashed_us = 0;  ///< when its bytes were last hashed
  uint64_t rows = 0;
  uint64_t bytes = 0;
  std::vector<std::pair<std::string, std::string>> schema;  ///< name, type
  std::vector<GenerationFile> files;
  std::vector<CheckOutcome> checks;
  std::vector<SourceArrival> sources;
  std::optional<int64_t> max_age_us;  ///< freshness promise
  std::optional<int64_t> through_us;
  std::optional<double> completeness;
  std::string manifest_xxh3;  ///< of manifest.json
};

std::string to_json(const GenerationRecord& record);
/// A record without its name, place, number or files is refused (journal.bad_record).
Result<GenerationRecord> generation_record_from_json(const std::string& json);
std::string to_json(const CheckOutcome& outcome);
std::string to_json(const SourceArrival& arrival);

}  // namespace tidegate
