#include "contract/scalar_map.h"

#include <gtest/gtest.h>

#include <random>

#include "contract/codes.h"

namespace tidegate {
namespace {

/// The scalar under key `k` of a file, and the file offsets of its bytes.
struct Read {
  std::string file;
  std::string value;
  std::vector<uint32_t> offsets;
  std::string written(size_t begin, size_t end) const {
    return file.substr(offsets[begin], offsets[end] - offsets[begin]);
  }
};

Read read(const std::string& file) {
  const SourceText source("f.yaml", file);
  Diagnostics diagnostics;
  const auto root = parse_yaml(source, diagnostics);
  EXPECT_FALSE(diagnostics.has_errors()) << render_all(diagnostics, source, false);
  if (root == nullptr || root->find("k") == nullptr) return {};
  const YamlNode& node = *root->find("k");
  const auto exact = map_scalar(file, node.span.begin, node.written_end, node.style, node.text);
  EXPECT_TRUE(exact.has_value()) << "no exact map for: " << file;
  return {file, node.text, scalar_offsets(source, node)};
}

TEST(ScalarMap, Plain) {
  const Read got = read("é: 1\nk: SELECT é FROM t\n");
  EXPECT_EQ(got.value, "SELECT é FROM t");
  EXPECT_EQ(got.written(7, 9), "é");
  EXPECT_EQ(got.written(15, 16), "t");
}

TEST(ScalarMap, PlainOverSeveralLines) {
  const Read got = read("k: SELECT a,  \n   b\n\n   FROM t # more\n");
  EXPECT_EQ(got.value, "SELECT a, b\nFROM t");
  EXPECT_EQ(got.written(10, 11), "b");
  EXPECT_EQ(got.written(12, 16), "FROM");
  EXPECT_EQ(got.written(7, 9), "a,") << "a span that ends at a fold ends with the line's text";
}

TEST(ScalarMap, SingleQuoted) {
  const Read got = read("k: 'it''s  \n  here'\n");
  EXPECT_EQ(got.value, "it's here");
  EXPECT_EQ(got.written(2, 3), "''");
  EXPECT_EQ(got.written(5, 9), "here");
}

TEST(ScalarMap, DoubleQuotedEscapes) {
  const Read got = read(R"(k: "a\tb\u00e9\x41\"c" )");
  EXPECT_EQ(got.value, "a\tbéA\"c");
  EXPECT_EQ(got.written(1, 2), "\\t");
  EXPECT_EQ(got.written(3, 5), "\\u00e9");
  EXPECT_EQ(got.written(5, 6), "\\x41");
  EXPECT_EQ(got.written(7, 8), "c");
}

TEST(ScalarMap, DoubleQuotedEscapedLineBreak) {
  const Read got = read("k: \"one \\\n    two\n    three\"\n");
  EXPECT_EQ(got.value, "one two three");
  EXPECT_EQ(got.written(4, 7), "two");
  EXPECT_EQ(got.written(8, 13), "three");
}

TEST(ScalarMap, LiteralBlock) {
  const Read got = read("k: |\n  SELECT a\n    FROM t\n\n  LIMIT 1\n\n\n# end\nz: 1\n");
  EXPECT_EQ(got.value, "SELECT a\n  FROM t\n\nLIMIT 1\n");
  EXPECT_EQ(got.written(11, 15), "FROM");
  EXPECT_EQ(got.written(19, 26), "LIMIT 1");
  EXPECT_EQ(got.written(7, 8), "a");
}

TEST(ScalarMap, LiteralBlockKeepStripAndIndicator) {
  EXPECT_EQ(read("k: |+\n  a\n\n\nz: 1\n").value, "a\n\n\n");
  EXPECT_EQ(read("k: |-\n  a\n\nz: 1\n").value, "a");
  const Read got = read("k: |2- # note\n    SELECT 1\n  FROM t\n");
  EXPECT_EQ(got.value, "  SELECT 1\nFROM t");
  EXPECT_EQ(got.written(2, 8), "SELECT");
  EXPECT_EQ(got.written(11, 15), "FROM");
}

TEST(ScalarMap, FoldedBlock) {
  const Read got = read("k: >\n  SELECT a,\n  b\n\n  FROM t\n   WHERE x\n  LIMIT 1\n");
  EXPECT_EQ(got.value, "SELECT a, b\nFROM t\n WHERE x\nLIMIT 1\n");
  EXPECT_EQ(got.written(7, 9), "a,");
  EXPECT_EQ(got.written(10, 11), "b");
  EXPECT_EQ(got.written(20, 25), "WHERE");
}

TEST(ScalarMap, CarriageReturnsAndByteOrderMark) {
  const Read got = read("\xEF\xBB\xBFk: |\r\n  a b\r\n  c\r\nz: 1\r\n");
  EXPECT_EQ(got.value, "a b\nc\n");
  EXPECT_EQ(got.written(2, 3), "b");
  EXPECT_EQ(got.written(4, 5), "c");
}

TEST(ScalarMap, EmptyScalars) {
  EXPECT_EQ(read("k: ''\n").offsets.size(), 1u);
  EXPECT_EQ(read("k: |\nz: 1\n").offsets.size(), 1u);
  EXPECT_EQ(read("k:\nz: 1\n").offsets.size(), 1u);
}

TEST(ScalarMap, RefusesWhatIsNotTheValue) {
  EXPECT_FALSE(map_scalar("abc", 0, 3, YamlStyle::kPlain, "abd").has_value());
  EXPECT_FALSE(map_scalar("abc", 2, 9, YamlStyle::kPlain, "c").has_value());
  EXPECT_FALSE(map_scalar("\"", 0, 1, YamlStyle::kDoubleQuoted, "").has_value());
}

// Our decoder and libyaml must agree on every scalar that libyaml accepts; each mapped byte that
// stands for itself must be found where the map says.
TEST(ScalarMap, AgreesWithTheReaderOnRandomScalars) {
  std::mt19937 random(7);
  const std::vector<std::string> pieces = {"a",      "b ", " ",  "  ",  "\n", "\n  ",
                                           "\n\n  ", "é",  "''", "\\n", "\\", "\"",
                                           "#",      "x:", "\t", "日",  "-",  "\r\n  "};
  const std::vector<std::string> heads = {"k: ",       "k: '",      "k: \"",     "k: |\n  ",
                                          "k: >-\n  ", "k: |+\n  ", "k: >2\n   "};
  size_t accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    const size_t head = random() % heads.size();
    std::string file = heads[head];
    for (size_t i = random() % 12; i > 0; --i) file += pieces[random() % pieces.size()];
    file += head == 1 ? "'\n" : head == 2 ? "\"\n" : "\n";
    const SourceText source("f.yaml", file);
    Diagnostics diagnostics;
    const auto root = parse_yaml(source, diagnostics);
    if (root == nullptr || root->kind != YamlKind::kMapping || root->find("k") == nullptr) continue;
    const YamlNode& node = *root->find("k");
    if (node.kind != YamlKind::kScalar || diagnostics.has_errors()) continue;
    const auto offsets = map_scalar(file, node.span.begin, node.written_end, node.style, node.text);
    ASSERT_TRUE(offsets.has_value()) << "file:\n" << file << "\nvalue: " << node.text;
    ++accepted;
    for (size_t i = 0; i < node.text.size(); ++i) {
      ASSERT_LE((*offsets)[i], (*offsets)[i + 1]) << file;
      const char c = node.text[i];
      if (c == 'a' || c == 'b' || c == 'x' || c == '-') {
        ASSERT_EQ(file[(*offsets)[i]], c) << file;
      }
    }
    ASSERT_LE(offsets->back(), file.size());
  }
  EXPECT_GT(accepted, 5'000u);
}

}  // namespace
}  // namespace tidegate
