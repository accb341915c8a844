#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace tidegate::reduce {

/// Memory that grows and keeps what it has, from a cache line's beginning on. From kMapBytes on it
/// is mapped by itself, in huge pages where the system gives them, and grows by an eighth without
/// being copied: at no time there is an old one beside the new.
class GrowingBytes {
 public:
  /// What the heap would map by itself, too.
  static constexpr size_t kMapBytes = size_t{32} << 20;

  GrowingBytes() = default;
  GrowingBytes(GrowingBytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
  GrowingBytes& operator=(GrowingBytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~GrowingBytes();

  char* data() const { return data_; }
  size_t capacity() const { return capacity_; }
  /// Room for so many bytes, uninitialised. Throws std::bad_alloc and changes nothing then.
  void reserve(size_t bytes) {
    if (bytes > capacity_) grow(capacity_for(bytes));
  }
  /// The most that is held while there is made room for so many bytes.
  uint64_t bytes_after(size_t bytes) const {
    if (bytes <= capacity_) return capacity_;
    return capacity_for(bytes) + (capacity_ < kMapBytes ? capacity_ : 0);
  }

 private:
  size_t capacity_for(size_t bytes) const;
  void grow(size_t capacity);

  char* data_ = nullptr;
  size_t capacity_ = 0;
};

/// As std::vector, over GrowingBytes.
template <typename T>
class Growing {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 16);

 public:
  size_t size() const { return size_; }
  T* data() { return reinterpret_cast<T*>(memory_.data()); }
  const T* data() const { return reinterpret_cast<const T*>(memory_.data()); }
  T& operator[](size_t at) { return data()[at]; }
  const T& operator[](size_t at) const { return data()[at]; }
  void resize(size_t size, T value = T{}) {
    memory_.reserve(size * sizeof(T));
    if (size > size_) std::fill(data() + size_, data() + size, value);
    size_ = size;
  }
  void push_back(const T& value) {
    memory_.reserve((size_ + 1) * sizeof(T));
    data()[size_++] = value;
  }
  void clear() { size_ = 0; }
  uint64_t bytes() const { return memory_.capacity(); }
  /// At most held once there are `more` more.
  uint64_t bytes_after(size_t more) const {
    return memory_.bytes_after((size_ + more) * sizeof(T));
  }

 private:
  GrowingBytes memory_;
  size_t size_ = 0;
};

}  // namespace tidegate::reduce
