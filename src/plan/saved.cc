#include "plan/saved.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/hash.h"
#include "base/text.h"

namespace tidegate {
namespace {

constexpr const char* kMagic = "tidegate-plan";
constexpr int kSavedVersion = 1;
const std::string kReusedOf = "what is reused of ";
constexpr uint64_t kSavedBytesMax = uint64_t{256} << 20;

/// More results than were planned with are no less: a run of this plan was interrupted, perhaps.
bool is_less(const std::string& name, const std::string& before, const std::string& now) {
  if (!name.starts_with(kReusedOf)) return before != now;
  std::istringstream identities(before);
  for (std::string identity; identities >> identity;)
    if (now.find(identity) == std::string::npos) return true;
  return false;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> plan_parts(const Plan& plan) {
  std::vector<std::pair<std::string, std::string>> parts;
  parts.emplace_back("the pipeline file", sha256_hex(plan.pipeline.text->text()));
  for (size_t s = 0; s < plan.sources.size(); ++s)
    parts.emplace_back(fmt::format("source {}", plan.pipeline.sources[s].name.value),
                       plan.sources[s].arrival.identity);
  for (const GraphGroup& group : plan.graph.groups) {
    parts.emplace_back(fmt::format("the recipe of {}", group.name), group.recipe);
    std::string reused;
    for (uint32_t task : group.tasks)
      if (plan.graph.tasks[task].state == TaskState::kReused)
        reused += plan.graph.tasks[task].identity + " ";
    parts.emplace_back(kReusedOf + group.name, std::move(reused));
  }
  return parts;
}

Status save_plan(Effects& effects, const Plan& plan, const std::string& pipeline_file,
                 const std::string& path) {
  nlohmann::json parts = nlohmann::json::array();
  for (const auto& [name, value] : plan_parts(plan)) parts.push_back({name, value});
  const nlohmann::json document = {{"format", kMagic},
                                   {"version", kSavedVersion},
                                   {"pipeline", pipeline_file},
                                   {"digest", plan.digest},
                                   {"run_time_us", plan.run_time_us},
                                   {"workers", plan.workers},
                                   {"parts", parts},
                                   {"plan", nlohmann::json::parse(render_plan_json(plan))}};
  return write_file(effects, path, document.dump(1) + "\n");
}

Result<std::optional<SavedPlan>> load_saved_plan(Effects& effects, const std::string& path) {
  auto text = read_file(effects, path, kSavedBytesMax);
  if (!text || !text->starts_with("{")) return std::nullopt;
  const auto document = nlohmann::json::parse(*text, nullptr, false);
  if (document.is_discarded() || document.value("format", "") != kMagic) return std::nullopt;
  if (document.value("version", 0) != kSavedVersion)
    return fail(FailureClass::kDefect, "plan.version",
                "the saved plan is of another version: make a new one");
  try {
    SavedPlan saved;
    saved.pipeline_file = document.at("pipeline");
    saved.digest = document.at("digest");
    saved.run_time_us = document.at("run_time_us");
    saved.workers = document.at("workers");
    for (const auto& part : document.at("parts")) saved.parts.emplace_back(part.at(0), part.at(1));
    return saved;
  } catch (const nlohmann::json::exception&) {
    return fail(FailureClass::kDefect, "plan.corrupt",
                "the saved plan cannot be read: make a new one");
  }
}

Status compare_saved(const SavedPlan& saved, const Plan& now) {
  std::vector<std::string> changed;
  const auto parts = plan_parts(now);
  for (const auto& [name, value] : parts) {
    bool known = false;
    for (const auto& [old_name, old_value] : saved.parts) {
      if (old_name != name) continue;
      known = true;
      if (is_less(name, old_value, value)) changed.push_back(name);
    }
    if (!known) changed.push_back(name + " (new)");
  }
  for (const auto& [old_name, old_value] : saved.parts) {
    (void)old_value;
    const bool there = std::any_of(parts.begin(), parts.end(),
                                   [&](const auto& part) { return part.first == old_name; });
    if (!there) changed.push_back(old_name + " (gone)");
  }
  if (changed.empty()) return {};
  return fail(
      FailureClass::kDefect, "plan.changed",
      fmt::format(
          "the world is not as it was when the plan was saved; changed: {}. Make a new plan",
          join(changed, ", ")));
}

}  // namespace tidegate
