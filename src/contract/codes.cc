#include "contract/codes.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "contract/code_rows.h"

namespace tidegate {
namespace {

std::string indented(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    out += fmt::format("    {}\n", text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

}  // namespace

const std::vector<CodeInfo>& all_codes() {
  static const std::vector<CodeInfo> kCodes = [] {
    std::vector<CodeInfo> out;
    for (const auto rows : {shape_code_rows(), name_code_rows(), graph_code_rows(), sql_code_rows(),
                            split_code_rows(), repeat_code_rows(), source_code_rows(),
                            output_code_rows(), later_code_rows()}) {
      out.insert(out.end(), rows.begin(), rows.end());
    }
    return out;
  }();
  return kCodes;
}

const CodeInfo* find_code(std::string_view code) {
  const std::string wanted = to_lower_ascii(code);
  for (const CodeInfo& info : all_codes()) {
    if (to_lower_ascii(info.code) == wanted || info.name == wanted) return &info;
  }
  return nullptr;
}

std::string explain_code(const CodeInfo& info) {
  std::string out =
      fmt::format("{} ({}): {}\n\n{}\n", info.code, info.name, info.summary, info.meaning);
  if (*info.wrong != '\0') out += fmt::format("\nWrong:\n\n{}", indented(info.wrong));
  if (*info.right != '\0') out += fmt::format("\nRight:\n\n{}", indented(info.right));
  return out;
}

std::string codes_as_markdown() {
  std::string out = "| code | name | what is wrong |\n|---|---|---|\n";
  for (const CodeInfo& info : all_codes()) {
    out += fmt::format("| {} | {} | {} |\n", info.code, info.name, info.summary);
  }
  return out;
}

}  // namespace tidegate
