#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/effects.h"
#include "contract/contract.h"

namespace tidegate {

inline constexpr size_t kInputFilesMax = 1'000'000;
/// Directory entries looked at for one source, and how deep `**` goes.
inline constexpr size_t kEntriesSeenMax = 10'000'000;
inline constexpr size_t kGlobDepthMax = 64;

/// A file that a pattern found.
struct FoundFile {
  std::string name;  ///< as found, relative to the pipeline's directory where it lies under it
  std::string path;  ///< absolute, links resolved
  FileStat stat;
  Span span;  ///< of the pattern
};

/// Expands patterns (`*`, `?`, `[...]` within a component, `**` across directories) against
/// `directory`. Files are ordered by name, bytewise. Wildcards skip names that start with `.` or
/// `_` (what writers leave behind while they work) unless the pattern's component starts so itself.
///
/// Symbolic links are followed, to files and to directories, but for `**`, which does not descend
/// into linked directories. The result's paths have all links resolved, because a locked DuckDB
/// refuses them. A file that is reached twice is read once, with a warning: reading it twice would
/// count its rows twice.
///
/// Findings (no match, missing, a directory, not a regular file, a bad pattern, too many files) go
/// to `diagnostics` at the pattern's span. Failures are the system's own.
Result<std::vector<FoundFile>> find_files(Effects& effects, const std::string& directory,
                                          const std::vector<Spanned<std::string>>& patterns,
                                          OnEmpty on_empty, Diagnostics& diagnostics);

/// The absolute path with every symbolic link in it resolved; at most 40 links.
Result<std::string> resolve_links(Effects& effects, const std::string& path);

}  // namespace tidegate
