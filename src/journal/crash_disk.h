#pragma once

#include <fcntl.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/effects.h"

namespace tidegate {

/// A test double for one directory of real files: fails or "crashes" at the Nth change of the disk
/// and then, by `reboot`, puts the files as a power cut could have left them. fsync is not passed
/// on: it only marks what is durable (a file's bytes; a directory's entries).
class CrashDisk final : public Effects {
 public:
  enum class Fault : uint8_t {
    kNone,
    kFail,     ///< the Nth change fails with an I/O error, all others work
    kNoSpace,  ///< the same, for want of space
    kCrash,    ///< the Nth change happens by half, and nothing works after it
  };
  enum class Loss : uint8_t {
    kNothing,   ///< as after kill -9: all that was written is there
    kUnsynced,  ///< all that was not fsynced is gone
    kSome,      ///< each page that was not fsynced is there or not, by `seed`
  };

  explicit CrashDisk(std::string directory) : directory_(std::move(directory)) {
    for (const std::string& name : names()) {
      const std::string path = path_join(directory_, name);
      const uint64_t inode = real_.stat(path)->inode;
      entries_[name] = inode;
      contents_[inode] = *read_file(real_, path);
    }
  }

  void arm(Fault fault, uint64_t at) {
    fault_ = fault;
    at_ = at;
    changes_ = 0;
    fired_ = false;
  }
  /// True once the Nth change was reached.
  bool fired() const { return fired_; }
  uint64_t fsyncs() const { return fsyncs_; }

  /// Leaves the directory as the power cut left it.
  void reboot(Loss loss, uint64_t seed = 0) {
    if (loss == Loss::kNothing) return;
    std::map<std::string, std::string> after;
    std::mt19937_64 random(seed);
    for (const auto& [name, inode] : entries_) after[name] = contents_[inode];
    if (loss == Loss::kSome) mix(after, random);
    for (const std::string& name : names()) (void)real_.unlink(path_join(directory_, name));
    for (const auto& [name, bytes] : after)
      (void)write_file(real_, path_join(directory_, name), bytes);
  }

  int64_t now_us() override { return now_us_ += 1000; }
  int64_t monotonic_us() override { return real_.monotonic_us(); }
  uint64_t random_u64() override { return real_.random_u64(); }
  void sleep_us(int64_t) override {}

  Result<int> open(const std::string& path, int flags, uint32_t mode) override {
    if (dead_) return std::unexpected(error());
    auto fd = real_.open(path, flags, mode);
    if (fd) paths_[*fd] = path;
    return fd;
  }
  void close(int fd) override {
    paths_.erase(fd);
    real_.close(fd);
  }
  Result<size_t> pread(int fd, std::span<std::byte> out, uint64_t offset) override {
    if (dead_) return std::unexpected(error());
    return real_.pread(fd, out, offset);
  }
  void read_ahead(int fd, uint64_t offset, uint64_t size) override {
    real_.read_ahead(fd, offset, size);
  }
  Status pwrite(int fd, std::span<const std::byte> data, uint64_t offset) override {
    if (auto ok = change(); !ok) {
      if (fault_ == Fault::kCrash && just_fired_)
        (void)real_.pwrite(fd, data.subspan(0, data.size() / 2), offset);
      return ok;
    }
    return real_.pwrite(fd, data, offset);
  }
  Status write_back(int, uint64_t, uint64_t, bool) override { return {}; }
  Status fsync(int fd) override {
    TG_TRY(change());
    ++fsyncs_;
    const std::string path = paths_[fd];
    TG_ASSIGN(const FileStat stat, real_.fstat(fd));
    if (stat.is_dir) {
      entries_.clear();
      for (const std::string& name : names())
        entries_[name] = real_.stat(path_join(directory_, name))->inode;
    } else {
      TG_ASSIGN(contents_[stat.inode], read_file(real_, path));
    }
    return {};
  }
  Status truncate(int fd, uint64_t size) override {
    TG_TRY(change());
    return real_.truncate(fd, size);
  }
  Result<FileStat> fstat(int fd) override { return real_.fstat(fd); }
  Result<bool> try_lock(int fd) override { return real_.try_lock(fd); }
  Result<bool> lock_bytes(int fd, ByteLock kind, int64_t start, int64_t size) override {
    return real_.lock_bytes(fd, kind, start, size);
  }
  Result<bool> is_locked(int fd, int64_t start, int64_t size) override {
    return real_.is_locked(fd, start, size);
  }
  Result<FileStat> stat(const std::string& path) override { return real_.stat(path); }
  Result<FileStat> lstat(const std::string& path) override { return real_.lstat(path); }
  Status rename(const std::string& from, const std::string& to) override {
    TG_TRY(change());
    return real_.rename(from, to);
  }
  Status link(const std::string& from, const std::string& to) override {
    TG_TRY(change());
    return real_.link(from, to);
  }
  Status symlink(const std::string& target, const std::string& path) override {
    TG_TRY(change());
    return real_.symlink(target, path);
  }
  Result<std::string> readlink(const std::string& path) override { return real_.readlink(path); }
  Status unlink(const std::string& path) override {
    TG_TRY(change());
    return real_.unlink(path);
  }
  Status rmdir(const std::string& path) override {
    TG_TRY(change());
    return real_.rmdir(path);
  }
  Status mkdir(const std::string& path, uint32_t mode) override {
    TG_TRY(change());
    return real_.mkdir(path, mode);
  }
  Status chmod(const std::string& path, uint32_t mode) override { return real_.chmod(path, mode); }
  Result<std::vector<std::string>> list(const std::string& path) override {
    return real_.list(path);
  }

 private:
  static constexpr size_t kPage = 4096;

  std::vector<std::string> names() {
    std::vector<std::string> files;
    const std::vector<std::string> all =
        real_.list(directory_).value_or(std::vector<std::string>{});
    for (const std::string& name : all)
      if (real_.stat(path_join(directory_, name))->is_regular) files.push_back(name);
    return files;
  }

  Failure error() const {
    if (fault_ == Fault::kNoSpace)
      return Failure{FailureClass::kDisk, "disk.no_space", "injected: no space"};
    return Failure{FailureClass::kDisk, "disk.io", "injected: I/O error"};
  }

  /// Counts a change of the disk and fails it if it is the one.
  Status change() {
    just_fired_ = false;
    if (dead_) return std::unexpected(error());
    if (fault_ == Fault::kNone || ++changes_ != at_) return {};
    fired_ = just_fired_ = true;
    dead_ = fault_ == Fault::kCrash;
    return std::unexpected(error());
  }

  /// Adds what was written but not fsynced, page by page, as chance has it; a file whose entry is
  /// not durable is there or not.
  void mix(std::map<std::string, std::string>& after, std::mt19937_64& random) {
    for (const std::string& name : names()) {
      const std::string now = *read_file(real_, path_join(directory_, name));
      if (!after.contains(name)) {
        if (random() % 2) continue;
        after[name] = "";
      }
      std::string& bytes = after[name];
      if (random() % 2) bytes.resize(now.size());
      for (size_t at = 0; at < now.size() && at < bytes.size(); at += kPage) {
        const size_t size = std::min({kPage, now.size() - at, bytes.size() - at});
        if (random() % 2) bytes.replace(at, size, now, at, size);
      }
    }
  }

  Effects& real_ = real_effects();
  std::string directory_;
  std::map<int, std::string> paths_;
  std::map<std::string, uint64_t> entries_;   ///< durable: name -> inode
  std::map<uint64_t, std::string> contents_;  ///< durable: inode -> bytes
  Fault fault_ = Fault::kNone;
  uint64_t at_ = 0, changes_ = 0, fsyncs_ = 0;
  bool fired_ = false, just_fired_ = false, dead_ = false;
  int64_t now_us_ = 1'700'000'000'000'000;
};

}  // namespace tidegate
