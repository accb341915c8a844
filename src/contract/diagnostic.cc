#include "contract/diagnostic.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "contract/display.h"

namespace tidegate {
namespace {

constexpr uint32_t kLineColumnsMax = 160;  // a longer line is shown as a window around the caret
constexpr uint32_t kWindowBeforeCaret = 60;
constexpr uint32_t kSpanLinesMax = 6;  // a longer span is shown by its ends

struct Paint {
  bool on;
  std::string wrap(const char* code, std::string_view text) const {
    return on && !text.empty() ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
  }
  std::string severity(Severity severity, std::string_view text) const {
    return wrap(severity == Severity::kError     ? "1;31"
                : severity == Severity::kWarning ? "1;33"
                                                 : "1;36",
                text);
  }
  std::string gutter(std::string_view text) const { return wrap("1;34", text); }
  std::string bold(std::string_view text) const { return wrap("1", text); }
};

std::string_view severity_name(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
    case Severity::kNote:
      return "note";
  }
  return "error";
}

void trim_right(std::string& text) {
  while (!text.empty() && text.back() == ' ') text.pop_back();
}

/// Draws the source lines of one finding.
class Snippet {
 public:
  Snippet(const Diagnostic& diagnostic, const SourceText& source, Paint paint)
      : diagnostic_(diagnostic), source_(source), paint_(paint) {
    const auto size = static_cast<uint32_t>(source.text().size());
    begin_ = std::min(diagnostic.span.begin, size);
    end_ = std::clamp(diagnostic.span.end, begin_, size);
    first_ = source.position(begin_).line;
    // A span that ends with a line break ends on the line before.
    while (end_ > begin_ && (source.text()[end_ - 1] == '\n' || source.text()[end_ - 1] == '\r')) {
      --end_;
    }
    last_ = source.position(end_).line;
    gutter_width_ = std::to_string(last_).size();
  }

  std::string render() {
    out_ += paint_.gutter(std::string(gutter_width_, ' ') + "-->");
    const auto position = source_.position(begin_);
    out_ +=
        fmt::format(" {}:{}:{}\n", display_text(source_.path()), position.line, position.column);
    blank_gutter();
    out_ += '\n';
    if (first_ == last_) {
      single_line();
    } else {
      several_lines();
    }
    return std::move(out_);
  }

  size_t gutter_width() const { return gutter_width_; }

 private:
  void blank_gutter() { out_ += paint_.gutter(std::string(gutter_width_, ' ') + " |"); }
  void numbered_gutter(uint32_t line) {
    out_ += paint_.gutter(fmt::format("{:>{}} |", line, gutter_width_));
  }
  void text_line(uint32_t number, std::string_view mark, std::string text) {
    trim_right(text);
    numbered_gutter(number);
    if (!mark.empty()) out_ += ' ' + mark_text(mark);
    if (!text.empty()) out_ += ' ' + text;
    out_ += '\n';
  }
  std::string mark_text(std::string_view text) const {
    return paint_.severity(diagnostic_.severity, text);
  }
  std::string label() const {
    return diagnostic_.label.empty() ? "" : ' ' + mark_text(display_text(diagnostic_.label));
  }
  uint32_t line_start(uint32_t number) const {
    return static_cast<uint32_t>(source_.line(number).data() - source_.text().data());
  }
  /// Terminal column of a file offset on that line.
  static uint32_t column_of(const DisplayLine& shown, uint32_t offset, uint32_t line_start) {
    const size_t in_line = offset > line_start ? offset - line_start : 0;
    return shown.columns[std::min(in_line, shown.columns.size() - 1)];
  }

  void single_line() {
    const DisplayLine shown = display_line(source_.line(first_));
    const uint32_t start = line_start(first_);
    uint32_t from = column_of(shown, begin_, start);
    uint32_t to = std::max(column_of(shown, end_, start), from + 1);
    std::string text = shown.text;
    if (shown.width() > kLineColumnsMax) {
      const uint32_t left = from > kWindowBeforeCaret ? from - kWindowBeforeCaret : 0;
      const uint32_t right = std::min(shown.width(), left + kLineColumnsMax);
      text = (left > 0 ? "..." : "") + display_slice(shown, left, right) +
             (right < shown.width() ? "..." : "");
      const uint32_t shift = left > 0 ? 3 : 0;
      to = std::min(to, right) - left + shift;
      from = from - left + shift;
      to = std::max(to, from + 1);
    }
    text_line(first_, "", text);
    blank_gutter();
    out_ += ' ' + std::string(from, ' ') + mark_text(std::string(to - from, '^')) + label() + '\n';
  }

  void several_lines() {
    const DisplayLine head = display_line(source_.line(first_));
    const uint32_t from = column_of(head, begin_, line_start(first_));
    const bool at_indent = head.text.find_first_not_of(' ') >= from;
    if (at_indent) {
      text_line(first_, "/", cropped(head));
    } else {
      text_line(first_, "", ' ' + (' ' + cropped(head)));
      blank_gutter();
      out_ += "  " + mark_text(std::string(std::min(from + 1, kLineColumnsMax), '_') + "^") + '\n';
    }
    const uint32_t lines = last_ - first_ + 1;
    for (uint32_t number = first_ + 1; number <= last_; ++number) {
      if (lines > kSpanLinesMax && number == first_ + 3) {
        out_ += paint_.gutter("...") + std::string(gutter_width_ > 1 ? gutter_width_ - 1 : 0, ' ') +
                mark_text(gutter_width_ > 1 ? "|" : " |") + '\n';
        number = last_ - 1;
      }
      text_line(number, "|", cropped(display_line(source_.line(number))));
    }
    const DisplayLine tail = display_line(source_.line(last_));
    const uint32_t to = column_of(tail, end_, line_start(last_));
    blank_gutter();
    out_ += ' ' + mark_text("|" + std::string(std::clamp(to, 1u, kLineColumnsMax), '_') + "^") +
            label() + '\n';
  }

  static std::string cropped(const DisplayLine& shown) {
    if (shown.width() <= kLineColumnsMax) return shown.text;
    return display_slice(shown, 0, kLineColumnsMax) + "...";
  }

  const Diagnostic& diagnostic_;
  const SourceText& source_;
  Paint paint_;
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
  uint32_t first_ = 1;
  uint32_t last_ = 1;
  size_t gutter_width_ = 1;
  std::string out_;
};

/// Continues a text of several lines under its first line's text.
std::string indent_rest(std::string_view text, size_t columns) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == '\n') out.append(columns, ' ');
  }
  return out;
}

std::string plural(size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace

SourceText::SourceText(std::string path, std::string text)
    : path_(std::move(path)), text_(std::move(text)) {
  starts_.push_back(0);
  for (size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] == '\n') starts_.push_back(static_cast<uint32_t>(i + 1));
  }
}

SourceText::Position SourceText::position(uint32_t offset) const {
  offset = std::min(offset, static_cast<uint32_t>(text_.size()));
  const auto next = std::upper_bound(starts_.begin(), starts_.end(), offset);
  const auto line = static_cast<uint32_t>(next - starts_.begin());
  uint32_t column = 1;
  for (size_t at = line_begin(line); at < offset; ++column) next_code_point(text_, at);
  return {line, column};
}

size_t SourceText::line_begin(uint32_t number) const {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  const bool marked = number == 1 && text_.starts_with(kByteOrderMark);
  return marked ? kByteOrderMark.size() : starts_[number - 1];
}

std::string_view SourceText::line(uint32_t number) const {
  if (number < 1 || number > starts_.size()) return std::string_view(text_).substr(text_.size());
  const size_t begin = line_begin(number);
  size_t end = number < starts_.size() ? starts_[number] - 1 : text_.size();
  if (end > begin && text_[end - 1] == '\r') --end;
  return std::string_view(text_).substr(begin, end - begin);
}

void Diagnostics::add(Diagnostic diagnostic) {
  const auto same = [&](const Diagnostic& other) {
    return other.code == diagnostic.code && other.span == diagnostic.span &&
           other.message == diagnostic.message;
  };
  if (std::any_of(items_.begin(), items_.end(), same)) return;
  if (items_.size() < kDiagnosticsMax) {
    items_.push_back(std::move(diagnostic));
    return;
  }
  ++dropped_;
  if (diagnostic.severity != Severity::kError) return;
  // An error is never lost behind warnings: has_errors() decides whether anything may start.
  const auto lesser = std::find_if(items_.begin(), items_.end(), [](const Diagnostic& other) {
    return other.severity != Severity::kError;
  });
  if (lesser != items_.end()) *lesser = std::move(diagnostic);
}

bool Diagnostics::has_errors() const { return error_count() > 0; }

size_t Diagnostics::error_count() const {
  return static_cast<size_t>(std::count_if(items_.begin(), items_.end(), [](const Diagnostic& d) {
    return d.severity == Severity::kError;
  }));
}

size_t Diagnostics::warning_count() const {
  return static_cast<size_t>(std::count_if(items_.begin(), items_.end(), [](const Diagnostic& d) {
    return d.severity == Severity::kWarning;
  }));
}

std::vector<Diagnostic> Diagnostics::sorted() const {
  std::vector<Diagnostic> out = items_;
  std::stable_sort(out.begin(), out.end(), [](const Diagnostic& a, const Diagnostic& b) {
    if (a.span.begin != b.span.begin) return a.span.begin < b.span.begin;
    if (a.span.end != b.span.end) return a.span.end < b.span.end;
    return a.code < b.code;
  });
  return out;
}

std::string render(const Diagnostic& diagnostic, const SourceText& source, bool colour) {
  const Paint paint{colour};
  std::string out =
      paint.severity(diagnostic.severity,
                     fmt::format("{}[{}]", severity_name(diagnostic.severity), diagnostic.code));
  out += paint.bold(": " + display_text(diagnostic.message)) + '\n';
  Snippet snippet(diagnostic, source, paint);
  out += snippet.render();
  const std::string pad(snippet.gutter_width() + 1, ' ');
  for (const std::string& note : diagnostic.notes) {
    const std::string head = pad + "= note: ";
    out += paint.gutter(pad + "=") + paint.bold(" note") + ": " +
           indent_rest(display_text(note), head.size()) + '\n';
  }
  if (!diagnostic.help.empty()) {
    out += paint.wrap("1;36", "help") + ": " + indent_rest(display_text(diagnostic.help), 6) + '\n';
  }
  return out;
}

std::string render_all(const Diagnostics& diagnostics, const SourceText& source, bool colour) {
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics.sorted()) {
    out += render(diagnostic, source, colour) + '\n';
  }
  std::vector<std::string> counts;
  if (const size_t errors = diagnostics.error_count()) counts.push_back(plural(errors, "error"));
  if (const size_t warnings = diagnostics.warning_count()) {
    counts.push_back(plural(warnings, "warning"));
  }
  if (const size_t dropped = diagnostics.dropped_count()) {
    counts.push_back(plural(dropped, "more finding") + " not shown");
  }
  if (!counts.empty()) out += join(counts, ", ") + '\n';
  return out;
}

std::string render_json(const Diagnostic& diagnostic, const SourceText& source) {
  const auto begin = source.position(diagnostic.span.begin);
  const auto end = source.position(std::max(diagnostic.span.begin, diagnostic.span.end));
  std::vector<std::string> notes;
  for (const std::string& note : diagnostic.notes) notes.push_back(quote_json(note));
  return fmt::format(
      R"({{"code":{},"severity":"{}","file":{},"line":{},"column":{},"end_line":{},"end_column":{},)"
      R"("message":{},"label":{},"notes":[{}],"help":{}}})",
      quote_json(diagnostic.code), severity_name(diagnostic.severity), quote_json(source.path()),
      begin.line, begin.column, end.line, end.column, quote_json(diagnostic.message),
      quote_json(diagnostic.label), join(notes, ","), quote_json(diagnostic.help));
}

}  // namespace tidegate
