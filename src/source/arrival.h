#pragma once

#include <optional>
#include <string>
#include <vector>

#include "source/cache.h"
#include "source/files.h"
#include "source/snapshot.h"

namespace tidegate {

/// Periods expected at most: `every` must be coarse enough.
inline constexpr uint64_t kPeriodsMax = 1'000'000;

/// Counts `arrives`: one partition is expected for each period from `from` (else the earliest that
/// has arrived) that has ended by `now_us` and begins no later than `to`. A period has arrived if
/// the rendered template stands in the name of a file, not followed or preceded by a further digit.
/// `complete_to_us` is the end of the last period up to which all have arrived; `from` if the first
/// is missing. A period of which a file was set aside has not arrived, unless that was accepted.
Status count_arrivals(const Source& source, const std::vector<InputFile>& files,
                      const std::vector<FileSetAside>& aside, int64_t now_us,
                      Diagnostics& diagnostics, SourceArrival& arrival);

/// The template for the period that begins then: {date} {year} {month} {day} {hour}.
std::string render_period(std::string_view pattern, int64_t begin_us);

/// What a producer's manifest promises of one file.
struct ManifestEntry {
  std::string path;  ///< absolute
  std::optional<uint64_t> rows;
  std::string xxh3;
  std::string sha256;
};
struct ArrivalManifest {
  std::vector<ManifestEntry> files;
  std::optional<int64_t> complete_to_us;
};

/// Reads a manifest: {"files":[{"path","rows","xxh3"|"sha256"}],"complete_to"}. Paths are relative
/// to the manifest's directory. Findings go to `diagnostics`; nothing is returned after an error.
Result<std::optional<ArrivalManifest>> read_manifest(Effects& effects, const Source& source,
                                                     const std::string& directory,
                                                     Diagnostics& diagnostics);

/// Keeps the files that the manifest lists: others are half-written or foreign, and are left out
/// with a warning. A listed file that was not found is an error.
void apply_manifest(const Source& source, const ArrivalManifest& manifest,
                    std::vector<FoundFile>& found, Diagnostics& diagnostics);

/// Compares rows (where known from metadata) and checksums with the manifest, and counts. A listed
/// file that was set aside is missing; one whose loss was accepted is not expected.
Status check_manifest(Effects& effects, const Source& source, const ArrivalManifest& manifest,
                      const std::vector<InputFile>& files, const std::vector<FileSetAside>& aside,
                      int64_t now_us, MetadataCache& cache, Diagnostics& diagnostics,
                      SourceArrival& arrival);

}  // namespace tidegate
