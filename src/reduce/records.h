#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace tidegate::reduce {

/// Memory for records of any size that are found by numbers of 32 bits: their places, in units of
/// 8 bytes. A record is aligned to 8 bytes and never moves; all are freed together. One that fits
/// into a cache line and takes most of it lies in one: it costs one look into memory.
class Records {
 public:
  static constexpr size_t kUnitBytes = 8;
  static constexpr size_t kBlockBytes = 256 << 10;
  static constexpr uint64_t kBytesMax = uint64_t{UINT32_MAX} * kUnitBytes;

  /// Uninitialised. In all no more than kBytesMax, what lies unused at blocks' ends included.
  uint32_t add(size_t size) {
    size = (size + kUnitBytes - 1) / kUnitBytes * kUnitBytes;
    if (size > kLineBytes / 2 && size <= kLineBytes && room_ % kLineBytes < size)
      room_ -= room_ % kLineBytes;
    if (size > room_) add_blocks(size);
    const uint64_t place = (blocks_.size() * kBlockBytes - room_) / kUnitBytes;
    room_ -= size;
    return static_cast<uint32_t>(place);
  }
  char* at(uint32_t place) const {
    return blocks_[place / kBlockUnits] + place % kBlockUnits * kUnitBytes;
  }
  void clear() {
    blocks_.clear();
    owned_.clear();
    room_ = 0;
  }
  uint64_t bytes() const { return blocks_.size() * kBlockBytes; }
  /// At most, after more records of so many bytes.
  uint64_t bytes_after(uint64_t more) const { return bytes() + 2 * more + kBlockBytes; }

 private:
  static constexpr uint32_t kBlockUnits = kBlockBytes / kUnitBytes;
  static constexpr size_t kLineBytes = 64;
  static constexpr std::align_val_t kAlign{kLineBytes};
  struct Free {
    void operator()(char* block) const { ::operator delete[](block, kAlign); }
  };

  /// A long record lies across several blocks, which lie side by side.
  void add_blocks(size_t size) {
    const size_t count = (size + kBlockBytes - 1) / kBlockBytes;
    owned_.emplace_back(new (kAlign) char[count * kBlockBytes]);
    for (size_t i = 0; i < count; ++i) blocks_.push_back(owned_.back().get() + i * kBlockBytes);
    room_ = count * kBlockBytes;
  }

  std::vector<std::unique_ptr<char[], Free>> owned_;
  std::vector<char*> blocks_;
  size_t room_ = 0;  ///< at the end of the last block
};

}  // namespace tidegate::reduce
