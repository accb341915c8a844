#include "engine/local.h"

#include <errno.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "task/limits.h"

namespace tidegate {
namespace {

Failure bound_failure(const std::string& label, const std::string& what) {
  return {FailureClass::kMemory, "memory.bound",
          fmt::format("{} {}: raise `memory` of the stage, or give it more buckets", label, what)};
}

Failure end_failure(const ExitStatus& status, const std::string& label) {
  if (!status.signalled)
    return {FailureClass::kLost, "worker.exited",
            fmt::format("the worker of {} ended with code {}", label, status.code)};
  if (status.code == SIGKILL)
    return {FailureClass::kLost, "worker.killed",
            fmt::format("the worker of {} was killed from outside (SIGKILL)", label)};
  return {FailureClass::kLost, "worker.crashed",
          fmt::format("the worker of {} crashed: {}", label, ::strsignal(status.code))};
}

Failure stop_failure(const std::string& why, const std::string& label) {
  if (why == "timeout")
    return {
        FailureClass::kTimeout, "task.timeout",
        fmt::format("{} took longer than its `timeout`: raise it, or give the stage more buckets",
                    label)};
  if (why == "superseded")
    return {FailureClass::kTransient, "task.superseded",
            fmt::format("another attempt of {} was first", label)};
  return {FailureClass::kTransient, "task.interrupted", fmt::format("{} was interrupted", label)};
}

/// glibc's heap in huge pages where the system gives them: what kernels look up is all over it.
std::string heap_tunables() {
  const char* set = ::getenv("GLIBC_TUNABLES");
  return fmt::format("GLIBC_TUNABLES={}{}glibc.malloc.hugetlb=1", set ? set : "", set ? ":" : "");
}

}  // namespace

LocalEngine::LocalEngine(Effects& effects, std::string program, uint32_t slots, bool cgroups)
    : effects_(effects), program_path_(std::move(program)), cgroups_(cgroups), workers_(slots) {}

LocalEngine::~LocalEngine() { shutdown(); }

Status LocalEngine::start(uint32_t slots) {
  for (uint32_t slot = 0; slot < std::min<size_t>(slots, workers_.size()); ++slot)
    if (workers_[slot].process.pid <= 0) TG_TRY(launch(slot));
  return {};
}

void LocalEngine::keep(uint32_t slots) {
  TG_ASSERT(events_.empty());
  for (size_t slot = slots; slot < workers_.size(); ++slot) end(workers_[slot]);
  workers_.resize(std::min<size_t>(slots, workers_.size()));
}

Status LocalEngine::launch(uint32_t slot) {
  Worker& worker = workers_[slot];
  if (program_.fd() < 0) {
    TG_ASSIGN(program_, Program::open(program_path_));
  }
  TG_ASSIGN(worker.process, spawn(program_, {"worker", "--fd", "3"}, {heap_tunables()}));
  if (cgroups_) TG_TRY(wall_in(slot));
  worker.hello = worker.busy = worker.replacing = false;
  worker.inbox.clear();
  worker.killed_for.reset();
  return {};
}

Status LocalEngine::wall_in(uint32_t slot) {
  Worker& worker = workers_[slot];
  if (!worker.cgroup) {
    auto made = MemoryCgroup::make(effects_, fmt::format("tidegate-{}-{}", ::getpid(), slot));
    if (!made)
      return fail(FailureClass::kDependency, "engine.no_cgroup",
                  "no memory cgroup can be made below this process's own: run without `--cgroup`, "
                  "or where the memory controller is handed down to it");
    worker.cgroup.emplace(std::move(*made));
  }
  return worker.cgroup->add(worker.process.pid);
}

void LocalEngine::send(uint32_t slot, const std::string& payload) {
  Worker& worker = workers_[slot];
  // A worker that has died meanwhile shows at its pidfd.
  (void)send_frame(worker.process.socket, payload);
}

void LocalEngine::run(uint32_t slot, const TaskSpec& spec) {
  Worker& worker = workers_[slot];
  TG_ASSERT(!worker.busy);
  if (worker.process.pid <= 0) {
    if (const Status started = launch(slot); !started) {
      events_.push_back(AttemptFailed{slot, spec.attempt, started.error()});
      return;
    }
  }
  worker.busy = true;
  worker.attempt = spec.attempt;
  worker.label = spec.label;
  if (worker.cgroup && worker.bound_bytes != spec.memory_bytes)
    (void)worker.cgroup->limit(spec.memory_bytes);
  worker.bound_bytes = spec.memory_bytes;
  std::string payload = to_json(spec);
  if (worker.hello && !worker.replacing)
    send(slot, payload);
  else
    worker.queued = std::move(payload);
}

void LocalEngine::stop(uint32_t slot, const std::string& why) {
  Worker& worker = workers_[slot];
  if (!worker.busy) return;
  worker.queued.reset();
  worker.killed_for = stop_failure(why, worker.label);
  kill_group(worker.process);
}

void LocalEngine::replace(uint32_t slot) {
  workers_[slot].replacing = true;
  kill_group(workers_[slot].process);
}

Result<std::vector<EngineEvent>> LocalEngine::poll(int64_t timeout_us, int wake_fd) {
  std::vector<pollfd> fds;
  for (const Worker& worker : workers_) {
    // A slot whose worker has not been started yet has descriptors of -1, which poll passes over.
    fds.push_back({worker.process.socket, POLLIN, 0});
    fds.push_back({worker.process.pidfd, POLLIN, 0});
  }
  if (wake_fd >= 0) fds.push_back({wake_fd, POLLIN, 0});
  const bool busy =
      std::any_of(workers_.begin(), workers_.end(), [](const Worker& w) { return w.busy; });
  if (!events_.empty()) timeout_us = 0;
  const int64_t wait = busy ? std::min(timeout_us, kSampleUs) : timeout_us;
  const int ready =
      ::poll(fds.data(), fds.size(), static_cast<int>((std::max<int64_t>(wait, 0) + 999) / 1000));
  if (ready < 0 && errno != EINTR)
    return std::unexpected(errno_failure(errno, "cannot wait for workers"));
  if (busy) sample();
  for (uint32_t slot = 0; slot < workers_.size(); ++slot) {
    if (ready > 0 && fds[2 * slot].revents != 0) read_frames(slot);
    if (ready > 0 && fds[2 * slot + 1].revents != 0) {
      read_frames(slot);  // what it said before it ended counts
      TG_TRY(handle_end(slot));
    }
  }
  return std::exchange(events_, {});
}

void LocalEngine::read_frames(uint32_t slot) {
  Worker& worker = workers_[slot];
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::recv(worker.process.socket, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    worker.inbox.append(buffer, static_cast<size_t>(n));
  }
  while (worker.inbox.size() >= 4) {
    uint32_t size = 0;
    for (int i = 0; i < 4; ++i)
      size |=
          static_cast<uint32_t>(static_cast<unsigned char>(worker.inbox[static_cast<size_t>(i)]))
          << (8 * i);
    if (size > kFrameBytesMax) {
      kill_group(worker.process);  // not a worker of ours any more
      worker.inbox.clear();
      return;
    }
    if (worker.inbox.size() < 4 + size_t{size}) return;
    const std::string payload = worker.inbox.substr(4, size);
    worker.inbox.erase(0, 4 + size_t{size});
    handle_frame(slot, payload);
  }
}

void LocalEngine::handle_frame(uint32_t slot, const std::string& payload) {
  Worker& worker = workers_[slot];
  // The report or the failure stands on a line of its own, so that it is read once.
  const size_t line = std::min(payload.find('\n'), payload.size());
  const auto message = nlohmann::json::parse(
      payload.begin(), payload.begin() + static_cast<ptrdiff_t>(line), nullptr, false);
  const std::string body = payload.substr(std::min(line + 1, payload.size()));
  if (message.is_discarded()) {
    kill_group(worker.process);
    return;
  }
  const std::string kind = message.value("kind", "");
  if (kind == "hello") {
    worker.hello = true;
    start_failures_ = 0;
    if (worker.queued) {
      send(slot, *worker.queued);
      worker.queued.reset();
    }
    events_.push_back(WorkerReady{slot, worker.process.pid});
    return;
  }
  if (!worker.busy || worker.killed_for) return;
  if (kind == "progress") {
    events_.push_back(
        AttemptProgress{slot,
                        worker.attempt,
                        {message.value("rows", uint64_t{0}), message.value("bytes", uint64_t{0})},
                        resident_bytes(worker.process)});
    return;
  }
  if (kind == "done") {
    const uint64_t bytes = resident_bytes(worker.process);
    auto report = task_report_from_json(body);
    worker.busy = false;
    if (report) {
      peak_worker_bytes_ = std::max(peak_worker_bytes_, bytes);
      events_.push_back(AttemptDone{slot, worker.attempt, std::move(*report)});
    } else {
      events_.push_back(AttemptFailed{slot, worker.attempt, report.error()});
    }
    if (bytes > worker.bound_bytes / kIdleShare) replace(slot);
  } else if (kind == "failed") {
    auto failure = failure_from_json(body);
    worker.busy = false;
    events_.push_back(AttemptFailed{slot, worker.attempt, failure ? *failure : failure.error()});
    replace(slot);
  }
}

Status LocalEngine::handle_end(uint32_t slot) {
  Worker& worker = workers_[slot];
  const bool said_hello = worker.hello;
  const ExitStatus status = reap(worker.process);
  if (!said_hello && !worker.killed_for && ++start_failures_ > kStartFailuresMax)
    return fail(FailureClass::kDefect, "engine.no_worker",
                "workers end before they begin: " + end_failure(status, "no task").message);
  const bool waiting = worker.queued.has_value();
  if (worker.busy && !waiting) {
    worker.busy = false;
    Failure failure = worker.killed_for ? *worker.killed_for : end_failure(status, worker.label);
    const uint64_t kills = worker.cgroup ? worker.cgroup->kills() : 0;
    const bool killed_by_kernel = std::exchange(worker.cgroup_kills, kills) < kills;
    const bool out_of_memory = !status.signalled && status.code == kExitOutOfMemory;
    if (!worker.killed_for && (killed_by_kernel || out_of_memory))
      failure = bound_failure(
          worker.label, fmt::format("crossed its bound of {} ({})", format_size(worker.bound_bytes),
                                    killed_by_kernel ? "killed by the kernel, in its cgroup"
                                                     : "an allocation failed"));
    failure.where.attempt = worker.attempt;
    events_.push_back(WorkerGone{slot, std::move(failure)});
  } else if (worker.busy && worker.killed_for) {
    worker.busy = false;
    worker.queued.reset();
    events_.push_back(WorkerGone{slot, *worker.killed_for});
  }
  const bool busy = worker.busy;
  TG_TRY(launch(slot));
  workers_[slot].busy = busy;  // a queued task goes to the new worker
  return {};
}

void LocalEngine::sample() {
  const int64_t now = effects_.monotonic_us();
  if (now - sampled_us_ < kSampleUs / 2) return;
  sampled_us_ = now;
  uint64_t total = 0;
  for (Worker& worker : workers_) {
    const uint64_t bytes = resident_bytes(worker.process);
    total += bytes;
    peak_worker_bytes_ = std::max(peak_worker_bytes_, bytes);
    if (!worker.busy || worker.queued || worker.killed_for || bytes <= worker.bound_bytes) continue;
    worker.killed_for =
        bound_failure(worker.label, fmt::format("took {}, its bound is {}", format_size(bytes),
                                                format_size(worker.bound_bytes)));
    kill_group(worker.process);
  }
  peak_total_bytes_ = std::max(peak_total_bytes_, total);
  if (now - looked_us_ >= kStoppedLookUs) look_for_stopped(now);
}

void LocalEngine::look_for_stopped(int64_t now_us) {
  looked_us_ = now_us;
  for (Worker& worker : workers_) {
    if (!worker.busy || worker.killed_for || !is_stopped(worker.process)) {
      worker.stopped_us = 0;
      continue;
    }
    if (worker.stopped_us == 0) worker.stopped_us = now_us;
    if (now_us - worker.stopped_us < kStoppedUsMax) continue;
    worker.killed_for = Failure{
        FailureClass::kLost, "worker.stopped",
        fmt::format("the worker of {} was stopped from outside (SIGSTOP) for {} and was ended",
                    worker.label, format_duration_us(now_us - worker.stopped_us))};
    kill_group(worker.process);
  }
}

void LocalEngine::end(Worker& worker) {
  if (worker.process.pid <= 0) return;
  kill_group(worker.process);
  reap(worker.process);
  worker.cgroup.reset();
}

void LocalEngine::shutdown() {
  for (Worker& worker : workers_) kill_group(worker.process);
  for (Worker& worker : workers_) end(worker);
}

}  // namespace tidegate
