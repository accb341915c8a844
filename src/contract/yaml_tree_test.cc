#include "contract/yaml_tree.h"

#include <gtest/gtest.h>

#include "contract/codes.h"

namespace tidegate {
namespace {

struct Parsed {
  explicit Parsed(std::string text) : source("f.yaml", std::move(text)) {
    root = parse_yaml(source, diagnostics);
  }
  std::string at(Span span) const {
    return source.text().substr(span.begin, span.end - span.begin);
  }
  std::string first_code() const {
    const auto sorted = diagnostics.sorted();
    return sorted.empty() ? "" : sorted.front().code;
  }
  SourceText source;
  Diagnostics diagnostics;
  std::unique_ptr<YamlNode> root;
};

TEST(YamlTree, SpansAreExactBytesAlsoAfterOtherScripts) {
  const Parsed parsed(
      "名前: \"ü\"\nlist: [ä, {b: 'c'}]\nblock:\n  - x\n  - y: |\n      text\n\nend: 1\n");
  ASSERT_NE(parsed.root, nullptr);
  EXPECT_EQ(parsed.at(parsed.root->pairs[0].key_span), "名前");
  EXPECT_EQ(parsed.at(parsed.root->find("名前")->span), "\"ü\"");
  const YamlNode& list = *parsed.root->find("list");
  EXPECT_EQ(parsed.at(list.span), "[ä, {b: 'c'}]");
  EXPECT_EQ(parsed.at(list.items[1]->span), "{b: 'c'}");
  EXPECT_EQ(parsed.at(list.items[1]->find("b")->span), "'c'");
  const YamlNode& block = *parsed.root->find("block");
  EXPECT_EQ(parsed.at(block.span), "- x\n  - y: |\n      text");
  EXPECT_EQ(parsed.at(block.items[1]->span), "y: |\n      text");
}

TEST(YamlTree, EmptyValuesAreNull) {
  const Parsed parsed("a:\nb: ~\nc: null\nd: 'null'\ne: \"\"\n");
  ASSERT_NE(parsed.root, nullptr);
  EXPECT_TRUE(parsed.root->find("a")->is_null());
  EXPECT_TRUE(parsed.root->find("b")->is_null());
  EXPECT_TRUE(parsed.root->find("c")->is_null());
  EXPECT_FALSE(parsed.root->find("d")->is_null());
  EXPECT_FALSE(parsed.root->find("e")->is_null());
  EXPECT_EQ(parsed.root->find("nothing"), nullptr);
}

TEST(YamlTree, DuplicateKeyKeepsTheFirst) {
  const Parsed parsed("a: 1\nb: 2\na: 3\n");
  EXPECT_EQ(parsed.first_code(), codes::kDuplicateKey);
  ASSERT_NE(parsed.root, nullptr);
  EXPECT_EQ(parsed.root->pairs.size(), 2u);
  EXPECT_EQ(parsed.root->find("a")->text, "1");
}

TEST(YamlTree, RefusesWhatIsNotUtf8AtTheByte) {
  const Parsed parsed("a: \xC3\xA9\nb: \xFF\n");
  EXPECT_EQ(parsed.first_code(), codes::kNotUtf8);
  EXPECT_EQ(parsed.diagnostics.sorted()[0].span, (Span{9, 10}));
  EXPECT_EQ(Parsed("a: \xED\xA0\x80\n").first_code(), codes::kNotUtf8);  // a surrogate
  EXPECT_EQ(Parsed("a: \xC0\xAF\n").first_code(), codes::kNotUtf8);      // overlong
  EXPECT_EQ(Parsed("\xFF\xFE"
                   "a")
                .first_code(),
            codes::kNotUtf8);  // UTF-16
}

TEST(YamlTree, RefusesControlCharactersAtTheByte) {
  const Parsed parsed("a: é\x01\n");
  EXPECT_EQ(parsed.first_code(), codes::kControlCharacter);
  EXPECT_EQ(parsed.diagnostics.sorted()[0].span, (Span{5, 6}));
  EXPECT_EQ(Parsed(std::string("a: \0b", 5)).first_code(), codes::kControlCharacter);
  EXPECT_EQ(Parsed("a: \xEF\xBB\xBF\n").first_code(), codes::kControlCharacter);
}

TEST(YamlTree, LimitsHoldAtTheirEdge) {
  const auto nested = [](size_t depth) {
    return "a: " + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "\n";
  };
  EXPECT_EQ(Parsed(nested(kYamlDepthMax)).first_code(), "");
  EXPECT_EQ(Parsed(nested(kYamlDepthMax + 1)).first_code(), codes::kTooDeep);

  const auto items = [](size_t count) {
    std::string text = "[";
    for (size_t i = 0; i < count; ++i) text += i % 100 == 99 ? "1,\n" : "1,";
    return text + "]\n";
  };
  EXPECT_EQ(Parsed(items(kYamlNodesMax - 1)).first_code(), "");  // the list itself is one
  EXPECT_EQ(Parsed(items(kYamlNodesMax)).first_code(), codes::kTooManyNodes);

  const std::string key = "a: 1\n#";
  EXPECT_EQ(Parsed(key + std::string(kYamlBytesMax - key.size(), '#')).first_code(), "");
  EXPECT_EQ(Parsed(key + std::string(kYamlBytesMax - key.size() + 1, '#')).first_code(),
            codes::kFileTooLarge);
}

TEST(YamlTree, ManyOpenBracketsEndSoon) {
  EXPECT_EQ(Parsed(std::string(1 << 20, '[')).first_code(), codes::kTooDeep);
  EXPECT_EQ(Parsed(std::string(1 << 16, '{')).first_code(), codes::kTooDeep);
}

TEST(YamlTree, AnchoredValueKeepsItsOwnSpan) {
  const Parsed parsed("a: &x 12\nb: !t [1]\n");
  EXPECT_EQ(parsed.diagnostics.error_count(), 2u);
  ASSERT_NE(parsed.root, nullptr);
  EXPECT_EQ(parsed.at(parsed.root->find("a")->span), "12");
  EXPECT_EQ(parsed.at(parsed.root->find("b")->span), "[1]");
}

TEST(YamlTree, CommentsAloneAreAnEmptyFile) {
  EXPECT_EQ(Parsed("").first_code(), codes::kEmptyFile);
  EXPECT_EQ(Parsed("# x\n").first_code(), codes::kEmptyFile);
  EXPECT_EQ(Parsed("---\n").first_code(), codes::kEmptyFile);
  EXPECT_EQ(Parsed("\xEF\xBB\xBF").first_code(), codes::kEmptyFile);
}

}  // namespace
}  // namespace tidegate
