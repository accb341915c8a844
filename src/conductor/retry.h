#pragma once

#include <cstdint>
#include <string>

#include "base/failure.h"
#include "contract/contract.h"

namespace tidegate {

/// Bounds the retries of a whole run, whatever each task may have by itself: a bucket of tokens, as
/// the AWS SDKs' standard mode has one (500 tokens, 5 a retry, 10 after a timeout, 1 back for an
/// attempt that succeeded at once). A large run has a share of its tasks on top.
class RetryBudget {
 public:
  static constexpr uint64_t kTokens = 500;
  static constexpr uint64_t kRetryCost = 5, kTimeoutCost = 10, kBackupCost = 10, kRefund = 1;

  RetryBudget(uint64_t tasks, double share);
  /// False, and nothing taken, if there are not so many.
  bool take(uint64_t cost);
  void refund();
  uint64_t tokens() const { return tokens_; }
  uint64_t capacity() const { return capacity_; }

 private:
  uint64_t capacity_;
  uint64_t tokens_;
};

/// What a task has used of what it may.
struct Tries {
  uint32_t transient = 0, timeout = 0, lost = 0;
  uint32_t others = 0;  ///< after results of other tasks that were lost for the first time
  uint32_t splits = 0;
  uint32_t kills = 0;    ///< of workers, by its attempts
  bool grown = false;    ///< runs with a larger bound
  std::string evidence;  ///< of its last failure
};

/// What is done about a failed attempt.
struct Reaction {
  enum class Kind : uint8_t {
    kFail,
    kAgain,   ///< as it was
    kSplit,   ///< its work in parts
    kLarger,  ///< with a larger bound, once
  };
  Kind kind = Kind::kFail;
  uint32_t number = 0;        ///< of this kind of retry, from 1
  int64_t most_delay_us = 0;  ///< the pause is drawn from 0 to here
  Failure failure;            ///< as it is told: of class defect where a retry would be in vain
};

/// What a task's surroundings allow.
struct Allowed {
  bool split = false;   ///< its work can be parted
  bool larger = false;  ///< the host has room for a larger bound
  /// What was lost is another task's result, and was not lost before: with it made again, the next
  /// attempt comes further. There are as many of these as there are producers.
  bool comes_further = false;
};

/// Decides by class what is done, and counts it: at most what the contract says for each class and
/// what is left of the run's budget. The same deterministic failure twice is a defect; so is a task
/// that kills its worker for the third time.
class RetryPolicy {
 public:
  /// Full jitter up to kBackoffFirst x 2^(number-1), at most kBackoffMax.
  static constexpr int64_t kBackoffFirstUs = 100'000;
  static constexpr int64_t kBackoffMaxUs = 20'000'000;
  static constexpr uint32_t kSplitsMax = 2;
  static constexpr uint32_t kPoisonKills = 3;

  static Reaction react(const Failure& failure, const Retry& retry, Allowed allowed, Tries& tries,
                        RetryBudget& budget);
};

/// True for failures in which a worker ended by itself or from outside.
bool is_worker_death(const Failure& failure);

}  // namespace tidegate
