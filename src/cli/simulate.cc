#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "cli/cli.h"
#include "plan/plan.h"
#include "simulate/simulation.h"

namespace tidegate::cli {
namespace {

constexpr uint64_t kSeedsMax = 100'000'000;
/// So many failing seeds are told; then it ends.
constexpr size_t kFailingMax = 10;
constexpr int64_t kSayUs = 2'000'000;

struct Seeds {
  uint64_t first = 1, last = 1'000;
};

Result<Seeds> seeds_argument(const std::string& text) {
  Seeds seeds;
  if (text.empty()) return seeds;
  const size_t dots = text.find("..");
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, seeds.first);
  seeds.last = seeds.first;
  auto last = first;
  if (dots != std::string::npos && first.ptr == text.data() + dots)
    last = std::from_chars(first.ptr + 2, end, seeds.last);
  if (first.ec != std::errc() || last.ec != std::errc() || last.ptr != end ||
      seeds.last < seeds.first || seeds.last - seeds.first >= kSeedsMax)
    return fail(FailureClass::kDefect, "units.seeds",
                fmt::format("seeds are one number or FIRST..LAST, at most {} of them: \"{}\"",
                            format_count(kSeedsMax), text));
  return seeds;
}

/// The sums over all seeds.
struct Sums {
  uint64_t seeds = 0;
  SimulationResult all;
  std::vector<SimulationResult> failing;

  void add(SimulationResult one) {
    ++seeds;
    all.runs += one.runs;
    all.events += one.events;
    all.calls += one.calls;
    all.virtual_us += one.virtual_us;
    for (size_t i = 0; i < one.faults.size(); ++i) all.faults[i] += one.faults[i];
    for (size_t i = 0; i < one.failures.size(); ++i) all.failures[i] += one.failures[i];
    if (!one.violations.empty()) failing.push_back(std::move(one));
  }
};

std::string render(const Sums& sums, const FaultProfile& profile, int64_t us) {
  const double seconds = std::max(static_cast<double>(us) / 1e6, 1e-6);
  std::string text = fmt::format(
      "{} seeds of \"{}\": {} runs, {} events, {} calls to the disk in {:.1f} s ({:.0f} runs/s, "
      "{:.0f} events/s)\n",
      format_count(sums.seeds), profile.name, format_count(sums.all.runs),
      format_count(sums.all.events), format_count(sums.all.calls), seconds,
      static_cast<double>(sums.all.runs) / seconds, static_cast<double>(sums.all.events) / seconds);
  for (size_t kind = 0; kind < kFaultKinds; ++kind)
    if (sums.all.faults[kind] > 0)
      text += fmt::format("  {:<18} {}\n", to_string(static_cast<FaultKind>(kind)),
                          format_count(sums.all.faults[kind]));
  for (const SimulationResult& one : sums.failing)
    for (const std::string& violation : one.violations)
      text += fmt::format("seed {}: {}\n", one.seed, violation);
  return text +
         (sums.failing.empty()
              ? "nothing was lost, doubled or published unverified\n"
              : fmt::format("{} of {} seeds broke a promise; `--seeds N --trace` shows one\n",
                            sums.failing.size(), format_count(sums.seeds)));
}

std::string render_json(const Sums& sums, const FaultProfile& profile, int64_t us) {
  nlohmann::json faults = nlohmann::json::object(), failures = nlohmann::json::object(),
                 failing = nlohmann::json::array();
  for (size_t kind = 0; kind < kFaultKinds; ++kind)
    faults[std::string(to_string(static_cast<FaultKind>(kind)))] = sums.all.faults[kind];
  for (size_t cls = 0; cls < sums.all.failures.size(); ++cls)
    failures[std::string(to_string(static_cast<FailureClass>(cls)))] = sums.all.failures[cls];
  for (const SimulationResult& one : sums.failing)
    failing.push_back({{"seed", one.seed}, {"violations", one.violations}, {"trace", one.trace}});
  return nlohmann::json({{"profile", profile.name},
                         {"seeds", sums.seeds},
                         {"runs", sums.all.runs},
                         {"events", sums.all.events},
                         {"calls", sums.all.calls},
                         {"seconds", static_cast<double>(us) / 1e6},
                         {"virtual_seconds", static_cast<double>(sums.all.virtual_us) / 1e6},
                         {"faults", faults},
                         {"failures", failures},
                         {"failing", failing}})
      .dump();
}

}  // namespace

int command_simulate(Effects& effects, const Common& common, const SimulateArguments& arguments) {
  const auto seeds = seeds_argument(arguments.seeds);
  if (!seeds) return tell_failure(common, seeds.error(), kExitUsage);
  std::string problem;
  const auto profile = fault_profile(arguments.faults.empty() ? "all" : arguments.faults, problem);
  if (!profile)
    return tell_failure(common, {FailureClass::kDefect, "units.faults", problem}, kExitUsage);
  Diagnostics diagnostics;
  auto pipeline = load_pipeline(effects, arguments.file, diagnostics);
  if (!pipeline) return tell_failure(common, pipeline.error(), kExitUsage);
  const auto text = pipeline->text;
  PlanOptions plan_options;
  // The files stand in this world's time, all else in the simulated one's.
  plan_options.now_us = effects.now_us();
  plan_options.run_time_us = SimulationOptions::kBeginUs;
  plan_options.memory_bytes = SimulationOptions::kHostBytes;
  auto plan = make_plan(effects, std::move(*pipeline), nullptr, nullptr, plan_options, diagnostics);
  print_diagnostics(common, diagnostics, *text);
  if (!plan) return tell_failure(common, plan.error(), kExitUsage);
  if (diagnostics.has_errors()) return kExitUsage;
  SimulationOptions options;
  if (arguments.workers > 0) options.workers = arguments.workers;
  if (arguments.hosts > 0) options.hosts = arguments.hosts;
  options.trace = arguments.trace;
  const Simulation simulation(std::move(*plan), options);
  Sums sums;
  const int64_t begin = effects.monotonic_us();
  int64_t said = begin;
  for (uint64_t seed = seeds->first; seed <= seeds->last && sums.failing.size() < kFailingMax;
       ++seed) {
    SimulationResult one = simulation.run(*profile, seed);
    if (arguments.trace && !common.json)
      for (const std::string& line : one.trace) out(line + "\n");
    sums.add(std::move(one));
    const int64_t now = effects.monotonic_us();
    if (now - said < kSayUs || common.quiet || common.json) continue;
    said = now;
    err(fmt::format("seed {} of {}..{}, {} failing\n", seed, seeds->first, seeds->last,
                    sums.failing.size()));
  }
  const int64_t us = effects.monotonic_us() - begin;
  out(common.json ? render_json(sums, *profile, us) + "\n" : render(sums, *profile, us));
  return sums.failing.empty() ? kExitDone : kExitFailed;
}

}  // namespace tidegate::cli
