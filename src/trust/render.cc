#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "trust/trust.h"

namespace tidegate {
namespace {

constexpr const char* kReset = "\x1b[0m";

const char* colour_of(std::string_view word) {
  if (word == "ok" || word == "TRUSTED") return "\x1b[32m";
  if (word == "warn" || word == "DEGRADED") return "\x1b[33m";
  if (word == "fail" || word == "error" || word == "UNTRUSTED") return "\x1b[31m";
  return "\x1b[35m";
}

std::string painted(std::string_view word, size_t width, bool colour) {
  const std::string padded = fmt::format("{:<{}}", word, width);
  return colour ? fmt::format("{}{}{}", colour_of(word), padded, kReset) : padded;
}

nlohmann::json time_or_null(const std::optional<int64_t>& time_us) {
  if (!time_us) return nullptr;
  return format_timestamp_us(*time_us);
}

}  // namespace

std::string render(const TrustAnswer& answer, bool colour) {
  std::string text =
      fmt::format("{}  {}", answer.output, painted(to_string(answer.verdict), 0, colour));
  if (!answer.generation.empty()) text += fmt::format("  generation {}", answer.generation);
  if (answer.watermark_us)
    text += fmt::format("  complete to {}", format_timestamp_us(*answer.watermark_us));
  text += "\n";
  size_t width = 0;
  for (const TrustPart& part : answer.reasons) width = std::max(width, part.part.size());
  for (const TrustPart& part : answer.reasons)
    text += fmt::format("  {:<{}}  {}  {}\n", part.part, width, painted(part.status, 7, colour),
                        part.message);
  if (answer.changes_at_us)
    text += fmt::format("  becomes {} by itself at {}\n", answer.changes_to,
                        format_timestamp_us(*answer.changes_at_us));
  return text;
}

std::string render_json(const std::vector<TrustAnswer>& answers) {
  nlohmann::ordered_json outputs = nlohmann::ordered_json::array();
  for (const TrustAnswer& answer : answers) {
    nlohmann::ordered_json reasons = nlohmann::ordered_json::array();
    for (const TrustPart& part : answer.reasons)
      reasons.push_back({{"part", part.part}, {"status", part.status}, {"message", part.message}});
    nlohmann::ordered_json one;
    one["output"] = answer.output;
    one["verdict"] = to_string(answer.verdict);
    one["generation"] = answer.generation.empty() ? nlohmann::ordered_json(nullptr)
                                                  : nlohmann::ordered_json(answer.generation);
    one["watermark"] = time_or_null(answer.watermark_us);
    one["changes_at"] = time_or_null(answer.changes_at_us);
    one["reasons"] = std::move(reasons);
    outputs.push_back(std::move(one));
  }
  nlohmann::ordered_json document;
  document["outputs"] = std::move(outputs);
  return document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace tidegate
