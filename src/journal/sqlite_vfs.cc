#include "journal/sqlite_vfs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>

#include "base/planted.h"

namespace tidegate {

struct SqliteVfs::State {
  explicit State(Effects& e) : effects(e) {}
  Effects& effects;
  std::string name;
  sqlite3_vfs vfs = {};
  uint64_t fsyncs = 0;
  int64_t fsync_us = 0;
  std::optional<Failure> failure;

  int note(const Failure& f, int code) {
    failure = f;
    if (f.code == "disk.no_space" || f.code == "disk.quota") return SQLITE_FULL;
    return code;
  }
};

namespace {

constexpr int kPathMax = 4096;
/// SQLite's lock bytes (its file format document, "The lock-byte page"): pending, reserved, and the
/// range that readers share.
constexpr int64_t kPendingByte = 0x40000000;
constexpr int64_t kReservedByte = kPendingByte + 1;
constexpr int64_t kSharedFirst = kPendingByte + 2;
constexpr int64_t kSharedSize = 510;
constexpr int kSectorBytes = 4096;
constexpr int64_t kMicrosPerDay = int64_t{86'400} * 1'000'000;
/// 1970-01-01 as a Julian day, in milliseconds.
constexpr int64_t kEpochJulianMs = int64_t{24'405'875} * 8'640'000;

struct File {
  sqlite3_file base;  // must stand first: SQLite sees only this
  SqliteVfs::State* state;
  int fd;
  int lock;
  bool sync_directory;  // we made the file and its directory entry is not durable yet
  char path[kPathMax + 1];
};

File* as_file(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
SqliteVfs::State* as_state(sqlite3_vfs* vfs) {
  return static_cast<SqliteVfs::State*>(vfs->pAppData);
}

/// Sets, changes or drops a lock on bytes of this open file description.
int set_lock(File* file, ByteLock kind, int64_t start, int64_t size) {
  const auto taken = file->state->effects.lock_bytes(file->fd, kind, start, size);
  if (taken) return *taken ? SQLITE_OK : SQLITE_BUSY;
  return file->state->note(taken.error(),
                           kind == ByteLock::kNone ? SQLITE_IOERR_UNLOCK : SQLITE_IOERR_LOCK);
}

int file_close(sqlite3_file* base) {
  File* file = as_file(base);
  if (file->fd >= 0) file->state->effects.close(file->fd);
  file->fd = -1;
  return SQLITE_OK;
}

int file_read(sqlite3_file* base, void* out, int amount, sqlite3_int64 offset) {
  File* file = as_file(base);
  auto bytes = static_cast<std::byte*>(out);
  auto got = file->state->effects.pread(file->fd, {bytes, static_cast<size_t>(amount)},
                                        static_cast<uint64_t>(offset));
  if (!got) return file->state->note(got.error(), SQLITE_IOERR_READ);
  if (*got == static_cast<size_t>(amount)) return SQLITE_OK;
  std::memset(bytes + *got, 0, static_cast<size_t>(amount) - *got);
  return SQLITE_IOERR_SHORT_READ;
}

int file_write(sqlite3_file* base, const void* data, int amount, sqlite3_int64 offset) {
  File* file = as_file(base);
  auto done = file->state->effects.pwrite(
      file->fd, {static_cast<const std::byte*>(data), static_cast<size_t>(amount)},
      static_cast<uint64_t>(offset));
  return done ? SQLITE_OK : file->state->note(done.error(), SQLITE_IOERR_WRITE);
}

int file_truncate(sqlite3_file* base, sqlite3_int64 size) {
  File* file = as_file(base);
  auto done = file->state->effects.truncate(file->fd, static_cast<uint64_t>(size));
  return done ? SQLITE_OK : file->state->note(done.error(), SQLITE_IOERR_TRUNCATE);
}

int file_sync(sqlite3_file* base, int) {
  File* file = as_file(base);
  SqliteVfs::State& state = *file->state;
  const int64_t begin = state.effects.monotonic_us();
  if (planted(Mistake::kJournalNotSynced)) return SQLITE_OK;
  auto done = state.effects.fsync(file->fd);
  ++state.fsyncs;
  if (done && file->sync_directory) {
    done = fsync_path(state.effects, path_dirname(file->path));
    ++state.fsyncs;
    if (done) file->sync_directory = false;
  }
  state.fsync_us += state.effects.monotonic_us() - begin;
  return done ? SQLITE_OK : state.note(done.error(), SQLITE_IOERR_FSYNC);
}

int file_size(sqlite3_file* base, sqlite3_int64* size) {
  File* file = as_file(base);
  auto stat = file->state->effects.fstat(file->fd);
  if (!stat) return file->state->note(stat.error(), SQLITE_IOERR_FSTAT);
  *size = static_cast<sqlite3_int64>(stat->size);
  return SQLITE_OK;
}

int take_shared(File* file) {
  // The pending byte keeps new readers out while a writer waits for the old ones to leave.
  if (int rc = set_lock(file, ByteLock::kShared, kPendingByte, 1)) return rc;
  int rc = set_lock(file, ByteLock::kShared, kSharedFirst, kSharedSize);
  if (int dropped = set_lock(file, ByteLock::kNone, kPendingByte, 1); rc == SQLITE_OK && dropped) {
    set_lock(file, ByteLock::kNone, kSharedFirst, kSharedSize);
    return dropped;
  }
  if (rc == SQLITE_OK) file->lock = SQLITE_LOCK_SHARED;
  return rc;
}

int file_lock(sqlite3_file* base, int wanted) {
  File* file = as_file(base);
  if (file->lock >= wanted) return SQLITE_OK;
  if (wanted == SQLITE_LOCK_SHARED) return take_shared(file);
  if (wanted == SQLITE_LOCK_RESERVED) {
    if (int rc = set_lock(file, ByteLock::kExclusive, kReservedByte, 1)) return rc;
    file->lock = SQLITE_LOCK_RESERVED;
    return SQLITE_OK;
  }
  // EXCLUSIVE, by way of PENDING. A hot journal's rollback comes here straight from SHARED.
  if (file->lock < SQLITE_LOCK_PENDING) {
    if (int rc = set_lock(file, ByteLock::kExclusive, kPendingByte, 1)) return rc;
    file->lock = SQLITE_LOCK_PENDING;
  }
  if (int rc = set_lock(file, ByteLock::kExclusive, kSharedFirst, kSharedSize)) return rc;
  file->lock = SQLITE_LOCK_EXCLUSIVE;
  return SQLITE_OK;
}

int file_unlock(sqlite3_file* base, int wanted) {
  File* file = as_file(base);
  if (file->lock <= wanted) return SQLITE_OK;
  int rc = SQLITE_OK;
  if (wanted == SQLITE_LOCK_SHARED) {
    if (file->lock == SQLITE_LOCK_EXCLUSIVE)
      rc = set_lock(file, ByteLock::kShared, kSharedFirst, kSharedSize);
    if (int dropped = set_lock(file, ByteLock::kNone, kPendingByte, 2); rc == SQLITE_OK)
      rc = dropped;
  } else {
    rc = set_lock(file, ByteLock::kNone, kPendingByte, 2 + kSharedSize);
  }
  file->lock = wanted;
  return rc == SQLITE_BUSY ? SQLITE_IOERR_UNLOCK : rc;
}

int file_check_reserved(sqlite3_file* base, int* out) {
  File* file = as_file(base);
  *out = file->lock >= SQLITE_LOCK_RESERVED;
  if (*out) return SQLITE_OK;
  const auto locked = file->state->effects.is_locked(file->fd, kReservedByte, 1);
  if (!locked) return file->state->note(locked.error(), SQLITE_IOERR_CHECKRESERVEDLOCK);
  *out = *locked;
  return SQLITE_OK;
}

int file_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int file_sector(sqlite3_file*) { return kSectorBytes; }
/// Nothing is promised of the device: no atomic writes, no safe append, no order.
int file_characteristics(sqlite3_file*) { return 0; }

const sqlite3_io_methods kMethods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_characteristics,
};

int vfs_open(sqlite3_vfs* vfs, const char* name, sqlite3_file* base, int flags, int* out_flags) {
  base->pMethods = nullptr;
  SqliteVfs::State& state = *as_state(vfs);
  if (!name || std::strlen(name) > kPathMax || (flags & SQLITE_OPEN_DELETEONCLOSE))
    return SQLITE_CANTOPEN;
  bool created = false;
  int mode = O_RDONLY;
  if (flags & SQLITE_OPEN_READWRITE) mode = O_RDWR;
  if (flags & SQLITE_OPEN_CREATE) {
    created = !state.effects.lstat(name);
    mode |= O_CREAT;
  }
  auto fd = state.effects.open(name, mode | O_NOFOLLOW, 0644);
  if (!fd && mode != O_RDONLY &&
      (fd.error().code == "file.denied" || fd.error().code == "disk.read_only")) {
    created = false;
    flags &= ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    flags |= SQLITE_OPEN_READONLY;
    fd = state.effects.open(name, O_RDONLY | O_NOFOLLOW);
  }
  if (!fd) return state.note(fd.error(), SQLITE_CANTOPEN);
  File* file = new (base) File{};
  file->state = &state;
  file->fd = *fd;
  file->lock = SQLITE_LOCK_NONE;
  file->sync_directory = created;
  std::memcpy(file->path, name, std::strlen(name) + 1);
  file->base.pMethods = &kMethods;
  if (out_flags) *out_flags = flags;
  return SQLITE_OK;
}

int vfs_delete(sqlite3_vfs* vfs, const char* name, int sync_directory) {
  SqliteVfs::State& state = *as_state(vfs);
  auto done = state.effects.unlink(name);
  if (!done && is_not_found(done.error())) return SQLITE_IOERR_DELETE_NOENT;
  if (!done) return state.note(done.error(), SQLITE_IOERR_DELETE);
  if (sync_directory) {
    ++state.fsyncs;
    auto synced = fsync_path(state.effects, path_dirname(name));
    if (!synced) return state.note(synced.error(), SQLITE_IOERR_DIR_FSYNC);
  }
  return SQLITE_OK;
}

int vfs_access(sqlite3_vfs* vfs, const char* name, int, int* out) {
  SqliteVfs::State& state = *as_state(vfs);
  auto stat = state.effects.stat(name);
  *out = 0;
  if (stat) {
    *out = !stat->is_regular || stat->size > 0;
    return SQLITE_OK;
  }
  return is_not_found(stat.error()) ? SQLITE_OK : state.note(stat.error(), SQLITE_IOERR_ACCESS);
}

int vfs_full_path(sqlite3_vfs*, const char* name, int size, char* out) {
  const size_t length = std::strlen(name);
  if (length + 1 > static_cast<size_t>(size)) return SQLITE_CANTOPEN;
  std::memcpy(out, name, length + 1);
  return SQLITE_OK;
}

int vfs_randomness(sqlite3_vfs* vfs, int size, char* out) {
  for (int done = 0; done < size;) {
    const uint64_t word = as_state(vfs)->effects.random_u64();
    const int take = std::min<int>(size - done, sizeof(word));
    std::memcpy(out + done, &word, static_cast<size_t>(take));
    done += take;
  }
  return size;
}

int vfs_sleep(sqlite3_vfs* vfs, int microseconds) {
  as_state(vfs)->effects.sleep_us(microseconds);
  return microseconds;
}

int vfs_time_ms(sqlite3_vfs* vfs, sqlite3_int64* out) {
  *out = kEpochJulianMs + as_state(vfs)->effects.now_us() / 1000;
  return SQLITE_OK;
}

int vfs_time(sqlite3_vfs* vfs, double* out) {
  sqlite3_int64 ms = 0;
  vfs_time_ms(vfs, &ms);
  *out = static_cast<double>(ms) / (kMicrosPerDay / 1000.0);
  return SQLITE_OK;
}

int vfs_last_error(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

SqliteVfs::SqliteVfs(Effects& effects) : state_(std::make_unique<State>(effects)) {
  static std::atomic<uint64_t> counter{0};
  state_->name = fmt::format("tidegate-{}", counter.fetch_add(1));
  sqlite3_vfs& vfs = state_->vfs;
  vfs.iVersion = 2;
  vfs.szOsFile = sizeof(File);
  vfs.mxPathname = kPathMax;
  vfs.zName = state_->name.c_str();
  vfs.pAppData = state_.get();
  vfs.xOpen = vfs_open;
  vfs.xDelete = vfs_delete;
  vfs.xAccess = vfs_access;
  vfs.xFullPathname = vfs_full_path;
  vfs.xRandomness = vfs_randomness;
  vfs.xSleep = vfs_sleep;
  vfs.xCurrentTime = vfs_time;
  vfs.xGetLastError = vfs_last_error;
  vfs.xCurrentTimeInt64 = vfs_time_ms;
  // Fails only without memory; opening then fails for want of the name.
  sqlite3_vfs_register(&vfs, /*makeDflt=*/0);
}

SqliteVfs::~SqliteVfs() { sqlite3_vfs_unregister(&state_->vfs); }

const char* SqliteVfs::name() const { return state_->name.c_str(); }
uint64_t SqliteVfs::fsyncs() const { return state_->fsyncs; }
int64_t SqliteVfs::fsync_us() const { return state_->fsync_us; }
std::optional<Failure> SqliteVfs::take_failure() {
  return std::exchange(state_->failure, std::nullopt);
}

}  // namespace tidegate
