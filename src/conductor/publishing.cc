#include <algorithm>

#include "conductor/conductor.h"

namespace tidegate {

bool is_terminal(OutputState state) {
  return state == OutputState::kPublished || state == OutputState::kUnchanged ||
         state == OutputState::kRefused || state == OutputState::kFailed;
}

std::string_view to_string(OutputState state) {
  constexpr std::string_view kNames[] = {"waiting",  "staging",    "staged",    "verifying",
                                         "verified", "committing", "published", "unchanged",
                                         "refused",  "failed"};
  return kNames[static_cast<size_t>(state)];
}

void Conductor::on(const OutputStaged& input, int64_t) {
  OutputRecord& output = outputs_[input.output];
  if (output.state != OutputState::kStaging) return;
  if (input.failure && input.failure->cls == FailureClass::kLost && input.lost_producer &&
      !cancelled_ &&
      (output.made_again.insert(*input.lost_producer).second ||
       output.stage_tries++ < Retry{}.lost_max)) {
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
  isolation_.succeeded(output.slot);
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

}  // namespace tidegate
