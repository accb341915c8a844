#pragma once

#include <string>
#include <vector>

#include "base/effects.h"
#include "journal/records.h"
#include "trust/trust.h"

namespace tidegate {

/// What the disk says about a standing generation.
struct DiskFindings {
  TrustPart intact;                 ///< are the files as they were published
  std::vector<std::string> doubts;  ///< where commit log or `current` disagree with the journal
};

/// Compares every file's stat with the record's, hashes those that differ (all of them with
/// `verify_bytes`), and the manifest, and looks for files that do not belong. Then compares what
/// the commit log and `current` say stands with the record. Changes nothing.
DiskFindings look_at_disk(Effects& effects, const GenerationRecord& record, bool verify_bytes,
                          int64_t now_us);

}  // namespace tidegate
