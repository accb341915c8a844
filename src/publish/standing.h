#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/journal.h"
#include "journal/records.h"
#include "publish/place.h"
#include "publish/publication.h"

namespace tidegate {

/// What the disk says stands for an output.
struct Standing {
  Owner owner;
  Site site;
  Commit commit;            ///< the newest entry of the log
  GenerationRecord record;  ///< of the standing generation as the commit has it
  std::string directory;    ///< absolute: the standing generation's files
};

/// Resolves the log once: a reader that uses `directory` and nothing else sees one generation or
/// gets an error, never a mixture. Nothing if nothing of tidegate is published there. Takes no
/// lock and no journal. The record's publish_root is `root`, wherever it was when it was written.
Result<std::optional<Standing>> resolve_current(Effects& effects, const std::string& root);

/// The failure publish.foreign_owner unless the output there belongs to that state directory.
Status check_standing_owner(const Owner& there, const OutputPlace& place,
                            const std::string& state_id);

enum class Decision : uint8_t {
  kPublish,      ///< make a new generation
  kUnchanged,    ///< it stands already and its promises are the same: confirm_unchanged
  kVerifyAgain,  ///< it stands, the promises differ: run the checks on it, then confirm_unchanged
  kAuditFirst,   ///< it stands, but the journal has no proof of it: audit_output, then ask again
  kRejected,     ///< it was rolled back, and there is no --force
};

/// What is to be done about an output whose rows have this identity now. A standing generation with
/// a file that is missing, of another size, or that an audit found broken is published anew.
Result<Decision> decide(Effects& effects, Journal& journal, const OutputPlace& place,
                        const std::string& identity, const std::string& contract_hash, bool force);

/// Appends "output_unchanged": the standing generation also fulfils `request` (its files are not
/// looked at). With `checks` (run on the standing bytes just now) every file is hashed first, and
/// publish.broken (class lost) says which one is not as published; without, the checks of before
/// stay. Nothing is committed.
Status confirm_unchanged(Effects& effects, Journal& journal, const OutputPlace& place,
                         const PublishRequest& request,
                         const std::optional<std::vector<CheckOutcome>>& checks,
                         const std::string& run);

}  // namespace tidegate
