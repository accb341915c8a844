// The journal under failing, crashing and damaged disks, after SQLite's own way of testing.

#include <gtest/gtest.h>

#include "journal/crash_disk.h"
#include "journal/journal_fixture.h"

namespace tidegate {
namespace {

using Mode = Journal::Mode;
using Fault = CrashDisk::Fault;
using Loss = CrashDisk::Loss;

constexpr uint64_t kBefore = 10, kAfter = 17;
constexpr uint64_t kChangesMax = 500;

void append_group(Journal& j) {
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(j.append("task_finished", "r2", task_data(fmt::format("n{}", i), "a")));
  ASSERT_TRUE(j.append("output_published", "r2", to_json(make_record("out", 3))));
  ASSERT_TRUE(j.append("fact_set", "r2", R"({"key":"k","value":"1"})"));
}

/// The journal is whole, and holds all of the commit or nothing of it.
void expect_all_or_nothing(const std::string& dir, bool must_be_there, const std::string& what,
                           uint64_t after = kAfter) {
  auto j = open_journal(dir, Mode::kWrite);
  ASSERT_TRUE(j) << what;
  EXPECT_EQ(j->damage(), "") << what;
  const uint64_t last = j->last_sequence();
  EXPECT_TRUE(last == kBefore || last == after) << what << ": " << last;
  if (must_be_there) EXPECT_EQ(last, after) << what << ": a commit that was told is gone";
  EXPECT_TRUE(j->verify_chain()) << what;
  EXPECT_EQ(generation_record_from_json(**j->output_record("out"))->number, last == after ? 3u : 2u)
      << what;
  EXPECT_EQ(bool(*j->result("n4")), last == after) << what;
  const std::string heads = dump_heads(dir);
  EXPECT_TRUE(j->rebuild_heads()) << what;
  EXPECT_EQ(dump_heads(dir), heads) << what;
}

class CrashAtEveryChange : public ::testing::TestWithParam<Loss> {};

TEST_P(CrashAtEveryChange, LeavesAllOrNothing) {
  TempDir start;
  {
    fill(*open_journal(start.path(), Mode::kWrite));
  }
  const std::string base = *read_file(real_effects(), start.file("journal.db"));
  const std::string side = *read_file(real_effects(), start.file("journal.db-journal"));
  bool fired = true;
  uint64_t n = 1;
  for (; fired; ++n) {
    ASSERT_LT(n, kChangesMax);
    TempDir dir;
    ASSERT_TRUE(write_file(real_effects(), dir.file("journal.db"), base));
    // Every other time the rollback journal is made anew, so that its making is tried too.
    if (n % 2) ASSERT_TRUE(write_file(real_effects(), dir.file("journal.db-journal"), side));
    bool told = false;
    CrashDisk disk(dir.path());
    {
      auto j = open_journal(dir.path(), Mode::kWrite, disk);
      append_group(*j);
      disk.arm(Fault::kCrash, n);
      told = j->commit().has_value();
      fired = disk.fired();
      EXPECT_EQ(told, !fired);
    }
    disk.reboot(GetParam(), n);
    expect_all_or_nothing(dir.path(), told, fmt::format("crash at change {}", n));
  }
  EXPECT_GT(n, 8u) << "a commit changes the disk more often than this";
}

INSTANTIATE_TEST_SUITE_P(Losses, CrashAtEveryChange,
                         ::testing::Values(Loss::kNothing, Loss::kUnsynced, Loss::kSome));

class FailEveryChange : public ::testing::TestWithParam<Fault> {};

TEST_P(FailEveryChange, TheNextCommitMakesItGood) {
  TempDir start;
  {
    fill(*open_journal(start.path(), Mode::kWrite));
  }
  const std::string base = *read_file(real_effects(), start.file("journal.db"));
  bool fired = true;
  for (uint64_t n = 1; fired; ++n) {
    ASSERT_LT(n, kChangesMax);
    TempDir dir;
    ASSERT_TRUE(write_file(real_effects(), dir.file("journal.db"), base));
    CrashDisk disk(dir.path());
    uint64_t last = 0;
    {
      auto j = open_journal(dir.path(), Mode::kWrite, disk);
      append_group(*j);
      disk.arm(GetParam(), n);
      auto first = j->commit();
      fired = disk.fired();
      if (!first) {
        EXPECT_EQ(first.error().cls, FailureClass::kDisk) << n;
        // Every other time more has been appended meanwhile: the first may be in the file already.
        if (n % 2) ASSERT_TRUE(j->append("run_interrupted", "r2", "{}"));
        auto again = j->commit();
        EXPECT_TRUE(again) << n << ": " << (again ? "" : again.error().describe());
      }
      last = j->last_sequence();
      EXPECT_EQ(last, kAfter + (fired && n % 2));
    }
    disk.reboot(Loss::kUnsynced);
    expect_all_or_nothing(dir.path(), true, fmt::format("failure at change {}", n), last);
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, FailEveryChange, ::testing::Values(Fault::kFail, Fault::kNoSpace));

TEST(JournalFaults, CrashWhileItIsMadeLeavesNoneOrAnEmptyOne) {
  bool fired = true;
  for (uint64_t n = 1; fired; ++n) {
    ASSERT_LT(n, kChangesMax);
    TempDir dir;
    CrashDisk disk(dir.path());
    disk.arm(Fault::kCrash, n);
    {
      auto ignored = Journal::open(disk, dir.path(), Mode::kWrite);
    }
    fired = disk.fired();
    disk.reboot(n % 2 ? Loss::kUnsynced : Loss::kSome, n);
    auto j = open_journal(dir.path(), Mode::kWrite);
    ASSERT_TRUE(j) << n;
    EXPECT_EQ(j->damage(), "") << n;
    fill(*j);
    EXPECT_EQ(j->last_sequence(), kBefore);
  }
}

TEST(JournalFaults, ACommitCostsFourFsyncs) {
  TempDir dir;
  CrashDisk disk(dir.path());
  auto j = open_journal(dir.path(), Mode::kWrite, disk);
  fill(*j);
  const uint64_t before = j->cost().fsyncs;
  append_group(*j);
  ASSERT_TRUE(j->commit());
  EXPECT_EQ(j->cost().fsyncs - before, 4u);
}

/// What a damaged journal may still say: it opens with damage, or refuses by the code for it.
void expect_no_lie(const std::string& dir, Mode mode, const std::string& intact_record,
                   const std::string& what) {
  auto j = Journal::open(real_effects(), dir, mode);
  if (!j) {
    EXPECT_TRUE(j.error().code == "journal.corrupt" || j.error().code == "journal.foreign" ||
                j.error().code == "journal.newer")
        << what << ": " << j.error().describe();
    return;
  }
  auto head = (*j)->output_head("out");
  if (!head) {
    EXPECT_EQ(head.error().code, "journal.corrupt") << what;
    EXPECT_NE((*j)->damage(), "") << what;
    return;
  }
  (void)(*j)->output_names();
  (void)(*j)->runs(10);
  (void)(*j)->verify_chain();
  const bool believed = (*j)->damage().empty() && *head && (*head)->unproven.empty();
  if (believed) EXPECT_EQ((*head)->record, intact_record) << what;
}

struct Intact {
  Intact() {
    auto j = open_journal(dir.path(), Mode::kWrite);
    fill(*j, 200);
    record = **j->output_record("out");
    j.reset();
    bytes = *read_file(real_effects(), dir.file("journal.db"));
  }
  TempDir dir;
  std::string record, bytes;
};

TEST(JournalFaults, TruncatedAnywhereItNeverLies) {
  Intact intact;
  for (size_t size = 0; size < intact.bytes.size(); size += 3100) {
    for (Mode mode : {Mode::kRead, Mode::kWrite}) {
      TempDir dir;
      ASSERT_TRUE(write_file(real_effects(), dir.file("journal.db"), intact.bytes.substr(0, size)));
      expect_no_lie(dir.path(), mode, intact.record, fmt::format("cut at {}", size));
    }
  }
}

TEST(JournalFaults, FlippedAnywhereItNeverLies) {
  Intact intact;
  std::mt19937_64 random(7);
  for (int round = 0; round < 150; ++round) {
    std::string bytes = intact.bytes;
    const size_t at = random() % bytes.size();
    const size_t length = round % 3 == 0 ? 4096 : 1;
    for (size_t i = at; i < std::min(at + length, bytes.size()); ++i)
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << (random() % 8)));
    const Mode mode = round % 2 ? Mode::kRead : Mode::kWrite;
    TempDir dir;
    ASSERT_TRUE(write_file(real_effects(), dir.file("journal.db"), bytes));
    expect_no_lie(dir.path(), mode, intact.record, fmt::format("flipped {} at {}", length, at));
  }
}

TEST(JournalFaults, AnEditedRowIsFoundAndTheWriterSalvagesWhatIsProven) {
  TempDir dir;
  {
    fill(*open_journal(dir.path(), Mode::kWrite));
  }
  edit(dir.path(), "UPDATE events SET data=replace(data,'id-1','id-X') WHERE sequence=8");
  {
    auto reader = open_journal(dir.path(), Mode::kRead);
    EXPECT_NE(reader->damage().find("event 8"), std::string::npos) << reader->damage();
    auto verified = reader->verify_chain();
    EXPECT_EQ(verified.error().code, "journal.corrupt");
    EXPECT_NE(verified.error().message.find("event 8"), std::string::npos);
  }
  auto writer = open_journal(dir.path(), Mode::kWrite);
  EXPECT_NE(writer->damage(), "");
  EXPECT_EQ(writer->last_sequence(), 8u) << "seven proven events and the one that says so";
  EXPECT_TRUE(*writer->result("t4"));
  EXPECT_FALSE(*writer->output_head("out")) << "what came after is not known";
  EXPECT_TRUE(exists(real_effects(), dir.file("journal.db.damaged-1")));
  writer.reset();
  writer = open_journal(dir.path(), Mode::kWrite);
  EXPECT_EQ(writer->damage(), "") << "recovered once";
  EXPECT_TRUE(writer->verify_chain());
}

TEST(JournalFaults, AnEditedRowFarFromTheTailIsFoundWhereAVerdictRestsOnIt) {
  TempDir dir;
  {
    auto j = open_journal(dir.path(), Mode::kWrite);
    fill(*j);
    for (size_t i = 0; i < Journal::kTailEvents + 10; ++i)
      ASSERT_TRUE(j->append("fact_set", "", R"({"key":"k","value":"1"})"));
    ASSERT_TRUE(j->commit());
  }
  edit(dir.path(), "UPDATE events SET time_us=time_us+1 WHERE sequence=9");
  auto reader = open_journal(dir.path(), Mode::kRead);
  EXPECT_EQ(reader->damage(), "");
  EXPECT_EQ(reader->output_head("out").error().code, "journal.corrupt");
  EXPECT_NE(reader->damage(), "");
  reader.reset();
  auto writer = open_journal(dir.path(), Mode::kWrite);
  EXPECT_NE(writer->damage(), "");
  EXPECT_EQ(writer->last_sequence(), 9u) << "a writer salvages, so that an audit can prove again";
}

TEST(JournalFaults, AnEditedHeadIsFound) {
  TempDir dir;
  {
    fill(*open_journal(dir.path(), Mode::kWrite));
  }
  edit(dir.path(), "UPDATE generations SET record=replace(record,'\"rows\":10','\"rows\":11')");
  auto reader = open_journal(dir.path(), Mode::kRead);
  EXPECT_EQ(reader->output_record("out").error().code, "journal.corrupt");
  EXPECT_NE(reader->damage(), "");
}

TEST(JournalFaults, RemovedTailEventsAreFound) {
  TempDir dir;
  {
    fill(*open_journal(dir.path(), Mode::kWrite));
  }
  edit(dir.path(), "DELETE FROM events WHERE sequence=10");
  EXPECT_NE(open_journal(dir.path(), Mode::kRead)->damage(), "");
  auto writer = open_journal(dir.path(), Mode::kWrite);
  EXPECT_NE(writer->damage(), "");
  EXPECT_NE((*writer->output_head("out"))->unproven, "");
}

TEST(JournalFaults, WithoutAFileAReaderKnowsNothingAndSaysSo) {
  TempDir dir;
  auto reader = open_journal(dir.path(), Mode::kRead);
  EXPECT_NE(reader->damage(), "");
  EXPECT_TRUE(reader->output_names()->empty());
  EXPECT_FALSE(exists(real_effects(), dir.file("journal.db")));
  EXPECT_EQ(open_journal(dir.file("new/state"), Mode::kWrite)->damage(), "");
}

TEST(JournalFaults, ALostJournalIsNotTakenForANewOne) {
  TempDir dir;
  ASSERT_TRUE(make_directories(real_effects(), dir.file("results/ab")));
  {
    auto writer = open_journal(dir.path(), Mode::kWrite);
    EXPECT_NE(writer->damage(), "");
    EXPECT_EQ(writer->events({})->at(0).type, "journal_recovered");
  }
  EXPECT_EQ(open_journal(dir.path(), Mode::kWrite)->damage(), "");
}

TEST(JournalFaults, GarbageIsRefusedWithAWayOut) {
  TempDir dir;
  ASSERT_TRUE(write_file(real_effects(), dir.file("journal.db"), std::string(9000, 'x')));
  for (Mode mode : {Mode::kRead, Mode::kWrite}) {
    auto j = Journal::open(real_effects(), dir.path(), mode);
    ASSERT_FALSE(j);
    EXPECT_EQ(j.error().code, "journal.corrupt");
    EXPECT_NE(j.error().message.find("tidegate audit"), std::string::npos);
  }
  EXPECT_EQ(read_file(real_effects(), dir.file("journal.db"))->size(), 9000u) << "left as it was";
}

}  // namespace
}  // namespace tidegate
