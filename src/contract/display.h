#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate {

/// A line as a terminal shows it: tabs as four blanks, control characters, bidirectional overrides
/// and invalid UTF-8 as U+FFFD, so that a file cannot drive the terminal of who reads about it.
struct DisplayLine {
  std::string text;
  /// columns[i]: the terminal column (from 0) where byte i of the line begins; one more for the
  /// end.
  std::vector<uint32_t> columns;
  uint32_t width() const { return columns.back(); }
};

DisplayLine display_line(std::string_view line);

/// `text` with everything that could drive a terminal replaced; newlines stay.
std::string display_text(std::string_view text);

/// The part of `line` between terminal columns [begin, end); a wide character that is cut by an
/// edge is left out and replaced by a blank.
std::string display_slice(const DisplayLine& line, uint32_t begin, uint32_t end);

/// Decodes the code point at `text[at]` and moves `at` behind it; an invalid byte is U+FFFD and
/// moves by one.
uint32_t next_code_point(std::string_view text, size_t& at);

/// Terminal cells of a code point: 0 for combining marks, 2 for East Asian wide and emoji, else 1.
uint32_t cell_width(uint32_t code_point);

}  // namespace tidegate
