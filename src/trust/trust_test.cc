#include "trust/trust.h"

#include <gtest/gtest.h>

#include <dlfcn.h>

#include <nlohmann/json.hpp>

#include "base/units.h"
#include "trust/trust_fixture.h"

namespace tidegate {
namespace {

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
    w.publish(fmt::format("o{}", i), 1, [&](GenerationRecord& r) {
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
