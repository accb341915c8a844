#include "respond/runbook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "trust/trust_fixture.h"

namespace tidegate {
namespace {

using testing::HasSubstr;
using testing::Not;

Pipeline contract_with(const std::string& output_more = "", const std::string& more = "") {
  Diagnostics diagnostics;
  Pipeline contract = parse_pipeline(
      "p.yaml", "/project",
      "version: 1\npipeline: p\nowner: team@example.com\nsources: {a: {files: a/*.parquet}}\n"
      "defaults: {memory: 256MiB, retry: {transient: 7}}\nstages:\n"
      "  legs: {sql: SELECT * FROM a, retry: {transient: 5, lost: 0, memory: fail}, timeout: 10m}\n"
      "outputs:\n  out:\n    from: legs\n    checks: [{rows: {min: 1}}]\n"
      "    publish: {parquet: published/out}\n" +
          output_more + more,
      diagnostics);
  EXPECT_FALSE(diagnostics.has_errors()) << render_all(diagnostics, *contract.text, false);
  return contract;
}

const RunbookRow& row_of(const Runbook& runbook, const std::string& part, const std::string& what) {
  for (const RunbookPart& one : runbook.parts)
    for (const RunbookRow& row : one.rows)
      if (one.name == part && row.what == what) return row;
  static const RunbookRow none;
  ADD_FAILURE() << "no row " << part << " / " << what;
  return none;
}

Runbook must_make(const Pipeline& contract, Journal* journal) {
  auto runbook = make_runbook(contract, "p.yaml", journal);
  EXPECT_TRUE(runbook) << runbook.error().describe();
  return runbook.value_or(Runbook{});
}

TEST(Runbook, IsWrittenFromTheContractAlone) {
  const Runbook runbook = must_make(contract_with(), nullptr);
  EXPECT_EQ(runbook.runs, 0u);
  EXPECT_EQ(row_of(runbook, "legs", "lost").by_itself, "fails at once");
  EXPECT_THAT(row_of(runbook, "legs", "memory").by_itself, HasSubstr("256 MiB: fails at once"));
  EXPECT_THAT(row_of(runbook, "legs", "timeout").by_itself, HasSubstr("ends it after 10"));
  EXPECT_THAT(row_of(runbook, "out", "its files are not as published").by_itself, "nothing");
  const std::string text = render(runbook);
  EXPECT_THAT(text,
              HasSubstr("Owner: team@example.com. Written from `p.yaml` and from no run yet."));
  EXPECT_THAT(text, HasSubstr("## Stage legs"));
  EXPECT_THAT(text, HasSubstr("never seen"));
  EXPECT_THAT(text, HasSubstr("Nobody: the contract has no `notify`."));
}

TEST(Runbook, SaysWhatRollbackAndNotifyDo) {
  const std::string rule = "    rollback: {when: {verdict: UNTRUSTED}}\n";
  const Runbook runbook = must_make(
      contract_with(rule,
                    "notify: [{webhook: \"${env:ALERT_URL}\"}, {command: [./tell.sh, data]}]\n"),
      nullptr);
  EXPECT_THAT(row_of(runbook, "out", "its files are not as published").by_itself,
              HasSubstr("goes back to the generation before"));
  EXPECT_THAT(runbook.notify,
              testing::ElementsAre("webhook ${env:ALERT_URL}", "command ./tell.sh data"));
  const Runbook manual = must_make(
      contract_with("    rollback: {when: {verdict: UNTRUSTED}, mode: manual}\n"), nullptr);
  EXPECT_THAT(row_of(manual, "out", "its files are not as published").by_itself,
              HasSubstr("`tidegate rollback out`"));
}

/// A run of the pipeline with these events between its start and its end.
void add_run(World& world, const std::string& run, const std::string& state, int retried,
             const std::vector<std::pair<std::string, std::string>>& events) {
  const auto add = [&](const std::string& type, const std::string& data) {
    ASSERT_TRUE(world.journal->append(type, run, data)) << type << " " << data;
  };
  add("run_started",
      R"({"pipeline":"p","file":"/p.yaml","run_time_us":1,"workers":1,"memory_bytes":1})");
  for (const auto& [type, data] : events) add(type, data);
  add("run_finished", R"({"state":")" + state + R"(","tasks":{"ran":1,"reused":0,"retried":)" +
                          std::to_string(retried) + "}}");
  ASSERT_TRUE(world.journal->commit());
}

std::pair<std::string, std::string> task_failed(const std::string& cls, const std::string& code) {
  return {"task_failed",
          R"({"identity":"t1","attempt":"a","stage":"legs","partition":0,"class":")" + cls +
              R"(","code":")" + code + R"(","message":"it | broke"})"};
}

TEST(Runbook, TellsWhatHappenedBefore) {
  World world;
  add_run(world, "r1", "succeeded", 1,
          {task_failed("transient", "system.busy"),
           {"task_retried", R"({"identity":"t1","delay_us":0,"number":1,"class":"transient"})"},
           {"task_finished", R"({"identity":"t1","attempt":"b"})"}});
  add_run(world, "r2", "failed", 0, {task_failed("data", "sql.conversion")});
  add_run(world, "r3", "refused", 0,
          {{"check_finished",
            R"({"output":"out","name":"rows","kind":"rows","status":"fail","message":"0 rows"})"},
           {"output_refused", R"({"output":"out","reasons":["0 rows"]})"},
           {"incident_opened", R"({"incident":1,"output":"out","pipeline":"p","class":"data",)"
                               R"("code":"check.failed","message":"0 rows","stands":"g"})"}});
  const Runbook runbook = must_make(contract_with(), world.journal.get());
  EXPECT_EQ(runbook.runs, 3u);
  const RunbookRow& busy = row_of(runbook, "legs", "transient");
  EXPECT_EQ(busy.times, 1u);
  EXPECT_EQ(busy.healed, 1u);
  ASSERT_TRUE(busy.last);
  EXPECT_EQ(busy.last->run, "r1");
  EXPECT_THAT(busy.by_itself, HasSubstr("up to 5 times"));
  const RunbookRow& data = row_of(runbook, "legs", "data");
  EXPECT_EQ(data.healed, 0u);
  EXPECT_EQ(data.to_do, "`TRY_CAST`, or mend the input");
  EXPECT_EQ(row_of(runbook, "out", "its checks refuse it").times, 1u);
  EXPECT_EQ(row_of(runbook, "legs", "lost").times, 0u);
  ASSERT_EQ(runbook.incidents.size(), 1u);
  const std::string text = render(runbook);
  EXPECT_THAT(text,
              HasSubstr("`system.busy`; it was tried again at once, then it finished; it worked. "
                        "Seen 1 times, mended 1"));
  EXPECT_THAT(text, HasSubstr("`sql.conversion`; it was not tried again"));
  EXPECT_THAT(text, HasSubstr("| 1 | out | "));
  EXPECT_THAT(text, HasSubstr("| at once | not yet |"));
  EXPECT_THAT(to_json(runbook),
              HasSubstr(R"("times":1,"healed":1,"last":{"event":"failure_explained")"));
}

TEST(Runbook, NamesTasksOfNoStageAndPassesOverOtherPipelines) {
  World world;
  add_run(
      world, "r1", "failed", 0,
      {{"task_failed", R"({"identity":"t1","attempt":"a","stage":"scan of a","class":"dependency",)"
                       R"("code":"source.changed","message":"it changed"})"}});
  ASSERT_TRUE(world.journal->append(
      "run_started", "r2",
      R"({"pipeline":"q","file":"/q.yaml","run_time_us":1,"workers":1,"memory_bytes":1})"));
  const auto failed = task_failed("defect", "sql.binder");
  ASSERT_TRUE(world.journal->append(failed.first, "r2", failed.second));
  ASSERT_TRUE(world.journal->commit());
  const Runbook runbook = must_make(contract_with(), world.journal.get());
  EXPECT_EQ(runbook.runs, 1u);
  EXPECT_EQ(row_of(runbook, "other tasks", "scan of a: dependency").times, 1u);
  EXPECT_EQ(row_of(runbook, "legs", "defect").times, 0u);
}

TEST(Runbook, ARunWithoutFailuresIsNotRead) {
  World world;
  // Its events would tell of a failure, its end says that there was none.
  add_run(world, "r1", "succeeded", 0, {task_failed("disk", "disk.io")});
  const Runbook runbook = must_make(contract_with(), world.journal.get());
  EXPECT_EQ(runbook.runs, 1u);
  EXPECT_EQ(row_of(runbook, "legs", "disk").times, 0u);
  EXPECT_THAT(render(runbook), Not(HasSubstr("disk.io")));
}

}  // namespace
}  // namespace tidegate
