#pragma once

#include <span>
#include <string_view>

#include "base/failure.h"

namespace tidegate {

/// Version of the event schema that docs/events.md describes.
inline constexpr int kEventSchemaVersion = 1;

/// One type of event: its name, the fields it must carry and those that it may. A name ending in
/// "?" may be absent. docs/events.md describes each (a test compares both).
struct EventType {
  std::string_view name;
  std::span<const std::string_view> fields;
};

/// Every type that a journal may hold, in the order of docs/events.md.
std::span<const EventType> event_types();

/// Refuses (journal.bad_event) a type that is not listed, data that is no JSON object, and data
/// without a required field.
Status check_event(std::string_view type, std::string_view data);

}  // namespace tidegate
