#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "reduce/growing.h"

namespace tidegate::reduce {

/// What accumulators of one kernel keep of a group side by side: where groups are more than the
/// processor's caches hold, a row costs one look into memory instead of one for each aggregate.
class StateRows {
 public:
  /// Room for a T in every row, `initial` at first; before there are any. Gives its place.
  template <typename T>
  uint32_t add(T initial) {
    const size_t at = (initial_.size() + alignof(T) - 1) / alignof(T) * alignof(T);
    initial_.resize(at + sizeof(T));
    std::memcpy(initial_.data() + at, &initial, sizeof initial);
    align_ = std::max(align_, alignof(T));
    stride_ = (initial_.size() + align_ - 1) / align_ * align_;
    // One that takes most of a cache line lies in one.
    if (stride_ > kLineBytes / 2 && stride_ < kLineBytes) stride_ = kLineBytes;
    zero_ = std::all_of(initial_.begin(), initial_.end(), [](char byte) { return byte == 0; });
    return static_cast<uint32_t>(at);
  }
  void grow(uint32_t groups) {
    const size_t before = rows_.size();
    rows_.resize(groups * stride_);
    if (zero_) return;
    for (size_t at = before; at < rows_.size(); at += stride_)
      std::memcpy(rows_.data() + at, initial_.data(), initial_.size());
  }
  /// Whether rows may lie beyond the processor's nearest cache.
  bool is_far() const { return rows_.size() > kNearBytes; }
  /// Fetches the groups' rows, which accumulators are about to change.
  void prefetch(const uint32_t* groups, size_t count) const {
    for (size_t i = 0; i < count; ++i) {
      const char* row = rows_.data() + groups[i] * stride_;
      __builtin_prefetch(row, 1);
      if (kLineBytes % stride_ != 0) __builtin_prefetch(row + stride_ - 1, 1);
    }
  }
  char* data() { return rows_.data(); }
  size_t stride() const { return stride_; }
  uint64_t bytes() const { return rows_.bytes(); }
  uint64_t bytes_after(size_t rows) const { return rows_.bytes_after(rows * stride_); }
  void clear() { rows_.clear(); }

 private:
  static constexpr size_t kNearBytes = 512 << 10;
  static constexpr size_t kLineBytes = 64;

  std::vector<char> initial_;
  Growing<char> rows_;
  size_t align_ = 1, stride_ = 0;
  bool zero_ = true;
};

/// One field of the rows. Outlived by them.
template <typename T>
class State {
 public:
  explicit State(StateRows& rows, T initial = T{}) : rows_(&rows), at_(rows.add(initial)) {}

  /// The states by group, until rows are added.
  class View {
   public:
    T& operator[](uint32_t group) const {
      return *reinterpret_cast<T*>(base_ + size_t{group} * stride_);
    }

   private:
    friend class State;
    View(char* base, size_t stride) : base_(base), stride_(stride) {}
    char* base_;
    size_t stride_;
  };
  View view() const { return {rows_->data() + at_, rows_->stride()}; }

 private:
  StateRows* rows_;
  uint32_t at_;
};

}  // namespace tidegate::reduce
