#include "shuffle/text_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <string>

#include <fmt/format.h>

#include "shuffle/block_decoder.h"
#include "shuffle/block_encoder.h"
#include "shuffle/bucket_scan.h"
#include "shuffle/map_output_fixture.h"
#include "shuffle/pooled_text.h"

namespace tidegate::shuffle {
namespace {

using batch::StringRef;
using Texts = std::vector<std::string>;

/// What lies behind a short text is anything.
std::vector<StringRef> refs_of(const Texts& texts) {
  std::vector<StringRef> refs;
  for (const std::string& text : texts) {
    StringRef ref = StringRef::of(text);
    if (ref.is_inline())
      std::memset(reinterpret_cast<char*>(&ref) + 4 + ref.size, 'x',
                  StringRef::kInlineMax - ref.size);
    refs.push_back(ref);
  }
  return refs;
}

/// `step` rows at a time.
std::vector<uint16_t> codes_of(TextPool& pool, const Texts& texts, size_t step) {
  const auto refs = refs_of(texts);
  std::vector<uint16_t> codes(texts.size());
  for (size_t at = 0; at < texts.size(); at += step) {
    const auto rows = static_cast<uint32_t>(std::min(step, texts.size() - at));
    const uint32_t without = pool.code(refs.data() + at, rows, codes.data() + at);
    EXPECT_EQ(without,
              std::count(codes.begin() + static_cast<ptrdiff_t>(at),
                         codes.begin() + static_cast<ptrdiff_t>(at + rows), TextPool::kNoCode));
  }
  return codes;
}

/// Texts of all lengths around those that are handled apart, alike in their first and last bytes.
std::string some_text(std::mt19937_64& random, uint32_t kinds) {
  const uint64_t kind = random() % kinds;
  std::string text(kind % 36, 'a');
  if (!text.empty()) text[text.size() / 2] = static_cast<char>(kind / 36);
  return text;
}

TEST(TextPool, NumbersTextsAsTheyCome) {
  std::mt19937_64 random(1);
  Texts texts;
  for (int i = 0; i < 20'000; ++i) texts.push_back(some_text(random, 900));
  std::map<std::string, uint16_t> numbers;
  TextPool whole, pieces;
  const auto codes = codes_of(whole, texts, texts.size());
  EXPECT_EQ(codes, codes_of(pieces, texts, 7));
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].size() > TextPool::kTextBytesMax) {
      EXPECT_EQ(codes[i], TextPool::kNoCode);
      continue;
    }
    const auto next = static_cast<uint16_t>(numbers.size());
    ASSERT_EQ(codes[i], numbers.try_emplace(texts[i], next).first->second) << texts[i];
    ASSERT_EQ(whole.texts()[codes[i]].view(), texts[i]);
  }
  EXPECT_EQ(whole.size(), numbers.size());
  EXPECT_FALSE(whole.is_closed());
}

TEST(TextPool, IsClosedWhenItIsFullAndMostRowsHaveOtherTexts) {
  Texts known, others;
  for (uint32_t i = 0; i < TextPool::kTextsMax; ++i) known.push_back(fmt::format("k{}", i));
  for (uint32_t i = 0; i < 3'000; ++i) others.push_back(fmt::format("other {}", i));
  TextPool pool;
  codes_of(pool, known, 100);
  for (int round = 0; round < 20; ++round) {
    // As many are found as are not.
    Texts mixed = others;
    for (uint32_t i = 0; i < 3'000; ++i) mixed.push_back(known[i % known.size()]);
    const auto codes = codes_of(pool, mixed, 64);
    EXPECT_EQ(codes[0], TextPool::kNoCode);
    EXPECT_EQ(codes[3'001], 1);
    ASSERT_FALSE(pool.is_closed());
  }
  for (int round = 0; round < 4; ++round) codes_of(pool, others, 64);
  EXPECT_TRUE(pool.is_closed());
  EXPECT_EQ(pool.size(), TextPool::kTextsMax);
  EXPECT_EQ(codes_of(pool, known, 64)[0], TextPool::kNoCode);
}

/// Texts as the store holds them: with a pool those that have a number have no bytes.
std::vector<std::byte> encoded(const Texts& texts, TextPool* pool) {
  const auto refs = refs_of(texts);
  const auto rows = static_cast<uint32_t>(texts.size());
  std::vector<uint16_t> codes(rows, TextPool::kNoCode);
  if (pool != nullptr) pool->code(refs.data(), rows, codes.data());
  std::vector<uint32_t> values;
  std::string bytes;
  for (uint32_t i = 0; i < rows; ++i) {
    if (codes[i] != TextPool::kNoCode) {
      values.push_back(kPooledBit | codes[i]);
    } else {
      values.push_back(refs[i].size);
      bytes += texts[i];
    }
  }
  bytes.shrink_to_fit();
  BlockEncoder encoder;
  encoder.encode({.storage = batch::Storage::kBytes,
                  .values = values.data(),
                  .texts = bytes.data(),
                  .pool = pool},
                 rows);
  return {encoder.bytes().begin(), encoder.bytes().end()};
}

void expect_back(const Texts& texts, const std::vector<std::byte>& bytes) {
  const auto type = batch::parse_scalar_type("VARCHAR");
  const auto cursor = ColumnCursor::open(*type, bytes, static_cast<uint32_t>(texts.size()));
  ASSERT_TRUE(cursor) << cursor.error().describe();
  ColumnBuffer buffer;
  const batch::ColumnView view = cursor->view(buffer);
  const auto* refs = static_cast<const StringRef*>(view.data);
  for (size_t i = 0; i < texts.size(); ++i) {
    ASSERT_EQ(refs[i].view(), texts[i]) << i;
    if (view.codes == nullptr) continue;
    ASSERT_LT(view.codes[i], view.text_count);
    ASSERT_EQ(view.texts[view.codes[i]].view(), texts[i]) << i;
  }
}

TEST(PooledTexts, AreTheDictionaryThatTheirBytesWouldBe) {
  for (const uint32_t kinds : {1U, 2U, 9U, 200U}) {
    std::mt19937_64 random(kinds);
    Texts texts;
    for (int i = 0; i < 4'096; ++i) texts.push_back(fmt::format("t{}", random() % kinds));
    TextPool pool;
    const auto pooled = encoded(texts, &pool);
    // Of many it is a dictionary, too: there is nothing to be looked for.
    if (kinds < 200) EXPECT_EQ(pooled, encoded(texts, nullptr));
    EXPECT_EQ(pooled[0], static_cast<std::byte>(Encoding::kDictionary));
    expect_back(texts, pooled);
  }
}

TEST(PooledTexts, ComeBackWhereNotAllHaveANumberOrADictionaryDoesNotPay) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 300; ++round) {
    const uint32_t kinds = 1 + static_cast<uint32_t>(random() % 2'000);
    const size_t rows = 1 + random() % (round % 10 == 0 ? 4'096 : 60);
    Texts texts;
    for (size_t i = 0; i < rows; ++i) texts.push_back(some_text(random, kinds));
    TextPool pool;
    expect_back(texts, encoded(texts, &pool));
    if (HasFatalFailure()) return;
  }
}

class PooledColumns : public MapOutputFixture {};

// Few texts, many, few and then many, long ones, NULLs; as a key and beside it.
TEST_F(PooledColumns, ComeBackToDuckdbAndToKernels) {
  run("CREATE TABLE source AS SELECT i AS k, 'c' || (i % 7) AS few, CASE WHEN i % 11 = 0 THEN NULL "
      "ELSE repeat('long text ', (i % 4)::INTEGER) END AS some, CASE WHEN i < 60000 THEN 'x' || (i "
      "% 3) "
      "ELSE 'y' || i END AS then_many, 'id' || i AS many, ['a', 'b' || (i % 2)] AS l FROM "
      "range(120000) r(i)");
  for (const uint32_t key : {1U, 2U, 3U}) {
    const auto name = file(fmt::format("m{}", key));
    const auto written =
        write("SELECT * FROM source", name,
              {.keys = {{key, "VARCHAR"}}, .buckets = 5, .attempt = "a", .memory_bytes = 8 << 20});
    ASSERT_TRUE(written) << written.error().describe();
    const auto relation = fmt::format("t{}", key);
    ASSERT_TRUE(attach(relation, {{name, "a"}}, 0, 5));
    EXPECT_EQ(difference("source", relation), "0+0");

    BucketTable table{.effects = &real_effects()};
    const auto opened = MapOutputFile::open(real_effects(), name);
    ASSERT_TRUE(opened);
    table.schema = *opened->schema();
    for (const sql::Column& column : table.schema)
      table.types.push_back(
          batch::parse_scalar_type(column.type == "VARCHAR[]" ? "BLOB" : column.type).value());
    table.files = {{name, "a"}};
    table.bucket_end = 5;
    table.memory_bytes = 8 << 20;
    BucketScan scan(table, {1, 3});
    uint64_t rows = 0, coded = 0;
    std::vector<batch::ColumnView> views;
    while (true) {
      // Also compares the sum of the keys' hashes with what was written.
      const auto count = scan.next(views);
      ASSERT_TRUE(count) << count.error().describe();
      if (*count == 0) break;
      rows += *count;
      if (views[0].codes != nullptr) coded += *count;
      EXPECT_LE(views[0].text_count, 7U);
    }
    EXPECT_EQ(rows, 120'000U);
    EXPECT_EQ(coded, rows);
  }
}

// Its length would be taken for a number; nothing of it may be read.
TEST_F(PooledColumns, ATextOfThreeGigabytesIsRefused) {
  const std::vector<batch::ColumnType> types = {*batch::parse_scalar_type("VARCHAR")};
  auto writer = MapOutputWriter::create(
      real_effects(), file("m"),
      {.schema = {{"t", "VARCHAR"}}, .buckets = 1, .attempt = "a", .memory_bytes = 8 << 20});
  ASSERT_TRUE(writer) << writer.error().describe();
  StringRef text = StringRef::of("a text of more than twelve bytes");
  text.size = 3'000'000'000;
  const batch::ColumnView view{.data = &text};
  const uint32_t bucket = 0;
  const Status added = (*writer)->append_to(types, {&view, 1}, &bucket);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, "shuffle.value_too_large");
}

}  // namespace
}  // namespace tidegate::shuffle
