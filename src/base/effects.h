#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"

namespace tidegate {

/// What stat says of a file. Times are nanoseconds since the epoch.
struct FileStat {
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  uint64_t inode = 0;
  uint64_t device = 0;
  uint32_t mode = 0;
  uint32_t links = 0;
  bool is_dir = false;
  bool is_regular = false;
  bool is_symlink = false;
  bool operator==(const FileStat&) const = default;
};

/// What others are told of a process that holds something they want.
struct ProcessName {
  int64_t pid = 0;
  std::string host;
};

enum class ByteLock : uint8_t { kNone, kShared, kExclusive };

/// The one seam for clock, randomness and disk: everything that reaches outside the process goes
/// through an Effects, so that tests can fail the Nth call, drop un-synced writes or stop time.
/// Paths are as given to the system; failures carry errno_failure's class and the path. Calls are
/// retried on EINTR inside. Thread-safe unless a test double says otherwise.
class Effects {
 public:
  virtual ~Effects() = default;

  /// Wall clock, microseconds since the epoch, UTC.
  virtual int64_t now_us() = 0;
  /// Never goes back; for durations.
  virtual int64_t monotonic_us() = 0;
  virtual uint64_t random_u64() = 0;
  virtual void sleep_us(int64_t us) = 0;
  /// This process, unless a test double says otherwise.
  virtual ProcessName process_name();

  /// open(2) with O_CLOEXEC added. The caller closes.
  virtual Result<int> open(const std::string& path, int flags, uint32_t mode = 0644) = 0;
  virtual void close(int fd) = 0;
  /// Reads up to out.size() bytes at `offset`; fewer only at the end of the file.
  virtual Result<size_t> pread(int fd, std::span<std::byte> out, uint64_t offset) = 0;
  /// Has the system fetch bytes of a file that will be read soon. Returns at once; where it cannot
  /// be done nothing happens.
  virtual void read_ahead(int fd, uint64_t offset, uint64_t size) = 0;
  /// Writes all of `data` at `offset`; short writes are continued inside.
  virtual Status pwrite(int fd, std::span<const std::byte> data, uint64_t offset) = 0;
  /// Has written bytes of a file begin their way to the disk; with `wait`, returns when they are
  /// there. Makes nothing durable: that is fsync's. Where the system or the file system cannot,
  /// nothing happens. A failure must be the end of the file: an fsync by another descriptor would
  /// not hear of it again.
  virtual Status write_back(int fd, uint64_t offset, uint64_t size, bool wait) = 0;
  virtual Status fsync(int fd) = 0;
  virtual Status truncate(int fd, uint64_t size) = 0;
  virtual Result<FileStat> fstat(int fd) = 0;
  /// flock(2) LOCK_EX|LOCK_NB: true if taken, false if another holds it.
  virtual Result<bool> try_lock(int fd) = 0;
  /// Takes, changes or drops a lock on bytes of a file, of this open description and not of the
  /// process (fcntl(2) F_OFD_SETLK): false if another description's lock excludes it.
  virtual Result<bool> lock_bytes(int fd, ByteLock kind, int64_t start, int64_t size) = 0;
  /// True if another description's lock keeps these bytes from being locked exclusively.
  virtual Result<bool> is_locked(int fd, int64_t start, int64_t size) = 0;

  virtual Result<FileStat> stat(const std::string& path) = 0;   ///< follows links
  virtual Result<FileStat> lstat(const std::string& path) = 0;  ///< does not
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  /// link(2): fails with code "file.exists" if `to` exists.
  virtual Status link(const std::string& from, const std::string& to) = 0;
  virtual Status symlink(const std::string& target, const std::string& path) = 0;
  virtual Result<std::string> readlink(const std::string& path) = 0;
  virtual Status unlink(const std::string& path) = 0;
  virtual Status rmdir(const std::string& path) = 0;
  /// mkdir(2): "file.exists" if it exists.
  virtual Status mkdir(const std::string& path, uint32_t mode = 0755) = 0;
  virtual Status chmod(const std::string& path, uint32_t mode) = 0;
  /// Names in a directory without "." and "..", sorted by bytes.
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
};

/// The operating system itself. One object for the process.
Effects& real_effects();

/// True for a failure that says "no such file or directory".
bool is_not_found(const Failure& failure);
/// True for a failure that says "exists already".
bool is_exists(const Failure& failure);

/// Closes its descriptor when it goes.
class Fd {
 public:
  Fd() = default;
  Fd(Effects& effects, int fd) : effects_(&effects), fd_(fd) {}
  Fd(Fd&& other) noexcept : effects_(other.effects_), fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      effects_ = other.effects_;
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) effects_->close(fd_);
    fd_ = -1;
  }

 private:
  Effects* effects_ = nullptr;
  int fd_ = -1;
};

/// The whole file as text; at most `limit` bytes, above is a data failure ("file.too_large").
Result<std::string> read_file(Effects& effects, const std::string& path,
                              uint64_t limit = uint64_t{1} << 30);
/// Writes aside (PATH.tmp-RANDOM), fsyncs if `durable`, renames over `path`, fsyncs the directory
/// if `durable`.
Status write_file(Effects& effects, const std::string& path, std::string_view bytes,
                  uint32_t mode = 0644, bool durable = false);
/// Makes the directory and its parents; fine if they exist.
Status make_directories(Effects& effects, const std::string& path);
/// fsyncs a directory or a file by its path.
Status fsync_path(Effects& effects, const std::string& path);
/// fsyncs all directories above an absolute path, so that those that were made just now last. One
/// that may not be opened was made by somebody else and is passed over.
Status fsync_parents(Effects& effects, const std::string& path);
/// Removes a file or a directory and all below it; fine if there is none. Never follows links.
/// At most 1,000,000 entries.
Status remove_tree(Effects& effects, const std::string& path);
/// False only where the system says that there is none: what cannot be looked at may be there, and
/// what follows fails with the reason.
bool exists(Effects& effects, const std::string& path);

/// Lexical helpers: no system call.
std::string path_join(std::string_view a, std::string_view b);
std::string path_dirname(std::string_view path);
std::string path_basename(std::string_view path);
/// Makes absolute against `base` and removes "." and ".." lexically.
std::string path_absolute(std::string_view path, std::string_view base);

}  // namespace tidegate
