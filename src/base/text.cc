#include "base/text.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace tidegate {
namespace {

std::string quote(std::string_view text, char mark) {
  std::string out(1, mark);
  for (char c : text) {
    out += c;
    if (c == mark) out += c;
  }
  out += mark;
  return out;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// Length of the valid UTF-8 sequence at `text[i]`, 0 if there is none.
size_t utf8_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<uint8_t>(text[k]); };
  const uint8_t first = byte(i);
  if (first < 0x80) return 1;
  size_t size = first >= 0xF0 && first < 0xF5   ? 4
                : first >= 0xE0 && first < 0xF0 ? 3
                : first >= 0xC2 && first < 0xE0 ? 2
                                                : 0;
  if (size == 0 || i + size > text.size()) return 0;
  for (size_t k = 1; k < size; ++k)
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
  const uint8_t second = byte(i + 1);
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second >= 0xA0) ||
      (first == 0xF0 && second < 0x90) || (first == 0xF4 && second >= 0x90))
    return 0;
  return size;
}

bool glob_match_from(std::string_view pattern, size_t p, std::string_view path, size_t s,
                     size_t& budget) {
  while (p < pattern.size()) {
    if (budget == 0) return false;
    --budget;
    const char c = pattern[p];
    if (c == '*') {
      const bool crosses = p + 1 < pattern.size() && pattern[p + 1] == '*';
      size_t next = p + (crosses ? 2 : 1);
      // "**/" also matches nothing.
      if (crosses && next < pattern.size() && pattern[next] == '/' &&
          glob_match_from(pattern, next + 1, path, s, budget))
        return true;
      for (size_t end = s;; ++end) {
        if (glob_match_from(pattern, next, path, end, budget)) return true;
        if (end >= path.size() || (!crosses && path[end] == '/')) return false;
      }
    }
    if (s >= path.size()) return false;
    if (c == '?') {
      if (path[s] == '/') return false;
    } else if (c == '[') {
      const size_t close = pattern.find(']', p + 2);
      if (close == std::string_view::npos) {
        if (path[s] != '[') return false;
      } else {
        size_t k = p + 1;
        const bool negate = pattern[k] == '!' || pattern[k] == '^';
        if (negate) ++k;
        bool hit = false;
        for (; k < close; ++k) {
          if (k + 2 < close && pattern[k + 1] == '-') {
            hit |= pattern[k] <= path[s] && path[s] <= pattern[k + 2];
            k += 2;
          } else {
            hit |= pattern[k] == path[s];
          }
        }
        if (hit == negate || path[s] == '/') return false;
        p = close;
      }
    } else if (c != path[s]) {
      return false;
    }
    ++p;
    ++s;
  }
  return s == path.size();
}

}  // namespace

std::string quote_identifier(std::string_view name) { return quote(name, '"'); }
std::string quote_literal(std::string_view text) { return quote(text, '\''); }

std::string quote_json(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
      ++i;
    } else if (c == '\n') {
      out += "\\n";
      ++i;
    } else if (c == '\t') {
      out += "\\t";
      ++i;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
      ++i;
    } else if (size_t size = utf8_length(text, i)) {
      out.append(text, i, size);
      i += size;
    } else {
      out += "\xEF\xBF\xBD";
      ++i;
    }
  }
  out += '"';
  return out;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i) out += separator;
    out += parts[i];
  }
  return out;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), row(b.size() + 1), next(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    next[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t swap = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
      next[j] = std::min({row[j] + 1, next[j - 1] + 1, row[j - 1] + swap});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
          lower(a[i - 2]) == lower(b[j - 1]))
        next[j] = std::min(next[j], before[j - 2] + 1);
    }
    before.swap(row);
    row.swap(next);
  }
  return row[b.size()];
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = 1 + name.size() / 4;
  bool found = false;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(name, candidate);
    if (distance < best_distance || (!found && distance == best_distance)) {
      best = candidate;
      best_distance = distance;
      found = true;
    }
  }
  return best;
}

uint64_t to_u64(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string first_line(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

std::string without_control(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // The controls beyond ASCII are U+0080 to U+009F, in UTF-8 C2 80 to C2 9F.
    const bool beyond = byte == 0xC2 && i + 1 < text.size() &&
                        (static_cast<unsigned char>(text[i + 1]) & 0xE0) == 0x80;
    const bool control = byte < 0x20 && byte != '\n' && byte != '\t';
    out += control || byte == 0x7F || beyond ? '.' : text[i];
    i += beyond;
  }
  return out;
}

std::string to_lower_ascii(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

bool is_valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t size = utf8_length(text, i);
    if (size == 0) return false;
    i += size;
  }
  return true;
}

bool glob_match(std::string_view pattern, std::string_view path) {
  constexpr size_t kGlobStepsMax = 100'000;
  size_t budget = kGlobStepsMax;
  return glob_match_from(pattern, 0, path, 0, budget);
}

}  // namespace tidegate
