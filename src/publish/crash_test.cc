// Ends the machine at every call that changes the disk, once for each way of losing what was not
// fsynced, and asks after each: is what readers see whole, and does the journal agree with it?

#include "publish/crash_disk.h"
#include "publish/publish_fixture.h"

namespace tidegate {
namespace {

struct Scenario {
  const char* name;
  int generations_before;
  bool together;
  bool rolls_back;  ///< the interrupted command is a rollback, not a publication
  CrashDisk::Loss loss;
  uint64_t stride;      ///< 1: every change; else every so manieth
  bool shares = false;  ///< generations share a file
};

class CrashTest : public PublishTest, public testing::WithParamInterface<Scenario> {
 protected:
  std::vector<OutputPlace> places() const {
    if (GetParam().together) return {place("a"), place("b")};
    return {place()};
  }

  /// One publication of every output from begin to the end of clean-up, as the driver does it.
  Status publish_all(Effects& effects, const std::string& identity) {
    TG_ASSIGN(auto publication,
              Publication::begin(effects, *journal_, options(1, GetParam().together, places())));
    for (const OutputPlace& one : places()) {
      TG_ASSIGN(const auto staged,
                publication->stage(request(effects, identity + one.output, one.output)));
      TG_TRY(publication->audited(one.output, passed()));
    }
    TG_TRY(publication->commit());
    TG_TRY(journal_->commit());
    for (const OutputPlace& one : places()) {
      TG_ASSIGN(const auto dropped, drop_old_generations(effects, *journal_, one, 1, {}, "r"));
    }
    return journal_->commit();
  }

  Status interrupted_command(Effects& effects) {
    if (!GetParam().rolls_back) return publish_all(effects, "new");
    TG_ASSIGN(const auto report,
              rollback_output(effects, *journal_, places().front(), kStateId, 1, "rb", ""));
    return {};
  }

  std::string identity_before(const OutputPlace& where) const {
    const int n = GetParam().generations_before;
    return n == 0 ? "" : "old" + std::to_string(n) + where.output;
  }
  std::string identity_after(const OutputPlace& where) const {
    if (!GetParam().rolls_back) return "new" + where.output;
    return where.output == places().front().output
               ? "old" + std::to_string(GetParam().generations_before - 1) + where.output
               : identity_before(where);
  }
};

TEST_P(CrashTest, AtEveryChangeOfTheDisk) {
  first_file_is_shared = GetParam().shares;
  constexpr uint64_t kChangesMax = 1000;
  bool finished = false;
  for (uint64_t n = 1; !finished; n += GetParam().stride) {
    SCOPED_TRACE("crash at change " + std::to_string(n));
    ASSERT_LT(n, kChangesMax);
    const std::string base = base_ + "/" + std::to_string(n);
    make_world(base);
    CrashDisk disk(dir_, base + "/graveyard");
    disk.settle();
    open_journal(disk);
    for (int i = 1; i <= GetParam().generations_before; ++i) {
      const Status done = publish_all(disk, "old" + std::to_string(i));
      ASSERT_TRUE(done) << done.error().describe();
    }
    disk.settle();

    disk.changes = 0;
    disk.crash_at = n;
    const Status outcome = interrupted_command(disk);
    finished = !disk.dead;
    ASSERT_EQ(outcome.has_value(), finished) << (outcome ? "" : outcome.error().describe());
    journal_.reset();
    disk.crash(GetParam().loss, n);

    // What a plain reader sees before anybody has recovered anything.
    std::vector<std::string> seen;
    for (const OutputPlace& one : places()) {
      expect_whole(one);
      seen.push_back(standing_identity(one));
      if (finished) {
        EXPECT_EQ(seen.back(), identity_after(one)) << "what was confirmed must last";
      }
      EXPECT_TRUE(seen.back() == identity_before(one) || seen.back() == identity_after(one))
          << seen.back();
    }

    CrashDisk healed(dir_, base + "/graveyard");
    open_journal(healed);
    if (HasFatalFailure()) return;
    for (size_t i = 0; i < places().size(); ++i) {
      const OutputPlace one = places()[i];
      const auto report = recover_output(healed, *journal_, one, kStateId, 2, "recovery");
      ASSERT_TRUE(report) << report.error().describe();
      EXPECT_FALSE(report->unproven);
      EXPECT_EQ(standing_identity(one), seen[i]) << "recovery goes by what was committed";
    }
    for (const OutputPlace& one : places()) expect_settled(one);
    if (GetParam().together && !GetParam().rolls_back) {
      EXPECT_EQ(seen[0].substr(0, 3), seen[1].substr(0, 3)) << "all or none";
    }

    // Recovered twice is recovered once.
    disk.changes = healed.changes = 0;
    for (const OutputPlace& one : places())
      ASSERT_TRUE(recover_output(healed, *journal_, one, kStateId, 2, "recovery"));
    EXPECT_EQ(healed.changes, 0u);

    // And the next run goes on from there.
    auto publication =
        Publication::begin(healed, *journal_, options(3, GetParam().together, places()));
    ASSERT_TRUE(publication) << publication.error().describe();
    for (const OutputPlace& one : places()) {
      ASSERT_TRUE((*publication)->stage(request(healed, "next" + one.output, one.output)));
      ASSERT_TRUE((*publication)->audited(one.output, passed()));
    }
    const Status next = (*publication)->commit();
    ASSERT_TRUE(next) << next.error().describe();
    for (const OutputPlace& one : places()) {
      EXPECT_EQ(standing_identity(one), "next" + one.output);
      expect_settled(one);
    }
    journal_.reset();
    ASSERT_TRUE(remove_tree(real_effects(), base));
    if (HasFailure()) return;
  }
}

using Loss = CrashDisk::Loss;

class FsyncTest : public PublishTest {};

// The tests above prove nothing if the model forgives a missing fsync: each one left out must show.
TEST_F(FsyncTest, EachOneThatIsLeftOutShows) {
  const std::function<bool(const std::string&)> left_out[] = {
      [](const std::string& path) { return path.ends_with(".parquet"); },
      [](const std::string& path) { return path.ends_with("/manifest.json"); },
      [](const std::string& path) {
        return path.find("/gen/0") != std::string::npos && path.find('.') == std::string::npos;
      },
      [](const std::string& path) { return path.ends_with("/gen"); },
      [](const std::string& path) { return path.find("/log/.0") != std::string::npos; },
      [](const std::string& path) { return path.ends_with("/log"); },
      [](const std::string& path) { return path.ends_with("/out"); },
      [](const std::string&) { return false; },
  };
  for (size_t i = 0; i < std::size(left_out); ++i) {
    make_world(base_ + "/" + std::to_string(i));
    CrashDisk disk(dir_, dir_ + "-graveyard");
    disk.settle();
    open_journal(disk);
    ASSERT_TRUE(publish(disk, "old"));
    disk.settle();
    disk.forget_fsync = left_out[i];
    ASSERT_TRUE(publish(disk, "new"));
    journal_.reset();
    disk.crash(Loss::kAllUnsynced, 1);
    const auto standing = resolve_current(real_effects(), place().root);
    const bool right = standing && *standing && (*standing)->record.identity == "new" &&
                       find_damage(real_effects(), (*standing)->record)->empty() &&
                       real_effects().readlink(place().root + "/current").value_or("") ==
                           "gen/" + (*standing)->record.generation;
    EXPECT_EQ(right, i + 1 == std::size(left_out)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, CrashTest,
    testing::Values(
        Scenario{"SecondProcessDies", 1, false, false, Loss::kNothing, 1},
        Scenario{"SecondPowerCut", 1, false, false, Loss::kAllUnsynced, 1},
        Scenario{"SecondPowerCutLosesSome", 1, false, false, Loss::kSomeUnsynced, 2},
        Scenario{"FirstPowerCut", 0, false, false, Loss::kAllUnsynced, 1},
        Scenario{"ThirdDropsTheFirst", 2, false, false, Loss::kSomeUnsynced, 2},
        Scenario{"RollbackPowerCut", 2, false, true, Loss::kAllUnsynced, 1},
        Scenario{"TogetherProcessDies", 1, true, false, Loss::kNothing, 3},
        Scenario{"TogetherPowerCut", 1, true, false, Loss::kAllUnsynced, 2},
        Scenario{"TogetherRollback", 2, true, true, Loss::kSomeUnsynced, 2},
        Scenario{"SharingProcessDies", 1, false, false, Loss::kNothing, 1, true},
        Scenario{"SharingPowerCut", 1, false, false, Loss::kAllUnsynced, 1, true},
        Scenario{"SharingThirdDropsTheFirst", 2, false, false, Loss::kSomeUnsynced, 1, true},
        Scenario{"SharingFourthDropsTheSecond", 3, false, false, Loss::kAllUnsynced, 1, true},
        Scenario{"SharingRollback", 2, false, true, Loss::kAllUnsynced, 1, true},
        Scenario{"SharingTogether", 1, true, false, Loss::kSomeUnsynced, 2, true}),
    [](const auto& scenario) { return scenario.param.name; });

/// A conductor dies while it claims a root, another one claims it again, and then the power fails.
TEST_F(PublishTest, WhatASecondClaimRestsOnLasts) {
  for (const bool together : {false, true}) {
    bool finished = false;
    for (uint64_t n = 1; !finished; ++n) {
      SCOPED_TRACE("dies at change " + std::to_string(n) + (together ? " of a set" : ""));
      ASSERT_LT(n, 100u);
      make_world(base_ + "/" + std::to_string(n) + (together ? "s" : ""));
      CrashDisk disk(dir_, dir_ + "-graveyard");
      disk.settle();
      const Owner owner{kStateId, "pipe", "out", together};
      const Site site = site_of(place().root, owner);
      disk.crash_at = n;
      finished = claim_place(disk, place(), owner).has_value();
      ASSERT_EQ(finished, !disk.dead);
      disk.dead = false;
      disk.crash_at = std::numeric_limits<uint64_t>::max();
      const Status again = claim_place(disk, place(), owner);
      ASSERT_TRUE(again) << again.error().describe();
      disk.crash(CrashDisk::Loss::kAllUnsynced, 1);
      EXPECT_TRUE(exists(real_effects(), place().root + "/.owner.json"));
      EXPECT_TRUE(exists(real_effects(), place().root + "/gen"));
      EXPECT_TRUE(exists(real_effects(), site.log()));
      EXPECT_TRUE(!together || exists(real_effects(), site.generations()));
    }
  }
}

}  // namespace
}  // namespace tidegate
