#pragma once

#include <memory>
#include <string>

#include "cli/cli.h"
#include "publish/place.h"
#include "store/state_dir.h"

namespace tidegate::cli {

/// What a command holds that changes what is journaled, stored or published: the lock, the journal.
struct Changer {
  StateDir state;
  ConductorLock lock;
  std::unique_ptr<Journal> journal;
};

/// `command` is what others are told who find the lock taken. A failure if there is no state
/// directory.
Result<Changer> open_changer(Effects& effects, const Common& common, const std::string& command);

/// A run identifier for the events of a command that is no run: "gc-1f9c02".
std::string manual_run(Effects& effects, const char* what);

/// Where an output lies, by the journal, or, if `output` is a directory, there.
Result<OutputPlace> place_of(Effects& effects, Journal& journal, const std::string& output);

}  // namespace tidegate::cli
