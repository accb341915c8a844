#include "trust/trust.h"

#include <gtest/gtest.h>

#include <dlfcn.h>

#include <nlohmann/json.hpp>

#include "base/units.h"
#include "trust/trust_fixture.h"

namespace tidegate {
namespace {

/// A world in which one thing is other than in a TRUSTED one, and what is said of it.
struct Scenario {
  const char* name;
  World::Change change;
  std::function<void(World&)> after;
  int64_t later_us;
  Verdict verdict;
  const char* part;
  const char* status;
  const char* says;
};

void PrintTo(const Scenario& s, std::ostream* out) { *out << s.name; }

constexpr auto kTrusted = Verdict::kTrusted;
constexpr auto kDegraded = Verdict::kDegraded;
constexpr auto kUntrusted = Verdict::kUntrusted;
constexpr auto kUnknown = Verdict::kUnknown;

using R = GenerationRecord;

World::Change check_says(const char* status) {
  return [=](R& r) { r.checks.push_back({"unique(a)", "unique", status, 3, 10, 0, "3 rows"}); };
}

World::Change only_source(SourceArrival a) {
  return [=](R& r) { r.sources = {a}; };
}

SourceArrival arrival(const std::function<void(SourceArrival&)>& change) {
  SourceArrival a = daily_source();
  change(a);
  return a;
}

SourceArrival manifest(uint64_t expected, uint64_t arrived, std::optional<int64_t> complete_to) {
  SourceArrival a;
  a.source = "m";
  a.known_by = "manifest";
  a.expected = expected;
  a.arrived = a.rows_read = arrived;
  a.complete_to_us = complete_to;
  return a;
}

void from_upstream(R& r) {
  SourceArrival a;
  a.source = "up";
  a.known_by = "output";
  a.upstream_output = "up";
  a.upstream_generation = World::generation(1);
  a.complete_to_us = kNowUs;
  r.sources.push_back(a);
}

std::function<void(World&)> upstream_is(World::Change change, bool newer = false) {
  return [=](World& w) {
    w.publish("up", 1, change);
    if (newer) w.publish("up", 2, change);
  };
}

void overwrite(World& w, const std::string& name, const std::string& bytes) {
  ASSERT_TRUE(write_file(w.effects, w.file("out", name), bytes, 0444));
}

const Scenario kScenarios[] = {
    {"as_promised", {}, {}, 0, kTrusted, "fresh", "ok", "fresh for 24 h"},
    {"fresh_to_the_last_moment", {}, {}, kDayUs, kTrusted, "fresh", "ok", ""},
    {"too_old", {}, {}, kDayUs + 1, kUntrusted, "fresh", "fail", "at most"},
    {"no_age_promised",
     [](R& r) {
       r.max_age_us.reset();
       r.completeness.reset();
     },
     {},
     999 * kDayUs,
     kTrusted,
     "fresh",
     "absent",
     ""},
    {"complete_not_promised",
     [](R& r) { r.completeness.reset(); },
     {},
     0,
     kTrusted,
     "complete",
     "absent",
     ""},
    {"hole_in_the_middle",
     only_source(arrival([](SourceArrival& a) {
       a.arrived = 9;
       a.complete_to_us = kNowUs - 5 * kDayUs;
       a.missing = {"day=2023-11-09"};
     })),
     {},
     0,
     kUntrusted,
     "complete",
     "fail",
     "day=2023-11-09"},
    {"hole_in_the_middle_is_not_fresh",
     only_source(arrival([](SourceArrival& a) {
       a.arrived = 9;
       a.complete_to_us = kNowUs - 5 * kDayUs;
     })),
     {},
     0,
     kUntrusted,
     "fresh",
     "fail",
     "5 d"},
    {"hole_within_the_share",
     [](R& r) {
       r.completeness = 0.9;
       r.sources = {arrival([](SourceArrival& a) {
         a.arrived = 9;
         a.complete_to_us = kNowUs - 5 * kDayUs;
       })};
     },
     {},
     0,
     kTrusted,
     "complete",
     "ok",
     "9 of 10"},
    {"backfill_of_old_periods_is_not_fresh",
     [](R& r) {
       r.completeness.reset();
       r.sources = {arrival([](SourceArrival& a) {
         a.arrived = 3;
         a.complete_to_us = kNowUs - 8 * kDayUs;
       })};
     },
     {},
     0,
     kUntrusted,
     "fresh",
     "fail",
     ""},
    {"expectation_grows_without_a_run",
     [](R& r) { r.max_age_us.reset(); },
     {},
     kDayUs,
     kUntrusted,
     "complete",
     "fail",
     "10 of 11"},
    {"expectation_has_the_slack_of_the_age",
     [](R& r) { r.max_age_us = 3 * kDayUs; },
     {},
     3 * kDayUs,
     kTrusted,
     "complete",
     "ok",
     "10 of 10"},
    {"arrives_ended_never_ages",
     only_source(arrival([](SourceArrival& a) { a.arrives_to_us = kNowUs - kDayUs; })),
     {},
     500 * kDayUs,
     kTrusted,
     "fresh",
     "ok",
     "will ever expect"},
    {"through_reached",
     [](R& r) {
       r.max_age_us.reset();
       r.through_us = kNowUs - kDayUs;
     },
     {},
     900 * kDayUs,
     kTrusted,
     "fresh",
     "ok",
     "closed data set"},
    {"through_not_reached",
     [](R& r) {
       r.max_age_us.reset();
       r.through_us = kNowUs;
       r.sources = {manifest(5, 5, kNowUs - 1)};
     },
     {},
     0,
     kUntrusted,
     "fresh",
     "fail",
     "promised"},
    {"through_the_future",
     [](R& r) {
       r.max_age_us.reset();
       r.through_us = kNowUs + kDayUs;
       r.sources = {manifest(5, 5, kNowUs + 9 * kDayUs)};
     },
     {},
     0,
     kUntrusted,
     "fresh",
     "fail",
     ""},
    {"through_counts_only_what_was_due_by_then",
     [](R& r) {
       r.max_age_us.reset();
       r.through_us = kNowUs - 5 * kDayUs;
       r.sources = {arrival([](SourceArrival& a) {
         a.arrived = 5;
         a.complete_to_us = kNowUs - 5 * kDayUs;
       })};
     },
     {},
     0,
     kTrusted,
     "complete",
     "ok",
     "5 of 5"},
    {"through_not_known_where_the_holes_are",
     [](R& r) {
       r.max_age_us.reset();
       r.through_us = kNowUs - 5 * kDayUs;
       r.sources = {arrival([](SourceArrival& a) {
         a.arrived = 8;
         a.complete_to_us = kNowUs - 8 * kDayUs;
       })};
     },
     {},
     0,
     kUntrusted,
     "complete",
     "fail",
     "3 of 5"},
    {"manifest_complete",
     only_source(manifest(100, 100, kNowUs)),
     {},
     0,
     kTrusted,
     "complete",
     "ok",
     "100 of 100"},
    {"manifest_short",
     only_source(manifest(100, 99, kNowUs)),
     {},
     0,
     kUntrusted,
     "complete",
     "fail",
     "99 of 100"},
    {"manifest_without_time_alone",
     only_source(manifest(100, 100, {})),
     {},
     0,
     kUnknown,
     "fresh",
     "unknown",
     "states a time"},
    {"manifest_without_time_beside_another",
     [](R& r) { r.sources.push_back(manifest(100, 100, {})); },
     {},
     0,
     kTrusted,
     "fresh",
     "ok",
     ""},
    {"the_oldest_source_counts",
     [](R& r) { r.sources.push_back(manifest(1, 1, kNowUs - 2 * kDayUs)); },
     {},
     0,
     kUntrusted,
     "fresh",
     "fail",
     "2 d"},
    {"arrival_not_declared",
     only_source(arrival([](SourceArrival& a) { a.known_by = ""; })),
     {},
     0,
     kUnknown,
     "complete",
     "unknown",
     "not declared"},
    {"arrival_not_declared_but_nothing_promised",
     [](R& r) {
       r.max_age_us.reset();
       r.completeness.reset();
       r.sources[0].known_by = "";
     },
     {},
     0,
     kTrusted,
     "verified",
     "ok",
     ""},
    {"no_source_recorded",
     [](R& r) { r.sources.clear(); },
     {},
     0,
     kUnknown,
     "complete",
     "unknown",
     "no source"},
    {"quarantined_rows_are_missing",
     only_source(arrival([](SourceArrival& a) { a.rows_quarantined = 5; })),
     {},
     0,
     kUntrusted,
     "complete",
     "fail",
     "quarantined"},
    {"quarantined_rows_and_no_share",
     [](R& r) {
       r.completeness.reset();
       r.sources[0].rows_quarantined = 1;
     },
     {},
     0,
     kUntrusted,
     "fresh",
     "fail",
     "quarantined"},
    {"quarantined_within_the_share",
     [](R& r) {
       r.completeness = 0.9;
       r.sources[0].rows_quarantined = 5;
     },
     {},
     0,
     kTrusted,
     "complete",
     "ok",
     "quarantined"},
    {"event_time_in_the_future_is_capped",
     only_source(manifest(1, 1, kNowUs + 100 * kDayUs)),
     {},
     0,
     kTrusted,
     "fresh",
     "ok",
     "0 us old"},
    {"clock_before_the_newest_event", {}, {}, -1, kUnknown, "fresh", "unknown", "clock"},
    {"clock_back_and_nothing_to_age",
     [](R& r) {
       r.max_age_us.reset();
       r.completeness.reset();
     },
     {},
     -1,
     kTrusted,
     "fresh",
     "absent",
     ""},
    {"check_failed", check_says("fail"), {}, 0, kUntrusted, "verified", "fail", "3 rows"},
    {"check_error", check_says("error"), {}, 0, kUntrusted, "verified", "error", ""},
    {"check_warns", check_says("warn"), {}, 0, kDegraded, "verified", "warn", "unique(a)"},
    {"check_skipped", check_says("skip"), {}, 0, kUnknown, "verified", "skip", ""},
    {"check_of_no_known_outcome",
     check_says("perhaps"),
     {},
     0,
     kUnknown,
     "verified",
     "unknown",
     ""},
    {"check_baseline", check_says("baseline"), {}, 0, kTrusted, "verified", "ok", "baseline"},
    {"no_checks", [](R& r) { r.checks.clear(); }, {}, 0, kTrusted, "verified", "ok", "no checks"},
    {"warn_and_unknown_is_unknown",
     [](R& r) {
       check_says("warn")(r);
       check_says("skip")(r);
     },
     {},
     0,
     kUnknown,
     "verified",
     "skip",
     ""},
    {"warn_and_too_old_is_untrusted",
     check_says("warn"),
     {},
     2 * kDayUs,
     kUntrusted,
     "verified",
     "warn",
     ""},
    {"rejected_but_standing",
     {},
     [](World& w) {
       w.add("generation_rejected",
             R"({"output":"out","generation":"000001-abcd","identity":"id-1"})");
     },
     0,
     kUntrusted,
     "verified",
     "fail",
     "rejected"},
    {"touched_but_equal",
     {},
     [](World& w) { overwrite(w, "part-1.parquet", "out 1 part-1.parquet"); },
     0,
     kTrusted,
     "intact",
     "ok",
     "hash just now"},
    {"altered_at_equal_size",
     {},
     [](World& w) { overwrite(w, "part-1.parquet", "out 1 part-1.parqueX"); },
     0,
     kUntrusted,
     "intact",
     "fail",
     "altered"},
    {"altered_in_size",
     {},
     [](World& w) { overwrite(w, "part-2.parquet", "x"); },
     0,
     kUntrusted,
     "intact",
     "fail",
     "bytes instead of"},
    {"file_missing",
     {},
     [](World& w) { ASSERT_TRUE(w.effects.unlink(w.file("out", "part-2.parquet"))); },
     0,
     kUntrusted,
     "intact",
     "fail",
     "part-2.parquet is missing"},
    {"file_replaced_by_a_link",
     {},
     [](World& w) {
       ASSERT_TRUE(w.effects.rename(w.file("out", "part-1.parquet"), w.base + "/moved"));
       ASSERT_TRUE(w.effects.symlink(w.base + "/moved", w.file("out", "part-1.parquet")));
     },
     0,
     kUntrusted,
     "intact",
     "fail",
     "no regular file"},
    {"file_added",
     {},
     [](World& w) { overwrite(w, "part-3.parquet", "x"); },
     0,
     kUntrusted,
     "intact",
     "fail",
     "does not belong"},
    {"manifest_altered",
     {},
     [](World& w) { overwrite(w, "manifest.json", "{ }"); },
     0,
     kUntrusted,
     "intact",
     "fail",
     "manifest.json was altered"},
    {"generation_gone",
     {},
     [](World& w) {
       ASSERT_TRUE(
           remove_tree(w.effects, generation_directory(w.root("out"), World::generation(1))));
     },
     0,
     kUntrusted,
     "intact",
     "fail",
     "missing"},
    {"file_unreadable",
     {},
     [](World& w) {
       overwrite(w, "part-1.parquet", "out 1 part-1.parquet");  // so that it must be hashed
       w.effects.before = [](const std::string& call, const std::string& path) -> Status {
         if (call == "open" && path.ends_with("part-1.parquet"))
           return fail(FailureClass::kDependency, "file.denied", "denied");
         return {};
       };
     },
     0,
     kUnknown,
     "intact",
     "unknown",
     "cannot be read"},
    {"device_fails",
     {},
     [](World& w) {
       overwrite(w, "part-1.parquet", "out 1 part-1.parquet");
       w.effects.before = [](const std::string& call, const std::string& path) -> Status {
         if (call == "pread" && path.ends_with("part-1.parquet"))
           return fail(FailureClass::kDisk, "disk.io", "I/O error");
         return {};
       };
     },
     0,
     kUntrusted,
     "intact",
     "error",
     "cannot be read"},
    {"last_audit_found_damage",
     {},
     [](World& w) {
       w.add("output_reaudited", R"({"output":"out","generation":"000001-abcd","hashed_us":1,)"
                                 R"("files":[],"broken":"part-1 was altered"})");
     },
     0,
     kUntrusted,
     "intact",
     "fail",
     ""},
    {"current_leads_elsewhere",
     {},
     [](World& w) {
       ASSERT_TRUE(w.effects.unlink(w.root("out") + "/current"));
       ASSERT_TRUE(w.effects.symlink("log", w.root("out") + "/current"));
     },
     0,
     kUnknown,
     "unbroken",
     "unknown",
     "another generation"},
    {"current_is_missing",
     {},
     [](World& w) { ASSERT_TRUE(w.effects.unlink(w.root("out") + "/current")); },
     0,
     kUnknown,
     "unbroken",
     "unknown",
     "nowhere"},
    {"log_says_otherwise",
     {},
     [](World& w) {
       R r = *generation_record_from_json(**w.journal->output_record("out"));
       r.number = 2;
       r.generation = World::generation(2);
       ASSERT_TRUE(make_directories(w.effects, generation_directory(w.root("out"), r.generation)));
       w.commit(r);
     },
     0,
     kUnknown,
     "unbroken",
     "unknown",
     "commit log says that 000002-abcd stands"},
    {"log_is_missing",
     {},
     [](World& w) { ASSERT_TRUE(remove_tree(w.effects, w.root("out") + "/log")); },
     0,
     kUnknown,
     "unbroken",
     "unknown",
     "commit log"},
    {"journal_recovered",
     {},
     [](World& w) { w.add("journal_recovered", R"({"lost":"x","kept_events":1})"); },
     0,
     kUnknown,
     "unbroken",
     "unknown",
     "tidegate audit out"},
    {"state_imported",
     {},
     [](World& w) { w.add("state_imported", R"({"from":"elsewhere"})"); },
     0,
     kUnknown,
     "unbroken",
     "unknown",
     "imported"},
    {"upstream_trusted", from_upstream, upstream_is({}), 0, kTrusted, "upstream", "ok",
     "up is TRUSTED"},
    {"upstream_warns", from_upstream, upstream_is(check_says("warn")), 0, kDegraded, "upstream",
     "warn", "up is DEGRADED"},
    {"upstream_fails", from_upstream, upstream_is(check_says("fail")), 0, kUntrusted, "upstream",
     "fail", "up is UNTRUSTED"},
    {"upstream_unknown", from_upstream, upstream_is(check_says("skip")), 0, kUnknown, "upstream",
     "unknown", "up is UNKNOWN"},
    {"upstream_of_no_record", from_upstream, {}, 0, kUnknown, "upstream", "unknown", ""},
    {"upstream_moved_on", from_upstream, upstream_is({}, true), 0, kDegraded, "upstream", "warn",
     "stands at 000002-abcd now"},
    {"upstream_was_rejected", from_upstream,
     [](World& w) {
       upstream_is({}, true)(w);
       w.add("generation_rejected",
             R"({"output":"up","generation":"000001-abcd","identity":"id-1"})");
     },
     0, kUntrusted, "upstream", "fail", "rejected since"},
    {"made_from_itself",
     [](R& r) {
       from_upstream(r);
       r.sources.back().upstream_output = "out";
     },
     {},
     0,
     kUnknown,
     "unbroken",
     "unknown",
     "made from itself"},
};

class TrustScenarios : public ::testing::TestWithParam<Scenario> {};

TEST_P(TrustScenarios, AreJudgedByTheRules) {
  const Scenario& s = GetParam();
  World w;
  w.publish("out", 1, s.change);
  if (s.after) s.after(w);
  w.effects.time_us += s.later_us;
  const TrustAnswer answer = w.ask();
  EXPECT_EQ(answer.verdict, s.verdict) << render(answer, false);
  const TrustPart part = part_of(answer, s.part);
  EXPECT_EQ(part.status, s.status) << render(answer, false);
  EXPECT_NE(part.message.find(s.says), std::string::npos) << render(answer, false);
  EXPECT_EQ(answer.generation, World::generation(1));
  EXPECT_NE(part_of(answer, "verified").status, "absent");
  EXPECT_NE(part_of(answer, "intact").status, "absent");
  if (answer.watermark_us) EXPECT_LE(*answer.watermark_us, w.effects.time_us);
  if (answer.changes_at_us) {
    EXPECT_GT(*answer.changes_at_us, w.effects.time_us);
    w.effects.time_us = *answer.changes_at_us - 1;
    EXPECT_EQ(w.ask().verdict, answer.verdict) << "not before the time it said";
    w.effects.time_us = *answer.changes_at_us;
    EXPECT_EQ(to_string(w.ask().verdict), answer.changes_to) << "at the time it said";
  }
}

INSTANTIATE_TEST_SUITE_P(All, TrustScenarios, ::testing::ValuesIn(kScenarios),
                         [](const auto& param) { return param.param.name; });

TEST(Trust, SaysWhenItChangesByItself) {
  World w;
  w.publish();
  const TrustAnswer answer = w.ask();
  EXPECT_EQ(answer.changes_at_us, kNowUs + kDayUs + 1);
  EXPECT_EQ(answer.changes_to, "UNTRUSTED");
  EXPECT_EQ(answer.watermark_us, kNowUs);
  EXPECT_EQ(answer.path, generation_directory(w.root("out"), World::generation(1)));
}

TEST(Trust, AnOutputThatTheJournalDoesNotKnowIsUnknown) {
  World w;
  const TrustAnswer answer = w.ask("ghost");
  EXPECT_EQ(answer.verdict, kUnknown);
  EXPECT_NE(part_of(answer, "unbroken").message.find("tidegate audit ghost"), std::string::npos);
  EXPECT_TRUE(judge(w.effects, *w.journal, {}, {})->empty());
}

TEST(Trust, ALostJournalTrustsNothing) {
  World w;
  w.publish();
  w.journal.reset();
  ASSERT_TRUE(w.effects.unlink(w.base + "/state/journal.db"));
  w.open(Journal::Mode::kRead);
  EXPECT_EQ(w.ask().verdict, kUnknown);
  EXPECT_EQ(judge(w.effects, *w.journal, {}, {}).error().code, "trust.nothing_known");
}

TEST(Trust, ADamagedJournalNeverTrusts) {
  World w;
  w.publish();
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(w.journal->append("fact_set", "", R"({"key":"k","value":"1"})"));
  ASSERT_TRUE(w.journal->commit());
  ASSERT_EQ(w.ask().verdict, kTrusted);
  w.journal.reset();
  const std::string path = w.base + "/state/journal.db";
  const std::string intact = *read_file(real_effects(), path);
  int doubted = 0;
  for (size_t cut = 0; cut + 1 < intact.size(); cut += 4096) {
    ASSERT_TRUE(write_file(real_effects(), path, intact.substr(0, cut)));
    auto journal = Journal::open(w.effects, w.base + "/state", Journal::Mode::kRead);
    ++doubted;
    if (!journal) continue;
    auto answers = judge(w.effects, **journal, {"out"}, {});
    ASSERT_TRUE(answers);
    EXPECT_NE(answers->at(0).verdict, kTrusted) << "cut at " << cut;
  }
  EXPECT_GT(doubted, 5);
}

TEST(Trust, VerifyHashesEveryByte) {
  World w;
  w.publish();
  // Altered with all that stat shows put into the record: only reading finds it.
  ASSERT_TRUE(write_file(w.effects, w.file("out", "part-1.parquet"), "out 1 part-1.parqueX", 0444));
  GenerationRecord r = *generation_record_from_json(**w.journal->output_record("out"));
  ASSERT_TRUE(take_stats(w.effects, r));
  w.add("output_published", to_json(r));
  EXPECT_EQ(w.ask().verdict, kTrusted);
  TrustOptions verify;
  verify.verify_bytes = true;
  EXPECT_EQ(w.ask("out", verify).verdict, kUntrusted);
}

TEST(Trust, AnswersForThePastFromTheJournalAlone) {
  World w;
  w.publish("out", 1);
  w.effects.time_us += kHourUs;
  w.publish("out", 2, check_says("warn"));
  w.effects.time_us += 10 * kDayUs;
  ASSERT_TRUE(remove_tree(w.effects, w.root("out")));
  const auto at = [&](int64_t time) {
    TrustOptions options;
    options.at_us = time;
    return w.ask("out", options);
  };
  EXPECT_EQ(at(kNowUs - 1).verdict, kUnknown);
  EXPECT_EQ(at(kNowUs).verdict, kTrusted);
  EXPECT_EQ(at(kNowUs).generation, World::generation(1));
  EXPECT_NE(part_of(at(kNowUs), "intact").message.find("journal alone"), std::string::npos);
  EXPECT_EQ(at(kNowUs + kHourUs).verdict, kDegraded);
  EXPECT_EQ(at(kNowUs + 2 * kDayUs).verdict, kUntrusted);
  TrustOptions future;
  future.at_us = w.effects.time_us + 1;
  EXPECT_EQ(judge(w.effects, *w.journal, {"out"}, future).error().code, "trust.future");
}

TEST(Trust, ARollbackIsJudgedByTheGenerationThatStands) {
  World w;
  w.publish("out", 1);
  w.publish("out", 2, check_says("fail"));
  EXPECT_EQ(w.ask().verdict, kUntrusted);
  w.commit(
      *generation_record_from_json(**w.journal->generation_record("out", World::generation(1))));
  w.add("output_rolled_back", R"({"output":"out","from":"000002-abcd","to":"000001-abcd"})");
  const TrustAnswer answer = w.ask();
  EXPECT_EQ(answer.verdict, kTrusted) << render(answer, false);
  EXPECT_EQ(answer.generation, World::generation(1));
}

TEST(Trust, AChainOfOutputsIsBounded) {
  World w;
  constexpr int kChain = 70;
  for (int i = 0; i < kChain; ++i) {
    w.publish(fmt::format("o{}", i), 1, [&](R& r) {
      if (i == 0) return;
      from_upstream(r);
      r.sources.back().upstream_output = fmt::format("o{}", i - 1);
    });
  }
  EXPECT_EQ(w.ask("o40").verdict, kTrusted);
  EXPECT_EQ(w.ask("o69").verdict, kUnknown);
}

TEST(Trust, AWorsePartNeverImproves) {
  const std::vector<std::string> statuses = {"ok",   "warn",  "unknown", "skip",
                                             "fail", "error", "nonsense"};
  const auto badness = [](Verdict v) {
    return v == kTrusted ? 0 : v == kDegraded ? 1 : v == kUnknown ? 2 : 3;
  };
  const auto worse = [](const std::string& s) {
    return s == "ok" ? 0 : s == "warn" ? 1 : (s == "fail" || s == "error") ? 3 : 2;
  };
  EXPECT_EQ(verdict_of({}), kUnknown);
  const size_t n = statuses.size();
  for (size_t code = 0; code < n * n * n * n; ++code) {
    std::vector<TrustPart> parts;
    for (size_t rest = code, i = 0; i < 4; ++i, rest /= n)
      parts.push_back({"p", statuses[rest % n], ""});
    int worst = 0;
    for (const TrustPart& part : parts) worst = std::max(worst, worse(part.status));
    const Verdict verdict = verdict_of(parts);
    ASSERT_EQ(badness(verdict), worst);
    for (const std::string& status : statuses) {
      std::vector<TrustPart> more = parts;
      more.push_back({"p", status, ""});
      ASSERT_GE(badness(verdict_of(more)), badness(verdict));
      for (TrustPart& part : more) {
        if (worse(status) < worse(part.status)) continue;
        const std::string before = std::exchange(part.status, status);
        ASSERT_GE(badness(verdict_of(more)), badness(verdict));
        part.status = before;
      }
    }
  }
}

TEST(Trust, RendersTheDocumentOfTheDesign) {
  World w;
  w.publish();
  const auto document = nlohmann::json::parse(render_json({w.ask(), w.ask("ghost")}));
  ASSERT_EQ(document.size(), 1u);
  const auto& one = document["outputs"][0];
  std::vector<std::string> keys;
  for (const auto& [key, value] : one.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"changes_at", "generation", "output", "reasons",
                                            "verdict", "watermark"}));
  EXPECT_EQ(one["verdict"], "TRUSTED");
  EXPECT_EQ(one["watermark"], format_timestamp_us(kNowUs));
  EXPECT_EQ(one["reasons"][0].size(), 3u);
  EXPECT_EQ(one["reasons"][0]["part"], "fresh");
  EXPECT_TRUE(document["outputs"][1]["generation"].is_null());
  EXPECT_TRUE(document["outputs"][1]["changes_at"].is_null());
  const std::string text = render(w.ask(), false);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("becomes UNTRUSTED"), std::string::npos);
  EXPECT_NE(render(w.ask(), true).find('\x1b'), std::string::npos);
}

TEST(Trust, NeverLoadsDuckdb) {
  World w;
  w.publish();
  (void)w.ask();
  EXPECT_EQ(::dlopen("libduckdb.so", RTLD_NOLOAD | RTLD_LAZY), nullptr);
}

}  // namespace
}  // namespace tidegate
