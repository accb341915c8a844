#pragma once

#include <fcntl.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/effects.h"

namespace tidegate {

/// For tests: a disk that dies at the Nth call that would change it (every call fails from then
/// on) and that can then lose what was not fsynced, as a power cut may.
///
/// The model: a change of a directory (an entry made, renamed or removed) lasts once that directory
/// was fsynced after it; the bytes of a file last once the file was. `crash` undoes what does not
/// last: all of it, or of each directory all after a random moment and of each file its bytes or
/// not. fsync itself is not passed on (nobody cuts the power of the test machine).
///
/// Not modelled: chmod (lasts at once), a single write torn in its middle, changes of one directory
/// that overtake each other, an fsync that fails and drops the dirty pages, ctime that goes back.
class CrashDisk : public Effects {
 public:
  enum class Loss : uint8_t { kNothing, kAllUnsynced, kSomeUnsynced };

  /// `root`: all below it is watched. `graveyard`: an empty directory on the same file system.
  CrashDisk(std::string root, std::string graveyard)
      : root_(std::move(root)), graveyard_(std::move(graveyard)) {}

  uint64_t changes = 0;  ///< calls so far that change the disk
  uint64_t crash_at = std::numeric_limits<uint64_t>::max();
  bool dead = false;
  std::function<bool(const std::string& path)> forget_fsync;  ///< an fsync left out, if it says so

  /// Everything so far lasts.
  void settle() {
    ops_.clear();
    unsynced_.clear();
    (void)remove_tree(real_, graveyard_);
    (void)real_.mkdir(graveyard_, 0755);
  }

  /// Ends the machine's life and undoes what the loss says. All descriptors must be closed.
  void crash(Loss loss, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::map<std::string, size_t> lasting;  // per directory: how many of its changes last
    if (loss == Loss::kSomeUnsynced) {
      std::map<std::string, size_t> total;
      for (const Op& op : ops_) ++total[op.directory];
      for (const auto& [directory, count] : total) lasting[directory] = random() % (count + 1);
    }
    std::vector<const Op*> undone;
    for (const Op& op : ops_) {
      if (loss == Loss::kNothing) continue;
      size_t& left = lasting[op.directory];
      if (left > 0) {
        --left;
      } else {
        undone.push_back(&op);
      }
    }
    for (auto op = undone.rbegin(); op != undone.rend(); ++op) (*op)->undo();
    if (loss != Loss::kNothing) {
      std::erase_if(unsynced_,
                    [&](const auto&) { return loss == Loss::kSomeUnsynced && random() % 2 == 0; });
      restore_bytes(root_);
    }
    settle();
  }

  int64_t now_us() override { return real_.now_us(); }
  int64_t monotonic_us() override { return real_.monotonic_us(); }
  uint64_t random_u64() override { return real_.random_u64(); }
  void sleep_us(int64_t us) override { real_.sleep_us(us); }

  Result<int> open(const std::string& path, int flags, uint32_t mode) override {
    TG_TRY(alive());
    const bool makes = (flags & O_CREAT) != 0 && !exists(real_, path);
    if (makes) TG_TRY(change());
    const bool empties = !makes && (flags & O_TRUNC) != 0;
    if (empties) {
      TG_TRY(change());
      remember_bytes(path);
    }
    auto fd = real_.open(path, flags, mode);
    if (!fd) return fd;
    paths_[*fd] = path;
    if (makes) {
      note(path, [this, path] { (void)real_.unlink(path); });
      unsynced_[real_.fstat(*fd)->inode] = "";
    }
    return fd;
  }
  void close(int fd) override {
    paths_.erase(fd);
    real_.close(fd);
  }
  Result<size_t> pread(int fd, std::span<std::byte> out, uint64_t offset) override {
    TG_TRY(alive());
    return real_.pread(fd, out, offset);
  }
  void read_ahead(int fd, uint64_t offset, uint64_t size) override {
    if (!dead) real_.read_ahead(fd, offset, size);
  }
  Status pwrite(int fd, std::span<const std::byte> data, uint64_t offset) override {
    TG_TRY(change());
    remember_bytes(paths_[fd]);
    return real_.pwrite(fd, data, offset);
  }
  Status write_back(int, uint64_t, uint64_t, bool) override { return alive(); }
  Status fsync(int fd) override {
    TG_TRY(change());
    const auto stat = real_.fstat(fd);
    if (forget_fsync && forget_fsync(paths_[fd])) return {};
    if (stat->is_dir) {
      std::erase_if(ops_, [&](const Op& op) { return op.directory == paths_[fd]; });
    } else {
      unsynced_.erase(stat->inode);
    }
    return {};
  }
  Status truncate(int fd, uint64_t size) override {
    TG_TRY(change());
    remember_bytes(paths_[fd]);
    return real_.truncate(fd, size);
  }
  Result<FileStat> fstat(int fd) override {
    TG_TRY(alive());
    return real_.fstat(fd);
  }
  Result<bool> try_lock(int fd) override {
    TG_TRY(alive());
    return real_.try_lock(fd);
  }
  Result<bool> lock_bytes(int fd, ByteLock kind, int64_t start, int64_t size) override {
    TG_TRY(alive());
    return real_.lock_bytes(fd, kind, start, size);
  }
  Result<bool> is_locked(int fd, int64_t start, int64_t size) override {
    TG_TRY(alive());
    return real_.is_locked(fd, start, size);
  }
  Result<FileStat> stat(const std::string& path) override {
    TG_TRY(alive());
    return real_.stat(path);
  }
  Result<FileStat> lstat(const std::string& path) override {
    TG_TRY(alive());
    return real_.lstat(path);
  }
  Status rename(const std::string& from, const std::string& to) override {
    TG_TRY(change());
    const std::string kept = keep(to);
    TG_TRY(real_.rename(from, to));
    note(to, [this, from, to, kept] {
      (void)real_.rename(to, from);
      if (!kept.empty()) (void)real_.link(kept, to);
    });
    return {};
  }
  Status link(const std::string& from, const std::string& to) override {
    TG_TRY(change());
    TG_TRY(real_.link(from, to));
    note(to, [this, to] { (void)real_.unlink(to); });
    return {};
  }
  Status symlink(const std::string& target, const std::string& path) override {
    TG_TRY(change());
    TG_TRY(real_.symlink(target, path));
    note(path, [this, path] { (void)real_.unlink(path); });
    return {};
  }
  Result<std::string> readlink(const std::string& path) override {
    TG_TRY(alive());
    return real_.readlink(path);
  }
  Status unlink(const std::string& path) override {
    TG_TRY(change());
    const std::string kept = keep(path);
    TG_TRY(real_.unlink(path));
    note(path, [this, path, kept] { (void)real_.link(kept, path); });
    return {};
  }
  Status rmdir(const std::string& path) override {
    TG_TRY(change());
    TG_TRY(real_.rmdir(path));
    note(path, [this, path] { (void)real_.mkdir(path, 0755); });
    return {};
  }
  Status mkdir(const std::string& path, uint32_t mode) override {
    TG_TRY(change());
    TG_TRY(real_.mkdir(path, mode));
    note(path, [this, path] { (void)remove_tree(real_, path); });
    return {};
  }
  Status chmod(const std::string& path, uint32_t mode) override {
    TG_TRY(change());
    return real_.chmod(path, mode);
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    TG_TRY(alive());
    return real_.list(path);
  }

 private:
  struct Op {
    std::string directory;
    std::function<void()> undo;
  };

  Status alive() {
    if (dead) return fail(FailureClass::kDisk, "test.crashed", "the machine is off");
    return {};
  }
  Status change() {
    TG_TRY(alive());
    if (++changes >= crash_at) dead = true;
    return alive();
  }
  void note(const std::string& path, std::function<void()> undo) {
    ops_.push_back({path_dirname(path), std::move(undo)});
  }
  /// A second name for the file at `path`, so that its removal can be undone; "" if there is none.
  std::string keep(const std::string& path) {
    const auto stat = real_.lstat(path);
    if (!stat || stat->is_dir) return "";
    std::string kept = path_join(graveyard_, std::to_string(kept_++));
    return real_.link(path, kept) ? kept : "";
  }
  void remember_bytes(const std::string& path) {
    const auto stat = real_.stat(path);
    if (stat && !unsynced_.contains(stat->inode))
      unsynced_[stat->inode] = read_file(real_, path).value_or("");
  }
  void restore_bytes(const std::string& directory) {
    const auto names = real_.list(directory);
    for (const std::string& name : names ? *names : std::vector<std::string>{}) {
      const std::string path = path_join(directory, name);
      const auto stat = real_.lstat(path);
      if (stat && stat->is_dir) restore_bytes(path);
      if (!stat || !stat->is_regular || !unsynced_.contains(stat->inode)) continue;
      const std::string& text = unsynced_[stat->inode];
      (void)real_.chmod(path, 0644);
      Fd fd(real_, real_.open(path, O_WRONLY | O_TRUNC, 0).value());
      (void)real_.pwrite(fd.get(), std::as_bytes(std::span(text)), 0);
      (void)real_.chmod(path, stat->mode);
    }
  }

  Effects& real_ = real_effects();
  const std::string root_;
  const std::string graveyard_;
  std::vector<Op> ops_;                       // not lasting yet, in order
  std::map<uint64_t, std::string> unsynced_;  // by inode: the bytes that would be left
  std::map<int, std::string> paths_;
  uint64_t kept_ = 0;
};

}  // namespace tidegate
