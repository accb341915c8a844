#include "store/file_hash.h"

#include <fcntl.h>

#include <algorithm>
#include <vector>

#include "base/hash.h"

namespace tidegate {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

/// Feeds the file behind `fd` to a hash, and each piece to `sink` before the next is read.
template <typename Sink>
Result<FileHash> read_through(Effects& effects, int fd, Sink sink) {
  TG_ASSIGN(const FileStat stat, effects.fstat(fd));
  std::vector<std::byte> buffer(std::min(stat.size + 1, kPieceBytes));
  Xxh3Stream hash;
  FileHash out;
  for (;;) {
    TG_ASSIGN(const size_t got, effects.pread(fd, buffer, out.bytes));
    if (got == 0) break;
    hash.update(buffer.data(), got);
    TG_TRY(sink(std::span<const std::byte>(buffer.data(), got), out.bytes));
    out.bytes += got;
    if (got < buffer.size()) break;
  }
  out.xxh3 = hex64(hash.digest());
  return out;
}

}  // namespace

Result<FileHash> hash_file(Effects& effects, const std::string& path) {
  TG_ASSIGN(const int raw, effects.open(path, O_RDONLY));
  Fd fd(effects, raw);
  return read_through(effects, raw, [](std::span<const std::byte>, uint64_t) { return Status{}; });
}

Result<FileHash> copy_file(Effects& effects, const std::string& from, const std::string& to,
                           uint32_t mode) {
  TG_ASSIGN(const int source_raw, effects.open(from, O_RDONLY));
  Fd source(effects, source_raw);
  TG_ASSIGN(const int target_raw, effects.open(to, O_WRONLY | O_CREAT | O_EXCL, mode));
  Fd target(effects, target_raw);
  return read_through(effects, source_raw, [&](std::span<const std::byte> piece, uint64_t at) {
    return effects.pwrite(target_raw, piece, at);
  });
}

}  // namespace tidegate
