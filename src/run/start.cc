#include "run/start.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/planted.h"
#include "base/text.h"
#include "base/units.h"
#include "publish/recover.h"

namespace tidegate {
namespace {

std::string new_run_id(Effects& effects) {
  std::string time = format_timestamp_us(effects.now_us()).substr(0, 19);
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  return fmt::format("{}-{}", time, hex64(effects.random_u64()).substr(0, 6));
}

std::string pipeline_path(const Pipeline& pipeline) {
  return path_join(pipeline.directory, path_basename(pipeline.text->path()));
}

int64_t number_field(const std::string& json, std::string_view key) {
  const size_t at = json.find(fmt::format("\"{}\":", key));
  return at == std::string::npos ? 0
                                 : std::strtoll(json.c_str() + at + key.size() + 3, nullptr, 10);
}

}  // namespace

Result<std::optional<InterruptedRun>> interrupted_run(Journal& journal,
                                                      const std::string& pipeline) {
  TG_ASSIGN(const auto head, journal.unfinished_run(pipeline));
  if (!head) return std::nullopt;
  return InterruptedRun{head->run, number_field(head->started_data, "run_time_us")};
}

Result<RunStart> begin_run(Effects& effects, const Pipeline& pipeline, const RunOptions& options) {
  TG_ASSIGN(StateDir state, StateDir::open(effects, options.state_dir, StateDir::Mode::kWrite));
  TG_ASSIGN(ConductorLock lock, ConductorLock::take(effects, state, options.command));
  TG_TRY(clean_spill(effects, state));
  TG_ASSIGN(auto journal, Journal::open(effects, options.state_dir, Journal::Mode::kWrite));
  RunContext context{.run = new_run_id(effects),
                     .state_id = state.id(),
                     .fence = lock.fence(),
                     .force = options.force,
                     .started_us = effects.monotonic_us()};
  for (const Output& output : pipeline.outputs) {
    const OutputPlace place = output_place(pipeline, output);
    if (place.root == state.path() || place.root.starts_with(state.path() + "/"))
      return fail(FailureClass::kDefect, "plan.output_in_state",
                  fmt::format("output \"{}\" would be published into the state directory, which gc "
                              "clears: publish it elsewhere than {}",
                              output.name.value, place.root));
    if (!exists(effects, place.root) || planted(Mistake::kNotRecovered)) continue;
    // A directory that belongs to another is told when the contract holds.
    const auto recovered =
        recover_output(effects, *journal, place, state.id(), lock.fence(), context.run);
    if (!recovered && recovered.error().code != "publish.foreign_owner" &&
        recovered.error().code != "publish.foreign_directory")
      return std::unexpected(recovered.error());
  }
  return RunStart{std::move(state), std::move(lock), std::move(journal), std::move(context)};
}

Status record_start(Journal& journal, const RunContext& context, const Plan& plan,
                    const std::optional<InterruptedRun>& before) {
  return journal.append(
      "run_started", context.run,
      fmt::format(
          R"({{"pipeline":{},"file":{},"run_time_us":{},"workers":{},"memory_bytes":{},"plan":"{}"{}}})",
          quote_json(plan.pipeline.name.value), quote_json(pipeline_path(plan.pipeline)),
          plan.run_time_us, plan.workers, plan.host_bytes, plan.digest,
          before ? fmt::format(R"(,"resumed_from":{})", quote_json(before->run)) : ""));
}

}  // namespace tidegate
