#include "base/run_command.h"

#include <gtest/gtest.h>

#include <chrono>

namespace tidegate {
namespace {

constexpr int64_t kTenSecondsUs = 10'000'000;

CommandEnd must_run(std::vector<std::string> arguments, std::string input = "",
                    int64_t time_us = kTenSecondsUs, std::string directory = "") {
  auto end = run_command({std::move(arguments), std::move(directory), std::move(input), time_us});
  EXPECT_TRUE(end) << end.error().describe();
  return end.value_or(CommandEnd{});
}

TEST(RunCommand, GivesInputAndTakesOutput) {
  const CommandEnd end = must_run({"cat"}, "one line\n");
  EXPECT_EQ(end.output, "one line\n");
  EXPECT_EQ(end.status.code, 0);
  EXPECT_FALSE(end.timed_out || end.status.signalled);
}

TEST(RunCommand, ArgumentsSeeNoShell) {
  EXPECT_EQ(must_run({"printf", "%s", "$HOME; `date`"}).output, "$HOME; `date`");
}

TEST(RunCommand, TellsHowItEnded) {
  EXPECT_EQ(must_run({"sh", "-c", "echo no >&2; exit 7"}).status.code, 7);
  EXPECT_EQ(must_run({"sh", "-c", "echo no >&2; exit 7"}).output, "no\n");
  const CommandEnd killed = must_run({"sh", "-c", "kill -TERM $$"});
  EXPECT_TRUE(killed.status.signalled);
  EXPECT_EQ(killed.status.code, 15);
}

TEST(RunCommand, RunsInItsDirectory) {
  EXPECT_EQ(must_run({"pwd"}, "", kTenSecondsUs, "/usr").output, "/usr\n");
}

TEST(RunCommand, IsEndedWithAllThatItStarted) {
  const auto before = std::chrono::steady_clock::now();
  const CommandEnd end = must_run({"sh", "-c", "echo begun; sleep 60 & sleep 60"}, "", 300'000);
  EXPECT_TRUE(end.timed_out);
  EXPECT_EQ(end.output, "begun\n");
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
}

TEST(RunCommand, WhatItLeavesRunningIsNotWaitedFor) {
  const auto before = std::chrono::steady_clock::now();
  const CommandEnd end = must_run({"sh", "-c", "sleep 60 & echo done"});
  EXPECT_FALSE(end.timed_out);
  EXPECT_EQ(end.output, "done\n");
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
}

TEST(RunCommand, KeepsOnlySoMuchOutput) {
  const CommandEnd end = must_run({"sh", "-c", "yes | head -c 1000000"});
  EXPECT_EQ(end.output.size(), kCommandOutputMax);
  EXPECT_EQ(end.status.code, 0);
}

TEST(RunCommand, SaysWhatCannotBeStarted) {
  const auto end = run_command({{"tidegate-no-such-program"}, "", "", kTenSecondsUs});
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, "file.not_found");
  EXPECT_EQ(end.error().cls, FailureClass::kDependency);
}

}  // namespace
}  // namespace tidegate
