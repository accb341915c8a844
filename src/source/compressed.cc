#include "source/compressed.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <memory>
#include <span>
#include <vector>

#include "base/text.h"
#include "source/rejects.h"

namespace tidegate {
namespace {

constexpr size_t kChunkBytes = size_t{256} << 10;
/// The first two bytes of a member of a gzip file.
constexpr unsigned char kGzipMagic[] = {0x1f, 0x8b};

std::unexpected<Failure> not_whole(const std::string& why) {
  return fail(FailureClass::kData, "source.not_whole", why);
}

/// Unpacks pieces in order and forgets them.
class Unpacker {
 public:
  virtual ~Unpacker() = default;
  virtual Status take(std::span<const std::byte> piece) = 0;
  /// After the last piece.
  virtual Status end() = 0;
};

class Gunzip final : public Unpacker {
 public:
  ~Gunzip() override {
    if (open_) ::inflateEnd(&stream_);
  }

  Status take(std::span<const std::byte> piece) override {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(piece.data()));
    stream_.avail_in = static_cast<uInt>(piece.size());
    while (stream_.avail_in > 0) {
      if (!in_member_ && members_ > 0) {
        if (is_padding()) continue;
        if (*stream_.next_in != kGzipMagic[0])
          return not_whole("there are bytes after the end of its gzip stream");
      }
      TG_TRY(begin_member());
      TG_TRY(inflate());
    }
    return {};
  }

  Status end() override {
    if (in_member_ || members_ == 0) return not_whole("its gzip stream ends in the middle");
    return {};
  }

 private:
  /// Zeros fill up what was written in blocks.
  bool is_padding() {
    if (*stream_.next_in != 0) return false;
    ++stream_.next_in;
    --stream_.avail_in;
    return true;
  }

  Status begin_member() {
    if (in_member_) return {};
    in_member_ = true;
    // 16 more than the window: gzip, whose CRC and length inflate compares.
    const int done = open_ ? ::inflateReset(&stream_) : ::inflateInit2(&stream_, MAX_WBITS + 16);
    if (done == Z_MEM_ERROR) return fail(FailureClass::kMemory, "memory.system", "out of memory");
    TG_ASSERT(done == Z_OK);
    open_ = true;
    return {};
  }

  Status inflate() {
    while (true) {
      stream_.next_out = out_.data();
      stream_.avail_out = static_cast<uInt>(out_.size());
      const int done = ::inflate(&stream_, Z_NO_FLUSH);
      if (done == Z_STREAM_END) {
        in_member_ = false;
        ++members_;
        return {};
      }
      if (done == Z_MEM_ERROR) return fail(FailureClass::kMemory, "memory.system", "out of memory");
      if (done != Z_OK && done != Z_BUF_ERROR)
        return not_whole(fmt::format("its gzip stream is damaged: {}",
                                     stream_.msg ? stream_.msg : "unknown reason"));
      if (stream_.avail_out > 0) return {};  // all of the piece is used
    }
  }

  z_stream stream_ = {};
  bool open_ = false, in_member_ = false;
  uint64_t members_ = 0;
  std::vector<Bytef> out_ = std::vector<Bytef>(kChunkBytes);
};

class Unzstd final : public Unpacker {
 public:
  Status take(std::span<const std::byte> piece) override {
    if (!stream_) return fail(FailureClass::kMemory, "memory.system", "out of memory");
    ZSTD_inBuffer in{piece.data(), piece.size(), 0};
    bool full = false;
    while (in.pos < in.size || full) {
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      wants_ = ::ZSTD_decompressStream(stream_.get(), &out, &in);
      if (::ZSTD_isError(wants_) != 0)
        return not_whole(
            fmt::format("its zstd stream is damaged: {}", ::ZSTD_getErrorName(wants_)));
      full = out.pos == out.size;
      any_ = true;
    }
    return {};
  }

  Status end() override {
    if (wants_ != 0 || !any_) return not_whole("its zstd stream ends in the middle");
    return {};
  }

 private:
  std::unique_ptr<ZSTD_DStream, decltype(&::ZSTD_freeDStream)> stream_{::ZSTD_createDStream(),
                                                                       &::ZSTD_freeDStream};
  size_t wants_ = 0;  ///< 0: a frame has just ended
  bool any_ = false;
  std::vector<std::byte> out_ = std::vector<std::byte>(kChunkBytes);
};

}  // namespace

Packing packing_of(const ReadRecipe& recipe, const std::string& path) {
  if (recipe.format == FileFormat::kParquet) return Packing::kNone;
  for (const auto& [name, value] : recipe.options) {
    if (name != "compression") continue;
    const std::string said = to_lower_ascii(value);
    if (said == "'gzip'") return Packing::kGzip;
    if (said == "'zstd'") return Packing::kZstd;
    if (said == "'none'") return Packing::kNone;
  }
  const std::string lower = to_lower_ascii(path);
  if (lower.ends_with(".gz")) return Packing::kGzip;
  return lower.ends_with(".zst") ? Packing::kZstd : Packing::kNone;
}

Status check_packed_file(Effects& effects, const std::string& path, Packing packing) {
  std::unique_ptr<Unpacker> unpacker;
  if (packing == Packing::kGzip) unpacker = std::make_unique<Gunzip>();
  if (packing == Packing::kZstd) unpacker = std::make_unique<Unzstd>();
  if (!unpacker) return {};
  TG_ASSIGN(const int raw, effects.open(path, O_RDONLY));
  const Fd fd(effects, raw);
  std::vector<std::byte> piece(kChunkBytes);
  for (uint64_t at = 0;;) {
    effects.read_ahead(fd.get(), at + kChunkBytes, kChunkBytes);
    TG_ASSIGN(const size_t got, effects.pread(fd.get(), piece, at));
    TG_TRY(unpacker->take(std::span(piece).first(got)));
    at += got;
    if (got < piece.size()) return unpacker->end();
  }
}

Status check_packed_files(Effects& effects, const SourceSnapshot& snapshot,
                          const Partition& partition) {
  for (const FileSlice& slice : partition.slices) {
    const InputFile& file = snapshot.files[slice.file];
    const Status whole =
        check_packed_file(effects, file.path, packing_of(snapshot.recipe, file.path));
    if (!whole && whole.error().cls == FailureClass::kData)
      return std::unexpected(bad_file(file.name, whole.error()));
    if (!whole) return whole;
  }
  return {};
}

}  // namespace tidegate
