#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "contract/contract.h"
#include "journal/journal.h"
#include "respond/story.h"

namespace tidegate::cli {

// Exit codes; public, they stay.
inline constexpr int kExitDone = 0;
inline constexpr int kExitUsage = 2;  ///< or the contract does not hold: nothing was started
inline constexpr int kExitFailed = 3;
inline constexpr int kExitRefused = 4;
inline constexpr int kExitNotTrusted = 5;
inline constexpr int kExitInterrupted = 130;

/// What every command takes.
struct Common {
  std::string state;  ///< --state, "" if not given
  bool json = false;
  bool quiet = false;
  bool colour_out = false;  ///< standard output is a terminal
  bool colour_err = false;
};

/// Prints to standard output, or standard error.
void out(const std::string& text);
void err(const std::string& text);

/// Tells a failure (as an object with --json) and gives `code` back.
int tell_failure(const Common& common, const Failure& failure, int code);

/// The state directory: --state, else $TIDEGATE_STATE, else `.tidegate` in `beside`. Absolute.
std::string state_directory(const Common& common, const std::string& beside);
/// The working directory.
std::string working_directory();

/// Reads and parses a pipeline file. A file that cannot be read is a failure; mistakes go to
/// `diagnostics`.
Result<Pipeline> load_pipeline(Effects& effects, const std::string& path, Diagnostics& diagnostics);
/// The contract in a file; nothing if it cannot be read or does not hold, which is told.
std::optional<Pipeline> read_contract(Effects& effects, const Common& common,
                                      const std::string& path);
/// Prints all findings (standard error; with --json objects on standard output).
void print_diagnostics(const Common& common, const Diagnostics& diagnostics,
                       const SourceText& source);

/// Opens the journal for reading; a failure if there is no state directory.
Result<std::unique_ptr<Journal>> open_journal(Effects& effects, const Common& common);

/// Sends what the contract's `notify` has not been told yet, and says what could not be sent.
/// Bounded in time (respond/notify.h); never a failure of what was done before. No lock may be
/// held.
void notify_after(Effects& effects, const Common& common, const std::string& state_path,
                  const std::string& file, const Pipeline& contract);

/// Prints events, a line each; kExitDone.
int print_events(const Common& common, const std::vector<Event>& events);
/// Prints what failures are explained by; kExitDone.
int print_stories(const Common& common, const std::vector<FailureStory>& stories);
/// A run in one line.
std::string run_text(const RunHead& run);

struct RunArguments {
  std::string file;
  uint32_t workers = 0;
  std::string memory;
  uint64_t seed = 0;
  bool force = false;
  bool cgroups = false;
};
struct PlanArguments {
  RunArguments run;
  std::string save;
};
struct CheckArguments {
  std::vector<std::string> files;
  std::string explain;
};
struct TrustArguments {
  std::vector<std::string> outputs;
  std::string at;
  bool verify = false;
  bool record = false;  ///< open and close incidents by the verdicts
};
struct QueryArguments {
  std::string sql;
  std::string require;
  bool csv = false;
  std::string parquet;
  uint64_t rows_max = 40;
  std::string memory;
};
struct EventsArguments {
  std::string run;
  std::vector<std::string> types;
  std::string output;
  uint64_t after = 0;
  uint64_t most = 100;
};
struct OutputArguments {
  std::string output;
  std::string to;
  bool take_over = false;  ///< audit: the directory belongs to this state directory from now on
};
struct GcArguments {
  std::string limit;
  std::string age;
  bool dry_run = false;
};

struct IncidentsArguments {
  std::string output;
  bool all = false;  ///< closed ones, too
};
struct QuarantineArguments {
  std::string file;                  ///< list: the pipeline file, "": all of the state directory
  bool all = false;                  ///< list: what is settled, too
  std::vector<std::string> entries;  ///< show, release, drop: numbers
  std::string why;                   ///< drop: told in the journal
};
struct SimulateArguments {
  std::string file;
  std::string seeds;   ///< "7", "1..1000"; "": that
  std::string faults;  ///< a profile, or KIND=SHARE,...
  uint32_t workers = 0;
  uint32_t hosts = 0;
  bool trace = false;
};

int command_init(Effects& effects, const Common& common, const std::string& directory);
int command_check(Effects& effects, const Common& common, const CheckArguments& arguments);
int command_plan(Effects& effects, const Common& common, const PlanArguments& arguments);
int command_run(Effects& effects, const Common& common, const RunArguments& arguments,
                const std::string& typed);
int command_trust(Effects& effects, const Common& common, const TrustArguments& arguments);
int command_query(Effects& effects, const Common& common, const QueryArguments& arguments);
int command_runs(Effects& effects, const Common& common, uint64_t most);
int command_events(Effects& effects, const Common& common, const EventsArguments& arguments);
int command_explain(Effects& effects, const Common& common, const std::string& what);
int command_rollback(Effects& effects, const Common& common, const OutputArguments& arguments);
int command_audit(Effects& effects, const Common& common, const OutputArguments& arguments);
int command_path(Effects& effects, const Common& common, const OutputArguments& arguments);
int command_incidents(Effects& effects, const Common& common, const IncidentsArguments& arguments);
int command_incident(Effects& effects, const Common& common, const std::string& number);
int command_notify(Effects& effects, const Common& common, const std::string& file);
int command_runbook(Effects& effects, const Common& common, const std::string& file);
int command_quarantine_list(Effects& effects, const Common& common,
                            const QuarantineArguments& arguments);
int command_quarantine_show(Effects& effects, const Common& common, const std::string& number);
/// Releases or drops entries.
int command_quarantine_settle(Effects& effects, const Common& common,
                              const QuarantineArguments& arguments, bool release);
int command_simulate(Effects& effects, const Common& common, const SimulateArguments& arguments);
int command_gc(Effects& effects, const Common& common, const GcArguments& arguments);

}  // namespace tidegate::cli
