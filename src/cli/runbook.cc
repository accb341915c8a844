#include "respond/runbook.h"

#include "base/text.h"
#include "cli/cli.h"
#include "store/state_dir.h"

namespace tidegate::cli {

int command_runbook(Effects& effects, const Common& common, const std::string& file) {
  const auto contract = read_contract(effects, common, file);
  if (!contract) return kExitUsage;
  const std::string directory = state_directory(common, path_dirname(file));
  std::unique_ptr<Journal> journal;
  const auto state = StateDir::open(effects, directory, StateDir::Mode::kRead);
  if (state) {
    auto opened = Journal::open(effects, state->path(), Journal::Mode::kRead);
    if (!opened) return tell_failure(common, opened.error(), kExitUsage);
    journal = std::move(*opened);
  } else if (state.error().code != "state.missing") {
    return tell_failure(common, state.error(), kExitUsage);
  }
  const auto runbook = make_runbook(*contract, file, journal.get());
  if (!runbook) return tell_failure(common, runbook.error(), kExitFailed);
  out(common.json ? to_json(*runbook) + "\n" : render(*runbook));
  return kExitDone;
}

}  // namespace tidegate::cli
