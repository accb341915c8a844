#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "base/hash.h"
#include "store/file_hash.h"
#include "store/results.h"
#include "store/state_dir.h"
#include "store/wrapped_effects.h"

namespace tidegate {
namespace {

using testing::HasSubstr;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tidegate-store-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
    path_ = root_ + "/.tidegate";
  }
  void TearDown() override { (void)remove_tree(fx(), root_); }

  static Effects& fx() { return real_effects(); }
  StateDir open() {
    auto state = StateDir::open(fx(), path_, StateDir::Mode::kWrite);
    EXPECT_TRUE(state) << state.error().describe();
    return *state;
  }
  void write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(write_file(fx(), path, text));
  }
  std::string read(const std::string& path) { return read_file(fx(), path).value_or("(none)"); }
  static std::string identity(int n) { return sha256_hex(std::to_string(n)); }

  StoredResult finish(const StateDir& state, const std::string& id, const std::string& attempt,
                      const std::string& content) {
    auto begun = Attempt::begin(fx(), state, id, attempt);
    EXPECT_TRUE(begun) << begun.error().describe();
    write(begun->directory() + "/data.bin", content);
    auto sealed = begun->seal({ResultFile{.name = "data.bin", .rows = 3}}, 3, R"({"stage":"a"})");
    EXPECT_TRUE(sealed) << sealed.error().describe();
    return *sealed;
  }

  std::string root_, path_;
};

TEST_F(StoreTest, OpensAgainWithTheSameIdentifier) {
  const std::string id = open().id();
  EXPECT_EQ(id.size(), 16u);
  EXPECT_EQ(open().id(), id);
  EXPECT_EQ(StateDir::open(fx(), path_, StateDir::Mode::kRead)->id(), id);
}

TEST_F(StoreTest, ReadingMakesNothing) {
  const auto state = StateDir::open(fx(), path_, StateDir::Mode::kRead);
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code, "state.missing");
  EXPECT_FALSE(exists(fx(), path_));
}

TEST_F(StoreTest, RefusesANewerVersionAndLeavesItAlone) {
  open();
  ASSERT_TRUE(fx().unlink(path_ + "/version"));
  write(path_ + "/version", "tidegate-state 2 0123456789abcdef\n");
  const auto state = StateDir::open(fx(), path_, StateDir::Mode::kWrite);
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code, "state.newer");
  EXPECT_EQ(read(path_ + "/version"), "tidegate-state 2 0123456789abcdef\n");
}

TEST_F(StoreTest, OpensTheFirstVersionsFile) {
  ASSERT_TRUE(fx().mkdir(path_));
  write(path_ + "/version", "tidegate-state 1 0123456789abcdef\n");
  EXPECT_EQ(open().id(), "0123456789abcdef");
}

TEST_F(StoreTest, RefusesWhatIsNoVersionFile) {
  for (const char* text :
       {"", "tidegate-state", "tidegate-state 1", "tidegate-state 0 0123456789abcdef",
        "tidegate-state 1 xyz", "something else 1 0123456789abcdef"}) {
    ASSERT_TRUE(remove_tree(fx(), path_));
    ASSERT_TRUE(fx().mkdir(path_));
    write(path_ + "/version", text);
    const auto state = StateDir::open(fx(), path_, StateDir::Mode::kWrite);
    ASSERT_FALSE(state) << text;
    EXPECT_EQ(state.error().code, "state.corrupt") << text;
  }
}

TEST_F(StoreTest, DoesNotMoveIntoAFolderOfOtherThings) {
  ASSERT_TRUE(fx().mkdir(path_));
  write(path_ + "/letter.txt", "dear");
  const auto state = StateDir::open(fx(), path_, StateDir::Mode::kWrite);
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code, "state.foreign");
  EXPECT_THAT(state.error().message, HasSubstr("letter.txt"));
}

TEST_F(StoreTest, SaysThatAReadOnlyDirectoryIsReadOnly) {
  WrappedEffects read_only(fx());
  read_only.before = [](const std::string& call, const std::string&) -> Status {
    if (call == "stat" || call == "list" || call == "pread" || call == "open") return {};
    return std::unexpected(errno_failure(EROFS, "cannot " + call));
  };
  const auto state = StateDir::open(read_only, path_, StateDir::Mode::kWrite);
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code, "state.read_only");
  EXPECT_THAT(state.error().message, HasSubstr("--state"));
}

TEST_F(StoreTest, ASecondConductorLearnsWhoHoldsTheLock) {
  const StateDir state = open();
  uint64_t first = 0;
  {
    const auto lock = ConductorLock::take(fx(), state, "tidegate run a.yaml");
    ASSERT_TRUE(lock) << lock.error().describe();
    first = lock->fence();
    const auto second = ConductorLock::take(fx(), state, "tidegate run b.yaml");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, "state.locked");
    EXPECT_THAT(second.error().message, HasSubstr(std::to_string(::getpid())));
    EXPECT_THAT(second.error().message, HasSubstr("tidegate run a.yaml"));
  }
  const auto third = ConductorLock::take(fx(), state, "tidegate run c.yaml");
  ASSERT_TRUE(third);
  EXPECT_GT(third->fence(), first);
}

TEST_F(StoreTest, TheLockNamesTheProcessThatItsEffectsName) {
  struct Named final : WrappedEffects {
    using WrappedEffects::WrappedEffects;
    ProcessName process_name() override { return {7, "elsewhere"}; }
  } named(fx());
  const StateDir state = open();
  const auto lock = ConductorLock::take(named, state, "tidegate run a.yaml");
  ASSERT_TRUE(lock) << lock.error().describe();
  const auto second = ConductorLock::take(fx(), state, "tidegate run b.yaml");
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("process 7 on elsewhere since"));
}

TEST_F(StoreTest, TheFenceGrowsThoughTheClockGoesBackAndTheFileIsTorn) {
  const StateDir state = open();
  WrappedEffects clock(fx());
  clock.time_us = 2'000'000'000'000'000;
  const uint64_t late = ConductorLock::take(clock, state, "x")->fence();
  clock.time_us = 1'000'000'000'000'000;
  const uint64_t earlier = ConductorLock::take(clock, state, "x")->fence();
  EXPECT_EQ(earlier, late + 1);
  write(path_ + "/fence", "tide");
  clock.time_us = 2'000'000'000'000'777;
  EXPECT_EQ(ConductorLock::take(clock, state, "x")->fence(), 2'000'000'000'000'777u);
}

TEST_F(StoreTest, CleansOnlyAttemptsWhoseWorkerIsGone) {
  const StateDir state = open();
  {
    auto gone = Attempt::begin(fx(), state, identity(1), "gone");
    ASSERT_TRUE(gone);
    write(gone->directory() + "/half", "x");
  }
  auto alive = Attempt::begin(fx(), state, identity(1), "alive");
  ASSERT_TRUE(alive);
  const auto removed = clean_spill(fx(), state);
  ASSERT_TRUE(removed) << removed.error().describe();
  EXPECT_EQ(*removed, 1u);
  EXPECT_FALSE(exists(fx(), state.spill() + "/gone"));
  EXPECT_TRUE(exists(fx(), alive->directory()));
}

TEST_F(StoreTest, AnAttemptThatWasCleanedBetweenMkdirAndLockIsLost) {
  const StateDir state = open();
  WrappedEffects racing(fx());
  racing.before = [&](const std::string& call, const std::string&) -> Status {
    if (call == "try_lock") (void)remove_tree(fx(), state.spill() + "/a1");
    return {};
  };
  const auto begun = Attempt::begin(racing, state, identity(1), "a1");
  ASSERT_FALSE(begun);
  EXPECT_EQ(begun.error().code, "state.attempt_taken");
  EXPECT_EQ(begun.error().cls, FailureClass::kLost);
}

TEST_F(StoreTest, RefusesNamesThatCouldLeaveTheDirectory) {
  const StateDir state = open();
  for (const char* attempt : {"", "..", "a/b", "a b"})
    EXPECT_EQ(Attempt::begin(fx(), state, identity(1), attempt).error().code, "state.name");
  EXPECT_EQ(Attempt::begin(fx(), state, "../../etc", "a").error().code, "state.name");
  auto begun = Attempt::begin(fx(), state, identity(1), "a");
  for (const char* name : {"..", "a/b", "result.json", ""})
    EXPECT_EQ(begun->seal({ResultFile{.name = name}}, 0, "{}").error().code, "state.name");
}

TEST_F(StoreTest, ASealedResultIsFoundWithAllItSaid) {
  const StateDir state = open();
  const StoredResult sealed = finish(state, identity(1), "a1", "hello");
  EXPECT_FALSE(exists(fx(), state.spill() + "/a1"));
  EXPECT_TRUE(*has_result(fx(), state, identity(1), "a1"));
  const auto found = find_result(fx(), state, identity(1), "a1");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->directory, sealed.directory);
  EXPECT_EQ((*found)->rows, 3u);
  EXPECT_EQ((*found)->data, R"({"stage":"a"})");
  ASSERT_NE((*found)->file("data.bin"), nullptr);
  EXPECT_EQ((*found)->file("data.bin")->bytes, 5u);
  EXPECT_EQ((*found)->file("data.bin")->xxh3, hex64(xxh3_64("hello")));
  EXPECT_EQ((*found)->file("other"), nullptr);
  EXPECT_EQ(fx().stat(sealed.directory + "/data.bin")->mode, 0444u);
}

TEST_F(StoreTest, WhatIsMissingTornOrForeignIsNotFound) {
  const StateDir state = open();
  EXPECT_FALSE(*has_result(fx(), state, identity(1), "a1"));
  EXPECT_FALSE(find_result(fx(), state, identity(1), "a1")->has_value());
  const std::string directory = finish(state, identity(1), "a1", "hello").directory;

  ASSERT_TRUE(fx().rename(directory, path_join(path_dirname(directory), "a2")));
  EXPECT_FALSE(find_result(fx(), state, identity(1), "a2")->has_value()) << "another attempt's";
  ASSERT_TRUE(fx().rename(path_join(path_dirname(directory), "a2"), directory));

  ASSERT_TRUE(fx().unlink(directory + "/data.bin"));
  write(directory + "/data.bin", "hell");
  EXPECT_FALSE(find_result(fx(), state, identity(1), "a1")->has_value()) << "shorter file";
  ASSERT_TRUE(fx().unlink(directory + "/data.bin"));
  EXPECT_FALSE(find_result(fx(), state, identity(1), "a1")->has_value()) << "missing file";
  write(directory + "/result.json", "{\"magic\":");
  EXPECT_FALSE(find_result(fx(), state, identity(1), "a1")->has_value()) << "torn description";
  write(directory + "/result.json", "");
  EXPECT_FALSE(*has_result(fx(), state, identity(1), "a1")) << "empty description";
}

TEST_F(StoreTest, AFlippedBitOfADescriptionIsFound) {
  const StateDir state = open();
  const std::string directory = finish(state, identity(1), "a1", "hello").directory;
  const std::string text = read(directory + "/result.json");
  for (size_t at = 0; at < text.size(); ++at)
    for (const char bit : {1, 32}) {
      std::string changed = text;
      changed[at] = static_cast<char>(changed[at] ^ bit);
      write(directory + "/result.json", changed);
      EXPECT_FALSE(find_result(fx(), state, identity(1), "a1")->has_value()) << at;
    }
  write(directory + "/result.json", text);
  EXPECT_TRUE(find_result(fx(), state, identity(1), "a1")->has_value());
}

TEST_F(StoreTest, AResultOfAnotherVersionIsMadeAgain) {
  const StateDir state = open();
  const std::string directory = finish(state, identity(1), "a1", "hello").directory;
  std::string text = read(directory + "/result.json");
  text.resize(text.find('\n') + 1);
  const size_t at = text.find("\"version\":2");
  ASSERT_NE(at, std::string::npos);
  const auto with_checksum = [](const std::string& line) {
    return line + hex64(xxh3_64(line)) + "\n";
  };
  write(directory + "/result.json", with_checksum(text));
  EXPECT_TRUE(find_result(fx(), state, identity(1), "a1")->has_value());
  text.replace(at, 11, "\"version\":3");
  write(directory + "/result.json", with_checksum(text));
  EXPECT_FALSE(find_result(fx(), state, identity(1), "a1")->has_value());
}

TEST_F(StoreTest, ADuplicateCompletionChangesNothing) {
  const StateDir state = open();
  finish(state, identity(1), "a1", "first");
  const StoredResult again = finish(state, identity(1), "a1", "second");
  EXPECT_EQ(read(again.directory + "/data.bin"), "first");
  EXPECT_FALSE(exists(fx(), state.spill() + "/a1"));
}

TEST_F(StoreTest, ATornResultIsReplaced) {
  const StateDir state = open();
  const std::string directory = finish(state, identity(1), "a1", "first").directory;
  write(directory + "/result.json", "");
  const StoredResult again = finish(state, identity(1), "a1", "second");
  EXPECT_EQ(read(again.directory + "/data.bin"), "second");
  EXPECT_TRUE(find_result(fx(), state, identity(1), "a1")->has_value());
}

TEST_F(StoreTest, AdoptsTheSmallestWholeAttempt) {
  const StateDir state = open();
  EXPECT_FALSE(adopt_result(fx(), state, identity(1))->has_value());
  const std::string torn = finish(state, identity(1), "a1", "torn").directory;
  finish(state, identity(1), "a3", "three");
  finish(state, identity(1), "a2", "two");
  ASSERT_TRUE(fx().unlink(torn + "/data.bin"));
  const auto adopted = adopt_result(fx(), state, identity(1));
  ASSERT_TRUE(adopted && *adopted);
  EXPECT_EQ((*adopted)->attempt, "a2");
}

TEST_F(StoreTest, EvictsTheOldestUnneededFirst) {
  const StateDir state = open();
  for (int i = 0; i < 4; ++i) {
    const std::string directory = finish(state, identity(i), "a", "0123456789").directory;
    const timespec times[2] = {{1000 + i, 0}, {1000 + i, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (directory + "/result.json").c_str(), times, 0), 0);
  }
  const std::vector<NeededResult> needed = {NeededResult{.identity = identity(0)}};
  const auto dry = evict_results(fx(), state, needed, {.bytes_max = 20, .dry_run = true});
  ASSERT_TRUE(dry) << dry.error().describe();
  EXPECT_EQ(dry->results_removed, 2u);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(*has_result(fx(), state, identity(i), "a")) << "dry";
  const auto report = evict_results(fx(), state, needed, {.bytes_max = 20});
  ASSERT_TRUE(report) << report.error().describe();
  EXPECT_EQ(report->results_removed, 2u);
  EXPECT_EQ(report->identities_gone, (std::vector<std::string>{identity(1), identity(2)}));
  EXPECT_EQ(report->bytes_kept, 20u);
  EXPECT_TRUE(*has_result(fx(), state, identity(0), "a")) << "the oldest, but needed";
  EXPECT_FALSE(*has_result(fx(), state, identity(1), "a"));
  EXPECT_FALSE(*has_result(fx(), state, identity(2), "a"));
  EXPECT_TRUE(*has_result(fx(), state, identity(3), "a"));
  EXPECT_TRUE(fx().list(state.spill())->empty());
}

TEST_F(StoreTest, EvictsByAgeAndLosingAttemptsOfANeededIdentity) {
  const StateDir state = open();
  finish(state, identity(1), "wins", "0123456789");
  finish(state, identity(1), "late", "0123456789");
  WrappedEffects later(fx());
  later.time_us = fx().now_us() + 10'000'000;
  const auto report =
      evict_results(later, state, {NeededResult{identity(1), "wins"}}, {.age_us_max = 5'000'000});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->results_kept, 1u);
  EXPECT_TRUE(*has_result(fx(), state, identity(1), "wins"));
}

TEST_F(StoreTest, EvictionTakesAResultOutBeforeItTakesItApart) {
  const StateDir state = open();
  const std::string directory = finish(state, identity(1), "a", "0123456789").directory;
  WrappedEffects watched(fx());
  bool inside_results = false;
  watched.before = [&](const std::string& call, const std::string& path) -> Status {
    if (call == "unlink" && path.starts_with(state.results())) inside_results = true;
    return {};
  };
  ASSERT_TRUE(evict_results(watched, state, {}, {.bytes_max = 0}));
  EXPECT_FALSE(inside_results);
  EXPECT_FALSE(exists(fx(), directory));
}

TEST_F(StoreTest, NoSpaceWhileSealingLeavesNoResult) {
  const StateDir state = open();
  WrappedEffects full(fx());
  auto begun = Attempt::begin(full, state, identity(1), "a1");
  ASSERT_TRUE(begun);
  write(begun->directory() + "/data.bin", "hello");
  full.before = [](const std::string& call, const std::string&) -> Status {
    if (call == "pwrite") return std::unexpected(errno_failure(ENOSPC, "cannot write"));
    return {};
  };
  const auto sealed = begun->seal({ResultFile{.name = "data.bin"}}, 1, "{}");
  ASSERT_FALSE(sealed);
  EXPECT_EQ(sealed.error().cls, FailureClass::kDisk);
  EXPECT_FALSE(*has_result(fx(), state, identity(1), "a1"));
}

TEST_F(StoreTest, AThousandResultsAreLookedUpWithOneCallEach) {
  const StateDir state = open();
  finish(state, identity(1), "a", "x");
  WrappedEffects counted(fx());
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(*has_result(counted, state, identity(1), "a"));
  EXPECT_EQ(counted.calls, 1000u);
}

TEST_F(StoreTest, HashesAndCopiesFilesLargerThanItsBuffer) {
  std::string text(3'500'000, 'a');
  for (size_t i = 0; i < text.size(); i += 1001) text[i] = static_cast<char>(i);
  write(root_ + "/a", text);
  const auto hash = hash_file(fx(), root_ + "/a");
  ASSERT_TRUE(hash);
  EXPECT_EQ(hash->bytes, text.size());
  EXPECT_EQ(hash->xxh3, hex64(xxh3_64(text)));
  const auto copied = copy_file(fx(), root_ + "/a", root_ + "/b", 0444);
  ASSERT_TRUE(copied);
  EXPECT_EQ(copied->xxh3, hash->xxh3);
  EXPECT_EQ(read(root_ + "/b"), text);
  EXPECT_EQ(copy_file(fx(), root_ + "/a", root_ + "/b", 0444).error().code, "file.exists");
}

}  // namespace
}  // namespace tidegate
