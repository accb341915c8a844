#include "conductor/conductor.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"

namespace tidegate {
namespace {

bool is_finished(TaskState state) {
  return state == TaskState::kReused || state == TaskState::kDone;
}

bool is_terminal(OutputState state) {
  return state == OutputState::kPublished || state == OutputState::kUnchanged ||
         state == OutputState::kRefused || state == OutputState::kFailed;
}

}  // namespace

std::string_view to_string(OutputState state) {
  constexpr std::string_view kNames[] = {"waiting",  "staging",    "staged",    "verifying",
                                         "verified", "committing", "published", "unchanged",
                                         "refused",  "failed"};
  return kNames[static_cast<size_t>(state)];
}

Conductor::Conductor(Graph graph, Options options)
    : graph_(std::move(graph)),
      options_(options),
      records_(graph_.tasks.size()),
      outputs_(graph_.outputs.size()),
      slots_(options.slots),
      consumers_(graph_.groups.size()),
      group_open_(graph_.groups.size(), 0),
      random_(options.seed) {
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
  if (slot.use == SlotUse::kTask) {
    const std::string attempt = records_[slot.index].running_attempt;
    handle_failure(slot.index, attempt, input.failure, std::nullopt, now_us);
  } else if (slot.use == SlotUse::kVerify) {
    on(VerifyBroke{slot.index, outputs_[slot.index].attempt, input.failure}, now_us);
  }
}

void Conductor::on(const TaskFinished& input, int64_t) {
  TaskRecord& record = records_[input.task];
  GraphTask& task = graph_.tasks[input.task];
  // A duplicate, or an attempt that was given up: its result is as good, but no longer waited for.
  if (task.state != TaskState::kRunning || record.running_attempt != input.attempt) return;
  release(record.slot);
  record.running_attempt.clear();
  task.attempt = input.attempt;
  ++tasks_run_;
  task.buckets = input.buckets;
  task_done(input.task, input.digest);
}

void Conductor::on(const TaskBroke& input, int64_t now_us) {
  TaskRecord& record = records_[input.task];
  if (graph_.tasks[input.task].state != TaskState::kRunning ||
      record.running_attempt != input.attempt)
    return;
  release(record.slot);
  handle_failure(input.task, input.attempt, input.failure, input.lost_producer, now_us);
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

void Conductor::on(const OutputStaged& input, int64_t) {
  OutputRecord& output = outputs_[input.output];
  if (output.state != OutputState::kStaging) return;
  if (input.failure && input.failure->cls == FailureClass::kLost && input.lost_producer &&
      !cancelled_ && output.stage_tries < Retry{}.lost_max) {
    ++output.stage_tries;
    output.state = OutputState::kWaiting;
    make_again(*input.lost_producer);
    return;
  }
  if (input.failure) {
    const bool refused = input.failure->code == "publish.rejected";
    output.state = refused ? OutputState::kRefused : OutputState::kFailed;
    output.failure = input.failure;
    actions_.push_back(DropStaged{input.output});
  } else if (input.unchanged) {
    output.state = OutputState::kUnchanged;
  } else {
    output.state = OutputState::kStaged;
    verify_queue_.push_back(input.output);
  }
}

void Conductor::on(const OutputVerified& input, int64_t) {
  OutputRecord& output = outputs_[input.output];
  if (output.state != OutputState::kVerifying || output.attempt != input.attempt) return;
  release(output.slot);
  output.state = input.passed ? OutputState::kVerified : OutputState::kRefused;
  if (!input.passed) actions_.push_back(DropStaged{input.output});
}

void Conductor::on(const VerifyBroke& input, int64_t) {
  OutputRecord& output = outputs_[input.output];
  if (output.state != OutputState::kVerifying || output.attempt != input.attempt) return;
  release(output.slot);
  if (cancelled_) {  // stopped by us: the next run checks it
    output.state = OutputState::kStaged;
    return;
  }
  const bool again =
      (input.failure.cls == FailureClass::kTransient || input.failure.cls == FailureClass::kLost) &&
      output.verify_tries < Retry{}.lost_max;
  if (again) {
    output.state = OutputState::kStaged;
    verify_queue_.push_back(input.output);
    return;
  }
  output.state = OutputState::kFailed;
  output.failure = input.failure;
  actions_.push_back(DropStaged{input.output});
}

void Conductor::on(const OutputCommitted& input, int64_t) {
  OutputRecord& output = outputs_[input.output];
  if (output.state != OutputState::kCommitting) return;
  output.state = input.failure ? OutputState::kFailed : OutputState::kPublished;
  output.failure = input.failure;
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
    if (slots_[slot].use != SlotUse::kTask || !slots_[slot].stopping.empty()) continue;
    const int64_t deadline = records_[slots_[slot].index].deadline_us;
    if (deadline == 0) continue;
    if (deadline > now_us) {
      next_us = std::min(next_us, deadline);
      continue;
    }
    slots_[slot].stopping = "timeout";
    actions_.push_back(StopSlot{slot, "timeout"});
  }
  // One wake-up is asked for at a time: the next is due.
  if (!backoff_.empty()) next_us = std::min(next_us, backoff_.begin()->first);
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

/// What a kernel cannot hold of one key would not be less in parts of other keys.
bool Conductor::splits_again(uint32_t index, const Failure& failure) const {
  return failure.cls == FailureClass::kMemory && failure.code != "reduce.memory" &&
         graph_.groups[graph_.tasks[index].group].can_split && records_[index].splits < kSplitsMax;
}

void Conductor::handle_failure(uint32_t index, const std::string& attempt, const Failure& failure,
                               std::optional<uint32_t> lost_producer, int64_t now_us) {
  TaskRecord& record = records_[index];
  GraphTask& task = graph_.tasks[index];
  record.running_attempt.clear();
  if (cancelled_) {
    task.state = TaskState::kWaiting;
    return;
  }
  actions_.push_back(RecordFailure{index, attempt, failure});
  const Retry& retry = graph_.groups[task.group].retry;
  uint32_t number = 0;
  if (failure.cls == FailureClass::kTransient && record.transient_used < retry.transient_max)
    number = ++record.transient_used;
  else if (failure.cls == FailureClass::kLost && record.lost_used < retry.lost_max)
    number = ++record.lost_used;
  else if (splits_again(index, failure)) {
    number = ++record.splits;
    record.parts *= kSplitWays;
  }
  if (number == 0) {
    task_failed(index, failure);
    return;
  }
  ++tasks_retried_;
  int64_t delay = 0;
  if (failure.cls == FailureClass::kTransient) {
    const int64_t most = std::min(kBackoffMaxUs, kBackoffFirstUs << std::min(number - 1, 20u));
    delay = static_cast<int64_t>(random_() % static_cast<uint64_t>(most + 1));
  }
  actions_.push_back(RecordRetry{index, delay, number, failure, record.parts});
  if (lost_producer && *lost_producer != index) make_again(*lost_producer);
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
    if (slots_[slot].use != SlotUse::kIdle) continue;
    if (!verify_queue_.empty()) {
      const uint32_t index = verify_queue_.front();
      OutputRecord& output = outputs_[index];
      verify_queue_.pop_front();
      output.state = OutputState::kVerifying;
      output.attempt = next_attempt();
      output.slot = slot;
      ++output.verify_tries;
      slots_[slot] = {SlotUse::kVerify, index, {}};
      actions_.push_back(VerifyOutput{index, output.attempt, slot});
      continue;
    }
    if (ready_.empty()) return;
    const uint32_t index = ready_.begin()->second;
    ready_.erase(ready_.begin());
    GraphTask& task = graph_.tasks[index];
    TaskRecord& record = records_[index];
    task.state = TaskState::kRunning;
    record.running_attempt = next_attempt();
    record.slot = slot;
    ++record.started;
    const auto& timeout = graph_.groups[task.group].timeout_us;
    record.deadline_us = timeout ? now_us + *timeout : 0;
    slots_[slot] = {SlotUse::kTask, index, {}};
    actions_.push_back(StartTask{index, task.identity, record.running_attempt, slot, record.parts});
    if (timeout) actions_.push_back(WakeAt{record.deadline_us});
  }
}

void Conductor::step_outputs() {
  if (cancelled_) return;
  for (uint32_t o = 0; o < outputs_.size(); ++o) {
    if (outputs_[o].state != OutputState::kWaiting) continue;
    bool ready = group_open_[graph_.outputs[o].group] == 0;
    for (uint32_t group : graph_.outputs[o].after) ready &= group_open_[group] == 0;
    if (!ready) continue;
    outputs_[o].state = OutputState::kStaging;
    actions_.push_back(StageOutput{o});
  }
  if (!graph_.publish_together) {
    for (uint32_t o = 0; o < outputs_.size(); ++o) {
      if (outputs_[o].state != OutputState::kVerified) continue;
      outputs_[o].state = OutputState::kCommitting;
      actions_.push_back(CommitOutputs{{o}});
    }
    return;
  }
  // Together: all or none. One that is refused or failed takes the others with it.
  bool all = true, broken = false;
  std::vector<uint32_t> verified;
  for (uint32_t o = 0; o < outputs_.size(); ++o) {
    const OutputState state = outputs_[o].state;
    if (state == OutputState::kVerified) verified.push_back(o);
    all &= state == OutputState::kVerified || state == OutputState::kUnchanged;
    broken |= state == OutputState::kRefused || state == OutputState::kFailed;
  }
  if (verified.empty()) return;
  if (broken) {
    for (uint32_t o : verified) {
      outputs_[o].state = OutputState::kRefused;
      actions_.push_back(DropStaged{o});
    }
  } else if (all) {
    for (uint32_t o : verified) outputs_[o].state = OutputState::kCommitting;
    actions_.push_back(CommitOutputs{verified});
  }
}

void Conductor::maybe_finish() {
  const bool busy = std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) {
    return slot.use == SlotUse::kTask || slot.use == SlotUse::kVerify;
  });
  if (busy) return;
  bool all = true, failed = false, refused = false, committing = false;
  for (const OutputRecord& output : outputs_) {
    all &= is_terminal(output.state);
    failed |= output.state == OutputState::kFailed;
    refused |= output.state == OutputState::kRefused;
    committing |= output.state == OutputState::kCommitting || output.state == OutputState::kStaging;
  }
  if (committing || (!all && !cancelled_)) return;
  finished_ = true;
  if (!all) {
    for (uint32_t o = 0; o < outputs_.size(); ++o)
      if (!is_terminal(outputs_[o].state) && outputs_[o].state != OutputState::kWaiting)
        actions_.push_back(DropStaged{o});
  }
  actions_.push_back(Finish{!all      ? "interrupted"
                            : failed  ? "failed"
                            : refused ? "refused"
                                      : "succeeded"});
}

void Conductor::release(uint32_t slot) {
  if (slots_[slot].use == SlotUse::kTask || slots_[slot].use == SlotUse::kVerify)
    slots_[slot] = Slot{SlotUse::kIdle, 0, {}};
}

}  // namespace tidegate
