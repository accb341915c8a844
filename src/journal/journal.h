#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"

namespace tidegate {

/// One fact. `data` is a JSON object as text; docs/events.md says what each type carries.
struct Event {
  uint64_t sequence = 0;  ///< from 1, without gaps
  int64_t time_us = 0;    ///< wall clock when it was appended
  std::string type;       ///< "task_finished", ...
  std::string run;        ///< run identifier, "" if none
  std::string data = "{}";
};

/// A finished result that counts: which attempt of a task's identity is the one.
struct ResultHead {
  std::string identity;
  std::string attempt;
  std::string data;  ///< the task_finished event's data
};

/// Which events to list. Absent parts do not restrict.
struct EventQuery {
  static constexpr size_t kMostMax = 100'000;
  uint64_t after = 0;              ///< only sequences above this
  uint64_t before = 0;             ///< only sequences below this; 0: no limit
  std::string run;                 ///< only of this run
  std::vector<std::string> types;  ///< only of these types
  std::string output;              ///< only those that changed this output
  bool newest_first = false;       ///< the newest `most` (for "the last N"), else the oldest
  size_t most = 1000;              ///< at most kMostMax
};

/// Which runs to list, newest first.
struct RunQuery {
  std::string pipeline;  ///< only of this pipeline
  uint64_t before = 0;   ///< only runs started below this sequence; 0: no limit
  size_t most = 100;
};

/// The standing generation of an output, and what stands between it and being believed.
struct OutputHead {
  std::string output;
  std::string record;    ///< GenerationRecord as JSON
  std::string unproven;  ///< why the journal's word is not enough (restored, imported); "" if it is
  std::string broken;    ///< what the last audit found wrong with the files; "" if nothing
};

/// What went wrong with an output and no retry has healed, from then until its rows are right
/// again.
struct IncidentHead {
  uint64_t incident = 0;  ///< its number, from 1
  std::string output;
  std::string pipeline;
  int64_t opened_us = 0;
  int64_t closed_us = 0;  ///< 0: it is open
  uint64_t opened_sequence = 0;
  uint64_t closed_sequence = 0;
  std::string opened_data;  ///< of incident_opened
  bool is_open() const { return closed_us == 0; }
};

/// Which incidents to list, newest first.
struct IncidentQuery {
  std::string output;   ///< only of this output
  uint64_t number = 0;  ///< only this one
  bool open_only = false;
  size_t most = 100;
};

/// An input file of which rows were set aside, or all of it, from the run that found them until a
/// person or a repair has settled it.
struct QuarantineHead {
  uint64_t entry = 0;  ///< its number, from 1
  std::string pipeline;
  std::string source;
  std::string file;
  std::string identity;  ///< the file's
  std::string state;  ///< open, dropped (the loss is accepted), released, closed (mended, or gone)
  int64_t opened_us = 0;
  int64_t changed_us = 0;            ///< when it got its state
  uint64_t rows = 0;                 ///< set aside; 0: a file whose rows cannot be counted
  std::string stage;                 ///< that set them aside; "": the file was not read at all
  std::vector<std::string> tasks;    ///< by identity
  std::vector<std::string> samples;  ///< JSON objects {file,line,column,reason,raw}
  /// Rows are still set aside: open or dropped.
  bool stands() const { return state == "open" || state == "dropped"; }
};

/// Which entries of the quarantine to list, newest first.
struct QuarantineQuery {
  std::string pipeline;  ///< only of this pipeline
  uint64_t entry = 0;    ///< only this one
  bool standing_only = false;
  size_t most = 1000;
};

/// A run as the journal knows it.
struct RunHead {
  std::string run;
  std::string pipeline;
  std::string state;  ///< running, succeeded, failed, refused, interrupted
  int64_t started_us = 0;
  int64_t finished_us = 0;
  std::string started_data;
  std::string finished_data;
  uint64_t started_sequence = 0;  ///< of run_started: what RunQuery::before pages by
};

/// Commits and what they cost, for the summary of a run.
struct JournalCost {
  uint64_t events = 0;
  uint64_t commits = 0;
  int64_t commit_us = 0;
  int64_t fsync_us = 0;
  uint64_t fsyncs = 0;
};

/// The durable journal: append-only, hash-chained events in SQLite (STATE/journal.db), and heads
/// (tables derived from the events, which rebuild_heads makes again). One writer (the holder of
/// STATE/lock), any number of readers. Not thread-safe. A writer's queries see what it appended:
/// `result`, `results` and `fact` without a commit, all others by committing first.
class Journal {
 public:
  enum class Mode : uint8_t { kRead, kWrite };
  /// kWrite makes the file if there is none, and migrates an older version. A newer version is
  /// refused (code journal.newer). A torn or corrupt journal opens with `damage()` set if anything
  /// can be read from it, else fails (journal.corrupt) naming what to do. kWrite then keeps the
  /// damaged file aside (journal.db.damaged-N), goes on with the events that are proven and says
  /// so by the event "journal_recovered": every output is unproven until it was audited.
  /// kRead without a file gives an empty journal with `damage()` set. Only the newest
  /// kTailEvents are verified here; what a query reads for a verdict is verified as it is read.
  static constexpr size_t kTailEvents = 1024;
  static Result<std::unique_ptr<Journal>> open(Effects& effects, const std::string& state_dir,
                                               Mode mode);
  virtual ~Journal() = default;

  /// Buffers an event; it reaches the file and the heads with the next commit. A type that
  /// journal/events.h does not list, or data without a field listed there as required, is refused
  /// (journal.bad_event).
  virtual Status append(std::string_view type, std::string_view run, std::string_view data) = 0;
  /// Calls `seen` with every event from now on as it is appended, before it is durable: what goes
  /// out live is then what the journal holds. Another call takes the place of the first.
  virtual void observe(std::function<void(const Event&)> seen) = 0;
  /// Makes everything appended durable (one transaction, FULL). Nothing to do is free. After a
  /// failure nothing is lost: the events stay buffered, and a further commit finds out whether the
  /// failed one had reached the disk after all.
  virtual Status commit() = 0;
  /// Microseconds since the oldest event that is not committed yet; 0 if none.
  virtual int64_t pending_us() const = 0;
  virtual JournalCost cost() const = 0;

  /// What was found damaged at open or by a later query: empty if nothing. Trust treats every head
  /// as unproven then.
  virtual const std::string& damage() const = 0;
  /// Verifies the whole hash chain; a failure (journal.corrupt) names the first bad sequence.
  virtual Status verify_chain() = 0;
  virtual Status rebuild_heads() = 0;
  virtual uint64_t last_sequence() = 0;
  virtual int64_t newest_time_us() = 0;

  /// Calls `visit` for events with sequence > `after` (and of `run`, if given), in order, until it
  /// returns false. Reads in pages; no transaction is held while `visit` runs.
  virtual Status each_event(uint64_t after, std::string_view run,
                            const std::function<bool(const Event&)>& visit) = 0;

  /// Events by filter, in order of sequence (or newest first).
  virtual Result<std::vector<Event>> events(const EventQuery& query) = 0;

  virtual Result<std::optional<ResultHead>> result(std::string_view identity) = 0;
  /// Many at once, in one read transaction; the answers stand in the order asked.
  virtual Result<std::vector<std::optional<ResultHead>>> results(
      const std::vector<std::string>& identities) = 0;
  virtual Result<std::vector<RunHead>> runs(size_t most) = 0;
  virtual Result<std::vector<RunHead>> runs(const RunQuery& query) = 0;
  virtual Result<std::optional<RunHead>> run(std::string_view run) = 0;
  /// The newest run of that pipeline that is neither succeeded nor refused, if it is the newest of
  /// all its runs: what a resumed run adopts run_time() from.
  virtual Result<std::optional<RunHead>> unfinished_run(std::string_view pipeline) = 0;

  virtual Result<std::vector<IncidentHead>> incidents(const IncidentQuery& query) = 0;
  virtual Result<std::vector<QuarantineHead>> quarantine(const QuarantineQuery& query) = 0;

  /// Outputs: the newest record of each output (see journal/records.h, as JSON), its generations
  /// newest first, and the rejected ones.
  virtual Result<std::vector<std::string>> output_names() = 0;
  virtual Result<std::optional<std::string>> output_record(std::string_view output) = 0;
  virtual Result<std::vector<std::string>> generation_records(std::string_view output) = 0;
  /// The standing generation; its record is verified against the hash chain as it is read. Nothing
  /// if the output is not known.
  virtual Result<std::optional<OutputHead>> output_head(std::string_view output) = 0;
  virtual Result<std::optional<std::string>> generation_record(std::string_view output,
                                                               std::string_view generation) = 0;
  /// Identities that must not be published again (rolled back or rejected), oldest first.
  virtual Result<std::vector<std::string>> rejected_identities(std::string_view output) = 0;
  /// The outputs as they stood at that time, from the events up to it: a read-only journal in
  /// memory that knows outputs only (no runs, results, events).
  virtual Result<std::unique_ptr<Journal>> as_of(int64_t at_us) = 0;

  /// Small durable facts of the planner, e.g. sticky bucket counts: set by event "fact_set".
  virtual Result<std::optional<std::string>> fact(std::string_view key) = 0;
};

}  // namespace tidegate
