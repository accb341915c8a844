// Of this module only: what knows of JSON does not spread.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace tidegate {

/// The data of an event; discarded (no object) if it is no JSON. An event is looked at several
/// times between its append and its commit: what was parsed lately is remembered by its text. Valid
/// until the next call in this thread.
const nlohmann::json& event_data(std::string_view text);

}  // namespace tidegate
