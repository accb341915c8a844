#include "source/arrival.h"

#include "base/hash.h"
#include "base/units.h"
#include "source/source_fixture.h"

namespace tidegate {
namespace {

int64_t at(const char* text) { return *parse_timestamp_us(text); }

class Arrival : public SourceFixture {
 protected:
  Source daily(const std::string& pattern = "day={date}") {
    Source s = source("**/*.parquet");
    s.arrives = Arrives{};
    s.arrives->every_us = {24 * int64_t{3'600'000'000}, {1, 2}};
    s.arrives->path = {pattern, {3, 4}};
    return s;
  }
  void day(const std::string& name) { copy("SELECT 1 AS a", name + "/x.parquet"); }
};

TEST_F(Arrival, CountsPeriodsAndGaps) {
  for (const char* name : {"day=2001-01-01", "day=2001-01-02", "day=2001-01-04"}) day(name);
  Source s = daily();
  s.arrives->from_us = {at("2001-01-01"), {}};
  s.arrives->to_us = {at("2001-01-05"), {}};
  const SourceArrival arrival = good(s).arrival;
  EXPECT_EQ(arrival.known_by, "arrives");
  EXPECT_EQ(arrival.expected, 5u);
  EXPECT_EQ(arrival.arrived, 3u);
  EXPECT_EQ(arrival.missing, (std::vector<std::string>{"day=2001-01-03", "day=2001-01-05"}));
  EXPECT_EQ(*arrival.complete_to_us, at("2001-01-03"));
  EXPECT_EQ(*arrival.arrives_from_us, at("2001-01-01"));
}

TEST_F(Arrival, FirstMissingMeansNothingIsComplete) {
  day("day=2001-01-02");
  Source s = daily();
  s.arrives->from_us = {at("2001-01-01"), {}};
  s.arrives->to_us = {at("2001-01-02"), {}};
  EXPECT_EQ(*good(s).arrival.complete_to_us, at("2001-01-01"));
}

TEST_F(Arrival, WithoutFromTheEarliestIsTheBeginningAndNowTheEnd) {
  day("day=2026-01-01");
  day("day=2026-01-02");
  Source s = daily();
  options_.now_us = at("2026-01-04T12:00:00Z");  // the 4th has not ended
  const SourceArrival arrival = good(s).arrival;
  EXPECT_EQ(arrival.expected, 3u);
  EXPECT_EQ(arrival.missing, std::vector<std::string>{"day=2026-01-03"});
  EXPECT_EQ(*arrival.complete_to_us, at("2026-01-03"));
}

TEST_F(Arrival, HoursAndSplitTemplates) {
  for (const char* name : {"2001/01/01/00", "2001/01/01/01", "2001/01/01/011"}) day(name);
  Source s = daily("{year}/{month}/{day}/{hour}");
  s.arrives->every_us.value = int64_t{3'600'000'000};
  s.arrives->to_us = {at("2001-01-01T02:00:00Z"), {}};
  const SourceArrival arrival = good(s).arrival;
  EXPECT_EQ(arrival.expected, 3u);
  EXPECT_EQ(arrival.arrived, 2u);
  EXPECT_EQ(*arrival.complete_to_us, at("2001-01-01T02:00:00Z"));
  EXPECT_EQ(arrival.missing, std::vector<std::string>{"2001/01/01/02"});
}

TEST_F(Arrival, TemplateThatFitsNoFile) {
  day("date=2001-01-01");
  EXPECT_FALSE(look(daily("dt={date}")).has_value());
  EXPECT_TRUE(says("T0629")) << said();
}

TEST_F(Arrival, AtMostTenMissingAreNamed) {
  day("day=2001-01-01");
  Source s = daily();
  s.arrives->to_us = {at("2001-03-01"), {}};
  EXPECT_EQ(good(s).arrival.missing.size(), 10u);
}

class Manifests : public SourceFixture {
 protected:
  void SetUp() override {
    SourceFixture::SetUp();
    copy("SELECT i FROM range(3) t(i)", "data/a.parquet");
    copy("SELECT i FROM range(4) t(i)", "data/b.parquet");
  }
  Source listed(const std::string& json) {
    write("data/manifest.json", json);
    Source s = source("data/*.parquet");
    s.manifest = SourceManifest{{"data/manifest.json", {40, 60}}};
    return s;
  }
};

TEST_F(Manifests, DecidesTheFiles) {
  const auto snapshot = good(
      listed(R"({"files":[{"path":"a.parquet","rows":3}],"complete_to":"2001-07-01T00:00:00Z"})"));
  ASSERT_EQ(snapshot.files.size(), 1u);
  EXPECT_TRUE(says("1 files are not in the manifest")) << said();
  EXPECT_EQ(snapshot.arrival.known_by, "manifest");
  EXPECT_EQ(snapshot.arrival.expected, 3u);
  EXPECT_EQ(snapshot.arrival.arrived, 3u);
  EXPECT_EQ(*snapshot.arrival.complete_to_us, at("2001-07-01"));
}

TEST_F(Manifests, CompleteToIsNeverLaterThanNow) {
  options_.now_us = at("2026-05-01");
  const auto snapshot = good(listed(
      R"({"files":[{"path":"a.parquet"},{"path":"b.parquet"}],"complete_to":"2030-01-01"})"));
  EXPECT_EQ(*snapshot.arrival.complete_to_us, at("2026-05-01"));
}

TEST_F(Manifests, Checksums) {
  const std::string bytes = *read_file(effects_, path("data/a.parquet"));
  const std::string sha = sha256_hex(bytes), xxh = hex64(xxh3_64(bytes));
  good(listed(R"({"files":[{"path":"a.parquet","rows":3,"sha256":")" + sha + "\"}]}"));
  good(listed(R"({"files":[{"path":"a.parquet","xxh3":")" + xxh + "\"}]}"));
  EXPECT_FALSE(
      look(listed(R"({"files":[{"path":"b.parquet","xxh3":")" + xxh + "\"}]}")).has_value());
  EXPECT_TRUE(says("T0628")) << said();
}

TEST_F(Manifests, WhatIsWrong) {
  const auto wrong = [&](const std::string& json, const std::string& said_part) {
    EXPECT_FALSE(look(listed(json)).has_value()) << json;
    EXPECT_TRUE(says(said_part)) << said();
  };
  wrong("{", "T0626");
  wrong("[]", "T0626");
  wrong(R"({"files":[{"rows":1}]})", "has no \"path\"");
  wrong(R"({"files":[{"path":"a.parquet","rows":-1}]})", "not a count");
  wrong(R"({"files":[{"path":"a.parquet"},{"path":"./a.parquet"}]})", "twice");
  wrong(R"({"files":[{"path":"c.parquet","rows":1}]})", "T0627");
  wrong(R"({"files":[{"path":"a.parquet","rows":4}]})", "T0628");
  wrong(R"({"files":[{"path":"a.parquet"}],"complete_to":"soon"})", "complete_to");
  Source s = listed("{}");
  s.manifest->path.value = "nowhere.json";
  EXPECT_FALSE(look(s).has_value());
  EXPECT_TRUE(says("T0625")) << said();
}

}  // namespace
}  // namespace tidegate
