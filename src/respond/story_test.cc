#include "respond/story.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidegate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// Events as a journal would give them, numbered from 1.
class Telling {
 public:
  Telling& add(std::string type, std::string data, std::string run = "r1") {
    events_.push_back(
        {events_.size() + 1, 1'000'000, std::move(type), std::move(run), std::move(data)});
    return *this;
  }
  Telling& failed(const std::string& cls, const std::string& code, const std::string& task = "t1") {
    return add("task_failed", R"({"identity":")" + task +
                                  R"(","attempt":"a1","stage":"legs","partition":3,"class":")" +
                                  cls + R"(","code":")" + code + R"(","message":"it broke"})");
  }
  std::vector<FailureStory> told() const { return tell_stories(events_); }

 private:
  std::vector<Event> events_;
};

TEST(Story, ARetryThatHelpedIsHealed) {
  Telling telling;
  telling.failed("transient", "system.busy")
      .add("task_retried", R"({"identity":"t1","delay_us":200000,"number":1,"class":"transient"})")
      .failed("transient", "system.busy")
      .add("task_retried", R"({"identity":"t1","delay_us":0,"number":2,"class":"transient"})")
      .add("task_finished", R"({"identity":"t1","attempt":"a3"})")
      .add("run_finished", R"({"state":"succeeded"})");
  const auto stories = telling.told();
  ASSERT_EQ(stories.size(), 1u);
  EXPECT_EQ(stories[0].times, 2u);
  EXPECT_EQ(stories[0].end, FailureStory::End::kHealed);
  EXPECT_EQ(stories[0].failure.where.stage, "legs");
  EXPECT_THAT(stories[0].done, ElementsAre("it was tried again, after 200 ms",
                                           "it was tried again at once", "then it finished"));
  const std::string text = render(stories[0]);
  EXPECT_THAT(text, HasSubstr("stage legs, partition 3"));
  EXPECT_THAT(text, HasSubstr("it broke (system.busy, transient), by the errno of a system call"));
  EXPECT_THAT(text, HasSubstr("to do     nothing"));
}

TEST(Story, MemoryIsToldByPartsAndSize) {
  Telling telling;
  telling.failed("memory", "memory.bound")
      .add("task_retried",
           R"({"identity":"t1","delay_us":0,"number":1,"class":"memory","parts":16})")
      .failed("memory", "memory.bound")
      .add(
          "task_retried",
          R"({"identity":"t1","delay_us":0,"number":2,"class":"memory","memory_bytes":1073741824})");
  const auto stories = telling.told();
  ASSERT_EQ(stories.size(), 1u);
  EXPECT_THAT(stories[0].done,
              ElementsAre("it ran again in 16 parts", HasSubstr("it ran again with 1")));
  EXPECT_EQ(stories[0].end, FailureStory::End::kOpen);
}

TEST(Story, WhatIsNotRetriedSaysWhatToDo) {
  Telling telling;
  telling.failed("data", "sql.conversion")
      .failed("lost", "worker.killed", "t2")
      .add("task_finished", R"({"identity":"t2","attempt":"a2"})")
      .add(
          "incident_opened",
          R"({"incident":7,"output":"out","class":"data","code":"sql.conversion","message":"it broke"})")
      .add("run_finished", R"({"state":"failed"})");
  const auto stories = telling.told();
  ASSERT_EQ(stories.size(), 2u);
  EXPECT_EQ(stories[0].end, FailureStory::End::kUnhealed);
  EXPECT_THAT(stories[0].done, ElementsAre("it opened incident 7", HasSubstr("not tried again")));
  EXPECT_EQ(stories[1].end, FailureStory::End::kHealed);
  EXPECT_THAT(render(stories[0]), HasSubstr("to do     `TRY_CAST`, or mend the input"));
  EXPECT_THAT(to_json(stories[0]), HasSubstr(R"("outcome":"unhealed")"));
  EXPECT_THAT(to_json(stories[0]), HasSubstr(R"("evidence":"the type of DuckDB's error")"));
}

TEST(Story, ARefusedOutputIsToldOnceByItsCheck) {
  Telling telling;
  telling
      .add("check_finished",
           R"({"output":"out","name":"unique","kind":"unique","status":"fail","message":"2 rows"
})")
      .add("check_finished",
           R"({"output":"out","name":"rows","kind":"rows","status":"pass","message":"fine"})")
      .add("output_refused", R"({"output":"out","reasons":["2 rows"]})")
      .add("incident_opened",
           R"({"incident":1,"output":"out","class":"data","code":"check.failed",)"
           R"("message":"2 rows","stands":"000004-1f9c"})")
      .add("run_finished", R"({"state":"refused"})");
  auto stories = telling.told();
  ASSERT_EQ(stories.size(), 1u);
  EXPECT_EQ(stories[0].output, "out");
  EXPECT_EQ(stories[0].end, FailureStory::End::kUnhealed);
  EXPECT_THAT(stories[0].done,
              ElementsAre(HasSubstr("nothing was published"), "it opened incident 1",
                          "generation 000004-1f9c stands meanwhile"));
  telling.add("incident_closed", R"({"incident":1,"output":"out","why":"generation g stands"})",
              "r2");
  stories = telling.told();
  ASSERT_EQ(stories.size(), 1u);
  EXPECT_EQ(stories[0].end, FailureStory::End::kHealed);
}

TEST(Story, AnIncidentWithoutAnyOtherTraceIsToldItself) {
  Telling telling;
  telling.add("incident_opened",
              R"({"incident":1,"output":"out","class":"disk","code":"disk.no_space",)"
              R"("message":"no space","command":"tidegate rollback out"})");
  const auto stories = telling.told();
  ASSERT_EQ(stories.size(), 1u);
  EXPECT_EQ(stories[0].failure.cls, FailureClass::kDisk);
  EXPECT_EQ(stories[0].end, FailureStory::End::kUnhealed);
  EXPECT_THAT(stories[0].done,
              ElementsAre("it opened incident 1", HasSubstr("`tidegate rollback out`")));
}

TEST(Story, AnUnknownCodeAsksToBeReported) {
  Telling telling;
  telling.failed("defect", "martian.attack").add("run_finished", R"({"state":"failed"})");
  const auto stories = telling.told();
  ASSERT_EQ(stories.size(), 1u);
  EXPECT_THAT(render(stories[0]), HasSubstr("not a code that docs/errors.md lists"));
  EXPECT_THAT(render(stories[0]), HasSubstr("to do     report it"));
}

TEST(Story, IsBoundedAndPassesOverWhatItCannotRead) {
  Telling telling;
  telling.add("task_failed", "[]").add("task_failed", "not json");
  for (size_t i = 0; i < kStoriesMax + 50; ++i)
    telling.failed("data", "sql.conversion", "task-" + std::to_string(i));
  EXPECT_EQ(telling.told().size(), kStoriesMax);
}

TEST(Story, ACodeHasAPage) {
  EXPECT_THAT(render_code("publish.unverified"), HasSubstr("class     data: "));
  EXPECT_THAT(render_code("publish.unverified"), HasSubstr("class     defect: "));
  EXPECT_THAT(render_code("publish.unverified"), Not(HasSubstr("class     disk")));
  EXPECT_EQ(render_code("no.such"), "");
  EXPECT_THAT(code_json("sql.conversion"),
              HasSubstr(R"("advice":"`TRY_CAST`, or mend the input")"));
}

}  // namespace
}  // namespace tidegate
