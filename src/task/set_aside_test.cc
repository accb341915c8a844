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

}  // namespace
}  // namespace tidegate
