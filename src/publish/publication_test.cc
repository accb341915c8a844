#include <fcntl.h>

#include "publish/publish_fixture.h"
#include "store/wrapped_effects.h"

namespace tidegate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PublicationTest : public PublishTest {
 protected:
  void SetUp() override {
    PublishTest::SetUp();
    open_journal(real_effects());
  }
  static Effects& fx() { return real_effects(); }
  std::vector<std::string> generations(const std::string& output = "out") {
    return fx().list(place(output).root + "/gen").value_or(std::vector<std::string>{});
  }
  Result<RollbackReport> rollback(const std::string& to = "", uint64_t fence = 1) {
    return rollback_output(fx(), *journal_, place(), kStateId, fence, "rb", to);
  }
  Result<Decision> ask(const std::string& identity, const std::string& contract = "c1",
                       bool force = false) {
    return decide(fx(), *journal_, place(), identity, contract, force);
  }
  std::vector<std::string> event_types_of(const std::string& run) {
    std::vector<std::string> out;
    EXPECT_TRUE(journal_->each_event(0, run, [&](const Event& event) {
      out.push_back(event.type);
      return true;
    }));
    return out;
  }
};

TEST_F(PublicationTest, PublishesWhatADesignReaderExpects) {
  must_publish("aa");
  expect_settled(place());
  const std::string generation = standing_generation(place());
  EXPECT_TRUE(generation.starts_with("000001-"));
  EXPECT_EQ(*fx().readlink(place().root + "/current"), "gen/" + generation);
  EXPECT_THAT(*fx().list(place().root + "/log"), ElementsAre("000001.json"));
  EXPECT_THAT(*fx().list(place().root + "/gen/" + generation),
              ElementsAre("manifest.json", "part-00000-" + generation + ".parquet",
                          "part-00001-" + generation + ".parquet"));
  EXPECT_EQ(fx().stat(place().root + "/current/part-00000-" + generation + ".parquet")->mode,
            0444u);
  const auto manifest = parse_manifest(*read_file(fx(), place().root + "/current/manifest.json"));
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->identity, "aa");
  EXPECT_EQ(manifest->files.size(), 2u);
  EXPECT_THAT(event_types_of("run-1"), ElementsAre("output_audited", "output_published"));
}

TEST_F(PublicationTest, TheNextGenerationTakesItsPlace) {
  must_publish("aa");
  must_publish("bb");
  expect_settled(place());
  EXPECT_EQ(standing_identity(), "bb");
  EXPECT_EQ(generations().size(), 2u);
}

TEST_F(PublicationTest, AnOutputWithoutFilesIsAGenerationToo) {
  auto publication = Publication::begin(fx(), *journal_, options());
  ASSERT_TRUE(publication) << publication.error().describe();
  ASSERT_TRUE((*publication)->stage(PublishRequest{.output = "out", .identity = "none"}));
  ASSERT_TRUE((*publication)->audited("out", passed()));
  ASSERT_TRUE((*publication)->commit());
  expect_settled(place());
  EXPECT_EQ(standing_identity(), "none");
}

TEST_F(PublicationTest, NothingIsCommittedUnverified) {
  must_publish("aa");
  auto publication = Publication::begin(fx(), *journal_, options());
  ASSERT_TRUE((*publication)->stage(request(fx(), "bb")));
  EXPECT_EQ((*publication)->commit().error().code, "publish.unverified");
  const auto failed =
      (*publication)
          ->audited("out", {CheckOutcome{.name = "unique(a)", .kind = "unique", .status = "fail"}});
  EXPECT_EQ(failed.error().code, "publish.unverified");
  EXPECT_THAT(failed.error().message, HasSubstr("unique(a)"));
  EXPECT_EQ((*publication)->commit().error().code, "publish.unverified");
  ASSERT_TRUE((*publication)->abort());
  EXPECT_EQ(standing_identity(), "aa");
  expect_settled(place());
}

TEST_F(PublicationTest, ATornOrMissingResultIsLostAndLeavesNothing) {
  must_publish("aa");
  auto publication = Publication::begin(fx(), *journal_, options());
  PublishRequest torn = request(fx(), "bb");
  torn.files[1].xxh3 = hex64(1);
  auto staged = (*publication)->stage(torn);
  EXPECT_EQ(staged.error().code, "publish.result_torn");
  EXPECT_EQ(staged.error().cls, FailureClass::kLost);
  PublishRequest missing = request(fx(), "bb");
  missing.files[1].path += "-gone";
  staged = (*publication)->stage(missing);
  EXPECT_EQ(staged.error().code, "publish.result_missing");
  EXPECT_EQ(staged.error().cls, FailureClass::kLost);
  EXPECT_EQ(generations().size(), 1u);
}

TEST_F(PublicationTest, CopiesWhereLinksDoNotReach) {
  WrappedEffects apart(fx());
  apart.before = [&](const std::string& call, const std::string& path) -> Status {
    if (call == "link" && path.ends_with(".parquet"))
      return std::unexpected(errno_failure(EXDEV, "cannot link"));
    return {};
  };
  const Status done = publish(apart, "aa");
  ASSERT_TRUE(done) << done.error().describe();
  expect_settled(place());
  const std::string path = resolve_current(fx(), place().root)->value().directory + "/part-00000-" +
                           standing_generation(place()) + ".parquet";
  EXPECT_EQ(fx().stat(path)->links, 1u);
  EXPECT_EQ(fx().stat(path)->mode, 0444u);
}

TEST_F(PublicationTest, AnotherStateDirectoryPipelineOrOutputIsRefused) {
  must_publish("aa");
  auto other = options(9);
  other.state_id = "0000000000000000";
  EXPECT_EQ(Publication::begin(fx(), *journal_, other).error().code, "publish.foreign_owner");
  other = options(9);
  other.pipeline = "another";
  EXPECT_EQ(Publication::begin(fx(), *journal_, other).error().code, "publish.foreign_owner");
  other = options(9, false, {{"second", place().root}});
  EXPECT_EQ(Publication::begin(fx(), *journal_, other).error().code, "publish.foreign_owner");
  EXPECT_EQ(Publication::begin(fx(), *journal_, options(9, true)).error().code,
            "publish.foreign_owner");
  EXPECT_EQ(rollback_output(fx(), *journal_, place(), "0000000000000000", 9, "r", "").error().code,
            "publish.foreign_owner");
  expect_settled(place());
}

TEST_F(PublicationTest, ALostStateDirectoryMayTakeOverWhenAPersonSaysSo) {
  must_publish("aa");
  ASSERT_TRUE(make_directories(fx(), dir_ + "/state2"));
  open_journal(fx(), "state2");
  const std::string id = "1111111111111111";
  EXPECT_EQ(audit_output(fx(), *journal_, place(), id, "r").error().code, "publish.foreign_owner");
  ASSERT_TRUE(take_over_place(fx(), place(), Owner{id, "pipe", "out", false}));
  const auto audited = audit_output(fx(), *journal_, place(), id, "r");
  ASSERT_TRUE(audited) << audited.error().describe();
  EXPECT_THAT(audited->broken, IsEmpty());
  expect_settled(place());
}

TEST_F(PublicationTest, AFolderOfOtherThingsIsRefusedUntouched) {
  ASSERT_TRUE(make_directories(fx(), place().root));
  ASSERT_TRUE(write_file(fx(), place().root + "/budget.xlsx", "x"));
  const auto begun = Publication::begin(fx(), *journal_, options());
  ASSERT_FALSE(begun);
  EXPECT_EQ(begun.error().code, "publish.foreign_directory");
  EXPECT_THAT(begun.error().message, HasSubstr("budget.xlsx"));
  EXPECT_THAT(*fx().list(place().root), ElementsAre("budget.xlsx"));
}

TEST_F(PublicationTest, AFileOrAForeignFileInTheRootIsRefused) {
  ASSERT_TRUE(write_file(fx(), place("f").root, "x"));
  EXPECT_EQ(Publication::begin(fx(), *journal_, options(1, false, {place("f")})).error().code,
            "publish.foreign_directory");
  must_publish("aa");
  ASSERT_TRUE(write_file(fx(), place().root + "/notes.txt", "x"));
  EXPECT_EQ(Publication::begin(fx(), *journal_, options()).error().code,
            "publish.foreign_directory");
}

TEST_F(PublicationTest, TheSameIdentityIsUnchanged) {
  EXPECT_EQ(*ask("aa"), Decision::kPublish);
  must_publish("aa");
  EXPECT_EQ(*ask("aa"), Decision::kUnchanged);
  EXPECT_EQ(*ask("aa", "c2"), Decision::kVerifyAgain);
  EXPECT_EQ(*ask("bb"), Decision::kPublish);
}

TEST_F(PublicationTest, NewPromisesAreCheckedOnTheStandingBytes) {
  must_publish("aa");
  PublishRequest next = request(fx(), "aa");
  next.contract_hash = "c2";
  next.max_age_us = 5;
  auto checks = passed();
  checks[0].name = "new";
  const Status done = confirm_unchanged(fx(), *journal_, place(), next, checks, "run-2");
  ASSERT_TRUE(done) << done.error().describe();
  ASSERT_TRUE(journal_->commit());
  EXPECT_EQ(*ask("aa", "c2"), Decision::kUnchanged);
  const auto record = generation_record_from_json(**journal_->output_record("out"));
  EXPECT_EQ(record->checks[0].name, "new");
  EXPECT_EQ(record->max_age_us, 5);
  expect_settled(place());
  EXPECT_EQ(generations().size(), 1u);
}

TEST_F(PublicationTest, AlteredStandingBytesAreNotConfirmed) {
  must_publish("aa");
  const auto standing = resolve_current(fx(), place().root);
  const std::string path = (*standing)->directory + "/" + (*standing)->record.files[0].name;
  std::string bytes = *read_file(fx(), path);
  bytes[3] ^= 1;
  ASSERT_TRUE(fx().unlink(path));
  ASSERT_TRUE(write_file(fx(), path, bytes));
  EXPECT_EQ(
      confirm_unchanged(fx(), *journal_, place(), request(fx(), "aa"), passed(), "r").error().code,
      "publish.broken");
}

TEST_F(PublicationTest, ADamagedStandingGenerationIsPublishedAnew) {
  must_publish("aa");
  const auto standing = resolve_current(fx(), place().root);
  ASSERT_TRUE(fx().unlink((*standing)->directory + "/" + (*standing)->record.files[0].name));
  EXPECT_EQ(*ask("aa"), Decision::kPublish);
  must_publish("aa");
  expect_settled(place());
  EXPECT_EQ(generations().size(), 2u);
}

TEST_F(PublicationTest, RollbackIsASwapAndIsRemembered) {
  must_publish("aa");
  const std::string first = standing_generation(place());
  must_publish("bb");
  const std::string second = standing_generation(place());
  const auto back = rollback();
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(back->from, second);
  EXPECT_EQ(back->to, first);
  expect_settled(place());
  EXPECT_EQ(standing_identity(), "aa");
  EXPECT_THAT(*fx().list(place().root + "/log"),
              ElementsAre("000001.json", "000002.json", "000003.json"));

  EXPECT_EQ(*ask("bb"), Decision::kRejected);
  EXPECT_EQ(publish(fx(), "bb").error().code, "publish.rejected");
  EXPECT_EQ(*ask("bb", "c1", true), Decision::kPublish);
  const Status forced = publish(fx(), "bb", 1, true);
  ASSERT_TRUE(forced) << forced.error().describe();
  EXPECT_EQ(standing_identity(), "bb");
  EXPECT_TRUE(standing_generation(place()).starts_with("000004-"));
  EXPECT_EQ(*ask("bb"), Decision::kUnchanged);
  must_publish("cc");
  EXPECT_EQ(*ask("bb"), Decision::kPublish) << "forcing it took the rejection back";
  expect_settled(place());
}

TEST_F(PublicationTest, AResultWhoseSyncFailsIsNotTriedAgain) {
  WrappedEffects failing(fx());
  failing.before = [](const std::string& call, const std::string& path) -> Status {
    if (call != "fsync" || !path.ends_with(".parquet")) return {};
    return std::unexpected(errno_failure(EIO, "cannot fsync"));
  };
  const PublishRequest wanted = request(fx(), "aa");
  EXPECT_EQ(publish(failing, "aa").error().code, "disk.io");
  EXPECT_FALSE(exists(fx(), wanted.files[0].path))
      << "the next fsync of it would find nothing to do";
  EXPECT_TRUE(exists(fx(), wanted.files[1].path));
  EXPECT_TRUE(generations().empty());
  must_publish("aa");
}

TEST_F(PublicationTest, WhatCannotBeLookedAtIsNotGone) {
  must_publish("aa");
  const std::string log = place().root + "/log";
  WrappedEffects failing(fx());
  failing.before = [&](const std::string& call, const std::string& path) -> Status {
    if (!call.ends_with("stat") || path != log) return {};
    return std::unexpected(errno_failure(EIO, "cannot stat"));
  };
  ASSERT_FALSE(failing.lstat(log));
  EXPECT_TRUE(exists(failing, log));
  EXPECT_FALSE(exists(failing, place().root + "/none"));
  EXPECT_FALSE(exists(failing, place().root + "/.owner.json/none"));
}

TEST_F(PublicationTest, DamagedFilesAreNoReasonToRejectTheirRows) {
  must_publish("aa");
  must_publish("bb");
  const auto standing = resolve_current(fx(), place().root);
  ASSERT_TRUE(fx().unlink((*standing)->directory + "/" + (*standing)->record.files[0].name));
  const auto back = rollback();
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_TRUE(back->damaged);
  EXPECT_EQ(standing_identity(), "aa");
  EXPECT_EQ(rollback().error().code, "publish.rollback_none") << "the damaged one is no target";
  EXPECT_EQ(*ask("bb"), Decision::kPublish);
  must_publish("bb");
  EXPECT_EQ(standing_identity(), "bb");
  expect_settled(place());
}

TEST_F(PublicationTest, RollbackByNumberAndForwardAgain) {
  must_publish("aa");
  must_publish("bb");
  must_publish("cc");
  ASSERT_TRUE(rollback("1"));
  EXPECT_EQ(standing_identity(), "aa");
  const auto forward = rollback("3");
  ASSERT_TRUE(forward) << forward.error().describe();
  EXPECT_EQ(standing_identity(), "cc");
  EXPECT_EQ(*ask("cc"), Decision::kUnchanged);
  expect_settled(place());
}

TEST_F(PublicationTest, RollbackSkipsRejectedGenerations) {
  must_publish("aa");
  must_publish("bb");
  ASSERT_TRUE(rollback());
  must_publish("cc");
  ASSERT_TRUE(rollback());
  EXPECT_EQ(standing_identity(), "aa");
}

TEST_F(PublicationTest, RollbackRefusesWhatIsNotThereOrNotWhole) {
  EXPECT_EQ(rollback().error().code, "publish.nothing_published");
  must_publish("aa");
  const std::string first = standing_generation(place());
  EXPECT_EQ(rollback().error().code, "publish.rollback_none");
  must_publish("bb");
  EXPECT_EQ(rollback("000009-abcd").error().code, "publish.rollback_none");
  const std::string path = place().root + "/gen/" + first + "/part-00001-" + first + ".parquet";
  ASSERT_TRUE(fx().unlink(path));
  EXPECT_EQ(rollback().error().code, "publish.broken");
  EXPECT_EQ(standing_identity(), "bb");
}

TEST_F(PublicationTest, ALostJournalIsUnprovenUntilTheAudit) {
  must_publish("aa");
  must_publish("bb");
  ASSERT_TRUE(make_directories(fx(), dir_ + "/state2"));
  open_journal(fx(), "state2");
  const auto report = recover_output(fx(), *journal_, place(), kStateId, 2, "r");
  ASSERT_TRUE(report) << report.error().describe();
  EXPECT_TRUE(report->unproven);
  EXPECT_EQ(report->rolled_forward, "");
  EXPECT_FALSE(journal_->output_record("out")->has_value()) << "nobody vouches for it";
  EXPECT_EQ(*ask("bb"), Decision::kAuditFirst);
  const auto audit = audit_output(fx(), *journal_, place(), kStateId, "r");
  ASSERT_TRUE(audit) << audit.error().describe();
  EXPECT_EQ(audit->files, 2u);
  expect_settled(place());
  EXPECT_EQ(*ask("bb"), Decision::kUnchanged);
  must_publish("cc", 2);
  EXPECT_TRUE(standing_generation(place()).starts_with("000003-"));
}

TEST_F(PublicationTest, AnAuditNamesWhatIsWrongAndItStays) {
  must_publish("aa");
  const auto standing = resolve_current(fx(), place().root);
  const std::string name = (*standing)->record.files[0].name;
  std::string bytes = *read_file(fx(), (*standing)->directory + "/" + name);
  bytes[0] ^= 1;
  ASSERT_TRUE(fx().chmod((*standing)->directory + "/" + name, 0644));
  {
    Fd fd(fx(), *fx().open((*standing)->directory + "/" + name, O_WRONLY));
    ASSERT_TRUE(fx().pwrite(fd.get(), std::as_bytes(std::span(bytes)), 0));
  }
  ASSERT_TRUE(write_file(fx(), (*standing)->directory + "/extra.parquet", "x"));
  const auto audit = audit_output(fx(), *journal_, place(), kStateId, "r");
  ASSERT_TRUE(audit);
  EXPECT_THAT(audit->broken, ElementsAre(name + " was altered",
                                         "extra.parquet does not belong to the generation"));
  EXPECT_THAT(journal_->output_head("out")->value().broken, HasSubstr("was altered"));
  EXPECT_EQ(*ask("aa"), Decision::kPublish) << "a broken generation is healed by a new one";
  const auto record = generation_record_from_json(**journal_->output_record("out"));
  EXPECT_FALSE(same_stat(record->files[0].stat, *fx().stat((*standing)->directory + "/" + name)));
}

TEST_F(PublicationTest, KeepsAsManyAsAskedAndTheProtected) {
  for (const char* identity : {"aa", "bb", "cc", "dd", "ee"}) must_publish(identity);
  const auto all = generations();
  const auto dropped = drop_old_generations(fx(), *journal_, place(), 2, {all[0]}, "r");
  ASSERT_TRUE(dropped) << dropped.error().describe();
  EXPECT_THAT(*dropped, ElementsAre(all[1]));
  EXPECT_THAT(generations(), ElementsAre(all[0], all[2], all[3], all[4]));
  expect_settled(place());
  EXPECT_EQ(drop_old_generations(fx(), *journal_, place(), 0, {}, "r")->size(), 3u);
  EXPECT_THAT(generations(), ElementsAre(all[4]));
  expect_settled(place());
  EXPECT_TRUE(drop_old_generations(fx(), *journal_, place(), 0, {}, "r")->empty());
}

TEST_F(PublicationTest, DroppingNeverTakesWhatStandsAfterARollback) {
  for (const char* identity : {"aa", "bb", "cc"}) must_publish(identity);
  ASSERT_TRUE(rollback("1"));
  ASSERT_TRUE(drop_old_generations(fx(), *journal_, place(), 0, {}, "r"));
  EXPECT_EQ(standing_identity(), "aa");
  expect_settled(place());
}

TEST_F(PublicationTest, SharedFilesAreTrustedByStatAgainAfterLinksWent) {
  must_publish("aa");
  // A second generation of the same finished files: links go up, then down again.
  auto publication = Publication::begin(fx(), *journal_, options());
  ASSERT_TRUE((*publication)->stage(request(fx(), "aa")));
  ASSERT_TRUE((*publication)->abort());
  expect_settled(place());
  EXPECT_THAT(event_types_of("run-1"), testing::Contains("output_reaudited"));
}

TEST_F(PublicationTest, TheOldGenerationStandsWhereverSpaceEnds) {
  must_publish("aa");
  for (uint64_t limit = 1;; ++limit) {
    WrappedEffects full(fx());
    uint64_t writes = 0;
    bool hit = false;
    full.before = [&](const std::string& call, const std::string& path) -> Status {
      if (path.find("/published/") == std::string::npos) return {};
      const bool needs_space = call == "pwrite" || call == "mkdir" || call == "link" ||
                               call == "symlink" || call == "rename";
      if (!needs_space || ++writes < limit) return {};
      hit = true;
      return std::unexpected(errno_failure(ENOSPC, "cannot " + call));
    };
    const std::string before = standing_identity();
    const Status done = publish(full, "n" + std::to_string(limit));
    expect_whole(place());
    if (!done && done.error().cls == FailureClass::kDisk) {
      EXPECT_EQ(standing_identity(), before) << limit;
    }
    if (!done && done.error().cls == FailureClass::kUncertain) {
      EXPECT_EQ(standing_identity(), "n" + std::to_string(limit)) << done.error().describe();
    }
    ASSERT_TRUE(recover_output(fx(), *journal_, place(), kStateId, 1, "r"));
    expect_settled(place());
    if (!hit) {
      EXPECT_TRUE(done);
      EXPECT_GT(limit, 5u);
      break;
    }
    EXPECT_FALSE(done) << limit;
    ASSERT_LT(limit, 100u);
  }
}

TEST_F(PublicationTest, TogetherOneRenameMovesAll) {
  const auto publish_both = [&](const std::string& a, const std::string& b) -> Status {
    TG_ASSIGN(auto publication,
              Publication::begin(fx(), *journal_, options(1, true, {place("a"), place("b")})));
    for (const auto& [output, identity] : {std::pair{"a", a}, std::pair{"b", b}}) {
      if (identity.empty()) continue;
      TG_ASSIGN(const auto staged, publication->stage(request(fx(), identity, output)));
      EXPECT_FALSE(staged.paths.empty());
      TG_TRY(publication->audited(output, passed()));
    }
    TG_TRY(publication->commit());
    return journal_->commit();
  };
  Status done = publish_both("a1", "b1");
  ASSERT_TRUE(done) << done.error().describe();
  expect_settled(place("a"));
  expect_settled(place("b"));
  const std::string set = dir_ + "/published/.sets/pipe";
  EXPECT_EQ(*fx().readlink(place("a").root + "/current"), "../.sets/pipe/current/a");
  EXPECT_TRUE(fx().readlink(set + "/current")->starts_with("gen/000001-"));

  ASSERT_TRUE(publish_both("a2", ""));
  EXPECT_EQ(standing_identity(place("a")), "a2");
  EXPECT_EQ(standing_identity(place("b")), "b1") << "what did not change stands on";
  ASSERT_TRUE(publish_both("a3", "b3"));
  expect_settled(place("a"));
  expect_settled(place("b"));

  const auto back = rollback_output(fx(), *journal_, place("a"), kStateId, 1, "rb", "");
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(standing_identity(place("a")), "a2");
  EXPECT_EQ(standing_identity(place("b")), "b3");
  expect_settled(place("a"));
  expect_settled(place("b"));
  for (const char* output : {"a", "b"})
    ASSERT_TRUE(drop_old_generations(fx(), *journal_, place(output), 0, {}, "r"));
  expect_settled(place("a"));
  expect_settled(place("b"));
  EXPECT_EQ(fx().list(set + "/gen")->size(), 2u);
}

TEST_F(PublicationTest, TogetherNeedsOneParentAndNamesOfTheirOwn) {
  const auto begin = [&](const OutputPlace& a, const OutputPlace& b) {
    return Publication::begin(fx(), *journal_, options(1, true, {a, b}));
  };
  EXPECT_EQ(begin(place("a"), {"b", dir_ + "/elsewhere/b"}).error().code, "publish.set_parent");
  EXPECT_EQ(begin(place("a"), {"b", place("a").root}).error().code, "publish.set_parent");
}

TEST_F(PublicationTest, ANewerLogIsRefused) {
  must_publish("aa");
  std::string text = *read_file(fx(), place().root + "/log/000001.json");
  text.replace(text.find("\"version\":1"), 11, "\"version\":2");
  ASSERT_TRUE(write_file(fx(), place().root + "/log/000002.json", text));
  EXPECT_EQ(resolve_current(fx(), place().root).error().code, "publish.newer");
  ASSERT_TRUE(write_file(fx(), place().root + "/log/000003.json", "{"));
  EXPECT_EQ(resolve_current(fx(), place().root).error().code, "publish.log_corrupt");
  EXPECT_FALSE(publish(fx(), "bb"));
}

TEST_F(PublicationTest, AMovedProjectStillResolves) {
  must_publish("aa");
  ASSERT_TRUE(fx().rename(dir_ + "/published", dir_ + "/moved"));
  const auto standing = resolve_current(fx(), dir_ + "/moved/out");
  ASSERT_TRUE(standing && *standing);
  EXPECT_TRUE((*standing)->directory.starts_with(dir_ + "/moved/out/gen/"));
  EXPECT_THAT(*find_damage(fx(), (*standing)->record), IsEmpty());
}

TEST_F(PublicationTest, NothingPublishedIsNothing) {
  EXPECT_FALSE(resolve_current(fx(), place().root)->has_value());
  EXPECT_EQ(audit_output(fx(), *journal_, place(), kStateId, "r").error().code,
            "publish.nothing_published");
  EXPECT_TRUE(recover_output(fx(), *journal_, place(), kStateId, 1, "r"));
  EXPECT_TRUE(drop_old_generations(fx(), *journal_, place(), 0, {}, "r")->empty());
}

}  // namespace
}  // namespace tidegate
