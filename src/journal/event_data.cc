#include "journal/event_data.h"

#include <array>
#include <string>

#include "base/hash.h"

namespace tidegate {
namespace {

/// So many texts are remembered, none of them longer than that.
constexpr size_t kDataKept = 64, kDataKeptBytes = 8 * 1024;

struct KnownData {
  std::string text;
  nlohmann::json json;
};

}  // namespace

const nlohmann::json& event_data(std::string_view text) {
  static thread_local std::array<KnownData, kDataKept> known;
  static thread_local nlohmann::json large;
  if (text.size() > kDataKeptBytes) {
    large = nlohmann::json::parse(text, nullptr, false);
    return large;
  }
  KnownData& there = known[xxh3_64(text) % kDataKept];
  if (there.text != text || text.empty()) {
    there.json = nlohmann::json::parse(text, nullptr, false);
    there.text = text;
  }
  return there.json;
}

}  // namespace tidegate
