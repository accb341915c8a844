#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/effects.h"
#include "base/failure.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"

namespace tidegate {
namespace {

TEST(Units, Sizes) {
  EXPECT_EQ(*parse_size("512MiB"), uint64_t{512} << 20);
  EXPECT_EQ(*parse_size("1.5 GiB"), uint64_t{3} << 29);
  EXPECT_EQ(*parse_size("1GB"), 1'000'000'000u);
  EXPECT_EQ(*parse_size("0B"), 0u);
  for (const char* bad : {"512", "MiB", "1gib", "-1MiB", "", "1e3MiB", "9999999999TiB"})
    EXPECT_FALSE(parse_size(bad)) << bad;
  EXPECT_NE(parse_size("512").error().message.find("512MiB"), std::string::npos);
}

TEST(Units, Durations) {
  EXPECT_EQ(*parse_duration_us("24h"), int64_t{86'400} * 1'000'000);
  EXPECT_EQ(*parse_duration_us("1d12h"), int64_t{129'600} * 1'000'000);
  EXPECT_EQ(*parse_duration_us("1.5s"), 1'500'000);
  for (const char* bad : {"24", "h", "", "1y", "1h2"}) EXPECT_FALSE(parse_duration_us(bad)) << bad;
}

TEST(Units, Percents) {
  EXPECT_DOUBLE_EQ(*parse_percent("99.9%"), 0.999);
  EXPECT_DOUBLE_EQ(*parse_percent("100%"), 1.0);
  for (const char* bad : {"0.5", "101%", "%", "a%"}) EXPECT_FALSE(parse_percent(bad)) << bad;
}

TEST(Units, TimesGoThereAndBack) {
  for (const char* text :
       {"1970-01-01T00:00:00Z", "2001-06-30T12:34:56Z", "1969-12-31T23:59:59.999999Z",
        "2024-02-29T00:00:00Z", "0001-01-01T00:00:00Z"})
    EXPECT_EQ(format_timestamp_us(*parse_timestamp_us(text)), text);
  bool date_only = false;
  EXPECT_EQ(format_date_us(*parse_timestamp_us("2001-06-30", &date_only)), "2001-06-30");
  EXPECT_TRUE(date_only);
  EXPECT_EQ(*parse_timestamp_us("2001-06-30T12:00:00+02:00"),
            *parse_timestamp_us("2001-06-30 10:00:00"));
  for (const char* bad :
       {"2001-02-30", "2001-6-30", "2001-06-30T25:00:00", "x", "2001-06-30T12:00:00+2"})
    EXPECT_FALSE(parse_timestamp_us(bad)) << bad;
}

TEST(Units, Formats) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(uint64_t{3} << 29), "1.50 GiB");
  EXPECT_EQ(format_count(3000000), "3,000,000");
  EXPECT_EQ(format_duration_us(1'500'000), "1.5 s");
  EXPECT_EQ(format_duration_us(int64_t{125} * 60 * 1'000'000), "2 h 05 min");
}

TEST(Hash, Sha256IsTheStandardOne) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Hash, IdentityIsFramed) {
  EXPECT_NE(IdentityHash().add("ab").add("c").hex(), IdentityHash().add("a").add("bc").hex());
  EXPECT_NE(IdentityHash().add(uint64_t{1}).hex(), IdentityHash().add("1").hex());
}

TEST(Hash, HexGoesThereAndBack) {
  uint64_t value = 0;
  ASSERT_TRUE(parse_hex64(hex64(0x0123456789abcdef), value));
  EXPECT_EQ(value, 0x0123456789abcdefu);
  EXPECT_FALSE(parse_hex64("xyz", value));
}

TEST(Text, Quotes) {
  EXPECT_EQ(quote_identifier("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(quote_literal("it's"), "'it''s'");
  EXPECT_EQ(quote_json("a\"\\\n\x01\xff"), "\"a\\\"\\\\\\n\\u0001\xEF\xBF\xBD\"");
}

TEST(Text, WithoutControl) {
  EXPECT_EQ(without_control("a\x1b[31m\rb\x7f\tc\n"), "a.[31m.b.\tc\n");
  EXPECT_EQ(without_control("\u00e9\u009b2J\u00a0\xC2"), "\u00e9.2J\u00a0\xC2");
}

TEST(Text, DidYouMean) {
  EXPECT_EQ(did_you_mean("origni", {"origin", "destination"}), "origin");
  EXPECT_EQ(did_you_mean("zzz", {"origin", "destination"}), "");
  EXPECT_EQ(edit_distance("ab", "ba"), 1u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
}

TEST(Text, Globs) {
  EXPECT_TRUE(glob_match("a/*.parquet", "a/b.parquet"));
  EXPECT_FALSE(glob_match("a/*.parquet", "a/c/b.parquet"));
  EXPECT_TRUE(glob_match("a/**/*.parquet", "a/c/d/b.parquet"));
  EXPECT_TRUE(glob_match("a/**/*.parquet", "a/b.parquet"));
  EXPECT_TRUE(glob_match("day=[0-9]?", "day=31"));
  EXPECT_FALSE(glob_match("day=[!0-9]", "day=3"));
}

TEST(Paths, Absolute) {
  EXPECT_EQ(path_absolute("../x/./y", "/a/b"), "/a/x/y");
  EXPECT_EQ(path_absolute("/x", "/a/b"), "/x");
  EXPECT_EQ(path_absolute("../../..", "/a/b"), "/");
}

class EffectsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tidegate-base-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(real_effects(), dir_)); }
  std::string dir_;
};

TEST_F(EffectsTest, WritesAndReadsBack) {
  Effects& effects = real_effects();
  const std::string path = dir_ + "/deep/er/file";
  ASSERT_TRUE(make_directories(effects, dir_ + "/deep/er"));
  for (size_t size : {size_t{0}, size_t{1}, size_t{3'000'000}}) {
    const std::string bytes(size, 'x');
    ASSERT_TRUE(write_file(effects, path, bytes, 0644, true));
    EXPECT_EQ(*read_file(effects, path), bytes);
  }
  EXPECT_EQ(read_file(effects, path, 1000).error().code, "file.too_large");
  EXPECT_EQ(effects.list(dir_ + "/deep/er")->size(), 1u) << "nothing is left aside";
}

TEST_F(EffectsTest, ErrorsHaveClassesAndPaths) {
  Effects& effects = real_effects();
  const auto missing = read_file(effects, dir_ + "/none");
  ASSERT_FALSE(missing);
  EXPECT_TRUE(is_not_found(missing.error()));
  EXPECT_NE(missing.error().message.find("/none"), std::string::npos);
  EXPECT_EQ(read_file(effects, dir_).error().code, "file.is_directory");
  ASSERT_TRUE(write_file(effects, dir_ + "/a", "a"));
  ASSERT_TRUE(effects.link(dir_ + "/a", dir_ + "/b"));
  EXPECT_TRUE(is_exists(effects.link(dir_ + "/a", dir_ + "/b").error()));
  EXPECT_EQ(effects.stat("/dev/full")->is_regular, false);
  const auto full = effects.open("/dev/full", O_WRONLY);
  ASSERT_TRUE(full);
  Fd fd(effects, *full);
  const char byte = 'x';
  const auto status = effects.pwrite(*full, std::as_bytes(std::span(&byte, 1)), 0);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().cls, FailureClass::kDisk);
  EXPECT_EQ(status.error().code, "disk.no_space");
}

TEST_F(EffectsTest, RemoveTreeDoesNotFollowLinks) {
  Effects& effects = real_effects();
  ASSERT_TRUE(make_directories(effects, dir_ + "/keep"));
  ASSERT_TRUE(write_file(effects, dir_ + "/keep/file", "x"));
  ASSERT_TRUE(make_directories(effects, dir_ + "/gone"));
  ASSERT_TRUE(effects.symlink("../keep", dir_ + "/gone/link"));
  ASSERT_TRUE(remove_tree(effects, dir_ + "/gone"));
  EXPECT_FALSE(exists(effects, dir_ + "/gone"));
  EXPECT_TRUE(exists(effects, dir_ + "/keep/file"));
  EXPECT_TRUE(remove_tree(effects, dir_ + "/never"));
}

TEST_F(EffectsTest, OneLockHolder) {
  Effects& effects = real_effects();
  Fd first(effects, *effects.open(dir_ + "/lock", O_RDWR | O_CREAT));
  Fd second(effects, *effects.open(dir_ + "/lock", O_RDWR | O_CREAT));
  EXPECT_TRUE(*effects.try_lock(first.get()));
  EXPECT_FALSE(*effects.try_lock(second.get()));
  first.reset();
  EXPECT_TRUE(*effects.try_lock(second.get()));
}

TEST(Failures, CausesAreTold) {
  const Failure cause = errno_failure(ENOSPC, "cannot write \"x\"");
  const Failure failure = fail_because(cause, "spill.write", "cannot spill").error();
  EXPECT_EQ(failure.cls, FailureClass::kDisk);
  EXPECT_NE(failure.describe().find("disk.no_space"), std::string::npos);
  FailureClass cls;
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(parse_failure_class(to_string(static_cast<FailureClass>(i)), cls));
    EXPECT_EQ(static_cast<int>(cls), i);
  }
}

}  // namespace
}  // namespace tidegate
