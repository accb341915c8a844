#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/failure.h"
#include "conductor/isolation.h"
#include "conductor/retry.h"
#include "conductor/stragglers.h"
#include "plan/graph.h"

namespace tidegate {

// What the conductor is told. Each comes with the time at which it happened.
struct SlotReady {
  uint32_t slot;
};  ///< a worker waits for work
struct SlotLost {
  uint32_t slot;
  Failure failure;
};  ///< its worker is gone; class as classified
struct TaskFinished {
  uint32_t task;
  std::string attempt;
  std::string digest;
  BucketNames buckets = {};
};
/// `lost_producer`: the task whose result was missing or altered, for failures of class lost.
struct TaskBroke {
  uint32_t task;
  std::string attempt;
  Failure failure;
  std::optional<uint32_t> lost_producer = {};
};
/// The answer to LookUp: a finished result stands, or not.
struct LookedUp {
  uint32_t task;
  bool found;
  std::string attempt;
  std::string digest;
  BucketNames buckets = {};
};
/// The answer to StageOutput. `unchanged`: the standing generation has these bytes and this
/// contract. `lost_producer`: the task whose result was missing or altered, for failures of class
/// lost.
struct OutputStaged {
  uint32_t output;
  bool unchanged;
  std::optional<Failure> failure;
  std::optional<uint32_t> lost_producer = {};
};
/// The answer to VerifyOutput: `passed` is false if an error check failed.
struct OutputVerified {
  uint32_t output;
  std::string attempt;
  bool passed;
};
struct VerifyBroke {
  uint32_t output;
  std::string attempt;
  Failure failure;
};
/// The answer to CommitOutputs, one for each output.
struct OutputCommitted {
  uint32_t output;
  std::optional<Failure> failure;
};
/// How far a running attempt is.
struct TaskProgressed {
  uint32_t task;
  std::string attempt;
  uint64_t rows;
};
struct CancelAsked {};
struct Tick {};  ///< a WakeAt has come

using ConductorInput =
    std::variant<SlotReady, SlotLost, TaskFinished, TaskBroke, LookedUp, OutputStaged,
                 OutputVerified, VerifyBroke, OutputCommitted, TaskProgressed, CancelAsked, Tick>;

// What it wants done, in this order.
struct StartTask {
  uint32_t task;
  std::string identity;
  std::string attempt;
  uint32_t slot;
  uint32_t parts = 1;  ///< run it over its inputs' rows in so many parts
  uint64_t memory_bytes = 0;
  bool backup = false;  ///< another attempt of it runs, and is late
};
struct StopSlot {
  uint32_t slot;
  std::string why;
};  ///< kill its worker; SlotLost follows
struct LookUp {
  uint32_t task;
  std::string identity;
};
struct StageOutput {
  uint32_t output;
};
struct VerifyOutput {
  uint32_t output;
  std::string attempt;
  uint32_t slot;
};
struct CommitOutputs {
  std::vector<uint32_t> outputs;
};
struct DropStaged {
  uint32_t output;
};  ///< it will not be committed
struct WakeAt {
  int64_t us;
};
struct RecordRetry {
  uint32_t task;
  int64_t delay_us;
  uint32_t number;
  Failure failure;
  uint32_t parts = 1;         ///< of the next attempt
  uint64_t memory_bytes = 0;  ///< its bound, if that is larger now; else 0
  uint64_t tokens = 0;        ///< what is left of the run's budget
};
/// Something gets no work until then.
struct RecordIsolation {
  Isolation::Closed closed;
  Failure failure;
};
struct RecordFailure {
  uint32_t task;
  std::string attempt;
  Failure failure;
};
struct Finish {
  std::string state;
};  ///< succeeded, failed, refused, interrupted

using Action =
    std::variant<StartTask, StopSlot, LookUp, StageOutput, VerifyOutput, CommitOutputs, DropStaged,
                 WakeAt, RecordRetry, RecordFailure, RecordIsolation, Finish>;

enum class OutputState : uint8_t {
  kWaiting,
  kStaging,
  kStaged,
  kVerifying,
  kVerified,
  kCommitting,
  kPublished,
  kUnchanged,
  kRefused,
  kFailed
};

/// The deterministic heart of a run: told what happened, it says what to do. No clock, no thread,
/// no file, no process; the same inputs at the same times give the same actions, so a recorded run
/// can be replayed and a simulator can drive it. Not thread-safe.
class Conductor {
 public:
  /// No attempt takes longer than a day.
  static constexpr int64_t kAttemptUsMax = int64_t{24} * 3'600 * 1'000'000;
  struct Options {
    uint32_t slots = 1;
    uint64_t seed = 0;         ///< of attempt names and backoff jitter
    uint64_t host_bytes = 0;   ///< of all workers of a host together; 0: no task gets more
    double retry_share = 0.1;  ///< of the tasks: what the run may retry beyond kTokens
    int64_t attempt_us_max = kAttemptUsMax;     ///< of tasks without a `timeout`, and of checks
    std::vector<Isolation::Place> places = {};  ///< of each slot; empty: one host
  };
  Conductor(Graph graph, Options options);

  /// Actions to begin with.
  std::vector<Action> begin(int64_t now_us);
  std::vector<Action> handle(const ConductorInput& input, int64_t now_us);

  const Graph& graph() const { return graph_; }
  OutputState output_state(uint32_t output) const { return outputs_[output].state; }
  const std::optional<Failure>& output_failure(uint32_t output) const {
    return outputs_[output].failure;
  }
  bool finished() const { return finished_; }
  uint64_t tasks_run() const { return tasks_run_; }
  uint64_t tasks_retried() const { return tasks_retried_; }
  uint64_t tasks_backed_up() const { return tasks_backed_up_; }
  /// Whether that attempt's result would count: a late or second one does not.
  bool awaits(uint32_t task, const std::string& attempt) const;
  bool awaits_checks(uint32_t output, const std::string& attempt) const;

  /// How often running tasks are compared with their siblings while a slot is idle.
  static constexpr int64_t kLateCheckUs = 1'000'000;
  /// A task that can be split and crosses its bound runs again in so many parts, then in so many of
  /// each.
  static constexpr uint32_t kSplitWays = 16;
  /// A larger bound is so many times the declared one.
  static constexpr uint64_t kLargerTimes = 2;

 private:
  struct Running {
    std::string attempt;
    uint32_t slot = 0;
    int64_t started_us = 0;
    uint64_t rows = 0;  ///< so far
  };
  struct TaskRecord {
    Tries tries;
    uint32_t parts = 1;
    uint64_t memory_times = 1;
    int64_t wake_us = 0;
    std::vector<Running> running;                      ///< the first, and a back-up
    std::set<uint32_t> made_again;                     ///< tasks whose results it has found lost
    std::vector<std::pair<uint32_t, int64_t>> blamed;  ///< slots that it may have brought down
  };
  struct OutputRecord {
    OutputState state = OutputState::kWaiting;
    std::string attempt;
    uint32_t slot = 0;
    uint32_t verify_tries = 0;
    uint32_t stage_tries = 0;
    std::set<uint32_t> made_again;  ///< tasks whose results were found lost at staging
    std::optional<Failure> failure;
  };
  enum class SlotUse : uint8_t { kGone, kIdle, kTask, kVerify };
  struct Slot {
    SlotUse use = SlotUse::kGone;
    uint32_t index = 0;  ///< of the task or output
    std::string attempt = {};
    int64_t deadline_us = 0;
    std::string stopping = {};
  };

  void on(const SlotReady& input, int64_t now_us);
  void on(const SlotLost& input, int64_t now_us);
  void on(const TaskFinished& input, int64_t now_us);
  void on(const TaskBroke& input, int64_t now_us);
  void on(const LookedUp& input, int64_t now_us);
  void on(const OutputStaged& input, int64_t now_us);
  void on(const OutputVerified& input, int64_t now_us);
  void on(const VerifyBroke& input, int64_t now_us);
  void on(const OutputCommitted& input, int64_t now_us);
  void on(const TaskProgressed& input, int64_t now_us);
  void on(const CancelAsked& input, int64_t now_us);
  void on(const Tick& input, int64_t now_us);

  std::string next_attempt();
  bool inputs_done(uint32_t task) const;
  void consider(uint32_t task);
  void make_ready(uint32_t task);
  void task_done(uint32_t task, std::string digest);
  void task_failed(uint32_t task, const Failure& failure);
  void handle_failure(uint32_t task, const std::string& attempt, const Failure& failure,
                      std::optional<uint32_t> lost_producer, int64_t now_us);
  /// Takes a running attempt away; false if there is none of that name.
  bool take_running(uint32_t task, const std::string& attempt, Running& taken);
  void blame(uint32_t slot, const Failure& failure, int64_t now_us);
  uint64_t memory_of(uint32_t task) const;
  /// The bounds of what runs, verification aside.
  uint64_t memory_running() const;
  void start(uint32_t task, uint32_t slot, bool backup, int64_t now_us);
  /// A slot that runs an attempt is stopped when its time is over.
  void take_slot(uint32_t slot, Slot use, int64_t now_us);
  void back_up(int64_t now_us);
  void make_again(uint32_t task);
  void renew_needed();
  void unqueue(uint32_t task);
  void schedule(int64_t now_us);
  void step_outputs();
  void maybe_finish();
  void release(uint32_t slot);
  /// An attempt that is not waited for any more has ended by itself.
  void free_slot_of(const std::string& attempt);

  Graph graph_;
  Options options_;
  std::vector<TaskRecord> records_;
  std::vector<OutputRecord> outputs_;
  std::vector<Slot> slots_;
  std::vector<std::vector<uint32_t>> consumers_;    ///< group -> groups that read it
  std::vector<uint32_t> group_open_;                ///< tasks of a group that are needed, not done
  std::set<std::pair<uint64_t, uint32_t>> ready_;   ///< (order key, task)
  std::set<std::pair<int64_t, uint32_t>> backoff_;  ///< (wake time, task)
  std::deque<uint32_t> verify_queue_;
  std::vector<Action> actions_;
  RetryBudget budget_;
  Isolation isolation_;
  Stragglers stragglers_;
  std::mt19937_64 random_;
  uint64_t attempt_counter_ = 0;
  uint64_t tasks_run_ = 0;
  uint64_t tasks_retried_ = 0;
  uint64_t tasks_backed_up_ = 0;
  bool cancelled_ = false;
  bool finished_ = false;
};

std::string_view to_string(OutputState state);
/// Nothing more happens to an output in such a state.
bool is_terminal(OutputState state);

}  // namespace tidegate
