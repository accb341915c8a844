#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "simulate/process.h"

namespace tidegate {

/// What may go wrong in a simulated world.
enum class FaultKind : uint8_t {
  kWorkerDies,       ///< in the middle of a task
  kWorkerHangs,      ///< a task that never ends by itself
  kWorkerSlow,       ///< a task takes many times as long
  kHostDies,         ///< all its workers at once; it is back after a while
  kHostSlow,         ///< all that runs there takes many times as long, for a while
  kHostUnreachable,  ///< its workers count as lost, go on, and what they did is told late
  kAnswerLost,       ///< a result is there, its worker dies before it says so
  kAnswerTwice,      ///< a completion comes a second time, late
  kTransient,        ///< a task fails with something that may be over soon
  kMemory,           ///< a task crosses its bound
  kResultCorrupt,    ///< a byte of a finished result changes
  kResultTruncated,  ///< a finished result loses its end
  kResultGone,       ///< a finished result is deleted
  kDiskFull,         ///< writing fails with ENOSPC for a while
  kDiskError,        ///< a call fails with EIO
  kSyncFails,        ///< an fsync fails with EIO, and what it should have written is lost
  kSwapAnswerLost,   ///< a call that changes the disk is done and says EIO
  kConductorDies,    ///< at any call
  kPowerCut,         ///< the conductor dies, and with it what was not synced, and all workers
  kOtherConductor,   ///< sleeps at any call while another one does a whole run
  kClockJumps,       ///< the clock on the wall is set, back or ahead
  kCheckFails,       ///< the output does not pass its checks
};
inline constexpr size_t kFaultKinds = static_cast<size_t>(FaultKind::kCheckFails) + 1;
std::string_view to_string(FaultKind kind);

/// How often each happens: of a task, an attempt to commit or a run, as fits the kind.
struct FaultProfile {
  std::string name;
  std::array<double, kFaultKinds> rates{};
  double& operator[](FaultKind kind) { return rates[static_cast<size_t>(kind)]; }
  double operator[](FaultKind kind) const { return rates[static_cast<size_t>(kind)]; }
};

/// Draws faults by a profile and counts them.
class FaultStream {
 public:
  FaultStream(const FaultProfile& profile, uint64_t seed) : profile_(profile), random(seed) {}
  /// True as often as the profile says; never while it is quiet.
  bool hits(FaultKind kind);
  void be_quiet(bool quiet) { quiet_ = quiet; }
  uint64_t count(FaultKind kind) const { return counts_[static_cast<size_t>(kind)]; }

 private:
  FaultProfile profile_;
  std::array<uint64_t, kFaultKinds> counts_{};
  bool quiet_ = false;

 public:
  Random random;  ///< for the details of what happens
};

/// The profiles that come with the program.
const std::vector<FaultProfile>& fault_profiles();
/// One of them by name, or written out: "worker_dies=0.01,power_cut=0.5". Nothing if it is neither;
/// `problem` says why.
std::optional<FaultProfile> fault_profile(const std::string& text, std::string& problem);

}  // namespace tidegate
