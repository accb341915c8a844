#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/failure.h"
#include "task/spec.h"
#include "task/task.h"

namespace tidegate {

/// What an engine tells: each names the slot it is about.
struct WorkerReady {
  uint32_t slot;
  int64_t pid;
};
struct WorkerGone {
  uint32_t slot;
  Failure failure;
};  ///< nothing more comes of its task
struct AttemptProgress {
  uint32_t slot;
  std::string attempt;
  TaskProgress progress;
  uint64_t rss_bytes;
};
struct AttemptDone {
  uint32_t slot;
  std::string attempt;
  TaskReport report;
};
struct AttemptFailed {
  uint32_t slot;
  std::string attempt;
  Failure failure;
};
using EngineEvent =
    std::variant<WorkerReady, WorkerGone, AttemptProgress, AttemptDone, AttemptFailed>;

/// The host that a worker runs on, and the rack or zone of the host.
struct WorkerPlace {
  uint32_t host = 0;
  uint32_t domain = 0;
};

/// Runs attempts on workers. A slot holds one worker and one attempt at a time. Not thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Starts the workers of the first `slots` slots now, those that do not run yet. Without it each
  /// is started when it gets its first task. Each reports WorkerReady; a slot may be given a task
  /// before that.
  virtual Status start(uint32_t slots) = 0;
  /// Gives a task to a slot. If its worker is being replaced, the task waits for the new one.
  virtual void run(uint32_t slot, const TaskSpec& spec) = 0;
  /// Kills what the slot runs; WorkerGone follows with class and code by `why`
  /// ("interrupted", "timeout"), then WorkerReady for its replacement.
  virtual void stop(uint32_t slot, const std::string& why) = 0;
  /// Waits at most `timeout_us`, or until `wake_fd` (-1: none) is readable, and returns what
  /// happened meanwhile.
  virtual Result<std::vector<EngineEvent>> poll(int64_t timeout_us, int wake_fd) = 0;
  /// Ends all workers.
  virtual void shutdown() = 0;
  /// Where the worker of a slot runs. All on one host, unless an engine knows of more.
  virtual WorkerPlace place(uint32_t) const { return {}; }
  /// Largest resident size of any worker so far, and of all at one moment.
  virtual uint64_t peak_worker_bytes() const = 0;
  virtual uint64_t peak_total_bytes() const = 0;
};

}  // namespace tidegate
