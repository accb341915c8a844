#pragma once

#include <optional>
#include <string>

#include "base/effects.h"

namespace tidegate {

/// One memory cgroup (v1 or v2) below this process's own: the outer wall around a worker. Inside it
/// the kernel kills before the host suffers, also while the conductor is too busy to look.
///
/// What is charged is more than resident memory: page cache of the files that the worker writes and
/// reads, page tables, sockets. The kernel drops clean pages before it kills, so a limit close to
/// the bound costs no correctness; kAllowance leaves room for what it cannot drop.
class MemoryCgroup {
 public:
  static constexpr uint64_t kAllowance = uint64_t{64} << 20;

  /// Makes the group `name` ("tidegate-PID-SLOT": groups of a PID that is no more are swept away),
  /// or nothing where there is no memory controller that this process may write: the caller then
  /// has its own watch alone. `self` and `root` are /proc/self/cgroup and /sys/fs/cgroup but in
  /// tests.
  static std::optional<MemoryCgroup> make(Effects& effects, const std::string& name,
                                          const std::string& self = "/proc/self/cgroup",
                                          const std::string& root = "/sys/fs/cgroup");
  MemoryCgroup(MemoryCgroup&& other) noexcept;
  MemoryCgroup& operator=(MemoryCgroup&&) = delete;
  /// Removes the group; what it still holds of page cache goes to its parent. Its processes must
  /// have ended, else it stays.
  ~MemoryCgroup();

  /// Moves a process in. What it took before stays charged to where it was.
  Status add(int64_t pid);
  /// The process may hold `bound` bytes, and kAllowance beside.
  Status limit(uint64_t bound);
  /// How often the kernel has killed in here.
  uint64_t kills();

 private:
  MemoryCgroup(Effects& effects, std::string path, bool v2)
      : effects_(&effects), path_(std::move(path)), v2_(v2) {}
  Status write(const char* file, const std::string& text);

  Effects* effects_;
  std::string path_;  ///< "" once moved from
  bool v2_;
};

}  // namespace tidegate
