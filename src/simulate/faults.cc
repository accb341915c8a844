#include "simulate/faults.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace tidegate {
namespace {

constexpr std::array<std::string_view, kFaultKinds> kNames = {
    "worker_dies",      "worker_hangs",     "worker_slow",    "host_dies", "host_slow",
    "host_unreachable", "answer_lost",      "answer_twice",   "transient", "memory",
    "result_corrupt",   "result_truncated", "result_gone",    "disk_full", "disk_error",
    "sync_fails",       "swap_answer_lost", "conductor_dies", "power_cut", "other_conductor",
    "clock_jumps",      "check_fails"};

FaultProfile profile(std::string name, const std::vector<std::pair<FaultKind, double>>& rates) {
  FaultProfile made{.name = std::move(name)};
  for (const auto& [kind, rate] : rates) made[kind] = rate;
  return made;
}

}  // namespace

std::string_view to_string(FaultKind kind) { return kNames[static_cast<size_t>(kind)]; }

bool FaultStream::hits(FaultKind kind) {
  if (quiet_ || !random.chance(profile_[kind])) return false;
  ++counts_[static_cast<size_t>(kind)];
  return true;
}

const std::vector<FaultProfile>& fault_profiles() {
  using enum FaultKind;
  static const std::vector<FaultProfile> profiles = [] {
    std::vector<FaultProfile> all{
        profile("none", {}),
        profile("workers", {{kWorkerDies, 0.05},
                            {kWorkerHangs, 0.005},
                            {kWorkerSlow, 0.03},
                            {kAnswerLost, 0.03},
                            {kAnswerTwice, 0.03},
                            {kTransient, 0.03},
                            {kMemory, 0.02}}),
        profile(
            "hosts",
            {{kHostDies, 0.01}, {kHostSlow, 0.01}, {kHostUnreachable, 0.02}, {kWorkerDies, 0.01}}),
        profile("results", {{kResultCorrupt, 0.02},
                            {kResultTruncated, 0.02},
                            {kResultGone, 0.02},
                            {kWorkerDies, 0.01}}),
        profile("disk", {{kDiskFull, 0.3},
                         {kDiskError, 0.3},
                         {kSyncFails, 0.3},
                         {kSwapAnswerLost, 0.5},
                         {kPowerCut, 0.3}}),
        profile("crashes", {{kConductorDies, 0.6}, {kPowerCut, 0.6}, {kWorkerDies, 0.01}}),
        profile("rivals", {{kOtherConductor, 0.7}, {kConductorDies, 0.2}, {kPowerCut, 0.2}}),
        profile("clock", {{kClockJumps, 0.5}, {kConductorDies, 0.3}}),
        profile("checks", {{kCheckFails, 0.5}, {kWorkerDies, 0.02}, {kConductorDies, 0.3}}),
    };
    FaultProfile everything{.name = "all"};
    for (size_t kind = 0; kind < kFaultKinds; ++kind)
      for (const FaultProfile& one : all)
        everything.rates[kind] = std::max(everything.rates[kind], one.rates[kind] / 2);
    all.push_back(std::move(everything));
    return all;
  }();
  return profiles;
}

std::optional<FaultProfile> fault_profile(const std::string& text, std::string& problem) {
  for (const FaultProfile& one : fault_profiles())
    if (one.name == text) return one;
  FaultProfile made{.name = text};
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, comma - begin);
    begin = comma + 1;
    const size_t equals = part.find('=');
    const std::string name = part.substr(0, equals);
    const auto at = std::find(kNames.begin(), kNames.end(), name);
    double rate = -1;
    if (equals != std::string::npos)
      std::from_chars(part.data() + equals + 1, part.data() + part.size(), rate);
    if (at == kNames.end() || rate < 0 || rate > 1) {
      std::vector<std::string> names;
      for (const FaultProfile& one : fault_profiles()) names.push_back(one.name);
      std::vector<std::string> kinds(kNames.begin(), kNames.end());
      problem = fmt::format(
          "\"{}\" is neither a profile ({}) nor KIND=SHARE with a kind of {} and a "
          "share from 0 to 1",
          part, join(names, ", "), join(kinds, ", "));
      return std::nullopt;
    }
    made.rates[static_cast<size_t>(at - kNames.begin())] = rate;
  }
  return made;
}

}  // namespace tidegate
