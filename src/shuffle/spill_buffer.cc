#include "shuffle/spill_buffer.h"

#include <span>

namespace tidegate::shuffle {

Status FileAppender::append(const void* data, size_t size) {
  const std::byte* from = static_cast<const std::byte*>(data);
  if (buffer_.size() + size > kBufferBytes) {
    TG_TRY(flush());
    if (size >= kBufferBytes) {
      TG_TRY(effects_.pwrite(fd_.get(), {from, size}, flushed_));
      flushed_ += size;
      return {};
    }
  }
  buffer_.insert(buffer_.end(), from, from + size);
  return {};
}

Status FileAppender::flush() {
  if (buffer_.empty()) return {};
  TG_TRY(effects_.pwrite(fd_.get(), buffer_, flushed_));
  flushed_ += buffer_.size();
  buffer_.clear();
  return {};
}

}  // namespace tidegate::shuffle
