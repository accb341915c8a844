#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "base/failure.h"
#include "sink/buffer.h"

namespace tidegate::sink {

/// The encoded pages of a row group's columns, one behind the other in the order they were closed,
/// until each column's are written together. Slabs are kept for the next row group.
class PageStore {
 public:
  struct Range {
    uint64_t begin = 0;
    uint64_t size = 0;
  };

  Range append(std::span<const uint8_t> head, std::span<const uint8_t> body) {
    const Range range{used_, head.size() + body.size()};
    put(head);
    put(body);
    return range;
  }
  /// Calls `write` with the pieces of a range, in order.
  template <typename Write>
  Status each_piece(Range range, Write write) const {
    while (range.size > 0) {
      const size_t offset = range.begin % kSlabBytes;
      const size_t size = std::min<uint64_t>(range.size, kSlabBytes - offset);
      TG_TRY(
          write(std::span<const uint8_t>(slabs_[range.begin / kSlabBytes].get() + offset, size)));
      range.begin += size;
      range.size -= size;
    }
    return {};
  }
  void clear() { used_ = 0; }
  /// Gives back the slabs that are not in use.
  void trim() { slabs_.resize((used_ + kSlabBytes - 1) / kSlabBytes); }
  uint64_t used_bytes() const { return used_; }
  uint64_t held_bytes() const { return slabs_.size() * kSlabBytes; }

  static constexpr size_t kSlabBytes = size_t{256} << 10;

 private:
  void put(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      if (used_ / kSlabBytes == slabs_.size())
        slabs_.push_back(std::make_unique_for_overwrite<uint8_t[]>(kSlabBytes));
      const size_t offset = used_ % kSlabBytes;
      const size_t size = std::min(bytes.size(), kSlabBytes - offset);
      std::memcpy(slabs_[used_ / kSlabBytes].get() + offset, bytes.data(), size);
      used_ += size;
      bytes = bytes.subspan(size);
    }
  }

  std::vector<std::unique_ptr<uint8_t[]>> slabs_;
  uint64_t used_ = 0;
};

}  // namespace tidegate::sink
