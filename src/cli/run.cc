#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "base/text.h"
#include "base/units.h"
#include "cli/cli.h"
#include "contract/codes.h"
#include "plan/plan.h"
#include "plan/saved.h"
#include "run/outputs.h"
#include "run/run.h"
#include "store/state_dir.h"

namespace tidegate::cli {
namespace {

int interrupt_pipe[2] = {-1, -1};

extern "C" void on_interrupt(int) {
  const int saved = errno;
  const char byte = 'i';
  (void)!::write(interrupt_pipe[1], &byte, 1);
  errno = saved;
}

/// Ctrl-C and SIGTERM become bytes of a pipe.
int catch_interrupts() {
  if (::pipe2(interrupt_pipe, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  return interrupt_pipe[0];
}

TalkMode talk_mode(const Common& common) {
  if (common.json) return TalkMode::kJson;
  if (common.quiet) return TalkMode::kQuiet;
  return ::isatty(STDERR_FILENO) ? TalkMode::kTerminal : TalkMode::kLines;
}

/// A failure before anything was started is usage; everything later is a failed run.
int failure_exit(const Failure& failure) {
  for (const char* prefix :
       {"state.", "plan.", "source.", "pipeline.", "journal.newer", "sql.no_library",
        "sql.wrong_version", "units.", "publish.foreign_", "publish.newer"})
    if (failure.code.starts_with(prefix)) return kExitUsage;
  return kExitFailed;
}

std::string counted(size_t number, const char* noun) {
  return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

Result<uint64_t> memory_argument(const std::string& text) {
  if (text.empty()) return uint64_t{0};
  return parse_size(text);
}

}  // namespace

int command_check(Effects& effects, const Common& common, const CheckArguments& arguments) {
  if (!arguments.explain.empty()) {
    const CodeInfo* code = find_code(arguments.explain);
    if (!code)
      return tell_failure(
          common,
          {FailureClass::kDefect, "check.unknown_code",
           fmt::format("there is no code {}; docs/errors.md lists them", arguments.explain)},
          kExitUsage);
    out(explain_code(*code));
    return kExitDone;
  }
  if (arguments.files.empty())
    return tell_failure(
        common, {FailureClass::kDefect, "usage", "name a pipeline file, or use --explain CODE"},
        kExitUsage);
  int exit = kExitDone;
  for (const std::string& file : arguments.files) {
    Diagnostics diagnostics;
    auto pipeline = load_pipeline(effects, file, diagnostics);
    if (!pipeline) {
      exit = tell_failure(common, pipeline.error(), kExitUsage);
      continue;
    }
    const auto text = pipeline->text;
    const std::string state_path = state_directory(common, path_dirname(file));
    // An `output:` source is known by the journal, if there is one yet.
    std::unique_ptr<Journal> journal;
    std::optional<StateDir> state;
    if (auto opened = StateDir::open(effects, state_path, StateDir::Mode::kRead)) {
      state = *opened;
      if (auto found = Journal::open(effects, state_path, Journal::Mode::kRead))
        journal = std::move(*found);
    }
    const auto plan =
        make_plan(effects, std::move(*pipeline), state ? &*state : nullptr, journal.get(),
                  {.now_us = effects.now_us(), .run_time_us = effects.now_us(), .kernels = false},
                  diagnostics);
    print_diagnostics(common, diagnostics, *text);
    if (!plan) {
      exit = tell_failure(common, plan.error(), kExitUsage);
    } else if (diagnostics.has_errors()) {
      exit = kExitUsage;
    } else if (!common.json && !common.quiet) {
      out(fmt::format("{}: {} over {} safe to split; {}\n", file,
                      counted(plan->checked.stages.size(), "stage"),
                      counted(plan->pipeline.sources.size(), "source") +
                          (plan->checked.stages.size() == 1 ? " is" : " are"),
                      counted(plan->pipeline.outputs.size(), "output")));
    }
  }
  return exit;
}

int command_plan(Effects& effects, const Common& common, const PlanArguments& arguments) {
  Diagnostics diagnostics;
  auto pipeline = load_pipeline(effects, arguments.run.file, diagnostics);
  if (!pipeline) return tell_failure(common, pipeline.error(), kExitUsage);
  const auto memory = memory_argument(arguments.run.memory);
  if (!memory) return tell_failure(common, memory.error(), kExitUsage);
  const auto text = pipeline->text;
  const std::string state_path = state_directory(common, path_dirname(arguments.run.file));
  std::unique_ptr<Journal> journal;
  std::optional<StateDir> state;
  if (auto opened = StateDir::open(effects, state_path, StateDir::Mode::kRead)) {
    state = *opened;
    auto found = Journal::open(effects, state_path, Journal::Mode::kRead);
    if (!found) return tell_failure(common, found.error(), failure_exit(found.error()));
    journal = std::move(*found);
  } else if (opened.error().code != "state.missing") {
    return tell_failure(common, opened.error(), kExitUsage);
  }
  PlanOptions options{.now_us = effects.now_us(),
                      .run_time_us = effects.now_us(),
                      .workers = arguments.run.workers,
                      .memory_bytes = *memory};
  if (journal) {
    const auto before = interrupted_run(*journal, pipeline->name.value);
    if (!before) return tell_failure(common, before.error(), kExitFailed);
    if (*before && (*before)->run_time_us) options.run_time_us = (*before)->run_time_us;
  }
  auto plan = make_plan(effects, std::move(*pipeline), state ? &*state : nullptr, journal.get(),
                        options, diagnostics);
  // With --json a plan is one document: what is said beside it goes to standard error.
  Common beside = common;
  beside.json &= !plan || diagnostics.has_errors();
  print_diagnostics(beside, diagnostics, *text);
  if (!plan) return tell_failure(common, plan.error(), failure_exit(plan.error()));
  if (diagnostics.has_errors()) return kExitUsage;
  if (const Status places = check_output_places(effects, plan->pipeline, state ? state->id() : "");
      !places)
    return tell_failure(common, places.error(), kExitUsage);
  out(common.json ? render_plan_json(*plan) + "\n" : render_plan(*plan, common.colour_out));
  if (!arguments.save.empty()) {
    const Status saved = save_plan(
        effects, *plan, path_absolute(arguments.run.file, working_directory()), arguments.save);
    if (!saved) return tell_failure(common, saved.error(), kExitFailed);
    if (!common.quiet) err(fmt::format("saved: tidegate run {}\n", arguments.save));
  }
  return kExitDone;
}

int command_run(Effects& effects, const Common& common, const RunArguments& arguments,
                const std::string& typed) {
  RunOptions options;
  std::string file = arguments.file;
  std::optional<SavedPlan> saved;
  if (auto loaded = load_saved_plan(effects, file); loaded && *loaded) {
    saved = **loaded;
    file = saved->pipeline_file;
    options.run_time_us = saved->run_time_us;
    options.saved = saved;
  } else if (!loaded) {
    return tell_failure(common, loaded.error(), kExitUsage);
  }
  Diagnostics diagnostics;
  auto pipeline = load_pipeline(effects, file, diagnostics);
  if (!pipeline) return tell_failure(common, pipeline.error(), kExitUsage);
  const auto text = pipeline->text;
  if (diagnostics.has_errors()) {
    print_diagnostics(common, diagnostics, *text);
    return kExitUsage;
  }
  const auto memory = memory_argument(arguments.memory);
  if (!memory) return tell_failure(common, memory.error(), kExitUsage);
  options.state_dir = state_directory(common, path_dirname(file));
  options.command = typed;
  options.workers = arguments.workers ? arguments.workers : saved ? saved->workers : 0;
  options.memory_bytes = *memory;
  options.seed = arguments.seed;
  options.force = arguments.force;
  options.cgroups = arguments.cgroups;
  options.interrupt_fd = catch_interrupts();
  Reporter reporter(effects, talk_mode(common), common.colour_err);
  // What is wrong comes first: with --json the last line is that of run_finished.
  bool told = false;
  options.planned = [&] {
    print_diagnostics(common, diagnostics, *text);
    told = true;
  };
  const Pipeline contract = *pipeline;
  const auto summary = run_pipeline(effects, std::move(*pipeline), options, reporter, diagnostics);
  reporter.end();
  if (!told) print_diagnostics(common, diagnostics, *text);
  if (!summary) return tell_failure(common, summary.error(), failure_exit(summary.error()));
  if (diagnostics.has_errors()) return kExitUsage;
  if (!common.json && !common.quiet)
    out(render_summary(*summary, common.colour_out));
  else
    for (const OutputSummary& output : summary->outputs)
      if (!output.reason.empty())
        err(fmt::format("{}: {}: {}\n", output.output, output.state, output.reason));
  std::fflush(stdout);
  notify_after(effects, common, options.state_dir, file, contract);
  return summary->exit_code();
}

}  // namespace tidegate::cli
