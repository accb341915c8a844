#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/failure.h"
#include "sink/format.h"

namespace tidegate::sink {

/// Compresses pages. The same bytes always give the same bytes.
class Compressor {
 public:
  /// "zstd" (level 1), "snappy" or "none"; others are a defect failure "parquet.compression".
  static Result<std::unique_ptr<Compressor>> create(std::string_view name);
  ~Compressor();
  Codec codec() const { return codec_; }
  /// The most that `size` bytes become.
  size_t bound(size_t size) const;
  /// Writes to `out`, which has room for bound(size); returns the bytes written.
  Result<size_t> compress(const uint8_t* data, size_t size, uint8_t* out);
  /// Bytes that the library holds, and the most that it comes to.
  size_t held_bytes() const;
  size_t held_bytes_max() const { return codec_ == Codec::kZstd ? kZstdBytesMax : 0; }

 private:
  static constexpr size_t kZstdBytesMax = 576 << 10;  ///< of pages of any size
  struct State;
  Compressor(Codec codec, std::unique_ptr<State> state);
  Codec codec_;
  std::unique_ptr<State> state_;
};

}  // namespace tidegate::sink
