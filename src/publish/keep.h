#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/journal.h"
#include "publish/commit_log.h"
#include "publish/place.h"

namespace tidegate {

/// What is about to be unlinked is renamed to this first.
inline constexpr std::string_view kTrashPrefix = ".trash-";

/// Drops committed generations beyond the standing one and the `keep` newest before it that were
/// not rejected; never one named in `protect` (a live run reads it). Each is renamed before
/// anything in it is unlinked, so a reader gets all of it or an error. Appends
/// "generations_dropped" (and an audit of the standing generation, if links it shares went; see
/// refresh_stats). Uncommitted generations are recover_output's business. Returns the names.
Result<std::vector<std::string>> drop_old_generations(Effects& effects, Journal& journal,
                                                      const OutputPlace& place, uint32_t keep,
                                                      const std::vector<std::string>& protect,
                                                      const std::string& run);

/// Directories in the root's gen/ that no entry of the log names.
Result<std::vector<std::string>> uncommitted_generations(Effects& effects, CommitLog& log,
                                                         const OutputPlace& place);

/// Renames DIRECTORY/NAME to its trash name and removes it.
Status discard(Effects& effects, const std::string& directory, const std::string& name);

/// Removes a set's directories of links but for the newest commit's and the one before.
Status drop_set_directories(Effects& effects, const Site& site);

}  // namespace tidegate
