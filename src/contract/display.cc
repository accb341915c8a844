#include "contract/display.h"

#include <array>

#include "base/failure.h"

namespace tidegate {
namespace {

constexpr uint32_t kReplacement = 0xFFFD;
constexpr std::string_view kReplacementText = "\xEF\xBF\xBD";
constexpr std::string_view kTabText = "    ";

struct Range {
  uint32_t first;
  uint32_t last;
};

// Unicode 15, East Asian Width W and F, and emoji with wide presentation, in coarse blocks.
constexpr std::array kWide = {
    Range{0x1100, 0x115F},   Range{0x2E80, 0x303E},   Range{0x3041, 0x33FF},
    Range{0x3400, 0x4DBF},   Range{0x4E00, 0x9FFF},   Range{0xA000, 0xA4CF},
    Range{0xA960, 0xA97F},   Range{0xAC00, 0xD7A3},   Range{0xF900, 0xFAFF},
    Range{0xFE30, 0xFE6F},   Range{0xFF00, 0xFF60},   Range{0xFFE0, 0xFFE6},
    Range{0x1F300, 0x1F64F}, Range{0x1F680, 0x1F6FF}, Range{0x1F900, 0x1F9FF},
    Range{0x1FA70, 0x1FAFF}, Range{0x20000, 0x3FFFD}};
constexpr std::array kZero = {Range{0x0300, 0x036F}, Range{0x1AB0, 0x1AFF}, Range{0x1DC0, 0x1DFF},
                              Range{0x200B, 0x200D}, Range{0x20D0, 0x20FF}, Range{0xFE00, 0xFE0F},
                              Range{0xFE20, 0xFE2F}};

template <size_t N>
bool within(const std::array<Range, N>& ranges, uint32_t code_point) {
  for (const Range& range : ranges) {
    if (code_point >= range.first && code_point <= range.last) return true;
  }
  return false;
}

bool drives_terminal(uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x200E || c == 0x200F || c == 0x061C ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

}  // namespace

uint32_t next_code_point(std::string_view text, size_t& at) {
  TG_ASSERT(at < text.size());
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(at);
  if (lead < 0x80) {
    ++at;
    return lead;
  }
  const size_t length = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (length == 0 || lead > 0xF4 || at + length > text.size()) {
    ++at;
    return kReplacement;
  }
  uint32_t value = lead & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) {
      ++at;
      return kReplacement;
    }
    value = value << 6 | (byte(at + i) & 0x3F);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  if (overlong || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
    ++at;
    return kReplacement;
  }
  at += length;
  return value;
}

uint32_t cell_width(uint32_t code_point) {
  if (code_point < 0x300) return 1;
  if (within(kZero, code_point)) return 0;
  return within(kWide, code_point) ? 2 : 1;
}

DisplayLine display_line(std::string_view line) {
  DisplayLine out;
  out.columns.reserve(line.size() + 1);
  uint32_t column = 0;
  for (size_t at = 0; at < line.size();) {
    const size_t begin = at;
    const uint32_t code_point = next_code_point(line, at);
    out.columns.insert(out.columns.end(), at - begin, column);
    if (code_point == '\t') {
      out.text += kTabText;
      column += kTabText.size();
    } else if (drives_terminal(code_point) || code_point == kReplacement) {
      out.text += kReplacementText;
      ++column;
    } else {
      out.text += line.substr(begin, at - begin);
      column += cell_width(code_point);
    }
  }
  out.columns.push_back(column);
  return out;
}

std::string display_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t code_point = next_code_point(text, at);
    if (code_point == '\n') {
      out += '\n';
    } else if (drives_terminal(code_point) || code_point == kReplacement) {
      out += kReplacementText;
    } else {
      out += text.substr(begin, at - begin);
    }
  }
  return out;
}

std::string display_slice(const DisplayLine& line, uint32_t begin, uint32_t end) {
  std::string out;
  uint32_t column = 0;
  for (size_t at = 0; at < line.text.size();) {
    const size_t first = at;
    const uint32_t width = cell_width(next_code_point(line.text, at));
    if (column >= begin && column + width <= end) {
      out += line.text.substr(first, at - first);
    } else if (column < end && column + width > begin && width > 0) {
      out += ' ';
    }
    column += width;
    if (column >= end) break;
  }
  return out;
}

}  // namespace tidegate
