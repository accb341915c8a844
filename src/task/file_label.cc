#include "task/file_label.h"

#include <fmt/format.h>

#include "base/hash.h"

namespace tidegate {
namespace {

constexpr size_t kHashDigits = 32;
constexpr size_t kEscapeBytes = 3;

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

void encode(std::string_view text, std::string& out) {
  for (const char c : text) {
    if (is_plain(c))
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
}

}  // namespace

std::string file_label(const LabelledValues& values) {
  std::string label;
  for (const auto& [column, text] : values) {
    if (!label.empty()) label += '+';
    encode(column, label);
    label += text ? "=" : "~null";
    if (text) encode(*text, label);
  }
  if (label.size() <= kFileLabelBytesMax) return label;
  const std::string hash = sha256_hex(label).substr(0, kHashDigits);
  size_t keep = kFileLabelBytesMax - kHashDigits - 1;
  // No half of an escape stays.
  for (size_t back = 1; back < kEscapeBytes; ++back)
    if (label[keep - back] == '%') {
      keep -= back;
      break;
    }
  return label.substr(0, keep) + '~' + hash;
}

}  // namespace tidegate
