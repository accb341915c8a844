#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "plan/plan.h"

namespace tidegate {

/// What `plan -o` keeps: enough to know whether the world is still the same, and what is not.
struct SavedPlan {
  std::string pipeline_file;  ///< absolute
  std::string digest;
  int64_t run_time_us = 0;
  uint32_t workers = 0;
  /// Named parts that decide what runs: the contract's text, each source, each group's recipe and
  /// what is reused of it; in order.
  std::vector<std::pair<std::string, std::string>> parts;
};

std::vector<std::pair<std::string, std::string>> plan_parts(const Plan& plan);
Status save_plan(Effects& effects, const Plan& plan, const std::string& pipeline_file,
                 const std::string& path);
/// Nothing if the file is no saved plan (a pipeline file, say).
Result<std::optional<SavedPlan>> load_saved_plan(Effects& effects, const std::string& path);
/// The failure plan.changed that says what is different now; nothing if all is the same.
Status compare_saved(const SavedPlan& saved, const Plan& now);

}  // namespace tidegate
