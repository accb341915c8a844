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
  std::string data;       ///< the task_finished event's data
};

/// A run as the journal knows it.
struct RunHead {
  std::string run;
  std::string pipeline;
  std::string state;      ///< running, succeeded, failed, refused, interrupted
  int64_t started_us = 0;
  int64_t finished_us = 0;
  std::string started_data;
  std::string finished_data;
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
/// STATE/lock), any number of readers. Not thread-safe.
class Journal {
 public:
  enum class Mode : uint8_t { kRead, kWrite };
  /// kWrite makes the file if there is none, and migrates an older version. A newer version is
  /// refused (code journal.newer). A torn or corrupt journal opens with `damage()` set if anything
  /// can be read from it, else fails (journal.corrupt) naming what to do.
  static Result<std::unique_ptr<Journal>> open(Effects& effects, const std::string& state_dir,
                                               Mode mode);
  virtual ~Journal() = default;

  /// Buffers an event and applies it to the heads; it is durable after the next commit.
  virtual Status append(std::string_view type, std::string_view run, std::string_view data) = 0;
  /// Makes everything appended durable (one transaction, FULL). Nothing to do is free.
  virtual Status commit() = 0;
  /// Microseconds since the oldest event that is not committed yet; 0 if none.
  virtual int64_t pending_us() const = 0;
  virtual JournalCost cost() const = 0;

  /// What was found damaged at open: empty if nothing. Trust treats every head as unproven then.
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

  virtual Result<std::optional<ResultHead>> result(std::string_view identity) = 0;
  virtual Result<std::vector<RunHead>> runs(size_t most) = 0;
  virtual Result<std::optional<RunHead>> run(std::string_view run) = 0;
  /// The newest run of that pipeline that is neither succeeded nor refused, if it is the newest of
  /// all its runs: what a resumed run adopts run_time() from.
  virtual Result<std::optional<RunHead>> unfinished_run(std::string_view pipeline) = 0;

  /// Outputs: the newest record of each output (see journal/records.h, as JSON), its generations
  /// newest first, and the rejected ones.
  virtual Result<std::vector<std::string>> output_names() = 0;
  virtual Result<std::optional<std::string>> output_record(std::string_view output) = 0;
  virtual Result<std::vector<std::string>> generation_records(std::string_view output) = 0;

  /// Small durable facts of the planner, e.g. sticky bucket counts: set by event "fact_set".
  virtual Result<std::optional<std::string>> fact(std::string_view key) = 0;
};

}  // namespace tidegate
