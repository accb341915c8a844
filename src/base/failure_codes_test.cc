#include "base/failure_codes.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace tidegate {
namespace {

TEST(FailureCodes, AreThoseOfThePage) {
  std::ifstream in(std::string(TIDEGATE_SOURCE_DIR) + "/docs/errors.md");
  std::stringstream read;
  read << in.rdbuf();
  const std::string page = read.str();
  ASSERT_GT(failure_codes().size(), 100u);
  for (const FailureCodeInfo& info : failure_codes()) {
    EXPECT_NE(page.find("| `" + info.code + "` | " + info.classes + " | "), std::string::npos)
        << info.code;
    EXPECT_NE(page.find("| " + info.what + " |"), std::string::npos) << info.code;
    EXPECT_FALSE(info.advice.empty()) << info.code;
  }
}

TEST(FailureCodes, NameClassesThatThereAre) {
  for (const FailureCodeInfo& info : failure_codes()) {
    std::stringstream names(info.classes);
    size_t count = 0;
    for (std::string name; std::getline(names, name, ','); ++count) {
      if (name.starts_with(' ')) name.erase(0, 1);
      FailureClass cls;
      EXPECT_TRUE(parse_failure_class(name, cls)) << info.code << ": " << name;
    }
    EXPECT_GT(count, 0u) << info.code;
  }
}

TEST(FailureCodes, EachClassSaysWhatHappens) {
  std::set<std::string> reactions;
  for (int i = 0; i <= static_cast<int>(FailureClass::kUncertain); ++i) {
    const FailureClassInfo& info = about(static_cast<FailureClass>(i));
    EXPECT_FALSE(info.what.empty() || info.reaction.empty() || info.advice.empty()) << i;
    EXPECT_TRUE(reactions.insert(info.reaction).second) << info.reaction;
  }
}

TEST(FailureCodes, FoundByName) {
  const FailureCodeInfo* info = find_failure_code("sql.conversion");
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->classes, "data");
  EXPECT_EQ(info->what, "a value cannot be cast");
  EXPECT_EQ(info->advice, "`TRY_CAST`, or mend the input");
  EXPECT_EQ(find_failure_code("sql.conversio"), nullptr);
  EXPECT_EQ(find_failure_code(""), nullptr);
}

TEST(FailureCodes, WhatIsNotListedAsksToBeReported) {
  EXPECT_EQ(evidence_of("sql.error_99"), "the type of DuckDB's error");
  EXPECT_EQ(evidence_of("worker.killed"), "how a worker process ended: exit code or signal");
  EXPECT_EQ(evidence_of("martian.attack"), "what the program saw");
  EXPECT_NE(advice_for("martian.attack").find("report it"), std::string_view::npos);
  EXPECT_EQ(advice_for("sql.conversion"), "`TRY_CAST`, or mend the input");
}

}  // namespace
}  // namespace tidegate
