#include "run/run.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/subprocess.h"
#include "engine/local.h"
#include "run/driver.h"
#include "run/start.h"
#include "store/state_dir.h"

namespace tidegate {
namespace {

/// The most tasks of one group that are known to run (those without a name may yet be found). As
/// many workers are started ahead: with nothing to do none is needed, and checks that are run anew
/// start one by themselves.
size_t tasks_at_once(const Graph& graph) {
  size_t most = 0;
  for (const GraphGroup& group : graph.groups) {
    const auto waits = [&](uint32_t task) {
      return graph.tasks[task].state == TaskState::kWaiting && !graph.tasks[task].identity.empty();
    };
    most = std::max<size_t>(most, std::ranges::count_if(group.tasks, waits));
  }
  return most;
}

}  // namespace

int RunSummary::exit_code() const {
  if (state == "succeeded") return 0;
  if (state == "refused") return 4;
  if (state == "interrupted") return 130;
  return 3;
}

Result<RunSummary> run_pipeline(Effects& effects, Pipeline pipeline, const RunOptions& options,
                                Reporter& reporter, Diagnostics& diagnostics) {
  const int64_t started = effects.monotonic_us();
  TG_ASSIGN(RunStart start, begin_run(effects, pipeline, options));
  start.context.started_us = started;
  Journal& journal = *start.journal;
  PlanOptions plan_options;
  plan_options.now_us = effects.now_us();
  plan_options.workers = options.workers;
  plan_options.memory_bytes = options.memory_bytes;
  plan_options.run_time_us = options.run_time_us.value_or(plan_options.now_us);
  TG_ASSIGN(const auto before, interrupted_run(journal, pipeline.name.value));
  if (before && before->run_time_us && !options.run_time_us)
    plan_options.run_time_us = before->run_time_us;
  // If there will be work, a worker loads DuckDB while the plan is made: one, as the memory that
  // each may take, and with it their number, comes with the plan.
  LocalEngine engine(effects, options.program, workers_wanted(plan_options), options.cgroups);
  plan_options.new_files = [&] { (void)engine.start(1); };
  TG_ASSIGN(Plan plan, make_plan(effects, std::move(pipeline), &start.state, &journal, plan_options,
                                 diagnostics));
  if (options.planned) options.planned();
  if (diagnostics.has_errors()) return RunSummary{};
  TG_TRY(check_output_places(effects, plan.pipeline, start.state.id()));
  if (options.saved) TG_TRY(compare_saved(*options.saved, plan));
  journal.observe([&](const Event& event) { reporter.event(event); });
  TG_TRY(record_start(journal, start.context, plan, before));
  engine.keep(plan.workers);
  TG_TRY(engine.start(
      static_cast<uint32_t>(std::min<size_t>(tasks_at_once(plan.graph), plan.workers))));
  return drive(effects, std::move(plan), journal, std::move(start.context), options, reporter,
               engine);
}

}  // namespace tidegate
