#include <gtest/gtest.h>

#include "trust/trust.h"
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

std::ostream& operator<<(std::ostream& out, const Scenario& s) { return out << s.name; }

using R = GenerationRecord;

World::Change only_source(const SourceArrival& a) {
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

std::function<void(World&)> upstream_is(const World::Change& change, bool newer = false) {
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

}  // namespace
}  // namespace tidegate
