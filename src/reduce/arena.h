#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace tidegate::reduce {

/// Bytes that live as long as their table; freed together.
class Arena {
 public:
  static constexpr size_t kBlockBytes = 256 << 10;

  const char* copy(const char* data, size_t size) {
    if (size > room_) add_block(size);
    char* to = next_;
    if (size > 0) std::memcpy(to, data, size);
    next_ += size;
    room_ -= size;
    return to;
  }
  void clear() {
    blocks_.clear();
    next_ = nullptr;
    room_ = bytes_ = 0;
  }
  uint64_t bytes() const { return bytes_; }

 private:
  void add_block(size_t size) {
    const size_t bytes = std::max(size, kBlockBytes);
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(bytes));
    next_ = blocks_.back().get();
    room_ = bytes;
    bytes_ += bytes;
  }

  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  size_t room_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace tidegate::reduce
