#include "reduce/shared_texts.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include <fmt/format.h>

namespace tidegate::reduce {
namespace {

using batch::ColumnView;
using batch::StringRef;

// Blocks of rows with dictionaries of their own, some texts of which no row has, beside a table
// that looks at every row.
TEST(SharedTexts, NumberGroupsAsRowByRow) {
  std::mt19937_64 random(1);
  std::vector<std::string> all;
  for (int i = 0; i < 300; ++i) all.push_back(fmt::format("{:>{}}", i, i % 30 + 1));
  const std::vector<batch::ColumnType> types = {*batch::parse_scalar_type("VARCHAR")};
  const auto by_texts = GroupTable::create(types), by_rows = GroupTable::create(types);
  SharedTexts shared;
  for (int block = 0; block < 60; ++block) {
    std::vector<StringRef> texts;
    for (uint64_t i = 0; i < 1 + random() % 40; ++i)
      texts.push_back(StringRef::of(all[random() % all.size()]));
    const size_t rows = 100 + random() % 3'000;
    std::vector<uint16_t> codes;
    std::vector<StringRef> values;
    std::vector<uint64_t> valid((rows + 63) / 64, ~uint64_t{0});
    for (size_t row = 0; row < rows; ++row) {
      codes.push_back(static_cast<uint16_t>(random() % texts.size()));
      values.push_back(texts[codes.back()]);
      if (block % 3 == 1 && random() % 8 == 0) {
        valid[row / 64] ^= uint64_t{1} << (row % 64);
        values.back() = {};
      }
    }
    const ColumnView view{.data = values.data(),
                          .validity = block % 3 == 0 ? nullptr : valid.data(),
                          .codes = codes.data(),
                          .texts = texts.data(),
                          .text_count = static_cast<uint32_t>(texts.size())};
    std::vector<uint32_t> got(rows), want(rows);
    ASSERT_TRUE(shared.find_or_add(*by_texts, 1, &view, rows, got.data()));
    EXPECT_LE(shared.bytes(), 2 * SharedTexts::bytes_max(rows));
    by_rows->find_or_add(&view, rows, want.data());
    ASSERT_EQ(got, want) << "block " << block;
    ASSERT_EQ(by_texts->size(), by_rows->size());
  }
}

TEST(SharedTexts, NothingIsDoneWhereRowsShareFewOrHaveOtherKeys) {
  const std::vector<batch::ColumnType> types = {*batch::parse_scalar_type("VARCHAR")};
  const auto table = GroupTable::create(types);
  const StringRef texts[] = {StringRef::of("a"), StringRef::of("b")};
  const uint16_t codes[] = {0, 1, 0};
  const ColumnView view{.data = texts, .codes = codes, .texts = texts, .text_count = 2};
  uint32_t groups[3];
  SharedTexts shared;
  EXPECT_FALSE(shared.find_or_add(*table, 1, &view, 3, groups));
  EXPECT_FALSE(shared.find_or_add(*table, 2, &view, 4, groups));
  const ColumnView plain{.data = texts};
  EXPECT_FALSE(shared.find_or_add(*table, 1, &plain, 2, groups));
  EXPECT_EQ(table->size(), 0U);
}

}  // namespace
}  // namespace tidegate::reduce
