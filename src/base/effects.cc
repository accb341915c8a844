#include "base/effects.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/hash.h"

namespace tidegate {
namespace {

int64_t clock_us(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

int64_t to_ns(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

FileStat to_file_stat(const struct stat& st) {
  return FileStat{.size = static_cast<uint64_t>(st.st_size),
                  .mtime_ns = to_ns(st.st_mtim),
                  .ctime_ns = to_ns(st.st_ctim),
                  .inode = st.st_ino,
                  .device = st.st_dev,
                  .mode = st.st_mode & 07777u,
                  .links = static_cast<uint32_t>(st.st_nlink),
                  .is_dir = S_ISDIR(st.st_mode),
                  .is_regular = S_ISREG(st.st_mode),
                  .is_symlink = S_ISLNK(st.st_mode)};
}

std::unexpected<Failure> errno_fail(const char* verb, const std::string& path) {
  return std::unexpected(errno_failure(errno, fmt::format("cannot {} \"{}\"", verb, path)));
}

template <typename Call>
auto retry_eintr(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

Status done(int result, const char* verb, const std::string& path) {
  if (result < 0) return errno_fail(verb, path);
  return {};
}

struct flock bytes_of(int64_t start, int64_t size) {
  struct flock lock{};
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = size;
  return lock;
}

class RealEffects final : public Effects {
 public:
  int64_t now_us() override { return clock_us(CLOCK_REALTIME); }
  int64_t monotonic_us() override { return clock_us(CLOCK_MONOTONIC); }
  uint64_t random_u64() override {
    uint64_t value = 0;
    TG_ASSERT(retry_eintr([&] { return ::getrandom(&value, sizeof value, 0); }) == sizeof value);
    return value;
  }
  void sleep_us(int64_t us) override {
    timespec wait{us / 1'000'000, us % 1'000'000 * 1000};
    while (::nanosleep(&wait, &wait) < 0 && errno == EINTR) {
    }
  }

  Result<int> open(const std::string& path, int flags, uint32_t mode) override {
    const int fd = retry_eintr([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
    if (fd < 0) return errno_fail("open", path);
    return fd;
  }
  void close(int fd) override { ::close(fd); }
  Result<size_t> pread(int fd, std::span<std::byte> out, uint64_t offset) override {
    size_t got = 0;
    while (got < out.size()) {
      const ssize_t n = retry_eintr([&] {
        return ::pread(fd, out.data() + got, out.size() - got, static_cast<off_t>(offset + got));
      });
      if (n < 0) return std::unexpected(errno_failure(errno, "cannot read a file"));
      if (n == 0) break;
      got += static_cast<size_t>(n);
    }
    return got;
  }
  void read_ahead(int fd, uint64_t offset, uint64_t size) override {
    (void)::posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(size),
                          POSIX_FADV_WILLNEED);
  }
  Status pwrite(int fd, std::span<const std::byte> data, uint64_t offset) override {
    size_t put = 0;
    while (put < data.size()) {
      const ssize_t n = retry_eintr([&] {
        return ::pwrite(fd, data.data() + put, data.size() - put, static_cast<off_t>(offset + put));
      });
      if (n < 0) return std::unexpected(errno_failure(errno, "cannot write a file"));
      put += static_cast<size_t>(n);
    }
    return {};
  }
  Status write_back(int fd, uint64_t offset, uint64_t size, bool wait) override {
    const unsigned flags =
        wait ? SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER
             : SYNC_FILE_RANGE_WRITE;
    const int done = retry_eintr([&] {
      return ::sync_file_range(fd, static_cast<off64_t>(offset), static_cast<off64_t>(size), flags);
    });
    const bool cannot = done < 0 && (errno == ENOSYS || errno == EINVAL || errno == ESPIPE);
    if (done < 0 && !cannot)
      return std::unexpected(errno_failure(errno, "cannot write a file to the disk"));
    return {};
  }
  Status fsync(int fd) override {
    if (retry_eintr([&] { return ::fsync(fd); }) < 0)
      return std::unexpected(errno_failure(errno, "cannot fsync a file"));
    return {};
  }
  Status truncate(int fd, uint64_t size) override {
    if (retry_eintr([&] { return ::ftruncate(fd, static_cast<off_t>(size)); }) < 0)
      return std::unexpected(errno_failure(errno, "cannot truncate a file"));
    return {};
  }
  Result<FileStat> fstat(int fd) override {
    struct stat st{};
    if (::fstat(fd, &st) < 0) return std::unexpected(errno_failure(errno, "cannot stat a file"));
    return to_file_stat(st);
  }
  Result<bool> try_lock(int fd) override {
    if (retry_eintr([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }) == 0) return true;
    if (errno == EWOULDBLOCK) return false;
    return std::unexpected(errno_failure(errno, "cannot lock a file"));
  }
  Result<bool> lock_bytes(int fd, ByteLock kind, int64_t start, int64_t size) override {
    struct flock lock = bytes_of(start, size);
    lock.l_type = static_cast<short>(kind == ByteLock::kNone     ? F_UNLCK
                                     : kind == ByteLock::kShared ? F_RDLCK
                                                                 : F_WRLCK);
    if (retry_eintr([&] { return ::fcntl(fd, F_OFD_SETLK, &lock); }) == 0) return true;
    if (errno == EAGAIN || errno == EACCES) return false;
    return std::unexpected(errno_failure(errno, "cannot lock bytes of a file"));
  }
  Result<bool> is_locked(int fd, int64_t start, int64_t size) override {
    struct flock lock = bytes_of(start, size);
    lock.l_type = F_WRLCK;
    if (retry_eintr([&] { return ::fcntl(fd, F_OFD_GETLK, &lock); }) != 0)
      return std::unexpected(errno_failure(errno, "cannot ask for a file's locks"));
    return lock.l_type != F_UNLCK;
  }

  Result<FileStat> stat(const std::string& path) override {
    struct stat st{};
    if (::stat(path.c_str(), &st) < 0) return errno_fail("stat", path);
    return to_file_stat(st);
  }
  Result<FileStat> lstat(const std::string& path) override {
    struct stat st{};
    if (::lstat(path.c_str(), &st) < 0) return errno_fail("stat", path);
    return to_file_stat(st);
  }
  Status rename(const std::string& from, const std::string& to) override {
    return done(::rename(from.c_str(), to.c_str()), "rename to", to);
  }
  Status link(const std::string& from, const std::string& to) override {
    return done(::link(from.c_str(), to.c_str()), "link to", to);
  }
  Status symlink(const std::string& target, const std::string& path) override {
    return done(::symlink(target.c_str(), path.c_str()), "make the link", path);
  }
  Result<std::string> readlink(const std::string& path) override {
    char buffer[4096];
    const ssize_t n = ::readlink(path.c_str(), buffer, sizeof buffer);
    if (n < 0) return errno_fail("read the link", path);
    return std::string(buffer, static_cast<size_t>(n));
  }
  Status unlink(const std::string& path) override {
    return done(::unlink(path.c_str()), "remove", path);
  }
  Status rmdir(const std::string& path) override {
    return done(::rmdir(path.c_str()), "remove the directory", path);
  }
  Status mkdir(const std::string& path, uint32_t mode) override {
    return done(::mkdir(path.c_str(), mode), "make the directory", path);
  }
  Status chmod(const std::string& path, uint32_t mode) override {
    return done(::chmod(path.c_str(), mode), "change the mode of", path);
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
    if (!dir) return errno_fail("list", path);
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(dir.get());
      if (!entry) break;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return errno_fail("list", path);
    std::sort(names.begin(), names.end());
    return names;
  }
};

constexpr size_t kTreeEntriesMax = 1'000'000;

Status remove_below(Effects& effects, const std::string& path, size_t& budget) {
  if (budget-- == 0)
    return fail(FailureClass::kDefect, "file.too_many",
                fmt::format("will not remove more than {} entries: \"{}\"", kTreeEntriesMax, path));
  const auto stat = effects.lstat(path);
  if (!stat) return is_not_found(stat.error()) ? Status{} : std::unexpected(stat.error());
  if (!stat->is_dir) return effects.unlink(path);
  TG_ASSIGN(const auto names, effects.list(path));
  for (const std::string& name : names)
    TG_TRY(remove_below(effects, path_join(path, name), budget));
  return effects.rmdir(path);
}

}  // namespace

ProcessName Effects::process_name() {
  char name[256] = {};
  const bool known = ::gethostname(name, sizeof name - 1) == 0;
  return {static_cast<int64_t>(::getpid()), known ? name : "unknown"};
}

Effects& real_effects() {
  static RealEffects effects;
  return effects;
}

bool is_not_found(const Failure& failure) { return failure.code == "file.not_found"; }
bool is_exists(const Failure& failure) { return failure.code == "file.exists"; }

Result<std::string> read_file(Effects& effects, const std::string& path, uint64_t limit) {
  TG_ASSIGN(const int raw, effects.open(path, O_RDONLY));
  Fd fd(effects, raw);
  TG_ASSIGN(const FileStat stat, effects.fstat(raw));
  if (stat.is_dir)
    return std::unexpected(errno_failure(EISDIR, fmt::format("cannot read \"{}\"", path)));
  std::string text;
  // What has no size until it is read (/proc) comes in pieces of this.
  constexpr uint64_t kPieceBytes = uint64_t{16} << 10, kPieceBytesMax = uint64_t{64} << 20;
  for (;;) {
    const size_t old = text.size();
    const uint64_t piece =
        std::min(stat.size > old ? stat.size - old + 1 : std::max<uint64_t>(kPieceBytes, old),
                 kPieceBytesMax);
    text.resize(old + piece);
    TG_ASSIGN(const size_t got,
              effects.pread(raw, std::as_writable_bytes(std::span(text).subspan(old)), old));
    text.resize(old + got);
    if (text.size() > limit)
      return fail(FailureClass::kData, "file.too_large",
                  fmt::format("file is larger than {} bytes: \"{}\"", limit, path));
    if (got < piece) return text;
  }
}

Status write_file(Effects& effects, const std::string& path, std::string_view bytes, uint32_t mode,
                  bool durable) {
  const std::string aside = fmt::format("{}.tmp-{}", path, hex64(effects.random_u64()));
  TG_ASSIGN(const int raw, effects.open(aside, O_WRONLY | O_CREAT | O_EXCL, mode));
  Fd fd(effects, raw);
  Status status = effects.pwrite(raw, std::as_bytes(std::span(bytes)), 0);
  if (status && durable) status = effects.fsync(raw);
  fd.reset();
  if (status) status = effects.rename(aside, path);
  if (!status) {
    (void)effects.unlink(aside);
    return fail_because(status.error(), status.error().code,
                        fmt::format("cannot write \"{}\"", path));
  }
  return durable ? fsync_path(effects, path_dirname(path)) : Status{};
}

Status make_directories(Effects& effects, const std::string& path) {
  const auto made = effects.mkdir(path);
  if (made) return {};
  if (is_exists(made.error())) {
    const auto stat = effects.stat(path);
    if (stat && stat->is_dir) return {};
    return std::unexpected(
        errno_failure(ENOTDIR, fmt::format("cannot make the directory \"{}\"", path)));
  }
  const std::string parent = path_dirname(path);
  if (!is_not_found(made.error()) || parent == path) return made;
  TG_TRY(make_directories(effects, parent));
  const auto again = effects.mkdir(path);
  if (!again && !is_exists(again.error())) return again;
  return {};
}

Status fsync_path(Effects& effects, const std::string& path) {
  TG_ASSIGN(const int raw, effects.open(path, O_RDONLY));
  Fd fd(effects, raw);
  return effects.fsync(raw);
}

Status fsync_parents(Effects& effects, const std::string& path) {
  std::string below = path, at = path_dirname(path);
  while (at != below && !at.empty()) {
    const Status synced = fsync_path(effects, at);
    const bool others = !synced && (synced.error().cls != FailureClass::kDisk ||
                                    synced.error().code == "disk.read_only");
    if (!synced && !others) return synced;
    below = at;
    at = path_dirname(at);
  }
  return {};
}

Status remove_tree(Effects& effects, const std::string& path) {
  size_t budget = kTreeEntriesMax;
  return remove_below(effects, path, budget);
}

bool exists(Effects& effects, const std::string& path) {
  const auto stat = effects.lstat(path);
  return stat || !(is_not_found(stat.error()) || stat.error().code == "file.not_directory");
}

std::string path_join(std::string_view a, std::string_view b) {
  if (a.empty() || (!b.empty() && b.front() == '/')) return std::string(b);
  std::string out(a);
  if (out.back() != '/') out += '/';
  return out.append(b);
}

std::string path_dirname(std::string_view path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string path_basename(std::string_view path) {
  const size_t slash = path.find_last_of('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string path_absolute(std::string_view path, std::string_view base) {
  const std::string full = path_join(base, path);
  std::vector<std::string_view> parts;
  std::string_view rest = full;
  while (!rest.empty()) {
    const size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else {
      parts.push_back(part);
    }
  }
  std::string out;
  for (std::string_view part : parts) out.append("/").append(part);
  return out.empty() ? "/" : out;
}

}  // namespace tidegate
