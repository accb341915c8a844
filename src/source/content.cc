#include "source/content.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/hash.h"

namespace tidegate {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{1} << 20;

std::unexpected<Failure> changed(const std::string& path) {
  return fail(FailureClass::kDependency, "source.changed",
              fmt::format("an input file changed while it was read: \"{}\"", path));
}

/// A time in the future (a clock that was set back) counts as young: nothing is known then.
bool is_young(const FileStat& stat, int64_t now_us) {
  return now_us - stat.ctime_ns / 1000 < kYoungUs;
}

}  // namespace

bool same_file(const FileStat& a, const FileStat& b) {
  return a.size == b.size && a.mtime_ns == b.mtime_ns && a.ctime_ns == b.ctime_ns &&
         a.inode == b.inode && a.device == b.device;
}

Result<FileDigest> digest_file(Effects& effects, const std::string& path,
                               const FileStat& expected) {
  TG_ASSIGN(const int raw, effects.open(path, O_RDONLY));
  const Fd fd(effects, raw);
  TG_ASSIGN(const FileStat before, effects.fstat(fd.get()));
  if (!same_file(before, expected)) return changed(path);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> sha(EVP_MD_CTX_new(),
                                                                    EVP_MD_CTX_free);
  TG_ASSERT(sha && EVP_DigestInit_ex(sha.get(), EVP_sha256(), nullptr) == 1);
  Xxh3Stream xxh3;
  std::vector<std::byte> block(std::min(expected.size, kBlockBytes));
  for (uint64_t offset = 0; offset < expected.size;) {
    TG_ASSIGN(const size_t got, effects.pread(fd.get(), block, offset));
    if (got == 0) return changed(path);
    TG_ASSERT(EVP_DigestUpdate(sha.get(), block.data(), got) == 1);
    xxh3.update(block.data(), got);
    offset += got;
  }
  TG_ASSIGN(const FileStat after, effects.fstat(fd.get()));
  if (!same_file(after, expected)) return changed(path);
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  TG_ASSERT(EVP_DigestFinal_ex(sha.get(), bytes, &size) == 1);
  FileDigest digest;
  for (unsigned int i = 0; i < size; ++i) digest.sha256 += fmt::format("{:02x}", bytes[i]);
  digest.xxh3 = hex64(xxh3.digest());
  return digest;
}

Result<FileDigest> cached_digest(Effects& effects, const std::string& path, const FileStat& stat,
                                 int64_t now_us, MetadataCache& cache) {
  const ContentEntry* known = cache.content(stat);
  if (known && !is_young(stat, known->hashed_us)) return FileDigest{known->sha256, known->xxh3};
  const bool first_seen_young = known ? known->young : false;
  TG_ASSIGN(FileDigest digest, digest_file(effects, path, stat));
  cache.set_content({stat, now_us, first_seen_young, digest.sha256, digest.xxh3});
  return digest;
}

Result<std::string> file_identity(Effects& effects, const std::string& path, const FileStat& stat,
                                  InputIdentity how, int64_t now_us, MetadataCache& cache) {
  if (how == InputIdentity::kContent) {
    TG_ASSIGN(const FileDigest digest, cached_digest(effects, path, stat, now_us, cache));
    return IdentityHash().add("tidegate.file.content.1").add(digest.sha256).hex();
  }
  IdentityHash hash;
  hash.add("tidegate.file.stat.1").add(stat.size).add(static_cast<uint64_t>(stat.mtime_ns));
  hash.add(static_cast<uint64_t>(stat.ctime_ns)).add(stat.inode).add(stat.device);
  const ContentEntry* known = cache.content(stat);
  const bool with_bytes = known && known->young;
  if (with_bytes || is_young(stat, now_us)) {
    TG_ASSIGN(const FileDigest digest, cached_digest(effects, path, stat, now_us, cache));
    cache.mark_young(stat);
    hash.add(digest.sha256);
  }
  return hash.hex();
}

}  // namespace tidegate
