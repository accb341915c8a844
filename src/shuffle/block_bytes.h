#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "base/failure.h"

namespace tidegate::shuffle {

/// What is no block: a lost failure "shuffle.block".
inline std::unexpected<Failure> malformed(const char* what) {
  return fail(FailureClass::kLost, "shuffle.block", std::string("a block is malformed: ") + what);
}

/// Takes bytes from the front of a span; false if there are too few.
inline bool take(std::span<const std::byte>& from, size_t size, std::span<const std::byte>& out) {
  if (size > from.size()) return false;
  out = from.first(size);
  from = from.subspan(size);
  return true;
}

template <typename T>
bool take(std::span<const std::byte>& from, T& out) {
  std::span<const std::byte> bytes;
  if (!take(from, sizeof(T), bytes)) return false;
  std::memcpy(&out, bytes.data(), sizeof(T));
  return true;
}

}  // namespace tidegate::shuffle
