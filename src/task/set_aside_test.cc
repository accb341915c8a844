#include "task/set_aside.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/secrets.h"

namespace tidegate {
namespace {

class SetAsideTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tidegate-aside-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { (void)remove_tree(fx(), root_); }

  static Effects& fx() { return real_effects(); }
  std::string table() const { return path_join(root_, set_aside_table(0)); }

  std::string root_;
};

TEST_F(SetAsideTest, GoesThereAndBack) {
  const SetAside aside{"s",
                       "stage",
                       "a-1",
                       {{"a.csv", 7, "v", "not \"a\" number", "x,\t12y"},
                        {"b.csv", 1, "", "not a JSON object", "{\n\xc3\xa4"}}};
  EXPECT_EQ(*write_set_aside(fx(), table(), aside), 2U);
  const auto back = read_set_aside(fx(), table());
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(back->source, "s");
  EXPECT_EQ(back->stage, "stage");
  EXPECT_EQ(back->attempt, "a-1");
  ASSERT_EQ(back->rows.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(back->rows[i].file, aside.rows[i].file);
    EXPECT_EQ(back->rows[i].line, aside.rows[i].line);
    EXPECT_EQ(back->rows[i].column, aside.rows[i].column);
    EXPECT_EQ(back->rows[i].reason, aside.rows[i].reason);
    EXPECT_EQ(back->rows[i].raw, aside.rows[i].raw);
  }
}

TEST_F(SetAsideTest, IsBoundedInBytesByWholeRows) {
  SetAside aside{"s", "stage", "a-1", {}};
  // Each byte of it takes six in JSON.
  const RejectedRow row{"a.csv", 1, "v", "reason", std::string(kRejectTextMax, '\x01')};
  while (aside.rows.size() < kRejectsNamedMax) aside.rows.push_back(row);
  const auto written = write_set_aside(fx(), table(), aside);
  ASSERT_TRUE(written);
  EXPECT_LT(*written, aside.rows.size());
  EXPECT_LE(fx().stat(table())->size, kSetAsideBytesMax);
  EXPECT_GT(fx().stat(table())->size, kSetAsideBytesMax - 10'000);
  EXPECT_EQ(read_set_aside(fx(), table())->rows.size(), *written);
}

TEST_F(SetAsideTest, WhatIsTornIsLost) {
  const SetAside aside{"s", "stage", "a-1", {{"a.csv", 7, "v", "reason", "raw"}}};
  ASSERT_TRUE(write_set_aside(fx(), table(), aside));
  const std::string text = *read_file(fx(), table());
  for (const std::string& torn :
       {text.substr(0, text.size() - 1), text.substr(10), std::string("[]\n"),
        std::string(R"({"source":"s","file":7})") + "\n"}) {
    ASSERT_TRUE(write_file(fx(), table(), torn));
    const auto back = read_set_aside(fx(), table());
    ASSERT_FALSE(back) << torn;
    EXPECT_EQ(back.error().code, "quarantine.table");
    EXPECT_EQ(back.error().cls, FailureClass::kLost);
  }
}

TEST_F(SetAsideTest, HoldsNoSecret) {
  remember_secret("hunter2-of-quarantine", "${env:PASSWORD}");
  const SetAside aside{"s", "stage", "a-1", {{"a.csv", 7, "v", "r", "x,hunter2-of-quarantine"}}};
  ASSERT_TRUE(write_set_aside(fx(), table(), aside));
  EXPECT_EQ(read_set_aside(fx(), table())->rows[0].raw, "x,${env:PASSWORD}");
}

/// One task over row groups of a.parquet and all of b.parquet.
TaskSpec over_two_files() {
  TaskScan scan;
  scan.count_rejects = true;
  for (const char* name : {"a.parquet", "b.parquet"}) {
    InputFile file;
    file.name = name;
    file.path = std::string("/in/") + name;
    file.rows = 100;
    scan.snapshot.files.push_back(file);
  }
  scan.partition.slices = {{0, 0, 10}, {0, 90, -1}, {1, 0, -1}};
  TaskSpec spec;
  spec.inputs.emplace_back();
  spec.inputs.emplace_back();
  spec.inputs[1].scan = scan;
  return spec;
}

Failure broken(const char* name) {
  Failure failure{FailureClass::kData, "source.bad_file",
                  std::string("an input file cannot be read: \"") + name + "\""};
  failure.cause = std::make_shared<const Failure>(
      Failure{FailureClass::kDefect, "sql.error_0", "don't know what type\nmore"});
  return failure;
}

TEST(SetFileAside, TakesAllOfABrokenFileOutOfItsTask) {
  TaskSpec spec = over_two_files();
  ASSERT_TRUE(set_file_aside(spec, broken("a.parquet")));
  const TaskScan& scan = *spec.inputs[1].scan;
  ASSERT_EQ(scan.partition.slices.size(), 1U);
  EXPECT_EQ(scan.partition.slices[0].file, 1U);
  EXPECT_EQ(scan.lost.rows, 20U);
  ASSERT_EQ(scan.lost.files.size(), 1U);
  EXPECT_EQ(scan.lost.files[0].first, "a.parquet");
  EXPECT_EQ(scan.lost.first[0].line, 0U);
  EXPECT_EQ(scan.lost.first[0].reason, "don't know what type");
  EXPECT_FALSE(set_file_aside(spec, broken("a.parquet"))) << "each round takes one out";
  ASSERT_TRUE(set_file_aside(spec, broken("b.parquet")));
  EXPECT_EQ(spec.inputs[1].scan->lost.rows, 120U);
  EXPECT_TRUE(spec.inputs[1].scan->partition.slices.empty());
}

TEST(SetFileAside, TakesItOutOfWhatChecksReferTo) {
  TaskSpec spec = over_two_files();
  TaskScan scan = *spec.inputs[1].scan;
  spec.inputs.clear();
  spec.verify.emplace().sources.emplace_back("days", scan);
  EXPECT_FALSE(set_file_aside(spec, broken("a.parquet"))) << "its source sets nothing aside";
  spec.verify->sources[0].second.snapshot.recipe.set_aside_bad_rows = true;
  ASSERT_TRUE(set_file_aside(spec, broken("a.parquet")));
  EXPECT_EQ(spec.verify->sources[0].second.partition.slices.size(), 1U);
  EXPECT_FALSE(set_file_aside(spec, broken("a.parquet"))) << "each round takes one out";
}

TEST(SetFileAside, OnlyWhereTheSourceSetsFilesAside) {
  TaskSpec spec = over_two_files();
  spec.inputs[1].scan->count_rejects = false;
  EXPECT_FALSE(set_file_aside(spec, broken("a.parquet")));
  spec = over_two_files();
  Failure other = broken("a.parquet");
  other.code = "sql.conversion";
  EXPECT_FALSE(set_file_aside(spec, other));
  EXPECT_FALSE(set_file_aside(spec, broken("c.parquet")));
}

}  // namespace
}  // namespace tidegate
