#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <random>

#include <fmt/format.h>

#include "shuffle/block_decoder.h"
#include "shuffle/block_encoder.h"
#include "shuffle/format.h"
#include "shuffle/map_output_fixture.h"

namespace tidegate::shuffle {
namespace {

using Texts = std::vector<std::optional<std::string>>;

Texts made(uint32_t rows, const std::function<std::optional<std::string>(uint32_t)>& text) {
  Texts out;
  for (uint32_t i = 0; i < rows; ++i) out.push_back(text(i));
  return out;
}

std::vector<std::byte> encoded(const Texts& texts, std::string_view under_null = {}) {
  std::vector<uint32_t> sizes;
  std::string bytes;
  std::vector<uint64_t> nulls((texts.size() + 63) / 64);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string_view text = texts[i] ? std::string_view(*texts[i]) : under_null;
    sizes.push_back(static_cast<uint32_t>(text.size()));
    bytes += text;
    if (!texts[i]) nulls[i / 64] |= uint64_t{1} << (i % 64);
  }
  bytes.shrink_to_fit();
  BlockEncoder encoder;
  encoder.encode({.storage = batch::Storage::kBytes,
                  .values = sizes.data(),
                  .texts = bytes.data(),
                  .nulls = nulls.data()},
                 static_cast<uint32_t>(texts.size()));
  // Its own allocation, exactly as long: one byte too far is seen by the sanitizer.
  return {encoder.bytes().begin(), encoder.bytes().end()};
}

ColumnHead head_of(const std::vector<std::byte>& bytes) {
  ColumnHead head;
  std::memcpy(&head, bytes.data(), sizeof head);
  return head;
}

void expect_back(const Texts& texts, const std::vector<std::byte>& bytes) {
  const auto type = batch::parse_scalar_type("VARCHAR");
  ASSERT_TRUE(type);
  const auto cursor = ColumnCursor::open(*type, bytes, static_cast<uint32_t>(texts.size()));
  ASSERT_TRUE(cursor) << cursor.error().describe();
  ColumnBuffer buffer;
  const batch::ColumnView view = cursor->view(buffer);
  const auto* refs = static_cast<const batch::StringRef*>(view.data);
  for (size_t i = 0; i < texts.size(); ++i) {
    ASSERT_EQ(view.is_valid(i), texts[i].has_value()) << i;
    if (!texts[i]) continue;
    ASSERT_EQ(refs[i].view(), *texts[i]) << i;
    // What is compared as a whole must be the same as a whole.
    const auto want = batch::StringRef::of(*texts[i]);
    ASSERT_EQ(std::memcmp(&refs[i], &want, want.is_inline() ? sizeof want : 8), 0) << i;
  }
}

TEST(BlockTexts, APrefixOfAllIsStoredOnce) {
  const Texts texts =
      made(4'096, [](uint32_t i) { return fmt::format("https://example.com/item-{}", i); });
  const auto bytes = encoded(texts);
  EXPECT_EQ(head_of(bytes).encoding, Encoding::kPrefixed);
  EXPECT_EQ(head_of(bytes).bare, 0);
  EXPECT_LT(bytes.size(), size_t{4'096} * 6);
  expect_back(texts, bytes);
}

TEST(BlockTexts, APrefixOfNearlyAllTooAndNullsAreNoExceptions) {
  Texts texts = made(1'000, [](uint32_t i) -> std::optional<std::string> {
    if (i % 3 == 0) return {};
    return fmt::format("https://example.com/item-{}", i);
  });
  auto bytes = encoded(texts);
  EXPECT_EQ(head_of(bytes).encoding, Encoding::kPrefixed);
  EXPECT_EQ(head_of(bytes).bare, 0);
  expect_back(texts, bytes);
  // What lies under a NULL does not get the prefix.
  expect_back(texts, encoded(texts, "longer than it is"));

  for (uint32_t i = 1; i < 1'000; i += 97) texts[i] = i % 2 == 0 ? "" : "http://else";
  bytes = encoded(texts);
  EXPECT_EQ(head_of(bytes).encoding, Encoding::kPrefixed);
  EXPECT_EQ(head_of(bytes).bare, 1);
  expect_back(texts, bytes);
}

TEST(BlockTexts, NoPrefixWhereItDoesNotPay) {
  const auto encoding = [](const Texts& texts) {
    const auto bytes = encoded(texts);
    expect_back(texts, bytes);
    return head_of(bytes).encoding;
  };
  std::mt19937_64 random(3);
  EXPECT_EQ(encoding(made(500, [&](uint32_t) { return fmt::format("{:016x}", random()); })),
            Encoding::kTexts);
  // A few bytes of many.
  EXPECT_EQ(encoding(made(500,
                          [&](uint32_t i) {
                            return fmt::format("abcd{:016x}{:016x}{:016x}", random(), random(), i);
                          })),
            Encoding::kTexts);
  EXPECT_EQ(encoding(made(500, [](uint32_t i) { return fmt::format("a longer text {}", i % 5); })),
            Encoding::kDictionary);
  EXPECT_EQ(encoding(made(1, [](uint32_t) { return std::string(100, 'x'); })),
            Encoding::kDictionary);
  // Readers put no more together than a block's texts take.
  EXPECT_EQ(encoding(made(3, [](uint32_t i) { return std::string(100'000, 'x') + char('a' + i); })),
            Encoding::kTexts);
}

// Lengths around what is inline, and around the pieces that are copied at once.
TEST(BlockTexts, AnyLengthsComeBack) {
  std::mt19937_64 random(5);
  uint32_t prefixed = 0;
  for (uint32_t round = 0; round < 1'500; ++round) {
    const std::string prefix(1 + random() % 40, static_cast<char>('a' + random() % 3));
    const uint32_t rest_max = 1 + static_cast<uint32_t>(random() % 40);
    const uint32_t odd = round % 3 == 0 ? 0 : static_cast<uint32_t>(random() % 20);
    const uint32_t rows = 1 + static_cast<uint32_t>(random() % 200);
    const Texts texts = made(rows, [&](uint32_t) -> std::optional<std::string> {
      std::string text(random() % rest_max, ' ');
      for (char& c : text) c = static_cast<char>(random());
      if (random() % 32 < odd / 4) return {};
      return random() % 32 < odd / 2 ? text : prefix + text;
    });
    const auto bytes = encoded(texts);
    if (head_of(bytes).encoding == Encoding::kPrefixed) ++prefixed;
    expect_back(texts, bytes);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(prefixed, 500u);
}

// The sizes that a column says of itself decide what memory readers take and touch.
TEST(BlockTexts, APrefixOfAnotherSizeIsRefused) {
  const Texts texts = made(64, [](uint32_t i) { return fmt::format("https://a.example/{}", i); });
  const auto good = encoded(texts);
  ASSERT_EQ(head_of(good).encoding, Encoding::kPrefixed);
  const auto type = batch::parse_scalar_type("VARCHAR");
  for (size_t number = 0; number < 3; ++number) {
    for (const uint32_t value : {0u, 5'000u, 1u << 18, ~0u}) {
      auto bytes = good;
      std::memcpy(bytes.data() + sizeof(ColumnHead) + number * 4, &value, 4);
      const auto cursor = ColumnCursor::open(*type, bytes, 64);
      // A base of 0 may be as it was.
      if (bytes == good) continue;
      ASSERT_FALSE(cursor) << number << " " << value;
      EXPECT_EQ(cursor.error().code, "shuffle.block");
    }
  }
  auto bytes = good;
  bytes[offsetof(ColumnHead, bare)] = std::byte{2};
  EXPECT_FALSE(ColumnCursor::open(*type, bytes, 64));
}

class PrefixedColumns : public MapOutputFixture {};

TEST_F(PrefixedColumns, DuckdbReadsThem) {
  run("CREATE TABLE source AS SELECT i AS k, 'https://www.example.com/' || i AS u, 'item-' || i AS "
      "s, CASE WHEN i % 5 = 0 THEN NULL WHEN i % 50 = 1 THEN '' ELSE 'a name: ' || repeat('x', "
      "(i % 30)::INTEGER) || i END AS n, ('bytes ' || i)::BLOB AS b, ['first', 'second ' || i] AS "
      "l, (repeat('01', 40) || (i % 2))::BIT AS t FROM range(30000) r(i)");
  const auto written =
      write("SELECT * FROM source", file("m"),
            {.keys = {{1, "VARCHAR"}}, .buckets = 3, .attempt = "a1", .memory_bytes = 8 << 20});
  ASSERT_TRUE(written) << written.error().describe();
  const Status attached = attach("t", {{file("m"), "a1"}}, 0, 3);
  ASSERT_TRUE(attached) << attached.error().describe();
  EXPECT_EQ(difference("source", "t"), "0+0");
}

}  // namespace
}  // namespace tidegate::shuffle
