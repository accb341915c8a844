#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/effects.h"

namespace tidegate {

/// One file in memory, whatever the path, for tests; one of its writes or reads may fail.
class MemoryFile final : public Effects {
 public:
  std::string bytes;
  int fail_at = -1;  ///< the call to pread and pwrite, counted from 0, that fails
  int calls = 0;
  std::vector<std::pair<uint64_t, uint64_t>> asked;  ///< what was to be read ahead

  struct WriteBack {
    uint64_t offset;
    uint64_t size;
    bool wait;
    bool operator==(const WriteBack&) const = default;
  };
  std::vector<WriteBack> written_back;
  bool write_back_fails = false;

  Result<int> open(const std::string&, int, uint32_t) override { return 1000; }
  void close(int) override {}
  Result<size_t> pread(int, std::span<std::byte> out, uint64_t offset) override {
    if (calls++ == fail_at) return std::unexpected(errno_failure(EIO, "cannot read"));
    if (offset >= bytes.size()) return 0;
    const size_t size = std::min<size_t>(out.size(), bytes.size() - offset);
    std::memcpy(out.data(), bytes.data() + offset, size);
    return size;
  }
  Result<FileStat> fstat(int) override {
    FileStat stat;
    stat.size = bytes.size();
    stat.is_regular = true;
    return stat;
  }
  int64_t now_us() override { return 0; }
  int64_t monotonic_us() override { return 0; }
  uint64_t random_u64() override { return 4; }
  void sleep_us(int64_t) override {}
  void read_ahead(int, uint64_t offset, uint64_t size) override {
    asked.emplace_back(offset, size);
  }
  Status pwrite(int, std::span<const std::byte> data, uint64_t offset) override {
    if (calls++ == fail_at) return std::unexpected(errno_failure(ENOSPC, "cannot write"));
    bytes.resize(std::max<size_t>(bytes.size(), offset + data.size()));
    std::memcpy(bytes.data() + offset, data.data(), data.size());
    return {};
  }
  Status write_back(int, uint64_t offset, uint64_t size, bool wait) override {
    if (write_back_fails) return std::unexpected(errno_failure(EIO, "cannot write to the disk"));
    written_back.push_back({offset, size, wait});
    return {};
  }
  Status fsync(int) override { return refused(); }
  Status truncate(int, uint64_t) override { return refused(); }
  Result<bool> try_lock(int) override { return true; }
  Result<bool> lock_bytes(int, ByteLock, int64_t, int64_t) override { return true; }
  Result<bool> is_locked(int, int64_t, int64_t) override { return false; }
  Result<FileStat> stat(const std::string&) override { return fstat(0); }
  Result<FileStat> lstat(const std::string&) override { return fstat(0); }
  Status rename(const std::string&, const std::string&) override { return refused(); }
  Status link(const std::string&, const std::string&) override { return refused(); }
  Status symlink(const std::string&, const std::string&) override { return refused(); }
  Result<std::string> readlink(const std::string&) override { return std::string(); }
  Status unlink(const std::string&) override { return refused(); }
  Status rmdir(const std::string&) override { return refused(); }
  Status mkdir(const std::string&, uint32_t) override { return refused(); }
  Status chmod(const std::string&, uint32_t) override { return refused(); }
  Result<std::vector<std::string>> list(const std::string&) override {
    return std::vector<std::string>();
  }

 private:
  static Status refused() { return fail(FailureClass::kDefect, "test", "not for this file"); }
};

}  // namespace tidegate
