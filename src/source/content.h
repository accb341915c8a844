#pragma once

#include <cstdint>
#include <string>

#include "base/effects.h"
#include "contract/contract.h"
#include "source/cache.h"

namespace tidegate {

/// A file whose inode changed less than this ago may change again without its stat showing it
/// (timestamps are as coarse as the kernel's tick, two seconds on some file systems).
inline constexpr int64_t kYoungUs = 2'000'000;

/// Both checksums of a file's bytes, taken in one reading.
struct FileDigest {
  std::string sha256;  ///< as sha256sum prints it
  std::string xxh3;    ///< hex64
};

/// Reads the whole file in blocks of 1 MiB. Fails with source.changed if its stat is not `expected`
/// before and after.
Result<FileDigest> digest_file(Effects& effects, const std::string& path, const FileStat& expected);

/// The digest of a file, from the cache where that can be believed, else by reading it.
Result<FileDigest> cached_digest(Effects& effects, const std::string& path, const FileStat& stat,
                                 int64_t now_us, MetadataCache& cache);

/// The identity of an input file, 64 hex digits.
///
/// By stat: the hash of size, mtime, ctime, inode and device; for a file that was young when it was
/// first seen, of its bytes too. That hash is kept in the cache under the stat, and stays part of
/// the file's identity when the file grows older: an unchanged file keeps its name. A hash that was
/// itself taken while the file was young is taken once more when it no longer is (the file may have
/// been written to after the hash, within the same tick), and from then on the stat suffices.
/// Losing the cache makes such a file's work again; it never makes a stale result look current.
///
/// By content: the hash of the bytes alone, remembered by stat under the same rule.
Result<std::string> file_identity(Effects& effects, const std::string& path, const FileStat& stat,
                                  InputIdentity how, int64_t now_us, MetadataCache& cache);

/// True where both describe the same unchanged file: size, mtime, ctime, inode and device agree.
bool same_file(const FileStat& a, const FileStat& b);

}  // namespace tidegate
