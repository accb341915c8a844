#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/journal.h"
#include "journal/records.h"
#include "publish/place.h"

namespace tidegate {

/// True if the file behind a stat is, as far as stat can tell, the one that was recorded: size,
/// mtime, ctime, inode and device. A hard link made or removed changes ctime and no byte, so a
/// difference asks for hashing and proves nothing by itself.
bool same_stat(const FileStat& recorded, const FileStat& now);

/// Fills in the stats of the record's files.
Status take_stats(Effects& effects, GenerationRecord& record);

/// Reads every file of a generation again: what is wrong with them, a sentence each (missing,
/// altered, in the directory but not of the generation); empty if they are exactly as published.
Result<std::vector<std::string>> find_damage(Effects& effects, const GenerationRecord& record);

struct AuditReport {
  std::string generation;
  uint64_t files = 0;
  uint64_t bytes = 0;
  std::vector<std::string> broken;  ///< empty: intact
};

/// Reads the standing generation again and journals what was found ("output_reaudited", committed):
/// fresh stats if it is intact, else what is broken. A generation that the journal has no record
/// of (lost, restored) gets the one that the commit log holds, and may be trusted again.
/// Failures: publish.nothing_published, publish.foreign_owner.
Result<AuditReport> audit_output(Effects& effects, Journal& journal, const OutputPlace& place,
                                 const std::string& state_id, const std::string& run);

/// For after hard links of shared files came or went (an aborted publication, a dropped generation,
/// evicted results): audits the standing generation if the stat of any of its files is not as
/// journaled, so that verdicts by stat stay cheap. Otherwise free.
Status refresh_stats(Effects& effects, Journal& journal, const OutputPlace& place,
                     const std::string& run);

}  // namespace tidegate
