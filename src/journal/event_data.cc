#include "journal/event_data.h"

#include "base/remembered.h"

namespace tidegate {

const nlohmann::json& event_data(std::string_view text) {
  static thread_local Remembered<nlohmann::json, 64, size_t{8} * 1024> known;
  if (const nlohmann::json* data = known.find(text)) return *data;
  nlohmann::json made = nlohmann::json::parse(text, nullptr, false);
  if (known.fits(text)) return known.keep(text, std::move(made));
  static thread_local nlohmann::json large;
  large = std::move(made);
  return large;
}

}  // namespace tidegate
