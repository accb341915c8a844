#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"

namespace tidegate {

/// A byte range [begin, end) of the pipeline file.
struct Span {
  uint32_t begin = 0;
  uint32_t end = 0;
  bool operator==(const Span&) const = default;
};

/// A value and where it was written.
template <typename T>
struct Spanned {
  T value = {};
  Span span = {};
};

/// The pipeline file's text and its lines. Columns count Unicode code points from 1.
class SourceText {
 public:
  SourceText(std::string path, std::string text);
  const std::string& path() const { return path_; }
  const std::string& text() const { return text_; }
  struct Position {
    uint32_t line = 1;
    uint32_t column = 1;
  };
  Position position(uint32_t offset) const;
  /// The line (from 1) without its end.
  std::string_view line(uint32_t number) const;

 private:
  /// Where a line's text begins; a byte order mark is no part of the first line.
  size_t line_begin(uint32_t number) const;

  std::string path_;
  std::string text_;
  std::vector<uint32_t> starts_;
};

enum class Severity : uint8_t { kError, kWarning, kNote };

/// One finding about a pipeline file, as rustc would show it.
struct Diagnostic {
  std::string code;  ///< "T0123", from the table in contract/codes.h
  Severity severity = Severity::kError;
  Span span;                            ///< what the caret marks
  std::string message;                  ///< one line: what is wrong
  std::string label;                    ///< beside the caret: why here; may be empty
  std::vector<std::string> notes = {};  ///< "= note:" lines
  std::string help = {};                ///< "help:" with the fix; may be empty
};

/// Collects findings; prints them ordered by position, duplicates (same code, span and message)
/// dropped.
/// At most kDiagnosticsMax are kept; one more line says how many were left out.
class Diagnostics {
 public:
  static constexpr size_t kDiagnosticsMax = 200;
  void add(Diagnostic diagnostic);
  bool has_errors() const;
  size_t error_count() const;
  size_t warning_count() const;
  /// Findings beyond the limit.
  size_t dropped_count() const { return dropped_; }
  /// Ordered by position.
  std::vector<Diagnostic> sorted() const;

 private:
  std::vector<Diagnostic> items_;
  size_t dropped_ = 0;
};

/// "error[T0123]: message\n  --> file:line:column\n   |\n 12 | text\n   |     ^^^^ label\n   =
/// note:
/// ...\nhelp: ..." for one finding.
std::string render(const Diagnostic& diagnostic, const SourceText& source, bool colour);
/// All of them and a closing line "2 errors, 1 warning".
std::string render_all(const Diagnostics& diagnostics, const SourceText& source, bool colour);
/// One JSON object a finding: {"code","severity","file","line","column","end_line","end_column",
/// "message","label","notes","help"}.
std::string render_json(const Diagnostic& diagnostic, const SourceText& source);

}  // namespace tidegate
