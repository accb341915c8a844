#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/effects.h"
#include "base/subprocess.h"
#include "engine/cgroup.h"
#include "engine/engine.h"

namespace tidegate {

/// Workers as processes of this machine: `PROGRAM worker --fd 3` ("": this program), each in its
/// own process group, fed over a socket pair, watched by pidfd. The resident size of a busy worker
/// is looked at every kSampleUs; above its task's bound it is killed and reported with class
/// memory. (Inside, the worker's own address space limit comes first and ends most crossings with a
/// clean error.) With `cgroups` each worker is in a memory cgroup too, whose limit the kernel
/// keeps.
class LocalEngine final : public Engine {
 public:
  static constexpr int64_t kSampleUs = 10'000;
  /// A worker that somebody has stopped may be so for this long; it is looked for now and then.
  static constexpr int64_t kStoppedUsMax = 5'000'000, kStoppedLookUs = 500'000;
  /// Workers in a row that die before they say hello.
  static constexpr uint32_t kStartFailuresMax = 5;

  LocalEngine(Effects& effects, std::string program, uint32_t slots, bool cgroups);
  ~LocalEngine() override;

  Status start(uint32_t slots) override;
  /// Keeps the first `slots` slots and ends the workers of the others. Before any task is given.
  void keep(uint32_t slots);
  void run(uint32_t slot, const TaskSpec& spec) override;
  void stop(uint32_t slot, const std::string& why) override;
  Result<std::vector<EngineEvent>> poll(int64_t timeout_us, int wake_fd) override;
  void shutdown() override;
  uint64_t peak_worker_bytes() const override { return peak_worker_bytes_; }
  uint64_t peak_total_bytes() const override { return peak_total_bytes_; }

 private:
  struct Worker {
    Subprocess process;
    std::optional<MemoryCgroup> cgroup;  ///< of the slot, for all its workers in turn
    uint64_t cgroup_kills = 0;           ///< seen so far
    bool hello = false;
    bool busy = false;
    bool replacing = false;  ///< killed by us between tasks: its end is no news
    std::string attempt;
    std::string label;
    uint64_t bound_bytes = 0;
    std::optional<std::string> queued;  ///< a task that waits for the hello
    std::string inbox;
    std::optional<Failure> killed_for;
    int64_t stopped_us = 0;  ///< since when it has been seen so; 0: it is not
  };

  Status launch(uint32_t slot);
  /// Puts a worker that has just begun into its slot's cgroup.
  Status wall_in(uint32_t slot);
  void end(Worker& worker);
  void replace(uint32_t slot);
  void read_frames(uint32_t slot);
  void handle_frame(uint32_t slot, const std::string& payload);
  Status handle_end(uint32_t slot);
  void sample();
  /// Ends busy workers that have been stopped for too long: nothing comes of their tasks.
  void look_for_stopped(int64_t now_us);
  void send(uint32_t slot, const std::string& payload);

  Effects& effects_;
  std::string program_path_;
  Program program_;  ///< opened once: a new build in its place does not end a run
  bool cgroups_;
  std::vector<Worker> workers_;
  std::vector<EngineEvent> events_;
  int64_t sampled_us_ = 0, looked_us_ = 0;
  uint32_t start_failures_ = 0;
  uint64_t peak_worker_bytes_ = 0;
  uint64_t peak_total_bytes_ = 0;
};

}  // namespace tidegate
