#include "task/held_tables.h"

#include <algorithm>
#include <optional>

#include "base/hash.h"

namespace tidegate {
namespace {

std::optional<HeldTable> held_now;

}  // namespace

std::string held_table_name(const TaskSpec& spec, const TaskStep& step) {
  IdentityHash hash;
  hash.add(reduce::to_json(*step.lookup));
  for (const TaskInput& input : spec.inputs) {
    if (input.name != step.lookup->held) continue;
    // The path of a result says what lies there.
    for (const MapOutputRef& ref : input.map_outputs) hash.add(ref.path).add(ref.attempt);
    hash.add(uint64_t{input.bucket_begin}).add(uint64_t{input.bucket_end});
  }
  return hash.hex();
}

const HeldTable* held_table(const std::string& name, uint64_t memory_bytes) {
  return held_now && held_now->name == name && held_now->memory_bytes == memory_bytes ? &*held_now
                                                                                      : nullptr;
}

void hold_table(HeldTable table) { held_now = std::move(table); }

void drop_other_tables(const TaskSpec& spec) {
  const bool used =
      held_now && std::any_of(spec.steps.begin(), spec.steps.end(), [&](const TaskStep& step) {
        return step.lookup && held_table_name(spec, step) == held_now->name;
      });
  if (!used) held_now.reset();
}

uint64_t held_table_bytes() { return held_now && held_now->table ? held_now->table->bytes() : 0; }

}  // namespace tidegate
