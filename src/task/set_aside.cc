#include "task/set_aside.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/secrets.h"
#include "base/text.h"

namespace tidegate {
namespace {

/// The fields of a row, without braces.
std::string fields_of_row(const RejectedRow& row) {
  return fmt::format(R"("file":{},"line":{},"column":{},"reason":{},"raw":{})",
                     quote_json(row.file), row.line, quote_json(row.column), quote_json(row.reason),
                     quote_json(row.raw));
}

}  // namespace

std::string set_aside_table(size_t index) { return fmt::format("quarantine-{}.jsonl", index); }

std::string set_aside_json(const RejectedRow& row) { return "{" + fields_of_row(row) + "}"; }

Result<uint64_t> write_set_aside(Effects& effects, const std::string& path, const SetAside& aside) {
  std::string text;
  uint64_t rows = 0;
  for (const RejectedRow& row : aside.rows) {
    const std::string line = without_secrets(
        fmt::format("{{\"source\":{},{},\"stage\":{},\"attempt\":{}}}\n", quote_json(aside.source),
                    fields_of_row(row), quote_json(aside.stage), quote_json(aside.attempt)));
    if (text.size() + line.size() > kSetAsideBytesMax) break;
    text += line;
    ++rows;
  }
  TG_TRY(write_file(effects, path, text));
  return rows;
}

Result<SetAside> read_set_aside(Effects& effects, const std::string& path) {
  const auto torn = [&] {
    return fail(FailureClass::kLost, "quarantine.table",
                fmt::format("the rows set aside cannot be read: \"{}\"", path));
  };
  TG_ASSIGN(const std::string text, read_file(effects, path, kSetAsideBytesMax));
  SetAside aside;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) return torn();
    const auto row = nlohmann::json::parse(text.begin() + static_cast<long>(at),
                                           text.begin() + static_cast<long>(end), nullptr, false);
    at = end + 1;
    try {
      if (!row.is_object()) return torn();
      row.at("source").get_to(aside.source);
      row.at("stage").get_to(aside.stage);
      row.at("attempt").get_to(aside.attempt);
      aside.rows.push_back(
          {row.at("file"), row.at("line"), row.at("column"), row.at("reason"), row.at("raw")});
    } catch (const nlohmann::json::exception&) {
      return torn();
    }
  }
  return aside;
}

}  // namespace tidegate
