#include "sink/compressor.h"

#include <snappy-c.h>
#include <zstd.h>

#include <string>
#include <utility>

namespace tidegate::sink {

struct Compressor::State {
  ZSTD_CCtx* zstd = nullptr;
  ~State() { ZSTD_freeCCtx(zstd); }
};

Compressor::Compressor(Codec codec, std::unique_ptr<State> state)
    : codec_(codec), state_(std::move(state)) {}

Compressor::~Compressor() = default;

Result<std::unique_ptr<Compressor>> Compressor::create(std::string_view name) {
  auto state = std::make_unique<State>();
  Codec codec = Codec::kNone;
  if (name == "zstd") {
    codec = Codec::kZstd;
    state->zstd = ZSTD_createCCtx();
    if (state->zstd == nullptr)
      return fail(FailureClass::kMemory, "memory.system", "no memory for a zstd context");
    // Level 1, but with what it takes for pages of about 256 KiB said outright: by itself zstd
    // looks for longer matches in an input of one byte more, and finds none in columns of doubles.
    for (const auto& [parameter, value] :
         {std::pair{ZSTD_c_compressionLevel, 1}, std::pair{ZSTD_c_windowLog, 19},
          std::pair{ZSTD_c_hashLog, 13}, std::pair{ZSTD_c_minMatch, 6},
          std::pair{ZSTD_c_strategy, static_cast<int>(ZSTD_fast)}})
      TG_ASSERT(!ZSTD_isError(ZSTD_CCtx_setParameter(state->zstd, parameter, value)));
  } else if (name == "snappy") {
    codec = Codec::kSnappy;
  } else if (name != "none") {
    return fail(FailureClass::kDefect, "parquet.compression",
                "no such compression: " + std::string(name));
  }
  return std::unique_ptr<Compressor>(new Compressor(codec, std::move(state)));
}

size_t Compressor::bound(size_t size) const {
  if (codec_ == Codec::kZstd) return ZSTD_compressBound(size);
  if (codec_ == Codec::kSnappy) return snappy_max_compressed_length(size);
  return size;
}

Result<size_t> Compressor::compress(const uint8_t* data, size_t size, uint8_t* out) {
  if (codec_ == Codec::kZstd) {
    const size_t made = ZSTD_compress2(state_->zstd, out, ZSTD_compressBound(size), data, size);
    if (ZSTD_isError(made))
      return fail(FailureClass::kMemory, "parquet.compress",
                  std::string("zstd cannot compress a page: ") + ZSTD_getErrorName(made));
    return made;
  }
  TG_ASSERT(codec_ == Codec::kSnappy);
  size_t made = snappy_max_compressed_length(size);
  if (snappy_compress(reinterpret_cast<const char*>(data), size, reinterpret_cast<char*>(out),
                      &made) != SNAPPY_OK)
    return fail(FailureClass::kDefect, "parquet.compress", "snappy cannot compress a page");
  return made;
}

size_t Compressor::held_bytes() const {
  return state_->zstd == nullptr ? 0 : ZSTD_sizeof_CCtx(state_->zstd);
}

}  // namespace tidegate::sink
