#include "conductor/retry.h"

#include <fmt/format.h>

#include <algorithm>

namespace tidegate {
namespace {

/// What would come out the same with the same input. What comes from outside (a kill, a busy
/// device, a deadline) says nothing about the input.
bool is_deterministic(const Failure& failure) {
  switch (failure.cls) {
    case FailureClass::kTransient:
    case FailureClass::kTimeout:
    case FailureClass::kMemory:
      return false;
    default:
      return failure.code != "worker.killed" && failure.code != "worker.stopped";
  }
}

Failure because(FailureClass cls, std::string code, std::string message, const Failure& cause) {
  Failure made{cls, std::move(code), std::move(message)};
  made.where = cause.where;
  made.cause = std::make_shared<const Failure>(cause);
  return made;
}

Reaction retry(Reaction::Kind kind, uint32_t number, const Failure& failure) {
  Reaction reaction{kind, number, 0, failure};
  const bool waits =
      failure.cls == FailureClass::kTransient || failure.cls == FailureClass::kTimeout;
  if (waits)
    reaction.most_delay_us =
        std::min(RetryPolicy::kBackoffMaxUs,
                 RetryPolicy::kBackoffFirstUs << std::min<uint32_t>(number - 1, 20));
  return reaction;
}

}  // namespace

RetryBudget::RetryBudget(uint64_t tasks, double share)
    : capacity_(kTokens + static_cast<uint64_t>(share * static_cast<double>(tasks * kRetryCost))),
      tokens_(capacity_) {}

bool RetryBudget::take(uint64_t cost) {
  if (tokens_ < cost) return false;
  tokens_ -= cost;
  return true;
}

void RetryBudget::refund() { tokens_ = std::min(capacity_, tokens_ + kRefund); }

bool is_worker_death(const Failure& failure) {
  return failure.code == "worker.killed" || failure.code == "worker.crashed" ||
         failure.code == "worker.exited" || failure.code == "worker.stopped";
}

Reaction RetryPolicy::react(const Failure& failure, const Retry& contract, Allowed allowed,
                            Tries& tries, RetryBudget& budget) {
  const std::string evidence = failure.code + " " + failure.message;
  const bool again_the_same = is_deterministic(failure) && evidence == tries.evidence;
  tries.evidence = evidence;
  if (is_worker_death(failure) && ++tries.kills >= kPoisonKills)
    return {.failure = because(
                FailureClass::kDefect, "task.poison",
                fmt::format("its attempts ended {} workers: it is not given another", tries.kills),
                failure)};
  if (again_the_same && failure.cls != FailureClass::kDefect)
    return {.failure = because(FailureClass::kDefect, "task.same_failure",
                               "the same input failed in the same way twice", failure)};
  using Kind = Reaction::Kind;
  Kind kind = Kind::kFail;
  uint32_t* used = nullptr;
  uint64_t cost = RetryBudget::kRetryCost;
  switch (failure.cls) {
    case FailureClass::kTransient:
      if (tries.transient < contract.transient_max) used = &tries.transient;
      kind = Kind::kAgain;
      break;
    case FailureClass::kTimeout:
      if (tries.timeout < contract.timeout_max) used = &tries.timeout;
      kind = Kind::kAgain;
      cost = RetryBudget::kTimeoutCost;
      break;
    case FailureClass::kLost:
      if (allowed.comes_further && contract.lost_max > 0)
        used = &tries.others;
      else if (tries.lost < contract.lost_max)
        used = &tries.lost;
      kind = Kind::kAgain;
      break;
    case FailureClass::kMemory:
      // What a kernel cannot hold of one key would not be less in parts of other keys.
      if (allowed.split && tries.splits < kSplitsMax && failure.code != "reduce.memory") {
        used = &tries.splits;
        kind = Kind::kSplit;
      } else if (allowed.larger && !tries.grown) {
        kind = Kind::kLarger;
      }
      break;
    default:
      break;
  }
  if (used == nullptr && kind != Kind::kLarger) return {.failure = failure};
  if (!budget.take(cost))
    return {.failure = fail_because(failure, "run.retry_budget",
                                    "this run has used up its retries: more is wrong than one task")
                           .error()};
  if (kind == Kind::kLarger) tries.grown = true;
  return retry(kind, used != nullptr ? ++*used : 1, failure);
}

}  // namespace tidegate
