#include "conductor/conductor.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/planted.h"

namespace tidegate {
namespace {

bool is_finished(TaskState state) {
  return state == TaskState::kReused || state == TaskState::kDone;
}

}  // namespace

Conductor::Conductor(Graph graph, Options options)
    : graph_(std::move(graph)),
      options_(std::move(options)),
      records_(graph_.tasks.size()),
      outputs_(graph_.outputs.size()),
      slots_(options_.slots),
      consumers_(graph_.groups.size()),
      group_open_(graph_.groups.size(), 0),
      budget_(graph_.tasks.size(), options_.retry_share),
      isolation_(options_.places.empty() ? std::vector<Isolation::Place>(options_.slots)
                                         : options_.places),
      random_(options_.seed) {
  TG_ASSERT(options_.slots > 0);
  for (uint32_t g = 0; g < graph_.groups.size(); ++g)
    for (const GraphInput& input : graph_.groups[g].inputs) consumers_[input.producer].push_back(g);
  for (const GraphTask& task : graph_.tasks)
    if (!is_finished(task.state)) ++group_open_[task.group];
}

std::vector<Action> Conductor::begin(int64_t now_us) {
  for (uint32_t task = 0; task < graph_.tasks.size(); ++task) consider(task);
  step_outputs();
  schedule(now_us);
  maybe_finish();
  return std::exchange(actions_, {});
}

std::vector<Action> Conductor::handle(const ConductorInput& input, int64_t now_us) {
  if (finished_) return {};
  std::visit([&](const auto& one) { on(one, now_us); }, input);
  step_outputs();
  schedule(now_us);
  maybe_finish();
  return std::exchange(actions_, {});
}

void Conductor::on(const SlotReady& input, int64_t) {
  TG_ASSERT(input.slot < slots_.size());
  if (slots_[input.slot].use == SlotUse::kGone) slots_[input.slot].use = SlotUse::kIdle;
}

void Conductor::on(const SlotLost& input, int64_t now_us) {
  TG_ASSERT(input.slot < slots_.size());
  const Slot slot = std::exchange(slots_[input.slot], Slot{});
  // Stopped by us, or its task's bound was crossed: that says nothing about the place.
  const bool died = slot.stopping.empty() && is_worker_death(input.failure);
  if (died && slot.use != SlotUse::kGone)
    blame(input.slot, input.failure, now_us);
  else
    isolation_.succeeded(input.slot);
  if (slot.use == SlotUse::kVerify)
    return on(VerifyBroke{slot.index, slot.attempt, input.failure}, now_us);
  // Another attempt was first: to be stopped is no failure.
  if (slot.use != SlotUse::kTask || !awaits(slot.index, slot.attempt)) return;
  if (died) records_[slot.index].blamed.emplace_back(input.slot, now_us);
  handle_failure(slot.index, slot.attempt, input.failure, std::nullopt, now_us);
}

bool Conductor::awaits(uint32_t task, const std::string& attempt) const {
  return graph_.tasks[task].state == TaskState::kRunning &&
         std::ranges::any_of(records_[task].running,
                             [&](const Running& one) { return one.attempt == attempt; });
}

bool Conductor::awaits_checks(uint32_t output, const std::string& attempt) const {
  return outputs_[output].state == OutputState::kVerifying && outputs_[output].attempt == attempt;
}

bool Conductor::take_running(uint32_t task, const std::string& attempt, Running& taken) {
  auto& running = records_[task].running;
  const auto found = std::ranges::find(running, attempt, &Running::attempt);
  if (found == running.end()) return false;
  taken = std::move(*found);
  running.erase(found);
  return true;
}

void Conductor::on(const TaskFinished& input, int64_t now_us) {
  TaskRecord& record = records_[input.task];
  GraphTask& task = graph_.tasks[input.task];
  Running done;
  // A duplicate, or an attempt that was given up: its result is as good, but no longer waited for.
  if (planted(Mistake::kCompletionTwice) && task.state == TaskState::kDone &&
      group_open_[task.group] > 0)
    return task_done(input.task, input.digest);
  if (task.state != TaskState::kRunning || !take_running(input.task, input.attempt, done))
    return free_slot_of(input.attempt);
  release(done.slot);
  isolation_.succeeded(done.slot);
  stragglers_.finished(task.group, task.rows, now_us - done.started_us);
  for (const Running& late : record.running) {
    slots_[late.slot].stopping = "superseded";
    actions_.push_back(StopSlot{late.slot, "superseded"});
  }
  record.running.clear();
  task.attempt = input.attempt;
  ++tasks_run_;
  if (record.tries.evidence.empty()) budget_.refund();
  task.buckets = input.buckets;
  task_done(input.task, input.digest);
}

void Conductor::on(const TaskBroke& input, int64_t now_us) {
  if (!awaits(input.task, input.attempt)) return free_slot_of(input.attempt);
  const auto& running = records_[input.task].running;
  const uint32_t slot = std::ranges::find(running, input.attempt, &Running::attempt)->slot;
  release(slot);
  isolation_.succeeded(slot);
  handle_failure(input.task, input.attempt, input.failure, input.lost_producer, now_us);
}

void Conductor::on(const TaskProgressed& input, int64_t now_us) {
  for (Running& one : records_[input.task].running)
    if (one.attempt == input.attempt) one.rows = input.rows;
  back_up(now_us);
}

void Conductor::on(const LookedUp& input, int64_t) {
  GraphTask& task = graph_.tasks[input.task];
  if (task.state != TaskState::kWaiting) return;
  if (!input.found) {
    // Named early, by a producer's content that is known before all else it reads: it waits on.
    if (inputs_done(input.task)) make_ready(input.task);
    return;
  }
  task.attempt = input.attempt;
  task.buckets = input.buckets;
  task.state = TaskState::kReused;
  task_done(input.task, input.digest);
  task.state = TaskState::kReused;
}

void Conductor::on(const CancelAsked&, int64_t) {
  if (cancelled_) return;
  cancelled_ = true;
  for (uint32_t slot = 0; slot < slots_.size(); ++slot)
    if (slots_[slot].use == SlotUse::kTask || slots_[slot].use == SlotUse::kVerify)
      actions_.push_back(StopSlot{slot, "interrupted"});
}

void Conductor::on(const Tick&, int64_t now_us) {
  int64_t next_us = INT64_MAX;
  while (!backoff_.empty() && backoff_.begin()->first <= now_us) {
    const uint32_t task = backoff_.begin()->second;
    backoff_.erase(backoff_.begin());
    graph_.tasks[task].state = TaskState::kWaiting;
    consider(task);
  }
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    Slot& here = slots_[slot];
    if (here.deadline_us == 0 || !here.stopping.empty()) continue;
    if (here.deadline_us > now_us) {
      next_us = std::min(next_us, here.deadline_us);
      continue;
    }
    here.stopping = "timeout";
    actions_.push_back(StopSlot{slot, "timeout"});
  }
  back_up(now_us);
  // One wake-up is asked for at a time: the next is due.
  if (!backoff_.empty()) next_us = std::min(next_us, backoff_.begin()->first);
  next_us = std::min(next_us, isolation_.next_probe_us(now_us));
  if (next_us != INT64_MAX) actions_.push_back(WakeAt{next_us});
}

std::string Conductor::next_attempt() {
  return fmt::format("{:06}-{}", ++attempt_counter_, hex64(options_.seed));
}

bool Conductor::inputs_done(uint32_t index) const {
  const GraphTask& task = graph_.tasks[index];
  for (const GraphInput& input : graph_.groups[task.group].inputs) {
    const auto& units = graph_.groups[input.producer].tasks;
    if (input.mode == GraphInput::Mode::kWhole) {
      if (group_open_[input.producer] != 0) return false;
    } else if (task.unit >= input.unit_begin && task.unit - input.unit_begin < units.size()) {
      if (!is_finished(graph_.tasks[units[task.unit - input.unit_begin]].state)) return false;
    }
  }
  return true;
}

void Conductor::consider(uint32_t index) {
  GraphTask& task = graph_.tasks[index];
  if (task.state != TaskState::kWaiting || !inputs_done(index)) return;
  if (!task.identity.empty()) {
    make_ready(index);
    return;
  }
  auto identity = task_identity(graph_, index);
  TG_ASSERT(identity.has_value());
  task.identity = std::move(*identity);
  actions_.push_back(LookUp{index, task.identity});
}

void Conductor::make_ready(uint32_t index) {
  GraphTask& task = graph_.tasks[index];
  task.state = TaskState::kReady;
  // Later groups first, so that outputs come early; within a group the largest first.
  const uint64_t group_key = graph_.groups.size() - task.group;
  constexpr uint64_t kSizeMax = (uint64_t{1} << 40) - 1;
  ready_.insert({group_key << 40 | (kSizeMax - std::min(task.bytes, kSizeMax)), index});
}

void Conductor::unqueue(uint32_t index) {
  std::erase_if(ready_, [&](const auto& item) { return item.second == index; });
  std::erase_if(backoff_, [&](const auto& item) { return item.second == index; });
}

void Conductor::task_done(uint32_t index, std::string digest) {
  GraphTask& task = graph_.tasks[index];
  task.digest = std::move(digest);
  task.state = TaskState::kDone;
  TG_ASSERT(group_open_[task.group] > 0);
  const bool whole = --group_open_[task.group] == 0;
  const GraphGroup& done = graph_.groups[task.group];
  if (whole && (done.unordered || done.names_buckets)) {
    // Names of its consumers are known now; found in one pass rather than task by task.
    std::vector<uint32_t> unnamed;
    for (uint32_t other = 0; other < graph_.tasks.size(); ++other)
      if (graph_.tasks[other].identity.empty()) unnamed.push_back(other);
    compute_identities(graph_);
    for (uint32_t other : unnamed)
      if (!graph_.tasks[other].identity.empty() && graph_.tasks[other].state == TaskState::kWaiting)
        actions_.push_back(LookUp{other, graph_.tasks[other].identity});
    for (uint32_t consumer : consumers_[task.group])
      for (uint32_t other : graph_.groups[consumer].tasks)
        if (std::find(unnamed.begin(), unnamed.end(), other) == unnamed.end()) consider(other);
    return;
  }
  for (uint32_t consumer : consumers_[task.group]) {
    const GraphGroup& group = graph_.groups[consumer];
    if (whole) {
      for (uint32_t other : group.tasks) consider(other);
      continue;
    }
    for (const GraphInput& input : group.inputs)
      if (input.producer == task.group && input.mode == GraphInput::Mode::kUnit &&
          input.unit_begin + task.unit < group.tasks.size())
        consider(group.tasks[input.unit_begin + task.unit]);
  }
}

uint64_t Conductor::memory_of(uint32_t index) const {
  return graph_.groups[graph_.tasks[index].group].memory_bytes * records_[index].memory_times;
}

uint64_t Conductor::memory_running() const {
  uint64_t bytes = 0;
  for (const Slot& slot : slots_)
    if (slot.use == SlotUse::kTask) bytes += memory_of(slot.index);
  return bytes;
}

/// A worker that is gone may be its task's fault, or that of the place it ran at.
void Conductor::blame(uint32_t slot, const Failure& failure, int64_t now_us) {
  for (const Isolation::Closed& closed : isolation_.failed(slot, now_us)) {
    actions_.push_back(RecordIsolation{closed, failure});
    actions_.push_back(WakeAt{closed.until_us});
  }
}

void Conductor::handle_failure(uint32_t index, const std::string& attempt, const Failure& failure,
                               std::optional<uint32_t> lost_producer, int64_t now_us) {
  TaskRecord& record = records_[index];
  GraphTask& task = graph_.tasks[index];
  Running broken;
  TG_ASSERT(take_running(index, attempt, broken));
  if (cancelled_) {
    if (record.running.empty()) task.state = TaskState::kWaiting;
    return;
  }
  actions_.push_back(RecordFailure{index, attempt, failure});
  if (failure.cls == FailureClass::kDisk)
    for (const Isolation::Closed& closed :
         isolation_.close_host(isolation_.host_of(broken.slot), now_us))
      actions_.push_back(RecordIsolation{closed, failure});
  // Another attempt of it runs on: that one decides.
  if (!record.running.empty()) return;
  const GraphGroup& group = graph_.groups[task.group];
  const bool comes_further =
      lost_producer && *lost_producer != index && record.made_again.insert(*lost_producer).second;
  const Reaction reaction =
      RetryPolicy::react(failure, group.retry,
                         {.split = group.can_split,
                          .larger = group.retry.splits_memory && options_.host_bytes > 0 &&
                                    group.memory_bytes * kLargerTimes <= options_.host_bytes,
                          .comes_further = comes_further},
                         record.tries, budget_);
  if (reaction.kind == Reaction::Kind::kFail) {
    if (reaction.failure.code == "task.poison")
      for (const auto& [slot, at_us] : record.blamed) isolation_.forgive(slot, at_us);
    if (reaction.failure.code != failure.code)
      actions_.push_back(RecordFailure{index, attempt, reaction.failure});
    task_failed(index, reaction.failure);
    return;
  }
  ++tasks_retried_;
  if (reaction.kind == Reaction::Kind::kSplit) record.parts *= kSplitWays;
  if (reaction.kind == Reaction::Kind::kLarger) record.memory_times = kLargerTimes;
  const int64_t delay =
      reaction.most_delay_us > 0
          ? static_cast<int64_t>(random_() % static_cast<uint64_t>(reaction.most_delay_us + 1))
          : 0;
  actions_.push_back(RecordRetry{index, delay, reaction.number, failure, record.parts,
                                 record.memory_times > 1 ? memory_of(index) : 0, budget_.tokens()});
  if (lost_producer && *lost_producer != index && !planted(Mistake::kLostNotMadeAgain))
    make_again(*lost_producer);
  task.state = TaskState::kBackoff;
  record.wake_us = now_us + delay;
  backoff_.insert({record.wake_us, index});
  actions_.push_back(WakeAt{record.wake_us});
}

/// Its result is lost: it runs again, and so does all that it needs and that is not there.
void Conductor::make_again(uint32_t index) {
  GraphTask& task = graph_.tasks[index];
  if (!is_finished(task.state)) return;
  task.state = TaskState::kWaiting;
  ++group_open_[task.group];
  // What waits for it and was ready already must wait again.
  for (uint32_t consumer : consumers_[task.group]) {
    for (uint32_t other : graph_.groups[consumer].tasks) {
      if (graph_.tasks[other].state == TaskState::kReady && !inputs_done(other)) {
        unqueue(other);
        graph_.tasks[other].state = TaskState::kWaiting;
      }
    }
  }
  renew_needed();
  for (uint32_t other = 0; other < graph_.tasks.size(); ++other) consider(other);
}

void Conductor::task_failed(uint32_t index, const Failure& failure) {
  graph_.tasks[index].state = TaskState::kFailed;
  std::vector<bool> hit(graph_.groups.size(), false);
  hit[graph_.tasks[index].group] = true;
  for (uint32_t g = 0; g < graph_.groups.size(); ++g) {
    if (!hit[g]) continue;
    for (uint32_t consumer : consumers_[g]) hit[consumer] = true;
    for (uint32_t other : graph_.groups[g].tasks) {
      TaskState& state = graph_.tasks[other].state;
      if (g != graph_.tasks[index].group &&
          (state == TaskState::kWaiting || state == TaskState::kReady ||
           state == TaskState::kBackoff)) {
        unqueue(other);
        state = TaskState::kBlocked;
      }
    }
  }
  for (uint32_t o = 0; o < outputs_.size(); ++o) {
    const GraphOutput& output = graph_.outputs[o];
    bool blocked = hit[output.group];
    for (uint32_t group : output.after) blocked |= hit[group];
    if (!blocked || is_terminal(outputs_[o].state) ||
        outputs_[o].state == OutputState::kVerifying ||
        outputs_[o].state == OutputState::kCommitting)
      continue;
    if (outputs_[o].state != OutputState::kWaiting) actions_.push_back(DropStaged{o});
    std::erase(verify_queue_, o);
    outputs_[o].state = OutputState::kFailed;
    outputs_[o].failure = failure;
  }
  renew_needed();
}

/// Work that no living output needs is not begun; what a living one needs again is.
void Conductor::renew_needed() {
  std::vector<bool> needed(graph_.tasks.size(), false);
  for (uint32_t o = 0; o < outputs_.size(); ++o) {
    if (is_terminal(outputs_[o].state)) continue;
    for (uint32_t task : graph_.groups[graph_.outputs[o].group].tasks) needed[task] = true;
    for (uint32_t group : graph_.outputs[o].after)
      for (uint32_t task : graph_.groups[group].tasks) needed[task] = true;
  }
  for (size_t g = graph_.groups.size(); g-- > 0;) {
    for (uint32_t index : graph_.groups[g].tasks) {
      GraphTask& task = graph_.tasks[index];
      if (!needed[index]) {
        if (task.state == TaskState::kWaiting || task.state == TaskState::kReady ||
            task.state == TaskState::kBackoff) {
          unqueue(index);
          task.state = TaskState::kUnneeded;
        }
        continue;
      }
      if (is_finished(task.state) || task.state == TaskState::kFailed) continue;
      if (task.state == TaskState::kUnneeded) task.state = TaskState::kWaiting;
      for (const GraphInput& input : graph_.groups[g].inputs) {
        const auto& units = graph_.groups[input.producer].tasks;
        if (input.mode == GraphInput::Mode::kWhole)
          for (uint32_t unit : units) needed[unit] = true;
        else if (task.unit >= input.unit_begin && task.unit - input.unit_begin < units.size())
          needed[units[task.unit - input.unit_begin]] = true;
      }
    }
  }
}

void Conductor::schedule(int64_t now_us) {
  if (cancelled_) return;
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot].use != SlotUse::kIdle || !isolation_.allows(slot, now_us)) continue;
    if (!verify_queue_.empty()) {
      const uint32_t index = verify_queue_.front();
      OutputRecord& output = outputs_[index];
      verify_queue_.pop_front();
      output.state = OutputState::kVerifying;
      output.attempt = next_attempt();
      output.slot = slot;
      ++output.verify_tries;
      actions_.push_back(VerifyOutput{index, output.attempt, slot});
      take_slot(slot, {SlotUse::kVerify, index, output.attempt, now_us + options_.attempt_us_max},
                now_us);
      continue;
    }
    // One that was given a larger bound waits until there is room for it.
    const auto fits = std::ranges::find_if(ready_, [&](const auto& item) {
      return records_[item.second].memory_times == 1 ||
             memory_running() + memory_of(item.second) <= options_.host_bytes;
    });
    if (fits == ready_.end()) break;
    const uint32_t index = fits->second;
    ready_.erase(fits);
    graph_.tasks[index].state = TaskState::kRunning;
    start(index, slot, false, now_us);
  }
  back_up(now_us);
}

void Conductor::start(uint32_t index, uint32_t slot, bool backup, int64_t now_us) {
  const GraphTask& task = graph_.tasks[index];
  TaskRecord& record = records_[index];
  const int64_t timeout_us = graph_.groups[task.group].timeout_us.value_or(options_.attempt_us_max);
  Running running{next_attempt(), slot, now_us, 0};
  actions_.push_back(StartTask{index, task.identity, running.attempt, slot, record.parts,
                               memory_of(index), backup});
  take_slot(slot, {SlotUse::kTask, index, running.attempt, now_us + timeout_us}, now_us);
  record.running.push_back(std::move(running));
}

void Conductor::take_slot(uint32_t slot, Slot use, int64_t now_us) {
  slots_[slot] = std::move(use);
  isolation_.begun(slot, now_us);
  actions_.push_back(WakeAt{slots_[slot].deadline_us});
}

/// Where a slot has nothing else to do, a task that is late against its siblings gets a second
/// attempt; who is first wins.
void Conductor::back_up(int64_t now_us) {
  if (cancelled_ || !ready_.empty() || !verify_queue_.empty()) return;
  const auto idle = [&](uint32_t slot) {
    return slots_[slot].use == SlotUse::kIdle && isolation_.allows(slot, now_us);
  };
  uint32_t free = 0;
  while (free < slots_.size() && !idle(free)) ++free;
  if (free == slots_.size()) return;
  bool runs = false;
  for (uint32_t slot = 0; slot < slots_.size() && free < slots_.size(); ++slot) {
    if (slots_[slot].use != SlotUse::kTask || !slots_[slot].stopping.empty()) continue;
    const uint32_t index = slots_[slot].index;
    const GraphTask& task = graph_.tasks[index];
    const TaskRecord& record = records_[index];
    if (record.running.size() != 1 || !stragglers_.expected_us(task.group, task.rows)) continue;
    runs = true;
    const Running& one = record.running.front();
    if (!stragglers_.is_late(task.group, task.rows, one.rows, now_us - one.started_us)) continue;
    if (options_.host_bytes > 0 && record.memory_times > 1 &&
        memory_running() + memory_of(index) > options_.host_bytes)
      continue;
    if (!budget_.take(RetryBudget::kBackupCost)) return;
    ++tasks_backed_up_;
    start(index, free, true, now_us);
    while (free < slots_.size() && !idle(free)) ++free;
  }
  if (runs) actions_.push_back(WakeAt{now_us + kLateCheckUs});
}

void Conductor::free_slot_of(const std::string& attempt) {
  for (uint32_t slot = 0; slot < slots_.size(); ++slot)
    if (slots_[slot].use == SlotUse::kTask && slots_[slot].attempt == attempt) release(slot);
}

void Conductor::release(uint32_t slot) {
  if (slots_[slot].use == SlotUse::kTask || slots_[slot].use == SlotUse::kVerify)
    slots_[slot] = Slot{SlotUse::kIdle, 0};
}

}  // namespace tidegate
