#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace tidegate {

/// How long tasks of a group take for their rows, by those that have finished: which one is late
/// against its siblings.
class Stragglers {
 public:
  /// So many siblings must have finished before one is called late.
  static constexpr size_t kSiblingsMin = 3;
  /// Late is who, at its own pace, needs so many times as long for what is left as another would
  /// for all of it, and has had so long already.
  static constexpr double kTimes = 2;
  static constexpr int64_t kElapsedUsMin = 1'000'000;
  /// Of a group's tasks the newest are remembered.
  static constexpr size_t kRememberedMax = 101;

  void finished(uint32_t group, uint64_t rows, int64_t us);
  /// What a task of so many rows takes; nothing while too few have finished.
  std::optional<int64_t> expected_us(uint32_t group, uint64_t rows) const;
  bool is_late(uint32_t group, uint64_t rows, uint64_t rows_done, int64_t elapsed_us) const;

 private:
  struct Group {
    std::vector<double> paces;  ///< microseconds a row
    size_t next = 0;            ///< to be overwritten
  };
  std::map<uint32_t, Group> groups_;
};

}  // namespace tidegate
