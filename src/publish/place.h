#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "publish/commit_log.h"

namespace tidegate {

/// An output and the directory that it is published to:
///
///     ROOT/.owner.json                       which state directory, pipeline and output it belongs
///     to ROOT/gen/000042-1f9c/part-*.parquet    one directory a generation, flat, files 0444
///     ROOT/gen/000042-1f9c/manifest.json
///     ROOT/log/000042.json                   the commits (commit_log.h)
///     ROOT/current -> gen/000042-1f9c        a convenience, made right again from the log
///
/// Outputs that are published together share a set instead of having a log each:
///
///     PARENT/.sets/PIPELINE/log/000042.json
///     PARENT/.sets/PIPELINE/gen/000042-1f9c/NAME -> ../../../../NAME/gen/000042-1f9c
///     PARENT/.sets/PIPELINE/current -> gen/000042-1f9c      one rename moves all
///     PARENT/NAME/current -> ../.sets/PIPELINE/current/NAME
struct OutputPlace {
  std::string output;
  std::string root;  ///< absolute
};

/// The owner marker's content.
struct Owner {
  std::string state_id;
  std::string pipeline;
  std::string output;
  bool in_set = false;
};

/// Where the commits of an output are logged: its own root, or its pipeline's set.
struct Site {
  std::string directory;
  bool is_set = false;
  std::string log() const { return path_join(directory, "log"); }
  std::string generations() const { return path_join(directory, "gen"); }
};

/// True for "000042-1f9c".
bool is_generation_name(std::string_view name);
std::string generation_name(uint64_t number, uint64_t random);
/// 42 for "000042-1f9c"; 0 if it is no generation's name.
uint64_t generation_number(std::string_view name);
std::string generation_directory(std::string_view root, std::string_view generation);

/// The marker of a root; nothing if it has none. publish.foreign_directory if it is no marker.
Result<std::optional<Owner>> read_owner(Effects& effects, const std::string& root);

/// What claim_place would refuse, by a look: nothing is made or changed. A root that is not there
/// is fine.
Status check_place(Effects& effects, const OutputPlace& place, const Owner& owner);

/// Makes the root and its marker durable if there is none, else checks that it is ours. Failures,
/// nothing changed: publish.foreign_owner (belongs to another state directory, pipeline or output,
/// or was published the other way as regards publish_together), publish.foreign_directory (holds
/// files that tidegate did not put there).
Status claim_place(Effects& effects, const OutputPlace& place, const Owner& owner);
/// Makes the directories below a claimed root, durable also where another one has made them and
/// died. What is committed must be preceded by it.
Status lay_out(Effects& effects, const std::string& root, const Site& site);

/// Makes the root belong to `owner`, whoever it belonged to: a person's explicit decision, e.g.
/// after the state directory was lost. There must be a marker already.
Status take_over_place(Effects& effects, const OutputPlace& place, const Owner& owner);

/// The site of an output by its owner; makes no system call.
Site site_of(const std::string& root, const Owner& owner);

/// Makes `current` of the site and of its members say what `newest` says, durable. Changes nothing
/// that is right already; true if it changed something.
Result<bool> settle_current(Effects& effects, const Site& site, const Commit& newest);
/// settle_current with the newest entry until none newer has come.
Result<bool> settle_newest(Effects& effects, const Site& site);

/// Root directory of a commit's member.
std::string member_root(const Site& site, const CommitMember& member);

}  // namespace tidegate
