#include "respond/notify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "respond/incidents.h"
#include "trust/trust_fixture.h"

namespace tidegate {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

class Notify : public testing::Test {
 protected:
  Notify() {
    contract.name.value = "p";
    contract.directory = world.base;
    contract.notify.push_back({.command = {{"./tell.sh", {}}}});
  }

  void open_incident_now(const std::string& message = "2 rows") {
    ASSERT_TRUE(record_incident(
        *world.journal, {.output = "out",
                         .pipeline = "p",
                         .run = "r",
                         .failure = Failure{FailureClass::kData, "check.failed", message}}));
    ASSERT_TRUE(world.journal->commit());
  }
  void close_incident_now() {
    ASSERT_TRUE(record_incident(*world.journal,
                                {.output = "out", .run = "r", .healed = true, .generation = "g"}));
    ASSERT_TRUE(world.journal->commit());
  }
  Outbox outbox() {
    auto read = read_outbox(*world.journal, contract, "5ca1ab1e", world.effects.time_us);
    EXPECT_TRUE(read) << read.error().describe();
    return read.value_or(Outbox{});
  }
  /// Delivers what is due, by a sender that fails where it is told to.
  std::vector<Delivered> send_all(bool fails = false) {
    const Send send = [&](const NotifyTarget&, const Notification& news) -> Status {
      sent.push_back(news.key);
      if (fails) return fail(FailureClass::kDependency, "notify.refused", "nobody is there");
      return {};
    };
    auto delivered = deliver(real_effects(), contract, outbox(), send);
    EXPECT_TRUE(record_delivered(*world.journal, delivered));
    EXPECT_TRUE(world.journal->commit());
    return delivered;
  }

  World world;
  Pipeline contract;
  std::vector<std::string> sent;
};

TEST_F(Notify, NewsIsDueUntilItWasSent) {
  open_incident_now();
  ASSERT_THAT(outbox().due, SizeIs(1));
  EXPECT_EQ(outbox().due[0].key, "5ca1ab1e-1-opened");
  EXPECT_THAT(outbox().due[0].body, HasSubstr(R"("message":"2 rows")"));
  EXPECT_THAT(outbox().due[0].body, HasSubstr(R"("advice":"the check's message)"));
  EXPECT_THAT(outbox().due[0].body, Not(HasSubstr("\n")));
  send_all();
  EXPECT_THAT(outbox().due, SizeIs(0));
  close_incident_now();
  ASSERT_THAT(outbox().due, SizeIs(1));
  EXPECT_EQ(outbox().due[0].key, "5ca1ab1e-1-closed");
  EXPECT_THAT(outbox().due[0].body, HasSubstr(R"("closed":")"));
  send_all();
  EXPECT_THAT(outbox().due, SizeIs(0));
  EXPECT_THAT(sent, SizeIs(2));
}

TEST_F(Notify, WhatFailedKeepsItsKeyAndComesAgain) {
  open_incident_now();
  const auto failed = send_all(true);
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].tries, kNotifyTriesMax);
  EXPECT_FALSE(failed[0].result);
  ASSERT_THAT(outbox().due, SizeIs(1));
  EXPECT_EQ(outbox().due[0].key, failed[0].news.key);
  send_all();
  EXPECT_THAT(outbox().due, SizeIs(0));
  EXPECT_THAT(sent, testing::Each("5ca1ab1e-1-opened"));
}

TEST_F(Notify, ASilentTargetIsAskedOnceADelivery) {
  open_incident_now();
  close_incident_now();
  contract.notify.push_back({.webhook = Spanned<std::string>{"https://alerts.example.com/", {}}});
  ASSERT_THAT(outbox().due, SizeIs(4));
  size_t asked = 0;
  const Send send = [&](const NotifyTarget& target, const Notification&) -> Status {
    ++asked;
    if (target.webhook) return {};
    return fail(FailureClass::kDependency, "notify.command", "it is not there");
  };
  const auto delivered = deliver(real_effects(), contract, outbox(), send);
  EXPECT_EQ(asked, kNotifyTriesMax + 2u);
  EXPECT_EQ(std::ranges::count_if(delivered, [](const Delivered& d) { return !d.result; }), 2);
  ASSERT_TRUE(record_delivered(*world.journal, delivered));
  EXPECT_THAT(outbox().due, SizeIs(2)) << "the other target has both";
}

TEST_F(Notify, IsGivenUpAfterSoManyFailures) {
  open_incident_now();
  for (uint32_t i = 0; i < kNotifyFailuresMax; ++i) {
    ASSERT_THAT(outbox().due, SizeIs(1)) << i;
    ASSERT_TRUE(record_delivered(
        *world.journal,
        {{outbox().due[0], 3, fail(FailureClass::kDependency, "notify.refused", "no")}}));
    ASSERT_TRUE(world.journal->commit());
  }
  EXPECT_THAT(outbox().due, SizeIs(0));
  EXPECT_EQ(outbox().given_up, 1u);
}

TEST_F(Notify, IsGivenUpWithAge) {
  open_incident_now();
  world.effects.time_us += kNotifyAgeUsMax + 1;
  EXPECT_THAT(outbox().due, SizeIs(0));
  close_incident_now();
  ASSERT_THAT(outbox().due, SizeIs(1)) << "that it was closed is news";
  EXPECT_EQ(outbox().due[0].about, "closed");
}

TEST_F(Notify, OtherPipelinesIncidentsAreTheirs) {
  open_incident_now();
  contract.name.value = "another";
  EXPECT_THAT(outbox().due, SizeIs(0));
  contract.name.value = "p";
  contract.notify.clear();
  EXPECT_THAT(outbox().due, SizeIs(0));
}

TEST_F(Notify, ACommandHasTheNewsAtItsInput) {
  const std::string script = world.base + "/tell.sh";
  ASSERT_TRUE(write_file(real_effects(), script, "#!/bin/sh\ncat > told\n", 0755));
  open_incident_now();
  const auto news = outbox().due.at(0);
  const Send send = send_by_process(real_effects(), contract);
  const Status done = send(contract.notify[0], news);
  ASSERT_TRUE(done) << done.error().describe();
  EXPECT_EQ(read_file(real_effects(), world.base + "/told").value_or(""), news.body + "\n");

  ASSERT_TRUE(write_file(real_effects(), script, "#!/bin/sh\necho no such team\nexit 3\n", 0755));
  const Status refused = send(contract.notify[0], news);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "notify.command");
  EXPECT_THAT(refused.error().message, HasSubstr("exit code 3: no such team"));
  contract.notify[0].command[0].value = "./nowhere.sh";
  EXPECT_EQ(send(contract.notify[0], news).error().code, "notify.command");
}

TEST_F(Notify, ASecretWebhookIsNotNamed) {
  ASSERT_EQ(::setenv("TIDEGATE_TEST_HOOK", "http://127.0.0.1:9/hunter2", 1), 0);
  ASSERT_EQ(::setenv("NO_PROXY", "127.0.0.1", 1), 0);
  open_incident_now();
  const auto news = outbox().due.at(0);
  const NotifyTarget secret{.webhook = Spanned<std::string>{"${env:TIDEGATE_TEST_HOOK}", {}}};
  const Send send = send_by_process(real_effects(), contract);
  const Status refused = send(secret, news);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "notify.refused") << refused.error().describe();
  EXPECT_THAT(refused.error().describe(), Not(HasSubstr("hunter2")));
  const NotifyTarget open{.webhook = Spanned<std::string>{"http://127.0.0.1:9/open", {}}};
  EXPECT_THAT(send(open, news).error().message, HasSubstr("127.0.0.1:9/open"));
  const NotifyTarget missing{.webhook = Spanned<std::string>{"${env:TIDEGATE_TEST_NONE}", {}}};
  EXPECT_EQ(send(missing, news).error().code, "source.secret");
}

}  // namespace
}  // namespace tidegate
