#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/hash.h"
#include "journal/journal.h"
#include "journal/records.h"
#include "publish/audit.h"
#include "publish/commit_log.h"
#include "publish/place.h"
#include "store/wrapped_effects.h"
#include "trust/trust.h"

namespace tidegate {

inline constexpr int64_t kHourUs = int64_t{3600} * 1'000'000;
inline constexpr int64_t kDayUs = 24 * kHourUs;
/// A midnight: 2023-11-14.
inline constexpr int64_t kNowUs = int64_t{19'675} * kDayUs;

inline constexpr auto kTrusted = Verdict::kTrusted;
inline constexpr auto kDegraded = Verdict::kDegraded;
inline constexpr auto kUntrusted = Verdict::kUntrusted;
inline constexpr auto kUnknown = Verdict::kUnknown;

/// Ten days of a daily source, all there, the last one ended just now.
inline SourceArrival daily_source() {
  SourceArrival a;
  a.source = "flights";
  a.known_by = "arrives";
  a.every_us = kDayUs;
  a.arrives_from_us = kNowUs - 10 * kDayUs;
  a.expected = a.arrived = 10;
  a.rows_read = 1000;
  a.complete_to_us = kNowUs;
  return a;
}

/// A state directory and published outputs with a clock that stands.
class World {
 public:
  using Change = std::function<void(GenerationRecord&)>;

  World() : effects(real_effects()) {
    char name[] = "/tmp/tidegate-trust-XXXXXX";
    base = ::mkdtemp(name);
    effects.time_us = kNowUs;
    open();
  }
  ~World() {
    journal.reset();
    (void)remove_tree(real_effects(), base);
  }

  void open(Journal::Mode mode = Journal::Mode::kWrite) {
    journal.reset();
    auto opened = Journal::open(effects, base + "/state", mode);
    ASSERT_TRUE(opened) << opened.error().describe();
    journal = std::move(*opened);
  }

  std::string root(const std::string& output) const { return base + "/published/" + output; }
  std::string file(const std::string& output, const std::string& name, uint64_t number = 1) const {
    return generation_directory(root(output), generation(number)) + "/" + name;
  }
  static std::string generation(uint64_t number) { return fmt::format("{:06}-abcd", number); }

  /// A TRUSTED generation, changed by `change` before it is journaled.
  void publish(const std::string& output = "out", uint64_t number = 1, const Change& change = {}) {
    GenerationRecord r;
    r.output = output;
    r.pipeline = "p";
    r.publish_root = root(output);
    r.number = number;
    r.generation = generation(number);
    r.state = "published";
    r.identity = fmt::format("id-{}", number);
    r.published_us = r.hashed_us = effects.time_us;
    r.max_age_us = kDayUs;
    r.completeness = 0.999;
    r.checks.push_back({"rows", "rows", "pass", 0, 10, 0, "10 rows"});
    r.sources.push_back(daily_source());
    const std::string directory = generation_directory(r.publish_root, r.generation);
    ASSERT_TRUE(claim_place(effects, {output, r.publish_root}, {"5ca1ab1e5ca1ab1e", "p", output}));
    ASSERT_TRUE(make_directories(effects, directory));
    for (const std::string name : {"part-1.parquet", "part-2.parquet"}) {
      const std::string bytes = fmt::format("{} {} {}", output, number, name);
      ASSERT_TRUE(write_file(effects, path_join(directory, name), bytes, 0444));
      r.files.push_back({name, 5, bytes.size(), hex64(xxh3_64(bytes)), {}});
    }
    ASSERT_TRUE(write_file(effects, directory + "/manifest.json", "{}", 0444));
    r.manifest_xxh3 = hex64(xxh3_64("{}"));
    ASSERT_TRUE(take_stats(effects, r));
    if (change) change(r);
    commit(r);
    add("output_published", to_json(r));
  }

  /// An entry of the commit log that says that `r` stands.
  void commit(const GenerationRecord& r) {
    const Site site = site_of(r.publish_root, {"5ca1ab1e5ca1ab1e", "p", r.output});
    ASSERT_TRUE(make_directories(effects, site.log()));
    CommitLog log(effects, site.log());
    auto numbers = log.numbers();
    Commit c;
    c.previous = numbers && !numbers->empty() ? numbers->back() : 0;
    c.number = std::max(r.number, c.previous + 1);
    c.committed_us = effects.time_us;
    c.members.push_back({r.output, path_basename(r.publish_root), r});
    auto won = log.append(c);
    ASSERT_TRUE(won && *won) << (won ? "lost" : won.error().describe());
    ASSERT_TRUE(settle_newest(effects, site));
  }

  void add(std::string_view type, const std::string& data) {
    auto done = journal->append(type, "r", data);
    ASSERT_TRUE(done) << done.error().describe();
    ASSERT_TRUE(journal->commit());
  }

  TrustAnswer ask(const std::string& output = "out", const TrustOptions& options = {}) {
    auto answers = judge(effects, *journal, {output}, options);
    EXPECT_TRUE(answers) << (answers ? "" : answers.error().describe());
    return answers ? answers->at(0) : TrustAnswer{};
  }

  WrappedEffects effects;
  std::string base;
  std::unique_ptr<Journal> journal;
};

inline TrustPart part_of(const TrustAnswer& answer, std::string_view name) {
  for (const TrustPart& part : answer.reasons)
    if (part.part == name) return part;
  return {std::string(name), "absent", ""};
}

/// A change of a record: one check of it has that status.
inline World::Change check_says(const char* status) {
  return [=](GenerationRecord& r) {
    r.checks.push_back({"unique(a)", "unique", status, 3, 10, 0, "3 rows"});
  };
}

/// A change of a record: it is made from the first generation of the output `up`, too.
inline void from_upstream(GenerationRecord& r) {
  SourceArrival a;
  a.source = "up";
  a.known_by = "output";
  a.upstream_output = "up";
  a.upstream_generation = World::generation(1);
  a.complete_to_us = kNowUs;
  r.sources.push_back(a);
}

}  // namespace tidegate
