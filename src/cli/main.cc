#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cstdlib>
#include <cstring>

#include "cli/cli.h"
#include "task/task.h"

namespace {

using namespace tidegate;
using namespace tidegate::cli;

constexpr const char* kVersion = "tidegate 0.1.0";

/// Everything that the command line can say, bound to the parser.
struct Arguments {
  Common common;
  CheckArguments check;
  PlanArguments plan;
  RunArguments run;
  TrustArguments trust;
  QueryArguments query;
  EventsArguments events;
  OutputArguments output;
  GcArguments gc;
  SimulateArguments simulate;
  IncidentsArguments incidents;
  std::string incident;
  std::string notify_file;
  std::string runbook_file;
  QuarantineArguments quarantine;
  std::string init_directory = ".";
  std::string explain;
  uint64_t runs_most = 20;
};

void add_run_options(CLI::App& app, RunArguments& run) {
  app.add_option("FILE", run.file, "The pipeline file, or a saved plan")->required();
  app.add_option("--workers", run.workers, "Worker processes (default: one a processor)");
  app.add_option("--memory", run.memory, "Memory of the whole host to use, e.g. 8GiB");
}

void add_common(CLI::App& app, Common& common) {
  app.add_option("--state", common.state,
                 "State directory (default: .tidegate beside the pipeline file)");
  app.add_flag("--json", common.json, "Events or one document as JSON on standard output");
  app.add_flag("--quiet", common.quiet, "Say errors only");
}

void add_quarantine(CLI::App& app, Arguments& a) {
  QuarantineArguments& q = a.quarantine;
  auto* quarantine =
      app.add_subcommand("quarantine", "See rows that were set aside, and settle them");
  quarantine->require_subcommand(1);
  auto* list = quarantine->add_subcommand("list", "List input files with rows that are set aside");
  list->add_option("FILE", q.file,
                   "The pipeline file (default: all pipelines of the state directory)");
  list->add_flag("--all", q.all, "What is settled, too");
  auto* show = quarantine->add_subcommand("show", "Show the rows with line, column and reason");
  show->add_option("N", q.entries, "The entry's number")->required()->expected(1);
  auto* release = quarantine->add_subcommand(
      "release", "Read the file again in the next run: it was repaired, or is to count again");
  auto* drop = quarantine->add_subcommand(
      "drop", "Accept the loss: the rows do not count as missing while the file is as it is");
  for (CLI::App* one : {release, drop})
    one->add_option("N", q.entries, "The entries' numbers")->required();
  drop->add_option("--why", q.why, "Told in the journal");
  for (CLI::App* one : {list, show, release, drop}) add_common(*one, a.common);
}

void add_commands(CLI::App& app, Arguments& a) {
  auto* init = app.add_subcommand("init", "Make a first pipeline over a small data set");
  init->add_option("DIR", a.init_directory, "Where (default: here)");
  auto* check = app.add_subcommand("check", "Find every mistake; prove each stage safe to split");
  check->add_option("FILE", a.check.files, "Pipeline files");
  check->add_option("--explain", a.check.explain, "Explain a code, e.g. T0401");
  auto* plan = app.add_subcommand("plan", "Show exactly what would run, why, and what is reused");
  add_run_options(*plan, a.plan.run);
  plan->add_option("-o,--output", a.plan.save, "Save the plan; `run PLAN` runs exactly it");
  auto* run = app.add_subcommand("run", "Run, verify, publish");
  add_run_options(*run, a.run);
  run->add_option("--seed", a.run.seed, "Seed of attempt names and retry jitter");
  run->add_flag("--cgroup", a.run.cgroups,
                "Put each worker in a memory cgroup of its bound, page cache counted");
  run->add_flag("--force", a.run.force, "Publish rows that were rolled back before");
  auto* trust = app.add_subcommand("trust", "Say whether outputs can be trusted now, and why");
  trust->add_option("OUTPUT", a.trust.outputs, "Outputs (default: all)");
  trust->add_option("--at", a.trust.at, "Answer for a past moment, from the journal alone");
  trust->add_flag("--verify", a.trust.verify, "Hash the files again");
  trust->add_flag("--record", a.trust.record,
                  "Open an incident for what is UNTRUSTED, and act on its rollback rule");
  auto* query =
      app.add_subcommand("query", "Run SQL over published outputs; the answer carries its verdict");
  query->add_option("SQL", a.query.sql, "One SELECT")->required();
  query->add_option("--require", a.query.require, "Refuse unless every output read is: trusted");
  query->add_flag("--csv", a.query.csv, "Print CSV");
  query->add_option("--parquet", a.query.parquet, "Write the answer to a Parquet file");
  query->add_option("--rows", a.query.rows_max, "Rows to show at most (default 40)");
  query->add_option("--memory", a.query.memory, "Bound of the query (default 1GiB)");
  auto* runs = app.add_subcommand("runs", "List runs, newest first");
  runs->add_option("--most", a.runs_most, "How many (default 20)");
  auto* events = app.add_subcommand("events", "Read the journal");
  events->add_option("RUN", a.events.run, "Only of this run");
  events->add_option("--type", a.events.types, "Only of these types");
  events->add_option("--of-output", a.events.output, "Only those that changed this output");
  events->add_option("--after", a.events.after, "Only above this sequence");
  events->add_option("--most", a.events.most, "How many (default: the newest 100)");
  auto* explain =
      app.add_subcommand("explain", "Say why a run, output, task or generation is as it is");
  explain
      ->add_option("X", a.explain,
                   "Run, output, task identity (a prefix will do), generation, or a failure's code")
      ->required();
  for (const auto& [name, text] :
       {std::pair{"rollback", "Swap an output back to an earlier generation"},
        {"audit", "Read an output's files again, against its manifest"},
        {"path", "Say where an output's current generation lies"}}) {
    auto* command = app.add_subcommand(name, text);
    command->add_option("OUTPUT", a.output.output, "The output")->required();
    if (std::strcmp(name, "rollback") == 0)
      command->add_option("--to", a.output.to, "The generation (default: the one before)");
    if (std::strcmp(name, "audit") == 0)
      command->add_flag(
          "--take-over", a.output.take_over,
          "OUTPUT is a directory whose state directory was lost: this one owns it from now on");
  }
  auto* gc = app.add_subcommand("gc", "Drop what no promise needs");
  gc->add_option("--limit", a.gc.limit, "Keep finished results up to this size (default 10GiB)");
  gc->add_option("--age", a.gc.age, "Drop unneeded results older than this, e.g. 30d");
  gc->add_flag("--dry-run", a.gc.dry_run, "Only say what would go");
  auto* incidents = app.add_subcommand("incidents", "List what went wrong and is not right yet");
  incidents->add_option("OUTPUT", a.incidents.output, "Only of this output");
  incidents->add_flag("--all", a.incidents.all, "Those that were repaired, too");
  auto* incident = app.add_subcommand("incident", "Tell the story of one incident");
  incident->add_option("N", a.incident, "Its number")->required();
  auto* notify = app.add_subcommand("notify", "Send news of incidents that has not been sent yet");
  notify->add_option("FILE", a.notify_file, "The pipeline file, which says to whom")->required();
  auto* runbook = app.add_subcommand(
      "runbook", "Write what to do when something fails, from the contract and from what happened");
  runbook->add_option("FILE", a.runbook_file, "The pipeline file")->required();
  add_quarantine(app, a);
  auto* simulate = app.add_subcommand(
      "simulate", "Run a pipeline in worlds where workers, disks, clocks and conductors fail");
  simulate->add_option("FILE", a.simulate.file, "The pipeline file")->required();
  simulate->add_option("--seeds", a.simulate.seeds, "One, or FIRST..LAST (default 1..1000)");
  simulate->add_option("--faults", a.simulate.faults,
                       "A profile (none, workers, hosts, results, disk, crashes, rivals, clock, "
                       "checks, all), or KIND=SHARE,... (default all)");
  simulate->add_option("--workers", a.simulate.workers, "Simulated workers (default 4)");
  simulate->add_option("--hosts", a.simulate.hosts, "Hosts they are spread over (default 2)");
  simulate->add_flag("--trace", a.simulate.trace, "Print what happens in each world");
  for (CLI::App* sub : app.get_subcommands({})) add_common(*sub, a.common);
}

int quarantine_command(const CLI::App& quarantine, const Arguments& a) {
  Effects& effects = real_effects();
  const std::string name = quarantine.get_subcommands().front()->get_name();
  if (name == "list") return command_quarantine_list(effects, a.common, a.quarantine);
  if (name == "show")
    return command_quarantine_show(effects, a.common, a.quarantine.entries.front());
  return command_quarantine_settle(effects, a.common, a.quarantine, name == "release");
}

int dispatch(const CLI::App& app, const Arguments& a, const std::string& typed) {
  Effects& effects = real_effects();
  const Common& common = a.common;
  const std::string name = app.get_subcommands().front()->get_name();
  if (name == "init") return command_init(effects, common, a.init_directory);
  if (name == "check") return command_check(effects, common, a.check);
  if (name == "plan") return command_plan(effects, common, a.plan);
  if (name == "run") return command_run(effects, common, a.run, typed);
  if (name == "trust") return command_trust(effects, common, a.trust);
  if (name == "query") return command_query(effects, common, a.query);
  if (name == "runs") return command_runs(effects, common, a.runs_most);
  if (name == "events") return command_events(effects, common, a.events);
  if (name == "explain") return command_explain(effects, common, a.explain);
  if (name == "rollback") return command_rollback(effects, common, a.output);
  if (name == "audit") return command_audit(effects, common, a.output);
  if (name == "path") return command_path(effects, common, a.output);
  if (name == "incidents") return command_incidents(effects, common, a.incidents);
  if (name == "incident") return command_incident(effects, common, a.incident);
  if (name == "notify") return command_notify(effects, common, a.notify_file);
  if (name == "runbook") return command_runbook(effects, common, a.runbook_file);
  if (name == "quarantine") return quarantine_command(*app.get_subcommands().front(), a);
  if (name == "simulate") return command_simulate(effects, common, a.simulate);
  return command_gc(effects, common, a.gc);
}

}  // namespace

int main(int argc, char** argv) {
  // Workers are many and short of time: they do not see the parser.
  if (argc == 4 && std::strcmp(argv[1], "worker") == 0 && std::strcmp(argv[2], "--fd") == 0)
    return worker_main(real_effects(), std::atoi(argv[3]));
  CLI::App app{
      "Runs analytical pipelines whose every stage states what it promises, and says whether "
      "their outputs can be trusted now.\n"
      "Exit codes: 0 done, 2 usage or contract, 3 failed, 4 refused, 5 not trusted, 130 "
      "interrupted.",
      "tidegate"};
  app.require_subcommand(1);
  app.set_version_flag("--version", kVersion);
  Arguments arguments;
  add_commands(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitDone : kExitUsage;
  }
  arguments.common.colour_out = ::isatty(STDOUT_FILENO) && !std::getenv("NO_COLOR");
  arguments.common.colour_err = ::isatty(STDERR_FILENO) && !std::getenv("NO_COLOR");
  std::string typed = "tidegate";
  for (int i = 1; i < argc; ++i) typed += fmt::format(" {}", argv[i]);
  return dispatch(app, arguments, typed);
}
