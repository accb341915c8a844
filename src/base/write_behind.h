#pragma once

#include <cstdint>

#include "base/effects.h"

namespace tidegate {

/// Brings a file to the disk while it is written from front to back, so that an fsync at its end
/// has little left to do and dirty pages do not pile up. For files that will be fsynced: others may
/// be gone before the system would have written them. Owns nothing; not thread-safe.
class WriteBehind {
 public:
  static constexpr uint64_t kWindowBytes = uint64_t{16} << 20;
  /// Windows on their way to the disk; who is faster waits for the oldest.
  static constexpr uint64_t kWindowsMax = 2;

  explicit WriteBehind(Effects& effects) : effects_(effects) {}
  /// All bytes before `end` were written. After a failure the file is of no use.
  Status written(int fd, uint64_t end);

 private:
  Effects& effects_;
  uint64_t started_ = 0;  ///< bytes whose way was begun
};

}  // namespace tidegate
