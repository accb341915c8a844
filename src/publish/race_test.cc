// Conductors that should not be, but are, at work on one output at once.

#include <atomic>
#include <thread>

#include "publish/publish_fixture.h"
#include "store/wrapped_effects.h"

namespace tidegate {
namespace {

class RaceTest : public PublishTest {
 protected:
  static Effects& fx() { return real_effects(); }
  /// A journal of its own, as a conductor has one that does not know of the other.
  std::unique_ptr<Journal> another_journal(const std::string& name) {
    EXPECT_TRUE(make_directories(fx(), dir_ + "/" + name));
    auto opened = Journal::open(fx(), dir_ + "/" + name, Journal::Mode::kWrite);
    EXPECT_TRUE(opened) << opened.error().describe();
    return std::move(*opened);
  }
};

TEST_F(RaceTest, WhoSleptBetweenCheckAndSwapLosesAndLeavesNothing) {
  open_journal(fx());
  must_publish("aa");
  const auto sleeper_journal = another_journal("sleeper");
  WrappedEffects sleepy(fx());
  bool slept = false;
  sleepy.before = [&](const std::string& call, const std::string& path) -> Status {
    // After every check of the sleeper, at the very link that would commit.
    if (call != "link" || !path.ends_with("/log/000002.json") || slept) return {};
    slept = true;
    must_publish("other", 2);
    return {};
  };
  auto publication = Publication::begin(sleepy, *sleeper_journal, options(1));
  ASSERT_TRUE(publication);
  const auto staged = (*publication)->stage(request(fx(), "mine"));
  ASSERT_TRUE(staged);
  ASSERT_TRUE((*publication)->audited("out", passed()));
  const Status done = (*publication)->commit();
  ASSERT_TRUE(slept);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, "publish.lost_race");
  EXPECT_FALSE(exists(fx(), staged->directory));
  EXPECT_TRUE((*publication)->published().empty());
  EXPECT_EQ(standing_identity(), "other");
  expect_settled(place());
}

TEST_F(RaceTest, WhoSleptBeforeTheCheckLosesToo) {
  open_journal(fx());
  const auto sleeper_journal = another_journal("sleeper");
  auto publication = Publication::begin(fx(), *sleeper_journal, options(1));
  ASSERT_TRUE((*publication)->stage(request(fx(), "mine")));
  ASSERT_TRUE((*publication)->audited("out", passed()));
  must_publish("other", 2);
  EXPECT_EQ((*publication)->commit().error().code, "publish.fenced");
  EXPECT_EQ(standing_identity(), "other");
  expect_settled(place());
}

TEST_F(RaceTest, AnOlderConductorIsFenced) {
  open_journal(fx());
  must_publish("aa", 7);
  EXPECT_EQ(Publication::begin(fx(), *journal_, options(6)).error().code, "publish.fenced");
  must_publish("bb", 7);
  EXPECT_EQ(rollback_output(fx(), *journal_, place(), kStateId, 6, "r", "").error().code,
            "publish.fenced");
}

TEST_F(RaceTest, RecoveryTakesTheNumberOfASleeperAway) {
  open_journal(fx());
  must_publish("aa");
  const auto sleeper_journal = another_journal("sleeper");
  auto publication = Publication::begin(fx(), *sleeper_journal, options(1));
  const auto staged = (*publication)->stage(request(fx(), "mine"));
  ASSERT_TRUE((*publication)->audited("out", passed()));
  const auto report = recover_output(fx(), *journal_, place(), kStateId, 2, "r");
  ASSERT_TRUE(report) << report.error().describe();
  EXPECT_THAT(report->removed, testing::ElementsAre(staged->generation));
  // The sleeper's files are gone: its commit must not name them.
  EXPECT_FALSE((*publication)->commit());
  EXPECT_EQ(standing_identity(), "aa");
  expect_settled(place());
  must_publish("bb", 2);
  EXPECT_TRUE(standing_generation(place()).starts_with("000003-"));
}

TEST_F(RaceTest, ASleeperWhoseNumberWasPrunedLosesToo) {
  const std::string directory = dir_ + "/log";
  ASSERT_TRUE(make_directories(fx(), directory));
  CommitLog log(fx(), directory);
  Commit commit;
  commit.number = CommitLog::kEntriesKept + 5;
  commit.previous = commit.number - 1;
  ASSERT_TRUE(*log.append(commit));
  commit.number = 5;
  commit.previous = 4;
  EXPECT_FALSE(*log.append(commit));
  EXPECT_THAT(*log.numbers(), testing::ElementsAre(CommitLog::kEntriesKept + 5));
  commit.number = 6;
  commit.previous = 5;
  EXPECT_TRUE(*log.append(commit)) << "still within what is kept";
  ASSERT_TRUE(log.prune());
  EXPECT_EQ(log.numbers()->size(), 2u);
}

TEST_F(RaceTest, OfSixtyFourExactlyOneGetsEachNumber) {
  constexpr int kThreads = 64;
  constexpr uint64_t kNumbers = 8;
  const std::string directory = dir_ + "/log";
  ASSERT_TRUE(make_directories(fx(), directory));
  std::atomic<int> waiting{0};
  std::atomic<int> wins[kNumbers + 1] = {};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      CommitLog log(fx(), directory);
      ++waiting;
      while (waiting < kThreads) std::this_thread::yield();
      for (uint64_t number = 1; number <= kNumbers; ++number) {
        Commit commit;
        commit.number = number;
        commit.previous = number - 1;
        commit.run = "thread-" + std::to_string(t);
        const auto won = log.append(commit);
        ASSERT_TRUE(won) << won.error().describe();
        if (*won) {
          ++wins[number];
          EXPECT_EQ(log.read(number)->run, commit.run);
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (uint64_t number = 1; number <= kNumbers; ++number) EXPECT_EQ(wins[number], 1) << number;
  EXPECT_EQ(fx().list(directory)->size(), kNumbers) << "losers leave nothing";
}

TEST_F(RaceTest, OfEightConductorsOnePublishes) {
  constexpr int kConductors = 8;
  open_journal(fx());
  must_publish("aa");
  std::vector<std::unique_ptr<Journal>> journals;
  std::vector<std::unique_ptr<Publication>> publications;
  for (int c = 0; c < kConductors; ++c) {
    journals.push_back(another_journal("state-" + std::to_string(c)));
    auto begun = Publication::begin(fx(), *journals.back(), options(1));
    ASSERT_TRUE(begun);
    publications.push_back(std::move(*begun));
    ASSERT_TRUE(publications.back()->stage(request(fx(), "c" + std::to_string(c))));
    ASSERT_TRUE(publications.back()->audited("out", passed()));
  }
  std::atomic<int> waiting{0};
  std::atomic<int> winner{-1};
  std::atomic<int> wins{0};
  std::vector<std::thread> threads;
  for (int c = 0; c < kConductors; ++c)
    threads.emplace_back([&, c] {
      ++waiting;
      while (waiting < kConductors) std::this_thread::yield();
      const Status done = publications[static_cast<size_t>(c)]->commit();
      if (done) {
        ++wins;
        winner = c;
      } else {
        EXPECT_EQ(done.error().code, "publish.lost_race") << done.error().describe();
      }
    });
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(wins, 1);
  EXPECT_EQ(standing_identity(), "c" + std::to_string(winner));
  journal_ = std::move(journals[static_cast<size_t>(winner)]);
  expect_settled(place());
}

}  // namespace
}  // namespace tidegate
