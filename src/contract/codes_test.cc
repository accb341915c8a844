#include "contract/codes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

namespace tidegate {
namespace {

std::string read(const std::string& path) {
  std::ifstream in(std::string(TIDEGATE_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(in.good()) << path;
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

TEST(Codes, TableIsOrderedCompleteAndUnique) {
  const auto& rows = all_codes();
  ASSERT_GT(rows.size(), 150u);
  std::set<std::string> names;
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_TRUE(std::regex_match(rows[i].code, std::regex("T0[0-8][0-9]{2}"))) << rows[i].code;
    EXPECT_TRUE(std::regex_match(rows[i].name, std::regex("[a-z]+(-[a-z0-9]+)*"))) << rows[i].code;
    EXPECT_TRUE(names.insert(rows[i].name).second) << rows[i].name;
    EXPECT_FALSE(std::string(rows[i].summary).empty()) << rows[i].code;
    EXPECT_GT(std::string(rows[i].meaning).size(), 10u) << rows[i].code;
    if (i > 0) {
      EXPECT_LT(std::string(rows[i - 1].code), std::string(rows[i].code));
    }
  }
}

TEST(Codes, EveryConstantHasARow) {
  const std::string header = read("src/contract/codes.h");
  const std::regex constant("= \"(T[0-9]{4})\"");
  size_t count = 0;
  for (std::sregex_iterator at(header.begin(), header.end(), constant), end; at != end; ++at) {
    EXPECT_NE(find_code((*at)[1].str()), nullptr) << (*at)[1] << " has no row in code_rows_*.cc";
    ++count;
  }
  EXPECT_EQ(count, all_codes().size());
}

TEST(Codes, FoundByCodeAndByName) {
  ASSERT_NE(find_code("t0101"), nullptr);
  EXPECT_EQ(find_code("t0101"), find_code("unknown-key"));
  EXPECT_EQ(find_code("T9999"), nullptr);
  EXPECT_EQ(find_code(""), nullptr);
}

TEST(Codes, PageShowsBothExamples) {
  EXPECT_EQ(explain_code(*find_code(codes::kBadSize)),
            "T0105 (bad-size): a size without a unit, or with an unknown one\n"
            "\n"
            "Sizes carry a unit: B, KB, MB, GB, TB are powers of 1000; KiB, MiB, GiB, TiB of 1024. "
            "Case\ncounts.\n"
            "\n"
            "Wrong:\n"
            "\n"
            "    memory: 512\n"
            "\n"
            "Right:\n"
            "\n"
            "    memory: 512MiB\n");
}

TEST(Codes, DocumentedInErrorsPage) {
  const std::string page = read("docs/errors.md");
  const std::string begin = "<!-- codes: begin -->\n";
  const size_t from = page.find(begin);
  const size_t to = page.find("<!-- codes: end -->");
  ASSERT_NE(from, std::string::npos);
  ASSERT_NE(to, std::string::npos);
  EXPECT_EQ(page.substr(from + begin.size(), to - from - begin.size()), codes_as_markdown())
      << "put the text of codes_as_markdown() between the markers of docs/errors.md";
}

}  // namespace
}  // namespace tidegate
