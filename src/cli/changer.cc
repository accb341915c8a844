#include "cli/changer.h"

#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"
#include "publish/standing.h"

namespace tidegate::cli {

Result<Changer> open_changer(Effects& effects, const Common& common, const std::string& command) {
  const std::string directory = state_directory(common, working_directory());
  TG_ASSIGN(StateDir existing, StateDir::open(effects, directory, StateDir::Mode::kRead));
  TG_ASSIGN(StateDir state, StateDir::open(effects, existing.path(), StateDir::Mode::kWrite));
  TG_ASSIGN(ConductorLock lock, ConductorLock::take(effects, state, command));
  TG_ASSIGN(auto journal, Journal::open(effects, state.path(), Journal::Mode::kWrite));
  return Changer{std::move(state), std::move(lock), std::move(journal)};
}

Result<OutputPlace> place_of(Effects& effects, Journal& journal, const std::string& output) {
  TG_ASSIGN(const auto stored, journal.output_record(output));
  if (stored) {
    TG_ASSIGN(const GenerationRecord record, generation_record_from_json(*stored));
    return OutputPlace{output, record.publish_root};
  }
  const std::string root = path_absolute(output, working_directory());
  if (const auto owner = read_owner(effects, root); owner && *owner)
    return OutputPlace{(*owner)->output, root};
  TG_ASSIGN(const auto names, journal.output_names());
  const std::string meant = did_you_mean(output, names);
  return fail(FailureClass::kDefect, "output.unknown",
              fmt::format("no output \"{}\" is published from this state directory{}{}", output,
                          meant.empty() ? "" : "; did you mean ", meant));
}

std::string manual_run(Effects& effects, const char* what) {
  return fmt::format("{}-{}", what, hex64(effects.random_u64()).substr(0, 6));
}

}  // namespace tidegate::cli
