#include "conductor/retry.h"

#include <gtest/gtest.h>

#include "conductor/isolation.h"
#include "conductor/stragglers.h"

namespace tidegate {
namespace {

using Kind = Reaction::Kind;
constexpr int64_t kSecond = 1'000'000;

/// A task with a budget, whose attempts fail.
struct Failing {
  Retry contract;
  Allowed allowed;
  Tries tries;
  RetryBudget budget{50, 0.1};
  Reaction with(FailureClass cls, const char* code, const char* message = "x") {
    return RetryPolicy::react({cls, code, message}, contract, allowed, tries, budget);
  }
  /// How often it is tried again.
  int retries(FailureClass cls, const char* code) {
    int count = 0;
    while (with(cls, code).kind != Kind::kFail) ++count;
    return count;
  }
};

TEST(RetryPolicy, EachClassHasItsOwnNumber) {
  EXPECT_EQ(Failing{}.retries(FailureClass::kTransient, "file.busy"), 5);
  EXPECT_EQ(Failing{}.retries(FailureClass::kTimeout, "task.timeout"), 1);
  EXPECT_EQ(Failing{}.retries(FailureClass::kDefect, "sql.binder"), 0);
  EXPECT_EQ(Failing{}.retries(FailureClass::kData, "source.bad_row"), 0);
  EXPECT_EQ(Failing{}.retries(FailureClass::kDependency, "source.changed"), 0);
  EXPECT_EQ(Failing{}.retries(FailureClass::kDisk, "disk.no_space"), 0);
  EXPECT_EQ(Failing{}.retries(FailureClass::kUncertain, "publish.uncertain"), 0);
  Failing never;
  never.contract = {.transient_max = 0, .timeout_max = 0, .lost_max = 0};
  EXPECT_EQ(never.retries(FailureClass::kTransient, "file.busy"), 0);
  EXPECT_EQ(never.retries(FailureClass::kTimeout, "task.timeout"), 0);
  EXPECT_EQ(never.with(FailureClass::kLost, "result.missing").kind, Kind::kFail);
}

TEST(RetryPolicy, ThePauseGrowsAndIsBounded) {
  Failing failing;
  failing.contract.transient_max = 100;
  int64_t before = 0;
  for (int i = 0; i < 40; ++i) {
    const Reaction reaction = failing.with(FailureClass::kTransient, "file.busy");
    ASSERT_EQ(reaction.kind, Kind::kAgain);
    EXPECT_GE(reaction.most_delay_us, before);
    before = reaction.most_delay_us;
  }
  EXPECT_EQ(before, RetryPolicy::kBackoffMaxUs);
  EXPECT_EQ(Failing{}.with(FailureClass::kTransient, "x").most_delay_us,
            RetryPolicy::kBackoffFirstUs);
  EXPECT_EQ(Failing{}.with(FailureClass::kLost, "result.missing").most_delay_us, 0);
}

TEST(RetryPolicy, TheSameInputAndTheSameErrorTwiceIsADefect) {
  Failing failing;
  EXPECT_EQ(failing.with(FailureClass::kLost, "worker.crashed", "segfault").kind, Kind::kAgain);
  const Reaction second = failing.with(FailureClass::kLost, "worker.crashed", "segfault");
  EXPECT_EQ(second.kind, Kind::kFail);
  EXPECT_EQ(second.failure.cls, FailureClass::kDefect);
  EXPECT_EQ(second.failure.code, "task.same_failure");
  ASSERT_TRUE(second.failure.cause);
  EXPECT_EQ(second.failure.cause->code, "worker.crashed");
  // Another result each time is another failure.
  Failing lost;
  EXPECT_EQ(lost.with(FailureClass::kLost, "result.corrupt", "a/1").kind, Kind::kAgain);
  EXPECT_EQ(lost.with(FailureClass::kLost, "result.corrupt", "a/2").kind, Kind::kAgain);
}

TEST(RetryPolicy, ATaskThatKillsItsWorkersIsStopped) {
  Failing poison;
  EXPECT_EQ(poison.with(FailureClass::kLost, "worker.killed").kind, Kind::kAgain);
  EXPECT_EQ(poison.with(FailureClass::kLost, "worker.killed").kind, Kind::kAgain);
  const Reaction third = poison.with(FailureClass::kLost, "worker.killed");
  EXPECT_EQ(third.kind, Kind::kFail);
  EXPECT_EQ(third.failure.code, "task.poison");
  EXPECT_EQ(third.failure.cls, FailureClass::kDefect);
}

TEST(RetryPolicy, MemoryIsSplitThenGivenMoreOnce) {
  Failing failing;
  failing.allowed = {.split = true, .larger = true};
  EXPECT_EQ(failing.with(FailureClass::kMemory, "memory.bound").kind, Kind::kSplit);
  EXPECT_EQ(failing.with(FailureClass::kMemory, "memory.bound").kind, Kind::kSplit);
  EXPECT_EQ(failing.with(FailureClass::kMemory, "memory.bound").kind, Kind::kLarger);
  EXPECT_EQ(failing.with(FailureClass::kMemory, "memory.bound").kind, Kind::kFail);
  // One key's rows are not fewer in parts of other keys.
  Failing key;
  key.allowed = {.split = true, .larger = true};
  EXPECT_EQ(key.with(FailureClass::kMemory, "reduce.memory").kind, Kind::kLarger);
  EXPECT_EQ(Failing{}.with(FailureClass::kMemory, "memory.bound").kind, Kind::kFail);
}

TEST(RetryBudget, ARetryStormIsImpossible) {
  // A thousand tasks that all fail all the time, each with retries of its own to spare.
  RetryBudget budget(1'000, 0.1);
  Retry contract{.transient_max = 100};
  uint64_t retries = 0;
  Reaction last;
  for (int task = 0; task < 1'000; ++task) {
    Tries tries;
    do {
      last = RetryPolicy::react({FailureClass::kTransient, "file.busy", "x"}, contract, {}, tries,
                                budget);
      retries += last.kind == Kind::kAgain;
    } while (last.kind == Kind::kAgain);
  }
  EXPECT_EQ(retries, 500 / 5 + 1'000 / 10);
  EXPECT_EQ(last.failure.code, "run.retry_budget");
  EXPECT_EQ(last.failure.cls, FailureClass::kTransient);
  // What goes well earns little, and no more than there was.
  for (int i = 0; i < 7; ++i) budget.refund();
  EXPECT_TRUE(budget.take(5));
  EXPECT_FALSE(budget.take(5));
  for (int i = 0; i < 100'000; ++i) budget.refund();
  EXPECT_EQ(budget.tokens(), budget.capacity());
}

TEST(Isolation, AWorkerThatFailsOftenIsLeftAloneAndProbed) {
  Isolation isolation({{0, 0}, {0, 0}});
  EXPECT_TRUE(isolation.failed(1, 1 * kSecond).empty());
  EXPECT_TRUE(isolation.failed(1, 2 * kSecond).empty());
  const auto closed = isolation.failed(1, 3 * kSecond);
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0].rung, Isolation::Closed::Rung::kWorker);
  EXPECT_FALSE(isolation.allows(1, 4 * kSecond));
  EXPECT_TRUE(isolation.allows(0, 4 * kSecond));
  EXPECT_EQ(isolation.next_probe_us(4 * kSecond), 63 * kSecond);
  // One probe at a time; if it fails, twice as long.
  EXPECT_TRUE(isolation.allows(1, 63 * kSecond));
  isolation.begun(1, 63 * kSecond);
  EXPECT_FALSE(isolation.allows(1, 63 * kSecond));
  EXPECT_EQ(isolation.failed(1, 64 * kSecond).size(), 1u);
  EXPECT_FALSE(isolation.allows(1, 183 * kSecond));
  EXPECT_TRUE(isolation.allows(1, 184 * kSecond));
  isolation.begun(1, 184 * kSecond);
  isolation.succeeded(1);
  EXPECT_TRUE(isolation.allows(1, 185 * kSecond));
  EXPECT_TRUE(isolation.failed(1, 186 * kSecond).empty());
}

TEST(Isolation, FailuresThatLieFarApartOrWereForgivenDoNotCount) {
  Isolation isolation({{0, 0}, {0, 0}});
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(isolation.failed(0, i * 200 * kSecond).empty());
  Isolation forgiving({{0, 0}, {0, 0}});
  for (int i = 1; i <= 3; ++i) forgiving.failed(0, i * kSecond);
  EXPECT_FALSE(forgiving.allows(0, 4 * kSecond));
  forgiving.forgive(0, 2 * kSecond);
  EXPECT_TRUE(forgiving.allows(0, 4 * kSecond));
}

TEST(Isolation, TheLastOneStaysOpen) {
  Isolation one({{0, 0}});
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(one.failed(0, i * kSecond).empty());
  EXPECT_TRUE(one.allows(0, 11 * kSecond));
  EXPECT_TRUE(one.close_host(0, 11 * kSecond).empty());
}

TEST(Isolation, TheLadderGoesUp) {
  // Two domains of two hosts of two workers.
  Isolation isolation({{0, 0}, {0, 0}, {1, 0}, {1, 0}, {2, 1}, {2, 1}, {3, 1}, {3, 1}});
  using Rung = Isolation::Closed::Rung;
  std::vector<Rung> rungs;
  for (const uint32_t worker : {0u, 1u, 2u, 3u})
    for (int i = 0; i < 3; ++i)
      for (const auto& closed : isolation.failed(worker, i * kSecond)) rungs.push_back(closed.rung);
  EXPECT_EQ(rungs, (std::vector<Rung>{Rung::kWorker, Rung::kWorker, Rung::kHost, Rung::kWorker,
                                      Rung::kWorker, Rung::kHost, Rung::kDomain}));
  EXPECT_FALSE(isolation.allows(1, 4 * kSecond));
  EXPECT_FALSE(isolation.allows(3, 4 * kSecond));
  EXPECT_TRUE(isolation.allows(4, 4 * kSecond));
}

TEST(Stragglers, LateIsWhoIsSlowerThanItsSiblingsByRows) {
  Stragglers stragglers;
  EXPECT_FALSE(stragglers.is_late(0, 1'000, 0, 1'000 * kSecond)) << "nobody to compare with";
  for (int i = 0; i < 3; ++i) stragglers.finished(0, 1'000, 2 * kSecond);
  EXPECT_EQ(stragglers.expected_us(0, 4'000), 8 * kSecond);
  EXPECT_FALSE(stragglers.is_late(0, 1'000, 500, 3 * kSecond));
  EXPECT_FALSE(stragglers.is_late(0, 4'000, 3'000, 10 * kSecond)) << "it has more to do";
  EXPECT_FALSE(stragglers.is_late(0, 1'000, 950, 20 * kSecond)) << "it is nearly done";
  EXPECT_TRUE(stragglers.is_late(0, 1'000, 100, 5 * kSecond));
  EXPECT_TRUE(stragglers.is_late(0, 1'000, 0, 5 * kSecond)) << "it hangs";
  EXPECT_FALSE(stragglers.is_late(1, 1'000, 0, 5 * kSecond)) << "another group";
}

}  // namespace
}  // namespace tidegate
