#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"

namespace tidegate::shuffle {

/// Counts bytes against a bound.
class Budget {
 public:
  explicit Budget(uint64_t limit) : limit_(limit) {}
  void add(uint64_t bytes) { used_ += bytes; }
  void remove(uint64_t bytes) {
    TG_ASSERT(bytes <= used_);
    used_ -= bytes;
  }
  bool fits(uint64_t bytes) const { return used_ + bytes <= limit_; }
  uint64_t used() const { return used_; }
  uint64_t limit() const { return limit_; }

 private:
  uint64_t limit_;
  uint64_t used_ = 0;
};

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};
/// Uninitialised memory, 16-byte aligned.
using Memory = std::unique_ptr<std::byte, FreeDeleter>;
inline Memory allocate(size_t bytes) {
  Memory memory(static_cast<std::byte*>(std::malloc(bytes == 0 ? 1 : bytes)));
  TG_ASSERT(memory != nullptr);
  return memory;
}

/// Writes a file from its beginning on, small pieces gathered.
class FileAppender {
 public:
  static constexpr size_t kBufferBytes = 256 << 10;
  FileAppender(Effects& effects, Fd fd) : effects_(effects), fd_(std::move(fd)) {
    buffer_.reserve(kBufferBytes);
  }
  uint64_t offset() const { return flushed_ + buffer_.size(); }
  Status append(const void* data, size_t size);
  Status flush();
  void close() { fd_.reset(); }

 private:
  Effects& effects_;
  Fd fd_;
  std::vector<std::byte> buffer_;
  uint64_t flushed_ = 0;
};

}  // namespace tidegate::shuffle
