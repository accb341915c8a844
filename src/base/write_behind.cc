#include "base/write_behind.h"

namespace tidegate {

Status WriteBehind::written(int fd, uint64_t end) {
  for (; end - started_ >= kWindowBytes; started_ += kWindowBytes) {
    constexpr uint64_t kAhead = kWindowBytes * kWindowsMax;
    if (started_ >= kAhead) {
      TG_TRY(effects_.write_back(fd, started_ - kAhead, kWindowBytes, true));
    }
    TG_TRY(effects_.write_back(fd, started_, kWindowBytes, false));
  }
  return {};
}

}  // namespace tidegate
