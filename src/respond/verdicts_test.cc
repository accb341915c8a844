#include "respond/verdicts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "publish/standing.h"
#include "trust/trust_fixture.h"

namespace tidegate {
namespace {

using testing::HasSubstr;

class VerdictResponse : public testing::Test {
 protected:
  VerdictResponse() {
    contract.name.value = "p";
    Output output;
    output.name.value = "out";
    output.rollback = RollbackRule{.on_untrusted = true};
    contract.outputs.push_back(output);
  }

  RollbackRule& rule() { return *contract.outputs[0].rollback; }

  Response respond(const Pipeline* by_contract) {
    Responder by{world.effects, *world.journal, "5ca1ab1e5ca1ab1e", 7, "look"};
    auto done = respond_to_verdict(by, world.ask(), by_contract);
    EXPECT_TRUE(done) << done.error().describe();
    return done.value_or(Response{});
  }
  Response respond() { return respond(&contract); }

  /// A run that refused `generation`.
  Response respond_to_run(const std::string& generation) {
    Responder by{world.effects, *world.journal, "5ca1ab1e5ca1ab1e", 7, "run"};
    auto done =
        tidegate::respond_to_run(by, contract.outputs[0], world.root("out"),
                                 {.output = "out",
                                  .pipeline = "p",
                                  .run = "run",
                                  .failure = Failure{FailureClass::kData, "check.failed", "2 rows"},
                                  .generation = generation});
    EXPECT_TRUE(done) << done.error().describe();
    return done.value_or(Response{});
  }

  /// Two generations, the second with a file that was changed after it was published.
  void publish_and_break() {
    world.publish("out", 1);
    world.publish("out", 2);
    tamper(2);
    ASSERT_EQ(part_of(world.ask(), "intact").status, "fail");
  }
  void tamper(uint64_t number) {
    const std::string path = world.file("out", "part-1.parquet", number);
    ASSERT_TRUE(real_effects().unlink(path));
    ASSERT_TRUE(write_file(real_effects(), path, "changed", 0444));
  }
  std::string standing() {
    const auto found = resolve_current(real_effects(), world.root("out"));
    return found && *found ? (*found)->record.generation : "";
  }
  std::vector<Event> events(const std::string& type) {
    return world.journal->events({.types = {type}}).value();
  }
  std::optional<IncidentHead> open() { return open_incident(*world.journal, "out").value(); }

  World world;
  Pipeline contract;
};

TEST_F(VerdictResponse, WhatIsTrustedNeedsNone) {
  world.publish();
  const Response done = respond();
  EXPECT_EQ(done.incident, 0u);
  EXPECT_EQ(done.said, "");
  EXPECT_FALSE(open());
}

TEST_F(VerdictResponse, BrokenFilesGiveWayToTheGenerationBefore) {
  publish_and_break();
  const Response done = respond();
  EXPECT_TRUE(done.rolled_back) << done.said;
  EXPECT_EQ(done.incident, 1u);
  EXPECT_EQ(standing(), World::generation(1));
  ASSERT_TRUE(open());
  EXPECT_THAT(open()->opened_data, HasSubstr(R"("code":"publish.broken")"));
  EXPECT_EQ(events("output_rolled_back").size(), 1u);
  ASSERT_EQ(events("incident_mitigated").size(), 1u);
  EXPECT_THAT(events("incident_mitigated")[0].data, HasSubstr(World::generation(1)));
  EXPECT_EQ(part_of(world.ask(), "intact").status, "ok");
  // The incident stays: what should stand does not. Asking again changes nothing.
  const uint64_t before = world.journal->last_sequence();
  EXPECT_FALSE(respond().rolled_back);
  EXPECT_TRUE(open());
  EXPECT_EQ(world.journal->last_sequence(), before);
}

TEST_F(VerdictResponse, AnIncidentIsRolledBackOnce) {
  world.publish("out", 1);
  world.publish("out", 2);
  world.publish("out", 3);
  tamper(3);
  EXPECT_TRUE(respond().rolled_back);
  EXPECT_EQ(standing(), World::generation(2));
  tamper(2);
  const Response again = respond();
  EXPECT_FALSE(again.rolled_back);
  EXPECT_EQ(again.incident, 1u);
  EXPECT_EQ(standing(), World::generation(2));
  EXPECT_EQ(events("incident_added").size(), 1u);
}

TEST_F(VerdictResponse, ByHandIsOnlySaid) {
  rule().automatic = false;
  publish_and_break();
  const Response done = respond();
  EXPECT_FALSE(done.rolled_back);
  EXPECT_THAT(done.said, HasSubstr("`tidegate rollback out`"));
  EXPECT_EQ(standing(), World::generation(2));
  ASSERT_TRUE(open());
  EXPECT_THAT(open()->opened_data, HasSubstr(R"("command":"tidegate rollback out")"));
}

TEST_F(VerdictResponse, WithoutContractOrRuleAnIncidentIsAll) {
  publish_and_break();
  EXPECT_FALSE(respond(nullptr).rolled_back);
  contract.outputs[0].rollback.reset();
  EXPECT_FALSE(respond().rolled_back);
  EXPECT_EQ(standing(), World::generation(2));
  EXPECT_TRUE(open());
  EXPECT_EQ(events("incident_added").size(), 0u) << "the same is not said twice";
}

TEST_F(VerdictResponse, WhatIsStaleIsNotRolledBack) {
  world.publish("out", 1);
  world.publish("out", 2);
  world.effects.time_us = kNowUs + 3 * kDayUs;
  ASSERT_EQ(world.ask().verdict, kUntrusted);
  const Response done = respond();
  EXPECT_FALSE(done.rolled_back) << "an earlier generation is never fresher";
  ASSERT_TRUE(open());
  EXPECT_THAT(open()->opened_data, HasSubstr(R"("code":"trust.untrusted")"));
  EXPECT_EQ(standing(), World::generation(2));
  // It is said once, whatever the age; and closes when its promises hold again.
  world.effects.time_us += kHourUs;
  respond();
  EXPECT_EQ(events("incident_added").size(), 0u);
  world.add("output_unchanged",
            fmt::format(R"({{"output":"out","generation":"{}","contract_hash":"c","checks":[],)"
                        R"("sources":[{}],"max_age_us":{}}})",
                        World::generation(2), to_json(daily_source()), 10 * kDayUs));
  EXPECT_THAT(respond().said, HasSubstr("closed"));
  EXPECT_FALSE(open());
}

TEST_F(VerdictResponse, AFailedCheckMeetsBothCriteria) {
  world.publish("out", 1);
  world.publish("out", 2, check_says("fail"));
  const TrustAnswer answer = world.ask();
  EXPECT_TRUE(is_met({.on_check_failed = true}, answer));
  EXPECT_TRUE(is_met({.on_untrusted = true}, answer));
  EXPECT_FALSE(is_met({}, answer));
  EXPECT_TRUE(respond().rolled_back);
  EXPECT_EQ(standing(), World::generation(1));
}

TEST_F(VerdictResponse, ACheckCriterionLeavesBrokenFilesAlone) {
  rule() = {.on_check_failed = true};
  publish_and_break();
  EXPECT_FALSE(respond().rolled_back);
  EXPECT_EQ(standing(), World::generation(2));
}

TEST_F(VerdictResponse, ARollbackThatCannotBeMadeIsAdded) {
  world.publish("out", 1);
  tamper(1);
  const Response done = respond();
  EXPECT_FALSE(done.rolled_back);
  EXPECT_THAT(done.said, HasSubstr("cannot be rolled back"));
  ASSERT_EQ(events("incident_added").size(), 1u);
  EXPECT_THAT(events("incident_added")[0].data, HasSubstr("publish.rollback_none"));
}

TEST_F(VerdictResponse, ARunThatRefusesANewGenerationLeavesTheOldOne) {
  world.publish("out", 1);
  world.publish("out", 2);
  const Response done = respond_to_run(World::generation(3));
  EXPECT_EQ(done.incident, 1u);
  EXPECT_FALSE(done.rolled_back);
  EXPECT_EQ(standing(), World::generation(2));
  ASSERT_TRUE(open());
  EXPECT_THAT(open()->opened_data, HasSubstr(R"("stands":")" + World::generation(2)));
}

TEST_F(VerdictResponse, ARunWhoseChecksTheStandingRowsBreakRollsBack) {
  rule() = {.on_check_failed = true};
  world.publish("out", 1);
  world.publish("out", 2, check_says("error"));
  EXPECT_TRUE(respond_to_run(World::generation(2)).rolled_back);
  EXPECT_EQ(standing(), World::generation(1));
  ASSERT_TRUE(open());
  EXPECT_THAT(open()->opened_data, testing::Not(HasSubstr("stands")));
}

TEST_F(VerdictResponse, IncidentsOfRunsAreNotClosedByAVerdict) {
  world.publish();
  ASSERT_TRUE(record_incident(*world.journal,
                              {.output = "out",
                               .pipeline = "p",
                               .run = "r",
                               .failure = Failure{FailureClass::kData, "check.failed", "2 rows"}}));
  EXPECT_EQ(respond().incident, 0u);
  EXPECT_TRUE(open());
}

TEST_F(VerdictResponse, TimesAreCountedFromTheOpening) {
  world.publish();
  const auto pass = [&](int64_t us) { world.effects.time_us += us; };
  ASSERT_TRUE(record_incident(*world.journal,
                              {.output = "out",
                               .pipeline = "p",
                               .run = "r",
                               .failure = Failure{FailureClass::kData, "check.failed", "2 rows"},
                               .failed_us = kNowUs - 5}));
  pass(10);
  world.add("notification_sent",
            R"({"incident":1,"about":"opened","to":"command-1","key":"k","tries":1})");
  pass(10);
  world.add("output_rolled_back", R"({"output":"out","from":"a","to":"b"})");
  const auto times = [&] {
    return times_of(*world.journal, world.journal->incidents({}).value()).value().at(0);
  };
  EXPECT_EQ(times().detect_us, 5);
  EXPECT_EQ(times().notify_us, 10);
  EXPECT_EQ(times().mitigate_us, 20);
  EXPECT_FALSE(times().repair_us);
  pass(10);
  ASSERT_TRUE(record_incident(*world.journal,
                              {.output = "out", .run = "r", .healed = true, .generation = "c"}));
  EXPECT_EQ(times().repair_us, 30);
  EXPECT_EQ(times().mitigate_us, 20);
}

TEST_F(VerdictResponse, WhatStandsMitigatesAtOnce) {
  world.publish();
  ASSERT_TRUE(record_incident(*world.journal,
                              {.output = "out",
                               .pipeline = "p",
                               .run = "r",
                               .failure = Failure{FailureClass::kDisk, "disk.no_space", "full"},
                               .stands = World::generation(1)}));
  const auto times = times_of(*world.journal, world.journal->incidents({}).value()).value();
  EXPECT_EQ(times.at(0).mitigate_us, 0);
  EXPECT_FALSE(times.at(0).notify_us);
}

}  // namespace
}  // namespace tidegate
