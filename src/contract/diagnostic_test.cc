#include "contract/diagnostic.h"

#include <gtest/gtest.h>

#include "contract/display.h"

namespace tidegate {
namespace {

Span find(const SourceText& source, std::string_view text) {
  const size_t at = source.text().find(text);
  EXPECT_NE(at, std::string::npos) << text;
  return {static_cast<uint32_t>(at), static_cast<uint32_t>(at + text.size())};
}

Diagnostic error(Span span, std::string label = {}) {
  return {.code = "T0101", .span = span, .message = "wrong", .label = std::move(label)};
}

TEST(SourceText, LinesAndColumnsInCodePoints) {
  const SourceText source("p", "aé\r\n日本x\n\nend");
  EXPECT_EQ(source.line(1), "aé");
  EXPECT_EQ(source.line(2), "日本x");
  EXPECT_EQ(source.line(3), "");
  EXPECT_EQ(source.line(4), "end");
  EXPECT_EQ(source.line(5), "");
  EXPECT_EQ(source.line(0), "");
  const auto at = source.position(find(source, "x").begin);
  EXPECT_EQ(at.line, 2u);
  EXPECT_EQ(at.column, 3u);
  EXPECT_EQ(source.position(1000).line, 4u);
  EXPECT_EQ(source.position(1000).column, 4u);
}

TEST(Render, CaretLabelNotesAndHelp) {
  const SourceText source("p.yaml", "a: 1\nbad: 2\n");
  Diagnostic diagnostic = error(find(source, "bad"), "here");
  diagnostic.notes = {"one", "two\nlines"};
  diagnostic.help = "do this\nand that";
  EXPECT_EQ(render(diagnostic, source, false),
            "error[T0101]: wrong\n"
            " --> p.yaml:2:1\n"
            "  |\n"
            "2 | bad: 2\n"
            "  | ^^^ here\n"
            "  = note: one\n"
            "  = note: two\n"
            "          lines\n"
            "help: do this\n"
            "      and that\n");
}

TEST(Render, WideAndCombiningCharactersAndTabs) {
  const SourceText source("p", "\t日本e\xCC\x81: bad\n");
  EXPECT_EQ(render(error(find(source, "bad")), source, false),
            "error[T0101]: wrong\n"
            " --> p:1:8\n"
            "  |\n"
            "1 |     日本e\xCC\x81: bad\n"
            "  |            ^^^\n");
  EXPECT_EQ(render(error(find(source, "本")), source, false),
            "error[T0101]: wrong\n"
            " --> p:1:3\n"
            "  |\n"
            "1 |     日本e\xCC\x81: bad\n"
            "  |       ^^\n");
}

TEST(Render, SpanOverLinesFromTheMiddle) {
  const SourceText source("p", "k: a\n  b\nz: 1\n");
  EXPECT_EQ(render(error({3, 8}, "all of it"), source, false),
            "error[T0101]: wrong\n"
            " --> p:1:4\n"
            "  |\n"
            "1 |   k: a\n"
            "  |  ____^\n"
            "2 | |   b\n"
            "  | |___^ all of it\n");
}

TEST(Render, LongSpansShowTheirEnds) {
  std::string text;
  for (int i = 1; i <= 12; ++i) text += "line " + std::to_string(i) + "\n";
  const SourceText source("p", text);
  EXPECT_EQ(render(error({0, static_cast<uint32_t>(text.size())}), source, false),
            "error[T0101]: wrong\n"
            "  --> p:1:1\n"
            "   |\n"
            " 1 | / line 1\n"
            " 2 | | line 2\n"
            " 3 | | line 3\n"
            "... |\n"
            "11 | | line 11\n"
            "12 | | line 12\n"
            "   | |_______^\n");
}

TEST(Render, LongLinesAreShownAroundTheCaret) {
  const SourceText source("p", std::string(300, 'x') + "BAD" + std::string(300, 'y'));
  const std::string out = render(error(find(source, "BAD")), source, false);
  const size_t line = out.find("1 | ...");
  ASSERT_NE(line, std::string::npos) << out;
  const size_t text_at = out.find("BAD") - line;
  const size_t caret_line = out.find("  | ", line + 10);
  EXPECT_EQ(out.find("^^^") - caret_line, text_at);
  EXPECT_LT(out.find('\n', line) - line, 180u);
}

TEST(Render, NothingDrivesTheTerminal) {
  const SourceText source("p\x1b[2J", "a: \x1b[31m\xE2\x80\xAE\xFF b\n");
  Diagnostic diagnostic = error(find(source, "b\n"), "\x1b]0;x\x07");
  diagnostic.message = "no \x1b[1m";
  diagnostic.help = "\xC2\x9B";
  const std::string out = render(diagnostic, source, false);
  EXPECT_EQ(out.find('\x1b'), std::string::npos);
  EXPECT_EQ(out.find('\x07'), std::string::npos);
  EXPECT_EQ(out.find("\xE2\x80\xAE"), std::string::npos);
  EXPECT_EQ(out.find("\xC2\x9B"), std::string::npos);
  EXPECT_EQ(out.find('\xFF'), std::string::npos);
  EXPECT_NE(render(diagnostic, source, true).find("\x1b[1;31merror"), std::string::npos);
}

TEST(Render, SpansOutsideOfTheTextAreClamped) {
  const SourceText source("p", "a\n");
  for (const Span span : {Span{0, 0}, Span{2, 2}, Span{5, 9}, Span{1, 0}, Span{0, 99}}) {
    const std::string out = render(error(span), source, false);
    EXPECT_NE(out.find('^'), std::string::npos) << out;
  }
  const SourceText empty("p", "");
  EXPECT_NE(render(error({0, 0}), empty, false).find("--> p:1:1"), std::string::npos);
}

TEST(Render, AByteOrderMarkIsNoColumn) {
  const SourceText source("p",
                          "\xEF\xBB\xBF"
                          "bad: 1\n");
  EXPECT_EQ(render(error(find(source, "bad")), source, false),
            "error[T0101]: wrong\n"
            " --> p:1:1\n"
            "  |\n"
            "1 | bad: 1\n"
            "  | ^^^\n");
  EXPECT_NE(render(error({0, 0}), source, false).find("1 | bad: 1\n  | ^\n"), std::string::npos);
}

TEST(Render, ColourMarksSeverityAndNothingElseChanges) {
  const SourceText source("p", "bad: 1\n");
  Diagnostic diagnostic = error(find(source, "bad"), "here");
  diagnostic.help = "fix";
  const std::string plain = render(diagnostic, source, false);
  const std::string coloured = render(diagnostic, source, true);
  EXPECT_NE(coloured.find("\x1b[1;31m^^^\x1b[0m"), std::string::npos);
  std::string stripped;
  for (size_t i = 0; i < coloured.size(); ++i) {
    if (coloured[i] == '\x1b') {
      i = coloured.find('m', i);
    } else {
      stripped += coloured[i];
    }
  }
  EXPECT_EQ(stripped, plain);
}

TEST(Diagnostics, OrderedCountedAndDeduplicated) {
  const SourceText source("p", "abc\ndef\n");
  Diagnostics diagnostics;
  diagnostics.add(error({4, 7}));
  diagnostics.add(error({0, 3}));
  diagnostics.add(error({0, 3}));
  Diagnostic warning = error({0, 1});
  warning.severity = Severity::kWarning;
  diagnostics.add(warning);
  const auto sorted = diagnostics.sorted();
  ASSERT_EQ(sorted.size(), 3u);
  EXPECT_EQ(sorted[0].span, (Span{0, 1}));
  EXPECT_EQ(sorted[2].span, (Span{4, 7}));
  EXPECT_TRUE(render_all(diagnostics, source, false).ends_with("\n\n2 errors, 1 warning\n"));
  EXPECT_EQ(render_all(Diagnostics(), source, false), "");
}

TEST(Diagnostics, AnErrorIsNotLostBehindManyWarnings) {
  Diagnostics diagnostics;
  for (uint32_t i = 0; i < 2 * Diagnostics::kDiagnosticsMax; ++i) {
    Diagnostic warning = error({i, i});
    warning.severity = Severity::kWarning;
    diagnostics.add(warning);
  }
  EXPECT_FALSE(diagnostics.has_errors());
  diagnostics.add(error({9999, 9999}));
  EXPECT_TRUE(diagnostics.has_errors());
  EXPECT_EQ(diagnostics.sorted().size(), Diagnostics::kDiagnosticsMax);
  const SourceText source("p", "");
  EXPECT_TRUE(render_all(diagnostics, source, false)
                  .ends_with("1 error, 199 warnings, 201 more findings not shown\n"));
}

TEST(RenderJson, OneObject) {
  const SourceText source("p \"q\"", "é: bad\n");
  Diagnostic diagnostic = error(find(source, "bad"), "why");
  diagnostic.notes = {"n1", "n\n2"};
  diagnostic.help = "fix";
  EXPECT_EQ(render_json(diagnostic, source),
            R"({"code":"T0101","severity":"error","file":"p \"q\"","line":1,"column":4,)"
            R"("end_line":1,"end_column":7,"message":"wrong","label":"why",)"
            R"("notes":["n1","n\n2"],"help":"fix"})");
}

TEST(Display, SliceNeverCutsAWideCharacter) {
  const DisplayLine line = display_line("a日b");
  EXPECT_EQ(line.width(), 4u);
  EXPECT_EQ(display_slice(line, 0, 2), "a ");
  EXPECT_EQ(display_slice(line, 2, 4), " b");
  EXPECT_EQ(display_slice(line, 1, 3), "日");
}

}  // namespace
}  // namespace tidegate
