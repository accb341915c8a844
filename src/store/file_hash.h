#pragma once

#include <cstdint>
#include <string>

#include "base/effects.h"
#include "base/failure.h"

namespace tidegate {

/// A file's size and the XXH3-64 of all its bytes, as they were read.
struct FileHash {
  uint64_t bytes = 0;
  std::string xxh3;  ///< hex64
};

/// Reads the whole file.
Result<FileHash> hash_file(Effects& effects, const std::string& path);

/// Copies `from` to a new file `to` (file.exists if there is one) and hashes what it copied.
/// Not fsynced.
Result<FileHash> copy_file(Effects& effects, const std::string& from, const std::string& to,
                           uint32_t mode);

}  // namespace tidegate
