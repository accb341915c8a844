#include "task/file_label.h"

#include <gtest/gtest.h>

#include <set>

namespace tidegate {
namespace {

TEST(FileLabel, NamesTheValue) {
  EXPECT_EQ(file_label({{"day", "2001-06-30"}}), "day=2001-06-30");
  EXPECT_EQ(file_label({{"day", "2001-06-30"}, {"ok", "true"}}), "day=2001-06-30+ok=true");
  EXPECT_EQ(file_label({{"a b", "x/y%"}}), "a%20b=x%2Fy%25");
  EXPECT_EQ(file_label({{"t", "\xC3\xA9\n"}}), "t=%C3%A9%0A");
}

TEST(FileLabel, ANullIsNoText) {
  std::set<std::string> labels;
  for (const auto& value :
       {std::optional<std::string>(), std::optional<std::string>(""),
        std::optional<std::string>("null"), std::optional<std::string>("~null")})
    labels.insert(file_label({{"c", value}}));
  EXPECT_EQ(labels.size(), 4u);
  EXPECT_TRUE(labels.contains("c~null"));
}

TEST(FileLabel, IsBoundedAndStillOnesOwn) {
  std::set<std::string> labels;
  for (size_t size = 100; size < 400; ++size) {
    const std::string label = file_label({{"c", std::string(size, ' ')}});
    EXPECT_LE(label.size(), kFileLabelBytesMax);
    EXPECT_TRUE(labels.insert(label).second) << size;
    // What is left of an escape would read as another text.
    const size_t last = label.rfind('%');
    EXPECT_LE(last + 3, label.find('~')) << label;
  }
  EXPECT_NE(file_label({{"c", std::string(1000, 'a') + "1"}}),
            file_label({{"c", std::string(1000, 'a') + "2"}}));
}

}  // namespace
}  // namespace tidegate
