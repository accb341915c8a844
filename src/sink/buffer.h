#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace tidegate::sink {

/// Bytes that grow without being cleared. A pointer into it is valid until it grows.
class Buffer {
 public:
  uint8_t* data() { return data_.get(); }
  const uint8_t* data() const { return data_.get(); }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  void clear() { size_ = 0; }
  void resize(size_t size) {
    reserve(size);
    size_ = size;
  }
  /// Room for `more` bytes past the end, to be written and then taken by `grow`.
  uint8_t* room(size_t more) {
    reserve(size_ + more);
    return data_.get() + size_;
  }
  void grow(size_t more) { size_ += more; }
  void append(const void* bytes, size_t size) {
    if (size == 0) return;
    std::memcpy(room(size), bytes, size);
    size_ += size;
  }
  void append(std::string_view bytes) { append(bytes.data(), bytes.size()); }
  void reserve(size_t capacity) {
    if (capacity <= capacity_) return;
    const size_t wanted =
        capacity > capacity_ + capacity_ / 2 ? capacity : capacity_ + capacity_ / 2;
    auto grown = std::make_unique_for_overwrite<uint8_t[]>(wanted);
    if (size_ > 0) std::memcpy(grown.get(), data_.get(), size_);
    data_ = std::move(grown);
    capacity_ = wanted;
  }
  /// Gives memory back beyond `capacity`; the content goes.
  void shrink(size_t capacity) {
    size_ = 0;
    if (capacity_ <= capacity) return;
    data_.reset();
    capacity_ = 0;
  }

 private:
  std::unique_ptr<uint8_t[]> data_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace tidegate::sink
