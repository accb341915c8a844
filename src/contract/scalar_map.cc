#include "contract/scalar_map.h"

#include <algorithm>
#include <string>

#include "base/failure.h"

namespace tidegate {
namespace {

/// A decoded text and the origin of each of its bytes.
struct Mapped {
  std::string value;
  std::vector<uint32_t> offsets;

  void add(std::string_view bytes, uint32_t offset, uint32_t step) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      value += bytes[i];
      offsets.push_back(offset + static_cast<uint32_t>(i) * step);
    }
  }
  void add(const Mapped& other) {
    value += other.value;
    offsets.insert(offsets.end(), other.offsets.begin(), other.offsets.end());
  }
  void clear() {
    value.clear();
    offsets.clear();
  }
  bool empty() const { return value.empty(); }
};

void add_utf8(uint32_t c, uint32_t offset, Mapped& out) {
  std::string bytes;
  if (c < 0x80) {
    bytes = {static_cast<char>(c)};
  } else if (c < 0x800) {
    bytes = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
  } else if (c < 0x10000) {
    bytes = {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
             static_cast<char>(0x80 | (c & 0x3F))};
  } else {
    bytes = {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
             static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
  }
  out.add(bytes, offset, 0);
}

class Reader {
 public:
  Reader(std::string_view text, uint32_t begin, uint32_t end)
      : text_(text.substr(0, end)), at_(begin) {}

  bool done() const { return at_ >= text_.size(); }
  uint32_t at() const { return at_; }
  char peek(uint32_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool starts_with(std::string_view prefix) const { return text_.substr(at_).starts_with(prefix); }
  bool blank() const { return !done() && (peek() == ' ' || peek() == '\t'); }
  void skip(uint32_t bytes = 1) { at_ += bytes; }

  /// Bytes of the line break that begins here, or 0.
  uint32_t break_size() const {
    if (done()) return 0;
    if (starts_with("\r\n")) return 2;
    if (peek() == '\n' || peek() == '\r') return 1;
    if (starts_with("\xC2\x85")) return 2;
    if (starts_with("\xE2\x80\xA8") || starts_with("\xE2\x80\xA9")) return 3;
    return 0;
  }
  /// Takes a line break; all but the Unicode separators become a newline.
  void take_break(Mapped& out, uint32_t offset) {
    const uint32_t size = break_size();
    TG_ASSERT(size > 0);
    out.add(size == 3 ? text_.substr(at_, 3) : std::string_view("\n"), offset, size == 3 ? 1 : 0);
    at_ += size;
  }
  void take_byte(Mapped& out) {
    out.add(text_.substr(at_, 1), at_, 1);
    ++at_;
  }

 private:
  std::string_view text_;
  uint32_t at_;
};

/// Takes the escape at a backslash of a double-quoted scalar; false if it is none.
bool take_escape(Reader& reader, Mapped& out) {
  const uint32_t offset = reader.at();
  const char kind = reader.peek(1);
  reader.skip(2);
  uint32_t digits = 0;
  switch (kind) {
    case '0':
      add_utf8(0, offset, out);
      return true;
    case 'a':
      add_utf8(7, offset, out);
      return true;
    case 'b':
      add_utf8(8, offset, out);
      return true;
    case 't':
    case '\t':
      add_utf8(9, offset, out);
      return true;
    case 'n':
      add_utf8(10, offset, out);
      return true;
    case 'v':
      add_utf8(11, offset, out);
      return true;
    case 'f':
      add_utf8(12, offset, out);
      return true;
    case 'r':
      add_utf8(13, offset, out);
      return true;
    case 'e':
      add_utf8(27, offset, out);
      return true;
    case ' ':
    case '"':
    case '/':
    case '\\':
      add_utf8(static_cast<uint8_t>(kind), offset, out);
      return true;
    case 'N':
      add_utf8(0x85, offset, out);
      return true;
    case '_':
      add_utf8(0xA0, offset, out);
      return true;
    case 'L':
      add_utf8(0x2028, offset, out);
      return true;
    case 'P':
      add_utf8(0x2029, offset, out);
      return true;
    case 'x':
      digits = 2;
      break;
    case 'u':
      digits = 4;
      break;
    case 'U':
      digits = 8;
      break;
    default:
      return false;
  }
  uint32_t value = 0;
  for (uint32_t i = 0; i < digits; ++i, reader.skip()) {
    const char c = reader.peek();
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return false;
    value = value << 4 | static_cast<uint32_t>(digit);
  }
  add_utf8(value, offset, out);
  return true;
}

/// Plain and quoted scalars: blanks around a line break vanish, one break is a blank, n+1 are n.
std::optional<Mapped> map_flow(std::string_view text, uint32_t begin, uint32_t end,
                               YamlStyle style) {
  const bool quoted = style != YamlStyle::kPlain;
  if (quoted && end - begin < 2) return std::nullopt;
  Reader reader(text, quoted ? begin + 1 : begin, quoted ? end - 1 : end);
  Mapped out;
  while (!reader.done()) {
    bool leading_blanks = false;
    while (!reader.done() && !reader.blank() && reader.break_size() == 0) {
      if (style == YamlStyle::kSingleQuoted && reader.starts_with("''")) {
        out.add("'", reader.at(), 0);
        reader.skip(2);
      } else if (style == YamlStyle::kDoubleQuoted && reader.peek() == '\\') {
        Reader after = reader;
        after.skip();
        if (after.break_size() > 0) {  // an escaped line break: nothing stands for it
          Mapped dropped;
          reader.skip();
          reader.take_break(dropped, reader.at());
          leading_blanks = true;
          break;
        }
        if (!take_escape(reader, out)) return std::nullopt;
      } else {
        reader.take_byte(out);
      }
    }
    Mapped blanks, leading_break, trailing_breaks;
    const uint32_t text_end = reader.at();
    while (reader.blank() || reader.break_size() > 0) {
      if (reader.break_size() == 0) {
        if (leading_blanks) {
          reader.skip();
        } else {
          reader.take_byte(blanks);
        }
      } else if (!leading_blanks) {
        blanks.clear();
        reader.take_break(leading_break, text_end);
        leading_blanks = true;
      } else {
        reader.take_break(trailing_breaks, reader.at());
      }
    }
    if (!leading_blanks) {
      out.add(blanks);
    } else if (leading_break.value.starts_with('\n')) {
      if (trailing_breaks.empty()) {
        out.add(" ", text_end, 0);
      } else {
        trailing_breaks.offsets.front() = text_end;
        out.add(trailing_breaks);
      }
    } else {
      out.add(leading_break);
      out.add(trailing_breaks);
    }
  }
  out.offsets.push_back(quoted ? end - 1 : end);
  return out;
}

/// Skips indentation up to `indent` columns and takes the breaks of lines that have nothing else.
/// Returns the column that was reached on the last line.
uint32_t take_block_breaks(Reader& reader, uint32_t indent, Mapped& out) {
  while (true) {
    uint32_t column = 0;
    while (column < indent && reader.peek() == ' ') {
      reader.skip();
      ++column;
    }
    if (reader.break_size() == 0) return column;
    reader.take_break(out, reader.at());
  }
}

/// Literal and folded scalars whose text is indented by `indent` columns.
Mapped map_block(Reader reader, uint32_t end, bool folded, char chomping, uint32_t indent) {
  Mapped out, leading_break, trailing_breaks;
  bool leading_blank = false;
  uint32_t column = take_block_breaks(reader, indent, trailing_breaks);
  while (column == indent && !reader.done()) {
    const bool trailing_blank = reader.blank();
    if (folded && leading_break.value.starts_with('\n') && !leading_blank && !trailing_blank) {
      if (trailing_breaks.empty()) {
        out.add(" ", leading_break.offsets.front(), 0);
      } else {
        trailing_breaks.offsets.front() = leading_break.offsets.front();
      }
    } else {
      out.add(leading_break);
    }
    leading_break.clear();
    out.add(trailing_breaks);
    trailing_breaks.clear();
    leading_blank = trailing_blank;
    while (!reader.done() && reader.break_size() == 0) reader.take_byte(out);
    end = reader.at();
    if (reader.break_size() > 0) reader.take_break(leading_break, reader.at());
    column = take_block_breaks(reader, indent, trailing_breaks);
  }
  if (chomping != '-') out.add(leading_break);
  if (chomping == '+') out.add(trailing_breaks);
  out.offsets.push_back(std::max(end, out.offsets.empty() ? 0 : out.offsets.back()));
  return out;
}

std::optional<Mapped> map_block(std::string_view text, uint32_t begin, uint32_t end, bool folded,
                                std::string_view value) {
  Reader reader(text, begin, end);
  reader.skip();
  char chomping = ' ';
  while (!reader.done() && reader.break_size() == 0) {
    const char c = reader.peek();
    if (c == '#') break;
    if (c == '+' || c == '-') chomping = c;
    reader.skip();
  }
  while (!reader.done() && reader.break_size() == 0) reader.skip();
  Mapped dropped;
  const uint32_t header_end = reader.at();
  if (reader.break_size() > 0) reader.take_break(dropped, reader.at());
  // The indentation is the first line's, unless an indicator makes it less: then the value decides.
  uint32_t widest = 1;
  uint32_t column = 0;
  for (Reader scan = reader; !scan.done(); scan.skip()) {
    if (scan.peek() == ' ') {
      widest = std::max(widest, ++column);
    } else if (scan.break_size() > 0) {
      column = 0;
    } else {
      break;
    }
  }
  for (uint32_t indent = std::min<uint32_t>(widest, 4096); indent >= 1; --indent) {
    Mapped out = map_block(reader, header_end, folded, chomping, indent);
    if (out.value == value) return out;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::vector<uint32_t>> map_scalar(std::string_view text, uint32_t begin, uint32_t end,
                                                YamlStyle style, std::string_view value) {
  if (begin > end || end > text.size()) return std::nullopt;
  const bool block = style == YamlStyle::kLiteral || style == YamlStyle::kFolded;
  std::optional<Mapped> mapped =
      block && begin < end ? map_block(text, begin, end, style == YamlStyle::kFolded, value)
                           : map_flow(text, begin, end, style);
  if (!mapped || mapped->value != value) return std::nullopt;
  TG_ASSERT(mapped->offsets.size() == value.size() + 1);
  return std::move(mapped->offsets);
}

}  // namespace tidegate
