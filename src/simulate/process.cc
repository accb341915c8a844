#include "simulate/process.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tidegate {
namespace {

/// What calls take, in microseconds: those that wait for the disk, and the others.
constexpr int64_t kSyncUs = 2'000, kCallUs = 3;

}  // namespace

uint64_t Random::next() {
  uint64_t value = state_ += 0x9e37'79b9'7f4a'7c15ULL;
  value = (value ^ (value >> 30)) * 0xbf58'476d'1ce4'e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d0'49bb'1331'11ebULL;
  return value ^ (value >> 31);
}

bool Random::chance(double probability) { return probability > 0 && share() < probability; }

SimulatedProcess::~SimulatedProcess() { die(); }

void SimulatedProcess::die() {
  dead_ = true;
  for (const auto& [fd, file] : open_) unlock_all(fd);
  open_.clear();
}

void SimulatedProcess::unlock_all(int fd) {
  std::erase_if(machine_.locks, [&](const auto& lock) { return lock.second == fd; });
  std::erase_if(machine_.byte_locks, [&](const auto& lock) { return lock.fd == fd; });
}

Status SimulatedProcess::ask(Call call, std::string_view path, bool changes) {
  ++calls_;
  changes_ += changes;
  // A call more is a moment more: no two files are changed at one time.
  machine_.now_us += call == Call::kSync ? kSyncUs : kCallUs;
  if (!dead_ && fault) {
    const int error = fault(call, path, changes);
    answer_lost_ = error == kAnswerLost;
    if (error == kDies)
      die();
    else if (answer_lost_)
      return {};
    else if (error != 0)
      return std::unexpected(errno_failure(error, fmt::format("cannot use \"{}\"", path)));
  }
  if (dead_) return fail(FailureClass::kDisk, "simulate.dead", "this process is dead");
  return {};
}

Status SimulatedProcess::done(int error, const char* verb, const std::string& path) {
  if (std::exchange(answer_lost_, false)) error = EIO;
  if (error == 0) return {};
  return std::unexpected(errno_failure(error, fmt::format("cannot {} \"{}\"", verb, path)));
}

Result<int> SimulatedProcess::open(const std::string& path, int flags, uint32_t mode) {
  TG_TRY(ask(Call::kOpen, path, (flags & (O_CREAT | O_TRUNC)) != 0));
  uint64_t inode = 0;
  TG_TRY(done(machine_.disk.open(path, flags, mode, now_ns(), inode), "open", path));
  const int fd = ++machine_.descriptors;
  open_[fd] = {inode, path};
  return fd;
}

void SimulatedProcess::close(int fd) {
  if (open_.erase(fd) > 0) unlock_all(fd);
}

Result<size_t> SimulatedProcess::pread(int fd, std::span<std::byte> out, uint64_t offset) {
  TG_TRY(ask(Call::kRead, open_[fd].path, false));
  return machine_.disk.read(open_[fd].inode, out, offset);
}

Status SimulatedProcess::pwrite(int fd, std::span<const std::byte> data, uint64_t offset) {
  TG_TRY(ask(Call::kWrite, open_[fd].path, true));
  return done(machine_.disk.write(open_[fd].inode, data, offset, now_ns()), "write",
              open_[fd].path);
}

Status SimulatedProcess::fsync(int fd) {
  if (Status asked = ask(Call::kSync, open_[fd].path, true); !asked) {
    if (!dead_) machine_.disk.lose_unsynced(open_[fd].inode);
    return asked;
  }
  machine_.disk.sync(open_[fd].inode);
  return done(0, "sync", open_[fd].path);
}

Status SimulatedProcess::truncate(int fd, uint64_t size) {
  TG_TRY(ask(Call::kTruncate, open_[fd].path, true));
  return done(machine_.disk.truncate(open_[fd].inode, size, now_ns()), "truncate", open_[fd].path);
}

Result<FileStat> SimulatedProcess::fstat(int fd) {
  TG_TRY(ask(Call::kStat, open_[fd].path, false));
  return machine_.disk.stat(open_[fd].inode);
}

Result<bool> SimulatedProcess::try_lock(int fd) {
  TG_TRY(ask(Call::kLock, open_[fd].path, false));
  return machine_.locks.try_emplace(open_[fd].inode, fd).first->second == fd;
}

Result<bool> SimulatedProcess::lock_bytes(int fd, ByteLock kind, int64_t start, int64_t size) {
  TG_TRY(ask(Call::kLock, open_[fd].path, false));
  const uint64_t inode = open_[fd].inode;
  const auto meets = [&](const SimulatedMachine::BytesLocked& lock) {
    return lock.inode == inode && lock.start < start + size && start < lock.end;
  };
  const auto excludes = [&](const SimulatedMachine::BytesLocked& lock) {
    return meets(lock) && lock.fd != fd &&
           (kind == ByteLock::kExclusive || lock.kind == ByteLock::kExclusive);
  };
  if (kind != ByteLock::kNone && std::ranges::any_of(machine_.byte_locks, excludes)) return false;
  // Locks are taken and dropped as wholes here.
  std::erase_if(machine_.byte_locks,
                [&](const auto& lock) { return lock.fd == fd && meets(lock); });
  if (kind != ByteLock::kNone)
    machine_.byte_locks.push_back({inode, fd, kind, start, start + size});
  return true;
}

Result<bool> SimulatedProcess::is_locked(int fd, int64_t start, int64_t size) {
  TG_TRY(ask(Call::kLock, open_[fd].path, false));
  return std::ranges::any_of(machine_.byte_locks, [&](const auto& lock) {
    return lock.inode == open_[fd].inode && lock.fd != fd && lock.start < start + size &&
           start < lock.end;
  });
}

Result<FileStat> SimulatedProcess::stat(const std::string& path) {
  TG_TRY(ask(Call::kStat, path, false));
  FileStat stat;
  TG_TRY(done(machine_.disk.stat(path, true, stat), "stat", path));
  return stat;
}

Result<FileStat> SimulatedProcess::lstat(const std::string& path) {
  TG_TRY(ask(Call::kStat, path, false));
  FileStat stat;
  TG_TRY(done(machine_.disk.stat(path, false, stat), "stat", path));
  return stat;
}

Status SimulatedProcess::rename(const std::string& from, const std::string& to) {
  TG_TRY(ask(Call::kRename, to, true));
  return done(machine_.disk.rename(from, to, now_ns()), "rename to", to);
}

Status SimulatedProcess::link(const std::string& from, const std::string& to) {
  TG_TRY(ask(Call::kLink, to, true));
  return done(machine_.disk.link(from, to, now_ns()), "link to", to);
}

Status SimulatedProcess::symlink(const std::string& target, const std::string& path) {
  TG_TRY(ask(Call::kSymlink, path, true));
  return done(machine_.disk.symlink(target, path, now_ns()), "make the link", path);
}

Result<std::string> SimulatedProcess::readlink(const std::string& path) {
  TG_TRY(ask(Call::kReadlink, path, false));
  std::string target;
  TG_TRY(done(machine_.disk.readlink(path, target), "read the link", path));
  return target;
}

Status SimulatedProcess::unlink(const std::string& path) {
  TG_TRY(ask(Call::kUnlink, path, true));
  return done(machine_.disk.unlink(path, now_ns()), "remove", path);
}

Status SimulatedProcess::rmdir(const std::string& path) {
  TG_TRY(ask(Call::kRmdir, path, true));
  return done(machine_.disk.rmdir(path, now_ns()), "remove the directory", path);
}

Status SimulatedProcess::mkdir(const std::string& path, uint32_t mode) {
  TG_TRY(ask(Call::kMkdir, path, true));
  return done(machine_.disk.mkdir(path, mode, now_ns()), "make the directory", path);
}

Status SimulatedProcess::chmod(const std::string& path, uint32_t mode) {
  TG_TRY(ask(Call::kChmod, path, true));
  return done(machine_.disk.chmod(path, mode, now_ns()), "change the mode of", path);
}

Result<std::vector<std::string>> SimulatedProcess::list(const std::string& path) {
  TG_TRY(ask(Call::kList, path, false));
  std::vector<std::string> names;
  TG_TRY(done(machine_.disk.list(path, names), "list", path));
  return names;
}

}  // namespace tidegate
