#include "run/quarantine.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "journal/journal_fixture.h"
#include "store/results.h"

namespace tidegate {
namespace {

/// A source of three files, read file by file by one group and whole by another.
class QuarantineTest : public testing::Test {
 protected:
  void SetUp() override {
    auto state = StateDir::open(fx(), dir_.file("state"), StateDir::Mode::kWrite);
    ASSERT_TRUE(state) << state.error().describe();
    journal_ = open_journal(state->path(), Journal::Mode::kWrite);
    plan_.state = *state;
    plan_.pipeline.name.value = "p";
    plan_.pipeline.sources.resize(1);
    plan_.pipeline.sources[0].quarantine_share = {0.1, {}};
    plan_.sources.resize(1);
    plan_.sources[0].source = "s";
    for (const char* name : {"a.csv", "b.csv", "c.csv"}) {
      InputFile file;
      file.name = name;
      file.identity = std::string("1 of ") + name;
      plan_.sources[0].files.push_back(file);
    }
    plan_.groups.resize(2);
    PlanInput parts, whole;
    parts.unit_count = 3;
    whole.kind = PlanInput::Kind::kSourceWhole;
    plan_.groups[0].inputs = {parts};
    plan_.groups[1].inputs = {whole};
    graph_.groups = {{.name = "parts"}, {.name = "whole"}};
    for (uint32_t unit = 0; unit < 3; ++unit) add_task(0, unit);
    for (uint32_t unit = 0; unit < 2; ++unit) add_task(1, unit);
  }

  static Effects& fx() { return real_effects(); }

  void add_task(uint32_t group, uint32_t unit) {
    graph_.groups[group].tasks.push_back(static_cast<uint32_t>(graph_.tasks.size()));
    GraphTask task;
    task.group = group;
    task.unit = unit;
    graph_.tasks.push_back(task);
  }

  /// Finishes a task that has set these rows aside; another identity each time.
  void finish(uint32_t index, std::vector<std::pair<std::string, uint64_t>> files) {
    TaskReport report;
    TaskSourceCount& count = report.sources.emplace_back();
    count = {"s", 100, 0, {}};
    for (const auto& [name, rows] : files) {
      count.set_aside += rows;
      count.samples.push_back(R"({"file":")" + name + R"(","line":7,"column":"v"})");
    }
    count.files = std::move(files);
    GraphTask& task = graph_.tasks[index];
    task.identity = sha256_hex(std::to_string(++made_));
    task.attempt = "a1";
    task.state = TaskState::kDone;
    auto attempt = Attempt::begin(fx(), *plan_.state, task.identity, task.attempt);
    ASSERT_TRUE(attempt) << attempt.error().describe();
    ASSERT_TRUE(attempt->seal({}, 0, to_json(report)));
  }

  void finish_all(uint64_t of_a, uint64_t of_b) {
    using Files = std::vector<std::pair<std::string, uint64_t>>;
    finish(0, of_a ? Files{{"a.csv", of_a}} : Files{});
    finish(1, of_b ? Files{{"b.csv", of_b}} : Files{});
    finish(2, {});
    for (uint32_t index : {3U, 4U}) finish(index, of_a ? Files{{"a.csv", 1}} : Files{});
  }

  void record() {
    const Status done = record_quarantine(fx(), plan_, graph_, *journal_, "r");
    ASSERT_TRUE(done) << done.error().describe();
    ASSERT_TRUE(journal_->commit());
  }

  /// "1 open a.csv 3, ...", oldest first.
  std::string standing(bool all = false) {
    std::string text;
    auto heads = journal_->quarantine({.standing_only = !all});
    EXPECT_TRUE(heads);
    std::reverse(heads->begin(), heads->end());
    for (const QuarantineHead& head : *heads) {
      text += fmt::format("{}{} {} {} {}", text.empty() ? "" : ", ", head.entry, head.state,
                          head.file, head.rows);
    }
    return text;
  }

  SourceArrival counted() {
    SourceArrival arrival;
    const auto dropped = dropped_rows(*journal_, "p");
    EXPECT_TRUE(dropped);
    const Status done = count_set_aside(fx(), plan_, graph_, {0, 1}, 0, *dropped, arrival);
    EXPECT_TRUE(done) << done.error().describe();
    return arrival;
  }

  void settle(const char* type, uint64_t entry) {
    ASSERT_TRUE(journal_->append(type, "", fmt::format(R"({{"entry":{}}})", entry)));
    ASSERT_TRUE(journal_->commit());
  }

  TempDir dir_;
  std::unique_ptr<Journal> journal_;
  Plan plan_;
  Graph graph_;
  int made_ = 0;
};

TEST_F(QuarantineTest, OneEntryAFileByTheStageThatSetMostAside) {
  finish_all(3, 2);
  record();
  EXPECT_EQ(standing(), "1 open a.csv 3, 2 open b.csv 2");
  const QuarantineHead head = journal_->quarantine({.entry = 1})->front();
  EXPECT_EQ(head.stage, "parts");
  EXPECT_EQ(head.tasks.size(), 3U) << "the file's own, and the two that read everything";
  EXPECT_NE(head.samples.at(0).find("\"line\":7"), std::string::npos);
  const SourceArrival arrival = counted();
  EXPECT_EQ(arrival.rows_read, 300U);
  EXPECT_EQ(arrival.rows_quarantined, 5U);
  EXPECT_EQ(arrival.rows_dropped, 0U);
  const uint64_t events = journal_->last_sequence();
  record();
  EXPECT_EQ(journal_->last_sequence(), events) << "nothing new is told";
}

TEST_F(QuarantineTest, ClosesWhatWasMendedOrHasGone) {
  finish_all(3, 2);
  record();
  plan_.sources[0].files[0].identity = "2 of a.csv";
  plan_.sources[0].files.erase(plan_.sources[0].files.begin() + 1);
  finish_all(0, 0);
  record();
  EXPECT_EQ(standing(), "");
  const auto closed = journal_->events({.types = {"quarantine_closed"}});
  ASSERT_EQ(closed->size(), 2U);
  EXPECT_NE((*closed)[0].data.find("not read any more"), std::string::npos) << (*closed)[0].data;
  EXPECT_NE((*closed)[1].data.find("was changed"), std::string::npos) << (*closed)[1].data;
}

TEST_F(QuarantineTest, AChangedFileThatIsStillBadIsAnotherEntry) {
  finish_all(3, 0);
  record();
  plan_.sources[0].files[0].identity = "2 of a.csv";
  finish_all(1, 0);
  record();
  EXPECT_EQ(standing(true), "1 closed a.csv 3, 2 open a.csv 1");
}

TEST_F(QuarantineTest, ASourceThatIsNotReadToItsEndTellsOfNoRepair) {
  finish_all(3, 2);
  record();
  finish(0, {});
  graph_.tasks[2].state = TaskState::kFailed;
  record();
  EXPECT_EQ(standing(), "1 open a.csv 1, 2 open b.csv 2");
  finish_all(0, 0);
  ASSERT_TRUE(remove_tree(fx(), result_directory(*plan_.state, graph_.tasks[0].identity, "a1")));
  record();
  EXPECT_EQ(standing(), "1 open a.csv 1, 2 open b.csv 2");
  SourceArrival arrival;
  EXPECT_EQ(count_set_aside(fx(), plan_, graph_, {0}, 0, {}, arrival).error().cls,
            FailureClass::kLost);
}

TEST_F(QuarantineTest, WhatIsDroppedDoesNotCountWhileTheFileIsAsItIs) {
  finish_all(3, 2);
  record();
  settle("quarantine_dropped", 1);
  EXPECT_EQ(counted().rows_quarantined, 2U);
  EXPECT_EQ(counted().rows_dropped, 3U);
  finish_all(2, 2);  // other columns are read: fewer rows are bad
  record();
  EXPECT_EQ(standing(), "1 dropped a.csv 2, 2 open b.csv 2");
  EXPECT_EQ(counted().rows_quarantined, 2U);
  finish_all(4, 2);  // more than a person has accepted
  EXPECT_EQ(counted().rows_quarantined, 6U);
  record();
  EXPECT_EQ(standing(), "2 open b.csv 2, 3 open a.csv 4");
  settle("quarantine_dropped", 3);
  plan_.sources[0].files[0].identity = "2 of a.csv";
  EXPECT_EQ(counted().rows_quarantined, 6U) << "a changed file is judged anew";
}

TEST_F(QuarantineTest, WhatIsReleasedAndBadAgainOpensAgain) {
  finish_all(3, 0);
  record();
  settle("quarantine_dropped", 1);
  settle("quarantine_released", 1);
  EXPECT_EQ(counted().rows_quarantined, 3U);
  record();
  EXPECT_EQ(standing(true), "1 released a.csv 3, 2 open a.csv 3");
}

TEST_F(QuarantineTest, ASourceThatSetsNothingAsideAnyMoreHasNoEntries) {
  finish_all(3, 2);
  record();
  settle("quarantine_dropped", 2);
  plan_.pipeline.sources[0].quarantine_share.reset();
  record();
  EXPECT_EQ(standing(true), "1 closed a.csv 3, 2 closed b.csv 2");
}

TEST_F(QuarantineTest, AnotherPipelinesEntriesStay) {
  finish_all(3, 0);
  record();
  plan_.pipeline.name.value = "q";
  plan_.pipeline.sources[0].quarantine_share.reset();
  record();
  EXPECT_EQ(standing(), "1 open a.csv 3");
}

TEST_F(QuarantineTest, FilesThatCannotBeReadAreEntriesWithoutRows) {
  plan_.sources[0].recipe.format = FileFormat::kParquet;
  plan_.sources[0].set_aside.push_back({"/x/d.csv", "d.csv", "1 of d.csv", "it is cut off"});
  finish_all(3, 0);
  record();
  EXPECT_EQ(standing(), "1 open a.csv 3, 2 open d.csv 0");
  EXPECT_EQ(counted().files_quarantined, 2U);
  settle("quarantine_dropped", 1);
  settle("quarantine_dropped", 2);
  plan_.sources[0].set_aside[0].accepted = true;
  EXPECT_EQ(counted().files_quarantined, 0U);
  record();
  EXPECT_EQ(standing(), "1 dropped a.csv 3, 2 dropped d.csv 0");
  plan_.sources[0].set_aside[0].identity = "2 of d.csv";
  record();
  EXPECT_EQ(standing(), "1 dropped a.csv 3, 3 open d.csv 0");
  plan_.sources[0].set_aside.clear();
  record();
  EXPECT_EQ(standing(), "1 dropped a.csv 3");
}

TEST_F(QuarantineTest, RowsOfATextFileThatCannotBeReadCountByItsBytes) {
  auto& source = plan_.sources[0];
  source.recipe.format = FileFormat::kCsv;
  for (InputFile& file : source.files) {
    file.stat.size = 100;
    source.bytes += file.stat.size;
  }
  finish_all(3, 0);
  const SourceArrival before = counted();
  EXPECT_EQ(before.files_quarantined, 0U) << "rows of it were read";
  // One that the plan left out, twice as large as one of the others.
  source.set_aside.push_back({"/x/d.csv", "d.csv", "1 of d.csv", "it is cut off", false, 200});
  SourceArrival after = counted();
  EXPECT_EQ(after.files_quarantined, 1U);
  const uint64_t unknown = 200 * before.rows_read / source.bytes;
  EXPECT_GT(unknown, 0U);
  EXPECT_EQ(after.rows_quarantined, 3 + unknown);
  EXPECT_EQ(after.rows_read, before.rows_read + unknown);
  // One that was cut off may have had as much as the others.
  source.set_aside[0].bytes = 1;
  EXPECT_EQ(counted().rows_quarantined, 3 + before.rows_read / source.files.size());
  source.set_aside[0].accepted = true;
  EXPECT_EQ(counted().rows_quarantined, 3U);
}

TEST_F(QuarantineTest, EntriesAreBoundedAndCountsAreNot) {
  std::vector<std::pair<std::string, uint64_t>> files;
  plan_.sources[0].files.clear();
  for (size_t i = 0; i < kQuarantineOpenedMax + 7; ++i) {
    files.emplace_back(fmt::format("{:05}.csv", i), 1);
    InputFile file;
    file.name = files.back().first;
    file.identity = file.name;
    plan_.sources[0].files.push_back(file);
  }
  finish_all(0, 0);
  finish(0, files);
  record();
  EXPECT_EQ(journal_->quarantine({.most = 10'000})->size(), kQuarantineOpenedMax);
  EXPECT_EQ(counted().rows_quarantined, kQuarantineOpenedMax + 7);
}

}  // namespace
}  // namespace tidegate
