#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/effects.h"

namespace tidegate {

/// For tests: an Effects over another one that asks `before` (if set) ahead of each call and fails
/// the call if that fails. `call` is the method's name; `path` the object, for calls on a
/// descriptor the path it was opened by, for rename, link and symlink the name that is made.
class WrappedEffects : public Effects {
 public:
  explicit WrappedEffects(Effects& inner) : inner_(inner) {}

  std::function<Status(const std::string& call, const std::string& path)> before;
  int64_t time_us = -1;  ///< what the clock says; < 0: the time of day
  uint64_t calls = 0;    ///< on the disk

  int64_t now_us() override { return time_us >= 0 ? time_us : inner_.now_us(); }
  int64_t monotonic_us() override { return inner_.monotonic_us(); }
  uint64_t random_u64() override { return inner_.random_u64(); }
  void sleep_us(int64_t us) override { inner_.sleep_us(us); }

  Result<int> open(const std::string& path, int flags, uint32_t mode) override {
    TG_TRY(ask("open", path));
    auto fd = inner_.open(path, flags, mode);
    if (fd) {
      const std::lock_guard guard(mutex_);
      paths_[*fd] = path;
    }
    return fd;
  }
  void close(int fd) override {
    {
      const std::lock_guard guard(mutex_);
      paths_.erase(fd);
    }
    inner_.close(fd);
  }
  Result<size_t> pread(int fd, std::span<std::byte> out, uint64_t offset) override {
    TG_TRY(ask("pread", path_of(fd)));
    return inner_.pread(fd, out, offset);
  }
  void read_ahead(int fd, uint64_t offset, uint64_t size) override {
    if (ask("read_ahead", path_of(fd))) inner_.read_ahead(fd, offset, size);
  }
  Status pwrite(int fd, std::span<const std::byte> data, uint64_t offset) override {
    TG_TRY(ask("pwrite", path_of(fd)));
    return inner_.pwrite(fd, data, offset);
  }
  Status write_back(int fd, uint64_t offset, uint64_t size, bool wait) override {
    TG_TRY(ask("write_back", path_of(fd)));
    return inner_.write_back(fd, offset, size, wait);
  }
  Status fsync(int fd) override {
    TG_TRY(ask("fsync", path_of(fd)));
    return inner_.fsync(fd);
  }
  Status truncate(int fd, uint64_t size) override {
    TG_TRY(ask("truncate", path_of(fd)));
    return inner_.truncate(fd, size);
  }
  Result<FileStat> fstat(int fd) override {
    TG_TRY(ask("stat", path_of(fd)));
    return inner_.fstat(fd);
  }
  Result<bool> try_lock(int fd) override {
    TG_TRY(ask("try_lock", path_of(fd)));
    return inner_.try_lock(fd);
  }
  Result<bool> lock_bytes(int fd, ByteLock kind, int64_t start, int64_t size) override {
    TG_TRY(ask("lock_bytes", path_of(fd)));
    return inner_.lock_bytes(fd, kind, start, size);
  }
  Result<bool> is_locked(int fd, int64_t start, int64_t size) override {
    TG_TRY(ask("is_locked", path_of(fd)));
    return inner_.is_locked(fd, start, size);
  }
  Result<FileStat> stat(const std::string& path) override {
    TG_TRY(ask("stat", path));
    return inner_.stat(path);
  }
  Result<FileStat> lstat(const std::string& path) override {
    TG_TRY(ask("stat", path));
    return inner_.lstat(path);
  }
  Status rename(const std::string& from, const std::string& to) override {
    TG_TRY(ask("rename", to));
    return inner_.rename(from, to);
  }
  Status link(const std::string& from, const std::string& to) override {
    TG_TRY(ask("link", to));
    return inner_.link(from, to);
  }
  Status symlink(const std::string& target, const std::string& path) override {
    TG_TRY(ask("symlink", path));
    return inner_.symlink(target, path);
  }
  Result<std::string> readlink(const std::string& path) override {
    TG_TRY(ask("readlink", path));
    return inner_.readlink(path);
  }
  Status unlink(const std::string& path) override {
    TG_TRY(ask("unlink", path));
    return inner_.unlink(path);
  }
  Status rmdir(const std::string& path) override {
    TG_TRY(ask("rmdir", path));
    return inner_.rmdir(path);
  }
  Status mkdir(const std::string& path, uint32_t mode) override {
    TG_TRY(ask("mkdir", path));
    return inner_.mkdir(path, mode);
  }
  Status chmod(const std::string& path, uint32_t mode) override {
    TG_TRY(ask("chmod", path));
    return inner_.chmod(path, mode);
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    TG_TRY(ask("list", path));
    return inner_.list(path);
  }

 private:
  Status ask(const char* call, const std::string& path) {
    {
      const std::lock_guard guard(mutex_);
      ++calls;
    }
    return before ? before(call, path) : Status{};
  }
  std::string path_of(int fd) {
    const std::lock_guard guard(mutex_);
    const auto it = paths_.find(fd);
    return it == paths_.end() ? "" : it->second;
  }

  Effects& inner_;
  std::mutex mutex_;
  std::map<int, std::string> paths_;
};

}  // namespace tidegate
