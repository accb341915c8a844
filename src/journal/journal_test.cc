#include "journal/journal.h"

#include <gtest/gtest.h>

#include <thread>

#include "journal/crash_disk.h"
#include "journal/events.h"
#include "journal/journal_fixture.h"

namespace tidegate {
namespace {

using Mode = Journal::Mode;

TEST(Journal, KeepsWhatWasCommittedAndNothingElse) {
  TempDir dir;
  {
    auto j = open_journal(dir.path(), Mode::kWrite);
    ASSERT_TRUE(j->append("worker_started", "r", R"({"worker":1,"pid":7})"));
    ASSERT_TRUE(j->append("worker_ended", "r", R"({"worker":1,"reason":"done"})"));
    EXPECT_GT(j->pending_us(), 0);
    ASSERT_TRUE(j->commit());
    EXPECT_EQ(j->pending_us(), 0);
    ASSERT_TRUE(j->append("worker_started", "r", R"({"worker":2,"pid":8})"));
  }
  auto j = open_journal(dir.path(), Mode::kRead);
  EXPECT_EQ(j->damage(), "");
  EXPECT_EQ(j->last_sequence(), 2u);
  std::vector<std::string> types;
  ASSERT_TRUE(j->each_event(0, "", [&](const Event& e) {
    types.push_back(e.type);
    return true;
  }));
  EXPECT_EQ(types, (std::vector<std::string>{"worker_started", "worker_ended"}));
  EXPECT_TRUE(j->verify_chain());
  EXPECT_EQ(j->append("worker_ended", "", R"({"worker":1,"reason":""})").error().code,
            "journal.read_only");
}

TEST(Journal, RefusesEventsThatNobodyCouldRead) {
  TempDir dir;
  auto j = open_journal(dir.path(), Mode::kWrite);
  const auto refused = [&](const char* type, const char* data) {
    auto done = j->append(type, "", data);
    return done ? std::string("taken") : done.error().code;
  };
  EXPECT_EQ(refused("no_such_type", "{}"), "journal.bad_event");
  EXPECT_EQ(refused("worker_started", "not json"), "journal.bad_event");
  EXPECT_EQ(refused("worker_started", "[1]"), "journal.bad_event");
  EXPECT_EQ(refused("worker_started", R"({"worker":1})"), "journal.bad_event");
  EXPECT_EQ(refused("task_finished", R"({"identity":1,"attempt":"a"})"), "journal.bad_event");
  EXPECT_EQ(
      refused("output_published", R"({"output":"o","publish_root":"/","number":1,"generation":"g",)"
                                  R"("state":"published","files":[{"name":7}]})"),
      "journal.bad_record");
  EXPECT_EQ(refused("output_unchanged",
                    R"({"output":"o","generation":"g","contract_hash":"","checks":[3],)"
                    R"("sources":[]})"),
            "journal.bad_record");
  EXPECT_EQ(j->last_sequence(), 0u);
  EXPECT_TRUE(j->commit());
  EXPECT_EQ(j->cost().commits, 0u);
}

TEST(Journal, FindsResultsBeforeAndAfterTheCommit) {
  TempDir dir;
  auto j = open_journal(dir.path(), Mode::kWrite);
  ASSERT_TRUE(j->append("task_finished", "r", task_data("t1", "a1")));
  EXPECT_EQ((*j->result("t1"))->attempt, "a1");
  EXPECT_EQ(j->cost().commits, 0u) << "a lookup must not cost a commit";
  ASSERT_TRUE(j->commit());
  EXPECT_EQ((*j->result("t1"))->data, task_data("t1", "a1"));
  ASSERT_TRUE(j->append("task_adopted", "r", task_data("t1", "a2")));
  ASSERT_TRUE(j->append("task_finished", "r", task_data("t2", "b")));
  auto many = j->results({"t2", "none", "t1"});
  ASSERT_TRUE(many);
  EXPECT_EQ((*many)[0]->attempt, "b");
  EXPECT_FALSE((*many)[1]);
  EXPECT_EQ((*many)[2]->attempt, "a2");
  ASSERT_TRUE(j->append("results_dropped", "", R"({"identities":["t1"]})"));
  EXPECT_FALSE(*j->result("t1"));
  ASSERT_TRUE(j->commit());
  EXPECT_FALSE(*j->result("t1"));
  EXPECT_TRUE(*j->result("t2"));
}

TEST(Journal, RemembersFacts) {
  TempDir dir;
  auto j = open_journal(dir.path(), Mode::kWrite);
  ASSERT_TRUE(j->append("fact_set", "", R"({"key":"k","value":"16"})"));
  EXPECT_EQ(**j->fact("k"), "16");
  ASSERT_TRUE(j->commit());
  EXPECT_EQ(**j->fact("k"), "16");
  ASSERT_TRUE(j->append("fact_set", "", R"({"key":"k","value":{"n":1}})"));
  EXPECT_EQ(**j->fact("k"), R"({"n":1})");
  EXPECT_FALSE(*j->fact("other"));
}

constexpr const char* kStarted =
    R"({"pipeline":"p","file":"f","run_time_us":5,"workers":2,"memory_bytes":1})";

TEST(Journal, KnowsRunsAndTheUnfinishedOne) {
  TempDir dir;
  auto j = open_journal(dir.path(), Mode::kWrite);
  EXPECT_FALSE(*j->unfinished_run("p"));
  ASSERT_TRUE(j->append("run_started", "r1", kStarted));
  EXPECT_EQ((*j->unfinished_run("p"))->run, "r1") << "crashed: still running by the journal";
  ASSERT_TRUE(j->append("run_interrupted", "r1", "{}"));
  EXPECT_EQ((*j->unfinished_run("p"))->state, "interrupted");
  ASSERT_TRUE(j->append("run_started", "r2", kStarted));
  ASSERT_TRUE(j->append("run_finished", "r2", R"({"state":"failed"})"));
  EXPECT_EQ((*j->unfinished_run("p"))->run, "r2");
  ASSERT_TRUE(j->append("run_started", "r3", kStarted));
  ASSERT_TRUE(j->append("run_finished", "r3", R"({"state":"refused"})"));
  EXPECT_FALSE(*j->unfinished_run("p")) << "the newest is over, the older ones do not count";
  EXPECT_FALSE(*j->unfinished_run("q"));
  auto runs = j->runs(2);
  ASSERT_EQ(runs->size(), 2u);
  EXPECT_EQ((*runs)[0].run, "r3");
  EXPECT_EQ((*runs)[0].finished_data, R"({"state":"refused"})");
  EXPECT_EQ((*runs)[1].started_data, kStarted);
  RunQuery older;
  older.before = (*runs)[1].started_sequence;
  EXPECT_EQ((*j->runs(older))[0].run, "r1");
  EXPECT_EQ((*j->run("r2"))->state, "failed");
  EXPECT_FALSE(*j->run("r9"));
}

TEST(Journal, ListsEventsByFilter) {
  TempDir dir;
  auto j = open_journal(dir.path(), Mode::kWrite);
  fill(*j, 2500);
  ASSERT_TRUE(j->append("run_started", "r2", kStarted));
  ASSERT_TRUE(j->append("task_finished", "r2", task_data("x", "y")));
  size_t of_run = 0;
  ASSERT_TRUE(j->each_event(0, "r1", [&](const Event&) { return ++of_run, true; }));
  EXPECT_EQ(of_run, 2505u) << "several pages";
  EventQuery last;
  last.newest_first = true;
  last.most = 2;
  auto events = j->events(last);
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0].sequence, 2507u);
  EventQuery typed;
  typed.run = "r1";
  typed.types = {"run_started", "run_finished"};
  EXPECT_EQ(j->events(typed)->size(), 2u);
  EventQuery of_output;
  of_output.output = "out";
  EXPECT_EQ(j->events(of_output)->size(), 2u);
  EventQuery window;
  window.after = 10;
  window.before = 15;
  EXPECT_EQ(j->events(window)->size(), 4u);
}

class Outputs : public ::testing::Test {
 protected:
  void add(std::string_view type, const std::string& data) {
    auto done = j->append(type, "r", data);
    ASSERT_TRUE(done) << done.error().describe();
  }
  GenerationRecord standing() {
    auto json = j->output_record("out");
    EXPECT_TRUE(json && *json);
    return *generation_record_from_json(**json);
  }
  TempDir dir;
  std::unique_ptr<Journal> j = open_journal(dir.path(), Mode::kWrite);
};

TEST_F(Outputs, PublishRollBackAndForward) {
  EXPECT_FALSE(*j->output_record("out"));
  for (uint64_t n = 1; n <= 3; ++n) add("output_published", to_json(make_record("out", n)));
  EXPECT_EQ(standing().number, 3u);
  EXPECT_EQ(j->generation_records("out")->size(), 3u);
  add("output_rolled_back", R"({"output":"out","from":"000003-abcd","to":"000001-abcd"})");
  EXPECT_EQ(standing().number, 1u);
  EXPECT_EQ(standing().state, "published");
  EXPECT_EQ(*j->rejected_identities("out"), std::vector<std::string>{"id-3"});
  EXPECT_EQ(generation_record_from_json(**j->generation_record("out", "000003-abcd"))->state,
            "rejected");
  add("output_rolled_back", R"({"output":"out","from":"000001-abcd","to":"000003-abcd"})");
  EXPECT_EQ(standing().number, 3u);
  EXPECT_TRUE(j->rejected_identities("out")->empty()) << "forward again takes it back";
  EXPECT_EQ(*j->output_names(), std::vector<std::string>{"out"});
}

TEST_F(Outputs, RollingBackDamagedFilesRejectsThemAndNotTheirRows) {
  for (uint64_t n = 1; n <= 2; ++n) add("output_published", to_json(make_record("out", n)));
  add("output_rolled_back",
      R"({"output":"out","from":"000002-abcd","to":"000001-abcd","damaged":true})");
  EXPECT_EQ(standing().number, 1u);
  EXPECT_TRUE(j->rejected_identities("out")->empty());
  EXPECT_EQ(generation_record_from_json(**j->generation_record("out", "000002-abcd"))->state,
            "rejected");
}

TEST_F(Outputs, PublishingARejectedIdentityByForceClearsIt) {
  add("output_published", to_json(make_record("out", 1)));
  add("output_published", to_json(make_record("out", 2, "bad")));
  add("generation_rejected", R"({"output":"out","generation":"000002-abcd","identity":"bad"})");
  EXPECT_EQ(standing().state, "rejected");
  add("generation_rejected", R"({"output":"out","generation":"000009-none","identity":"bad2"})");
  EXPECT_EQ(*j->rejected_identities("out"), (std::vector<std::string>{"bad", "bad2"}));
  add("output_published", to_json(make_record("out", 3, "bad")));
  EXPECT_EQ(*j->rejected_identities("out"), std::vector<std::string>{"bad2"});
}

TEST_F(Outputs, UnchangedReplacesPromisesAndChecks) {
  GenerationRecord r = make_record("out", 1);
  r.max_age_us = 5;
  r.completeness = 0.5;
  add("output_published", to_json(r));
  add("output_unchanged",
      R"({"output":"out","generation":"000001-abcd","contract_hash":"c2","sources":[],)"
      R"("checks":[{"name":"n","kind":"unique","status":"pass"}],"max_age_us":9})");
  EXPECT_EQ(standing().contract_hash, "c2");
  EXPECT_EQ(standing().max_age_us, 9);
  EXPECT_FALSE(standing().completeness) << "absent in the event: not promised any more";
  EXPECT_EQ(standing().checks.at(0).name, "n");
  EXPECT_EQ(standing().files.size(), 1u);
}

TEST_F(Outputs, AuditsProveAndBreak) {
  add("output_published", to_json(make_record("out", 1)));
  add("journal_recovered", R"({"lost":"x","kept_events":1})");
  EXPECT_NE((*j->output_head("out"))->unproven, "");
  add("output_reaudited", R"({"output":"out","generation":"000001-abcd","hashed_us":77,"files":
      [{"name":"part-1.parquet","rows":10,"bytes":100,"xxh3":"0123456789abcdef",
        "stat":{"size":100,"inode":5}}]})");
  EXPECT_EQ((*j->output_head("out"))->unproven, "");
  EXPECT_EQ(standing().hashed_us, 77);
  EXPECT_EQ(standing().files.at(0).stat.inode, 5u);
  add("output_reaudited", R"({"output":"out","generation":"000001-abcd","hashed_us":78,
      "files":[],"broken":"part-1.parquet is missing"})");
  EXPECT_EQ((*j->output_head("out"))->broken, "part-1.parquet is missing");
  add("output_reaudited",
      fmt::format(R"({{"output":"new","generation":"000004-abcd","hashed_us":1,"files":[],)"
                  R"("record":{}}})",
                  to_json(make_record("new", 4))));
  EXPECT_EQ(generation_record_from_json(**j->output_record("new"))->number, 4u);
}

TEST_F(Outputs, DroppedGenerationsGoButNeverTheStandingOne) {
  for (uint64_t n = 1; n <= 3; ++n) add("output_published", to_json(make_record("out", n)));
  add("generations_dropped", R"({"output":"out","generations":["000001-abcd","000003-abcd"]})");
  EXPECT_EQ(j->generation_records("out")->size(), 2u);
  EXPECT_EQ(standing().number, 3u);
}

TEST_F(Outputs, AsOfAnswersForThePast) {
  CrashDisk clock(dir.path());  // its clock moves 1 ms a call
  j = open_journal(dir.path(), Mode::kWrite, clock);
  ASSERT_TRUE(j->append("output_published", "r", to_json(make_record("out", 1))));
  const int64_t first = j->newest_time_us();
  ASSERT_TRUE(j->append("output_published", "r", to_json(make_record("out", 2))));
  ASSERT_TRUE(j->append("output_rolled_back", "r",
                        R"({"output":"out","from":"000002-abcd","to":"000001-abcd"})"));
  auto before = j->as_of(first - 1);
  ASSERT_TRUE(before) << before.error().describe();
  EXPECT_FALSE(*(*before)->output_record("out"));
  auto at_first = j->as_of(first);
  EXPECT_EQ(generation_record_from_json(**(*at_first)->output_record("out"))->number, 1u);
  auto at_second = j->as_of(first + 1500);
  EXPECT_EQ(generation_record_from_json(**(*at_second)->output_record("out"))->number, 2u);
  EXPECT_TRUE((*at_second)->rejected_identities("out")->empty());
  auto now = j->as_of(first + 1'000'000);
  EXPECT_EQ((*now)->rejected_identities("out")->size(), 1u);
  j.reset();  // before the clock that it uses
}

TEST(Journal, TheQuarantineTellsWhatStandsAndWhatBecameOfTheRest) {
  TempDir dir;
  auto j = open_journal(dir.path(), Mode::kWrite);
  for (int entry = 1; entry <= 4; ++entry)
    ASSERT_TRUE(j->append("quarantine_opened", "r",
                          fmt::format(R"({{"entry":{},"pipeline":"{}","source":"s","file":"a.csv",)"
                                      R"("identity":"i","rows":3,"stage":"x","tasks":["t"]}})",
                                      entry, entry == 4 ? "q" : "p")));
  ASSERT_TRUE(
      j->append("quarantine_changed", "r", R"({"entry":1,"rows":5,"stage":"x","tasks":["u"]})"));
  ASSERT_TRUE(j->append("quarantine_dropped", "", R"({"entry":2,"why":"known"})"));
  ASSERT_TRUE(j->append("quarantine_released", "", R"({"entry":3})"));
  ASSERT_TRUE(j->append("quarantine_closed", "r", R"({"entry":4,"why":"mended"})"));
  ASSERT_TRUE(j->commit());
  const auto states = [&](const QuarantineQuery& query) {
    std::string text;
    const auto heads = j->quarantine(query);
    EXPECT_TRUE(heads);
    for (const QuarantineHead& head : *heads) text += fmt::format("{}:{} ", head.entry, head.state);
    return text;
  };
  EXPECT_EQ(states({}), "4:closed 3:released 2:dropped 1:open ");
  EXPECT_EQ(states({.standing_only = true}), "2:dropped 1:open ");
  EXPECT_EQ(states({.pipeline = "q"}), "4:closed ");
  EXPECT_EQ(states({.entry = 3}), "3:released ");
  EXPECT_EQ(states({.most = 1}), "4:closed ");
  const QuarantineHead first = j->quarantine({.entry = 1})->front();
  EXPECT_EQ(first.source + " " + first.file + " " + first.identity, "s a.csv i");
  EXPECT_EQ(first.rows, 5u);
  EXPECT_EQ(first.tasks, std::vector<std::string>{"u"});
  const std::string before = dump_heads(dir.path());
  ASSERT_TRUE(j->rebuild_heads());
  EXPECT_EQ(dump_heads(dir.path()), before);
}

TEST(Journal, HeadsMadeAgainAreTheSame) {
  TempDir dir;
  auto j = open_journal(dir.path(), Mode::kWrite);
  fill(*j);
  ASSERT_TRUE(j->append("output_rolled_back", "",
                        R"({"output":"out","from":"000002-abcd","to":"000001-abcd"})"));
  ASSERT_TRUE(j->append("output_refused", "", R"({"output":"out","reasons":["x"]})"));
  ASSERT_TRUE(j->append("results_dropped", "", R"({"identities":["t1"]})"));
  ASSERT_TRUE(j->commit());
  const std::string before = dump_heads(dir.path());
  ASSERT_TRUE(j->rebuild_heads());
  EXPECT_EQ(dump_heads(dir.path()), before);
  ASSERT_TRUE(j->append("fact_set", "", R"({"key":"after","value":"1"})"));
  EXPECT_TRUE(j->commit()) << "the writer goes on after it";
}

TEST(Journal, HeadsOfAnotherVersionAreDerivedAgain) {
  TempDir dir;
  {
    auto j = open_journal(dir.path(), Mode::kWrite);
    fill(*j);
  }
  const std::string before = dump_heads(dir.path());
  edit(dir.path(), "UPDATE heads_mark SET version=0; DELETE FROM outputs");
  {
    auto reader = open_journal(dir.path(), Mode::kRead);
    EXPECT_EQ(reader->damage(), "");
    EXPECT_TRUE(*reader->output_record("out")) << "derived in memory";
  }
  EXPECT_NE(dump_heads(dir.path()), before) << "a reader changes nothing";
  auto writer = open_journal(dir.path(), Mode::kWrite);
  EXPECT_EQ(writer->damage(), "");
  EXPECT_EQ(dump_heads(dir.path()), before);
}

TEST(Journal, RefusesANewerVersionAndForeignFiles) {
  TempDir newer;
  {
    fill(*open_journal(newer.path(), Mode::kWrite));
  }
  edit(newer.path(), "PRAGMA user_version=2");
  for (Mode mode : {Mode::kRead, Mode::kWrite})
    EXPECT_EQ(Journal::open(real_effects(), newer.path(), mode).error().code, "journal.newer");
  TempDir foreign;
  edit(foreign.path(), "CREATE TABLE t(x)");
  for (Mode mode : {Mode::kRead, Mode::kWrite})
    EXPECT_EQ(Journal::open(real_effects(), foreign.path(), mode).error().code, "journal.foreign");
}

TEST(Journal, OpensTheJournalOfVersionOne) {
  TempDir dir;
  auto bytes = read_file(real_effects(), TIDEGATE_SOURCE_DIR "/tests/fixtures/journal-v1.db");
  ASSERT_TRUE(bytes);
  for (Mode mode : {Mode::kRead, Mode::kWrite}) {
    ASSERT_TRUE(write_file(real_effects(), dir.file("journal.db"), *bytes));
    auto j = open_journal(dir.path(), mode);
    ASSERT_TRUE(j);
    EXPECT_EQ(j->damage(), "");
    EXPECT_TRUE(j->verify_chain());
    EXPECT_EQ(j->last_sequence(), 10u);
    EXPECT_EQ((*j->result("t4"))->attempt, "a4");
    EXPECT_EQ(**j->fact("buckets/s"), "16");
    EXPECT_EQ(generation_record_from_json(**j->output_record("out"))->generation, "000002-abcd");
    EXPECT_EQ((*j->run("r1"))->state, "succeeded");
  }
}

TEST(Journal, ASecondWriterIsNoticed) {
  TempDir dir;
  auto a = open_journal(dir.path(), Mode::kWrite);
  auto b = open_journal(dir.path(), Mode::kWrite);
  ASSERT_TRUE(a->append("fact_set", "", R"({"key":"a","value":"1"})"));
  ASSERT_TRUE(b->append("fact_set", "", R"({"key":"b","value":"1"})"));
  ASSERT_TRUE(a->commit());
  EXPECT_EQ(b->commit().error().code, "journal.foreign_writer");
  EXPECT_TRUE(a->verify_chain());
}

TEST(Journal, ReadersSeeWholeCommitsWhileAWriterWrites) {
  TempDir dir;
  constexpr int kCommits = 60;
  constexpr uint64_t kGroup = 7;
  auto writer = open_journal(dir.path(), Mode::kWrite);
  fill(*writer);
  const uint64_t base = writer->last_sequence();
  std::atomic<bool> done{false};
  std::thread thread([&] {
    for (int i = 0; i < kCommits; ++i) {
      for (uint64_t e = 0; e < kGroup; ++e)
        EXPECT_TRUE(writer->append("task_finished", "r2", task_data(fmt::format("n{}", i), "a")));
      EXPECT_TRUE(writer->commit());
    }
    done = true;
  });
  int reads = 0;
  bool last = false;
  while (!last) {
    last = done;
    auto reader = open_journal(dir.path(), Mode::kRead);
    ASSERT_TRUE(reader);
    EXPECT_EQ(reader->damage(), "");
    EXPECT_EQ((reader->last_sequence() - base) % kGroup, 0u);
    EXPECT_TRUE(*reader->output_record("out"));
    ++reads;
  }
  thread.join();
  EXPECT_GT(reads, 1);
  auto reader = open_journal(dir.path(), Mode::kRead);
  EXPECT_EQ(reader->last_sequence(), base + kCommits * kGroup);
  EXPECT_TRUE(reader->verify_chain());
}

TEST(Journal, ReadsFromAReadOnlyDirectory) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  TempDir dir;
  {
    fill(*open_journal(dir.path(), Mode::kWrite));
  }
  ASSERT_TRUE(real_effects().chmod(dir.file("journal.db"), 0444));
  ASSERT_TRUE(real_effects().chmod(dir.path(), 0555));
  EXPECT_EQ(open_journal(dir.path(), Mode::kRead)->last_sequence(), 10u);
  ASSERT_TRUE(real_effects().chmod(dir.path(), 0755));
}

TEST(Events, EachTypeAndFieldStandsInTheDocs) {
  auto docs = read_file(real_effects(), TIDEGATE_SOURCE_DIR "/docs/events.md");
  ASSERT_TRUE(docs);
  for (const EventType& type : event_types()) {
    const size_t at = docs->find(fmt::format("\n### {}\n", type.name));
    ASSERT_NE(at, std::string::npos) << type.name;
    const std::string section = docs->substr(at + 1, docs->find("\n### ", at + 2) - at);
    for (std::string_view field : type.fields)
      EXPECT_NE(section.find(fmt::format("| {} |", field)), std::string::npos)
          << type.name << " lacks the row: " << field;
  }
  size_t sections = 0;
  for (size_t at = docs->find("\n### "); at != std::string::npos; at = docs->find("\n### ", at + 1))
    ++sections;
  EXPECT_EQ(sections, event_types().size()) << "docs/events.md has a type that the code lacks";
}

}  // namespace
}  // namespace tidegate
