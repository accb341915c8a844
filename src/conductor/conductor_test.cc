#include "conductor/conductor.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace tidegate {
namespace {

std::string text_of(const Action& action) {
  return std::visit(
      [](const auto& a) -> std::string {
        using T = std::decay_t<decltype(a)>;
        if constexpr (std::is_same_v<T, StartTask>)
          return fmt::format("start {} {} {} {}", a.task, a.identity, a.attempt, a.slot);
        else if constexpr (std::is_same_v<T, StopSlot>)
          return fmt::format("stop {} {}", a.slot, a.why);
        else if constexpr (std::is_same_v<T, LookUp>)
          return fmt::format("lookup {} {}", a.task, a.identity);
        else if constexpr (std::is_same_v<T, StageOutput>)
          return fmt::format("stage {}", a.output);
        else if constexpr (std::is_same_v<T, VerifyOutput>)
          return fmt::format("verify {} {} {}", a.output, a.attempt, a.slot);
        else if constexpr (std::is_same_v<T, CommitOutputs>)
          return fmt::format("commit {} from {}", a.outputs.size(), a.outputs.front());
        else if constexpr (std::is_same_v<T, DropStaged>)
          return fmt::format("drop {}", a.output);
        else if constexpr (std::is_same_v<T, WakeAt>)
          return fmt::format("wake {}", a.us);
        else if constexpr (std::is_same_v<T, RecordRetry>)
          return fmt::format("retry {} {} {}", a.task, a.delay_us, a.number);
        else if constexpr (std::is_same_v<T, RecordFailure>)
          return fmt::format("failure {} {}", a.task, a.failure.code);
        else if constexpr (std::is_same_v<T, RecordIsolation>)
          return fmt::format("isolated {} {}", static_cast<int>(a.closed.rung), a.closed.index);
        else
          return fmt::format("finish {}", a.state);
      },
      action);
}

/// `sizes[g]` tasks in group g; each group reads the one before as a whole.
Graph chain(const std::vector<uint32_t>& sizes) {
  Graph graph;
  for (uint32_t g = 0; g < sizes.size(); ++g) {
    GraphGroup group;
    group.name = fmt::format("g{}", g);
    group.recipe = fmt::format("recipe {}", g);
    if (g > 0) group.inputs.push_back({g - 1, GraphInput::Mode::kWhole, 0});
    for (uint32_t unit = 0; unit < sizes[g]; ++unit) {
      GraphTask task;
      task.group = g;
      task.unit = unit;
      task.unit_identity = fmt::format("unit {}", unit);
      group.tasks.push_back(static_cast<uint32_t>(graph.tasks.size()));
      graph.tasks.push_back(task);
    }
    graph.groups.push_back(std::move(group));
  }
  graph.outputs.push_back({"out", static_cast<uint32_t>(sizes.size() - 1), {}});
  compute_identities(graph);
  mark_needed(graph);
  return graph;
}

/// A world that answers the conductor, with failures drawn from a seed. Records all inputs.
class World {
 public:
  World(Graph graph, uint32_t slots, uint64_t seed)
      : conductor(std::move(graph), {slots, seed}), random(seed) {
    take(conductor.begin(now));
    for (uint32_t slot = 0; slot < slots; ++slot) tell(SlotReady{slot});
  }

  double transient = 0, lost = 0, slot_loss = 0, lost_result = 0;
  std::optional<uint32_t> defect_task;
  uint32_t parts_needed = 1;  ///< with fewer a task of the last group crosses its bound
  std::string memory_code = "memory.bound";
  std::vector<uint32_t> parts;  ///< of its attempts
  bool refuse = false;

  void run() {
    constexpr int kStepsMax = 100'000;
    for (int step = 0; !conductor.finished() && step < kStepsMax; ++step) {
      now += 1000;
      if (!queue.empty()) {
        // Answers come in any order.
        const size_t at = random() % queue.size();
        const Action action = queue[at];
        queue.erase(queue.begin() + static_cast<long>(at));
        answer(action);
      } else if (wake != 0) {
        now = std::max(now, wake);
        wake = 0;
        tell(Tick{});
      } else {
        FAIL() << "nothing is under way and it has not finished";
      }
    }
    EXPECT_TRUE(conductor.finished());
  }

  void tell(const ConductorInput& input) {
    inputs.emplace_back(now, input);
    take(conductor.handle(input, now));
  }

  Conductor conductor;
  std::mt19937_64 random;
  int64_t now = 1'000'000;
  int64_t wake = 0;
  std::vector<Action> queue;
  std::vector<std::string> log;
  std::vector<std::pair<int64_t, ConductorInput>> inputs;
  std::map<uint32_t, int> finished;
  std::string state;

 private:
  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random) < p; }

  void take(const std::vector<Action>& actions) {
    for (const Action& action : actions) {
      log.push_back(text_of(action));
      if (const auto* at = std::get_if<WakeAt>(&action))
        wake = wake ? std::min(wake, at->us) : at->us;
      else if (const auto* finish = std::get_if<Finish>(&action))
        state = finish->state;
      else if (!std::holds_alternative<RecordFailure>(action) &&
               !std::holds_alternative<RecordRetry>(action) &&
               !std::holds_alternative<RecordIsolation>(action) &&
               !std::holds_alternative<DropStaged>(action))
        queue.push_back(action);
    }
  }

  void answer(const Action& action) {
    if (const auto* start = std::get_if<StartTask>(&action)) {
      // Everything it reads must be there.
      const GraphTask& task = conductor.graph().tasks[start->task];
      for (const GraphInput& input : conductor.graph().groups[task.group].inputs) {
        for (uint32_t producer : conductor.graph().groups[input.producer].tasks) {
          EXPECT_TRUE(lost_result > 0 ||
                      conductor.graph().tasks[producer].state == TaskState::kDone ||
                      conductor.graph().tasks[producer].state == TaskState::kReused);
        }
      }
      if (defect_task == start->task)
        return tell(
            TaskBroke{start->task, start->attempt, {FailureClass::kDefect, "sql.binder", "no"}});
      if (task.group + 1 == conductor.graph().groups.size()) {
        parts.push_back(start->parts);
        if (start->parts < parts_needed)
          return tell(
              TaskBroke{start->task, start->attempt, {FailureClass::kMemory, memory_code, "m"}});
      }
      if (chance(transient))
        return tell(TaskBroke{start->task, start->attempt, {FailureClass::kTransient, "t", "t"}});
      if (chance(lost_result) && task.group > 0) {
        const auto& producers = conductor.graph().groups[task.group - 1].tasks;
        return tell(TaskBroke{start->task,
                              start->attempt,
                              {FailureClass::kLost, "shuffle.missing", "m of " + start->attempt},
                              producers[random() % producers.size()]});
      }
      if (chance(slot_loss)) {
        tell(SlotLost{start->slot, {FailureClass::kLost, "worker.killed", "k"}});
        return tell(SlotReady{start->slot});
      }
      ++finished[start->task];
      tell(TaskFinished{start->task, start->attempt, "digest"});
      // Told twice: the second is no news.
      if (chance(0.1)) tell(TaskFinished{start->task, start->attempt, "digest"});
    } else if (const auto* stage = std::get_if<StageOutput>(&action)) {
      tell(OutputStaged{stage->output, false, std::nullopt});
    } else if (const auto* verify = std::get_if<VerifyOutput>(&action)) {
      tell(OutputVerified{verify->output, verify->attempt, !refuse});
    } else if (const auto* commit = std::get_if<CommitOutputs>(&action)) {
      for (uint32_t output : commit->outputs) tell(OutputCommitted{output, std::nullopt});
    } else if (const auto* look = std::get_if<LookUp>(&action)) {
      tell(LookedUp{look->task, false, "", ""});
    } else if (const auto* stop = std::get_if<StopSlot>(&action)) {
      std::erase_if(queue, [&](const Action& other) {
        const auto* started = std::get_if<StartTask>(&other);
        return started && started->slot == stop->slot;
      });
      tell(SlotLost{stop->slot, {FailureClass::kTransient, "task.interrupted", "i"}});
    }
  }
};

TEST(Conductor, RunsAChainEachTaskOnce) {
  World world(chain({5, 3, 7}), 2, 1);
  world.run();
  EXPECT_EQ(world.state, "succeeded");
  EXPECT_EQ(world.finished.size(), 15u);
  for (const auto& [task, times] : world.finished) EXPECT_EQ(times, 1) << task;
  EXPECT_EQ(world.conductor.output_state(0), OutputState::kPublished);
}

TEST(Conductor, HealsFailuresWithinTheirLimits) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    World world(chain({6, 4, 4}), 3, seed);
    world.transient = 0.1;
    world.slot_loss = 0.05;
    world.run();
    // A task may run out of attempts; then the run fails and says so. It never hangs.
    EXPECT_TRUE(world.state == "succeeded" || world.state == "failed") << seed;
    for (const auto& [task, times] : world.finished) EXPECT_EQ(times, 1) << seed << " " << task;
  }
}

TEST(Conductor, MakesLostResultsAgain) {
  int again = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    World world(chain({4, 4}), 2, seed);
    world.lost_result = 0.2;
    world.run();
    EXPECT_TRUE(world.state == "succeeded" || world.state == "failed") << seed;
    for (const auto& [task, times] : world.finished) again += times > 1;
  }
  EXPECT_GT(again, 20) << "producers ran again";
}

TEST(Conductor, ADefectIsNotRetriedAndFailsItsOutputsOnly) {
  Graph graph = chain({2, 2});
  // A second output beside the chain, over the first group.
  graph.outputs.push_back({"early", 0, {}});
  World world(graph, 2, 3);
  world.defect_task = 2;
  world.run();
  EXPECT_EQ(world.state, "failed");
  EXPECT_EQ(world.conductor.output_state(0), OutputState::kFailed);
  EXPECT_EQ(world.conductor.output_state(1), OutputState::kPublished);
  EXPECT_EQ(std::count_if(world.log.begin(), world.log.end(),
                          [](const std::string& line) { return line.starts_with("start 2 "); }),
            1);
}

TEST(Conductor, RefusesWhatItsChecksRefuse) {
  World world(chain({2, 2}), 2, 4);
  world.refuse = true;
  world.run();
  EXPECT_EQ(world.state, "refused");
  EXPECT_EQ(world.conductor.output_state(0), OutputState::kRefused);
  for (const std::string& line : world.log) EXPECT_FALSE(line.starts_with("commit")) << line;
}

TEST(Conductor, TogetherAllOrNone) {
  Graph graph = chain({2, 2});
  graph.outputs.push_back({"early", 0, {}});
  graph.publish_together = true;
  World good(graph, 2, 5);
  good.run();
  EXPECT_EQ(good.state, "succeeded");
  EXPECT_EQ(std::count(good.log.begin(), good.log.end(), "commit 2 from 0"), 1);
  World bad(graph, 2, 5);
  bad.defect_task = 3;
  bad.run();
  EXPECT_EQ(bad.state, "failed");
  EXPECT_EQ(bad.conductor.output_state(1), OutputState::kRefused)
      << "nothing of the set is published";
}

TEST(Conductor, CancelStopsWhatRunsAndFinishesInterrupted) {
  World world(chain({5, 3}), 2, 6);
  world.tell(CancelAsked{});
  world.run();
  EXPECT_EQ(world.state, "interrupted");
}

/// A conductor of one task and one output, its task reused: its actions are the output's alone.
struct OneOutput {
  explicit OneOutput(Graph graph)
      : conductor((graph.tasks[0].state = TaskState::kReused, std::move(graph)), {1, 7}) {}
  std::string tell(const ConductorInput& input) {
    std::string text;
    for (const Action& action : conductor.handle(input, 1)) text += text_of(action) + "; ";
    return text;
  }
  Conductor conductor;
};

TEST(Conductor, AResultFoundTornAtStagingIsMadeAgain) {
  OneOutput one(chain({1}));
  const auto begun = one.conductor.begin(0);
  ASSERT_EQ(begun.size(), 1u);
  one.tell(SlotReady{0});
  const Failure torn{FailureClass::kLost, "publish.result_torn", "torn"};
  EXPECT_TRUE(one.tell(OutputStaged{0, false, torn, 0}).starts_with("start 0 "));
  EXPECT_EQ(one.conductor.output_state(0), OutputState::kWaiting);
}

TEST(Conductor, ATornResultThatNoTaskMadeFailsTheOutput) {
  OneOutput one(chain({1}));
  one.conductor.begin(0);
  const Failure torn{FailureClass::kLost, "publish.result_torn", "torn"};
  EXPECT_EQ(one.tell(OutputStaged{0, false, torn}), "drop 0; finish failed; ");
}

TEST(Conductor, CancelInTheChecksIsAnInterruption) {
  OneOutput one(chain({1}));
  one.conductor.begin(0);
  one.tell(SlotReady{0});
  EXPECT_TRUE(one.tell(OutputStaged{0, false, std::nullopt}).starts_with("verify 0 "));
  EXPECT_EQ(one.tell(CancelAsked{}), "stop 0 interrupted; ");
  EXPECT_EQ(one.tell(SlotLost{0, {FailureClass::kTransient, "task.interrupted", "interrupted"}}),
            "drop 0; finish interrupted; ");
}

TEST(Conductor, ReusedResultsAreNotRunAndTheirProducersAreNotNeeded) {
  Graph graph = chain({5, 3});
  for (uint32_t task : graph.groups[1].tasks) {
    graph.tasks[task].state = TaskState::kReused;
    graph.tasks[task].attempt = "before";
  }
  mark_needed(graph);
  for (uint32_t task : graph.groups[0].tasks)
    EXPECT_EQ(graph.tasks[task].state, TaskState::kUnneeded);
  World world(graph, 2, 7);
  world.run();
  EXPECT_EQ(world.state, "succeeded");
  EXPECT_TRUE(world.finished.empty());
}

TEST(Conductor, ATaskThatCrossesItsBoundRunsAgainInParts) {
  const auto run = [](bool can_split, uint32_t parts_needed, const char* code) {
    Graph graph = chain({3, 1});
    graph.groups[1].can_split = can_split;
    World world(graph, 2, 9);
    world.parts_needed = parts_needed;
    world.memory_code = code;
    world.run();
    return std::pair(world.state, world.parts);
  };
  using Parts = std::vector<uint32_t>;
  EXPECT_EQ(run(true, 1, "memory.bound"), std::pair(std::string("succeeded"), Parts{1}));
  EXPECT_EQ(run(true, 16, "memory.bound"), std::pair(std::string("succeeded"), Parts{1, 16}));
  EXPECT_EQ(run(true, 17, "memory.bound"), std::pair(std::string("succeeded"), Parts{1, 16, 256}));
  EXPECT_EQ(run(true, 300, "memory.bound"), std::pair(std::string("failed"), Parts{1, 16, 256}));
  EXPECT_EQ(run(false, 16, "memory.bound"), std::pair(std::string("failed"), Parts{1}));
  // One key's rows: parts of other keys do not make them fewer.
  EXPECT_EQ(run(true, 16, "reduce.memory"), std::pair(std::string("failed"), Parts{1}));
}

/// Tasks that a test starts, moves on and ends by hand.
class Hands {
 public:
  Hands(Graph graph, Conductor::Options options) : conductor(std::move(graph), options) {
    take(conductor.begin(now));
    for (uint32_t slot = 0; slot < options.slots; ++slot) tell(SlotReady{slot});
  }
  void tell(const ConductorInput& input) { take(conductor.handle(input, now)); }
  void pass(int64_t us) {
    now += us;
    tell(Tick{});
  }
  void finish(const StartTask& start) { tell(TaskFinished{start.task, start.attempt, "d"}); }
  bool logged(const std::string& text) const {
    return std::ranges::any_of(log, [&](const auto& line) { return line.starts_with(text); });
  }
  Conductor conductor;
  int64_t now = 1'000'000;
  std::vector<StartTask> started;
  std::vector<std::string> log;

 private:
  void take(const std::vector<Action>& actions) {
    for (const Action& action : actions) {
      log.push_back(text_of(action));
      if (const auto* start = std::get_if<StartTask>(&action)) started.push_back(*start);
    }
  }
};

TEST(Conductor, ManyLostResultsAreMadeAgainOneByOne) {
  Hands hands(chain({6, 1}), {.slots = 1, .seed = 3});
  const auto finish_all = [&] {
    while (hands.started.back().task != 6) hands.finish(hands.started.back());
  };
  finish_all();
  const auto lose = [&](uint32_t producer) {
    const StartTask reader = hands.started.back();
    hands.tell(
        TaskBroke{6,
                  reader.attempt,
                  {FailureClass::kLost, "shuffle.torn", std::to_string(hands.started.size())},
                  producer});
    hands.pass(1'000);
    if (!hands.conductor.finished()) finish_all();
  };
  for (uint32_t producer = 0; producer < 6; ++producer) lose(producer);
  EXPECT_FALSE(hands.logged("finish"));
  // One and the same is made again as often as the contract says.
  for (int i = 0; i < 3; ++i) lose(0);
  EXPECT_FALSE(hands.logged("finish"));
  lose(0);
  EXPECT_TRUE(hands.logged("finish failed"));
}

TEST(Conductor, ALateTaskGetsASecondAttemptAndTheFirstToEndWins) {
  for (const bool backup_wins : {true, false}) {
    Graph graph = chain({5, 1});
    for (GraphTask& task : graph.tasks) task.rows = 1'000;
    Hands hands(graph, {.slots = 2, .seed = 3});
    // Four of five take two seconds each, beside one that does not move.
    const StartTask late = hands.started.at(0);
    for (int i = 1; i <= 4; ++i) {
      hands.pass(2'000'000);
      hands.finish(hands.started.back());
    }
    hands.tell(TaskProgressed{late.task, late.attempt, 10});
    ASSERT_EQ(hands.started.size(), 6u);
    const StartTask backup = hands.started.back();
    EXPECT_TRUE(backup.backup);
    EXPECT_EQ(backup.task, late.task);
    EXPECT_NE(backup.attempt, late.attempt);
    EXPECT_EQ(hands.conductor.tasks_backed_up(), 1u);
    const StartTask& winner = backup_wins ? backup : late;
    const StartTask& loser = backup_wins ? late : backup;
    EXPECT_TRUE(hands.conductor.awaits(late.task, late.attempt));
    EXPECT_TRUE(hands.conductor.awaits(late.task, backup.attempt));
    hands.finish(winner);
    EXPECT_TRUE(hands.logged("stop " + std::to_string(loser.slot) + " superseded"));
    EXPECT_FALSE(hands.conductor.awaits(loser.task, loser.attempt));
    EXPECT_EQ(hands.conductor.graph().tasks[late.task].attempt, winner.attempt);
    // The loser ends by itself before it is stopped, or is stopped: its slot is free either way.
    if (backup_wins) {
      hands.finish(loser);
    } else {
      hands.tell(SlotLost{loser.slot, {FailureClass::kTransient, "task.superseded", "s"}});
      hands.tell(SlotReady{loser.slot});
    }
    EXPECT_EQ(hands.conductor.graph().tasks[late.task].attempt, winner.attempt);
    EXPECT_EQ(hands.conductor.tasks_run(), 5u);
    EXPECT_FALSE(hands.logged("failure")) << "to be second is no failure";
    hands.finish(hands.started.back());
    EXPECT_TRUE(hands.logged("stage 0"));
  }
}

TEST(Conductor, AnAttemptThatFailsBesideAnotherLeavesItToThatOne) {
  Graph graph = chain({5, 1});
  for (GraphTask& task : graph.tasks) task.rows = 1'000;
  Hands hands(graph, {.slots = 2, .seed = 3});
  const StartTask late = hands.started.at(0);
  for (int i = 1; i <= 4; ++i) {
    hands.pass(2'000'000);
    hands.finish(hands.started.back());
  }
  hands.pass(1'000'000);
  const StartTask backup = hands.started.back();
  ASSERT_TRUE(backup.backup);
  hands.tell(TaskBroke{late.task, late.attempt, {FailureClass::kTransient, "t", "t"}});
  EXPECT_TRUE(hands.logged("failure 0 t"));
  EXPECT_FALSE(hands.logged("retry"));
  hands.finish(backup);
  EXPECT_EQ(hands.conductor.graph().tasks[late.task].state, TaskState::kDone);
}

TEST(Conductor, ATimeoutIsTriedAgainWithinItsNumber) {
  Graph graph = chain({1});
  graph.groups[0].timeout_us = 5'000'000;
  graph.groups[0].retry.timeout_max = 1;
  Hands hands(graph, {.slots = 1, .seed = 3});
  const auto expire = [&] {
    hands.pass(5'000'000);
    hands.tell(SlotLost{0, {FailureClass::kTimeout, "task.timeout", "late"}});
    hands.tell(SlotReady{0});
    hands.pass(RetryPolicy::kBackoffMaxUs);
  };
  expire();
  EXPECT_EQ(hands.started.size(), 2u);
  expire();
  EXPECT_EQ(hands.started.size(), 2u);
  EXPECT_TRUE(hands.logged("finish failed"));
}

TEST(Conductor, NoAttemptIsWaitedForForEver) {
  Graph graph = chain({1});
  graph.groups[0].retry.timeout_max = 0;
  Hands hands(graph, {.slots = 1, .seed = 3, .attempt_us_max = 60'000'000});
  hands.pass(59'000'000);
  EXPECT_FALSE(hands.logged("stop 0 timeout"));
  hands.pass(2'000'000);
  EXPECT_TRUE(hands.logged("stop 0 timeout"));

  // And so with the checks of an output.
  Hands checks(graph, {.slots = 1, .seed = 3, .attempt_us_max = 60'000'000});
  checks.finish(checks.started.at(0));
  checks.tell(OutputStaged{0, false, {}});
  checks.pass(61'000'000);
  EXPECT_TRUE(checks.logged("stop 0 timeout"));
  checks.tell(SlotLost{0, {FailureClass::kTimeout, "task.timeout", "late"}});
  EXPECT_TRUE(checks.logged("drop 0"));
  EXPECT_TRUE(checks.logged("finish failed"));
}

TEST(Conductor, ALargerBoundIsGivenOnceWhereTheHostHasRoom) {
  Graph graph = chain({3});
  graph.groups[0].memory_bytes = 100;
  Hands hands(graph, {.slots = 2, .seed = 3, .host_bytes = 200});
  const Failure crossed{FailureClass::kMemory, "memory.bound", "m"};
  const StartTask first = hands.started.at(0), second = hands.started.at(1);
  hands.tell(TaskBroke{first.task, first.attempt, crossed});
  hands.pass(1'000);
  // 100 run: 200 more do not fit, the third task does.
  ASSERT_EQ(hands.started.size(), 3u);
  EXPECT_NE(hands.started.back().task, first.task);
  hands.finish(second);
  hands.finish(hands.started.at(2));
  ASSERT_EQ(hands.started.size(), 4u);
  EXPECT_EQ(hands.started.back().task, first.task);
  EXPECT_EQ(hands.started.back().memory_bytes, 200u);
  hands.tell(TaskBroke{first.task, hands.started.back().attempt, crossed});
  EXPECT_TRUE(hands.logged("finish failed"));
}

TEST(Conductor, APoisonTaskIsStoppedAndItsWorkersAreNotBlamed) {
  Graph graph = chain({1, 1});
  Hands hands(graph, {.slots = 2, .seed = 3});
  for (int i = 0; i < 3; ++i) {
    const StartTask start = hands.started.back();
    hands.tell(SlotLost{start.slot, {FailureClass::kLost, "worker.killed", "k"}});
    hands.tell(SlotReady{start.slot});
    hands.pass(1'000);
  }
  EXPECT_EQ(hands.started.size(), 3u);
  EXPECT_TRUE(hands.logged("failure 0 task.poison"));
  EXPECT_TRUE(hands.logged("finish failed"));
}

TEST(Conductor, ConsumersOfUnorderedResultsGoByContent) {
  Graph graph = chain({2, 2, 2});
  graph.groups[0].unordered = true;
  for (GraphTask& task : graph.tasks) task.identity.clear();
  compute_identities(graph);
  EXPECT_FALSE(graph.tasks[0].identity.empty());
  EXPECT_TRUE(graph.tasks[2].identity.empty());
  EXPECT_TRUE(graph.tasks[4].identity.empty());
  World world(graph, 2, 8);
  world.run();
  EXPECT_EQ(world.state, "succeeded");
  EXPECT_EQ(std::count_if(world.log.begin(), world.log.end(),
                          [](const std::string& line) { return line.starts_with("lookup"); }),
            4);
}

TEST(Conductor, AReplayGivesTheSameActions) {
  for (uint64_t seed : {11u, 12u, 13u}) {
    World world(chain({8, 5, 3}), 3, seed);
    world.transient = 0.15;
    world.slot_loss = 0.1;
    world.lost_result = 0.05;
    world.run();
    Conductor again(chain({8, 5, 3}), {3, seed});
    std::vector<std::string> log;
    for (const Action& action : again.begin(1'000'000)) log.push_back(text_of(action));
    for (const auto& [time, input] : world.inputs)
      for (const Action& action : again.handle(input, time)) log.push_back(text_of(action));
    EXPECT_EQ(log, world.log);
  }
}

TEST(Conductor, CostsLittleATask) {
  World world(chain({2000, 64, 2000}), 2, 14);
  world.run();
  EXPECT_EQ(world.state, "succeeded");
  EXPECT_EQ(world.conductor.tasks_run(), 4064u);
}

}  // namespace
}  // namespace tidegate
