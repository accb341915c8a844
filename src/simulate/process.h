#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "simulate/disk.h"

namespace tidegate {

/// One random number after the other, of a seed; the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  /// Below `most`, which is not 0.
  uint64_t below(uint64_t most) { return next() % most; }
  /// True this often.
  bool chance(double probability);
  /// In [0, 1).
  double share() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  uint64_t state_;
};

/// What simulated processes of one machine have in common. Times in microseconds.
struct SimulatedMachine {
  SimulatedDisk disk;
  int64_t now_us = 0;   ///< what has passed
  int64_t wall_us = 0;  ///< what the clock on the wall said at the beginning, and its jumps
  struct BytesLocked {
    uint64_t inode;
    int fd;
    ByteLock kind;
    int64_t start, end;
  };
  std::map<uint64_t, int> locks =
      {};  ///< by inode: the descriptor, over all processes, that has it
  std::vector<BytesLocked> byte_locks = {};
  int descriptors = 0;  ///< given so far

  int64_t wall() const { return wall_us + now_us; }
};

/// A process as the rest of the program sees its surroundings: an Effects on a simulated machine,
/// which can be made to fail and to die at any call. What one call takes is fixed.
class SimulatedProcess final : public Effects {
 public:
  enum class Call : uint8_t {
    kOpen,
    kRead,
    kWrite,
    kSync,
    kTruncate,
    kStat,
    kLock,
    kRename,
    kLink,
    kSymlink,
    kReadlink,
    kUnlink,
    kRmdir,
    kMkdir,
    kChmod,
    kList
  };
  static constexpr size_t kCalls = static_cast<size_t>(Call::kList) + 1;
  /// Says how a call is to fail: with an errno, or kDies, after which every call does; 0: not.
  static constexpr int kDies = -1;
  static constexpr int kAnswerLost = -2;  ///< it is done, and says EIO
  using Fault = std::function<int(Call call, std::string_view path, bool changes)>;

  SimulatedProcess(SimulatedMachine& machine, uint64_t seed) : machine_(machine), random_(seed) {}
  ~SimulatedProcess() override;

  /// Asked before each call.
  Fault fault;
  /// Ends the process: its locks are free, its calls fail.
  void die();
  bool dead() const { return dead_; }
  uint64_t calls() const { return calls_; }
  uint64_t changes() const { return changes_; }  ///< calls that change the disk

  int64_t now_us() override { return machine_.wall(); }
  int64_t monotonic_us() override { return machine_.now_us; }
  uint64_t random_u64() override { return random_.next(); }
  void sleep_us(int64_t us) override { machine_.now_us += us; }
  /// The same wherever and whenever: a name is written to the disk, and its length counts there.
  ProcessName process_name() override { return {1, "simulated"}; }

  Result<int> open(const std::string& path, int flags, uint32_t mode) override;
  void close(int fd) override;
  Result<size_t> pread(int fd, std::span<std::byte> out, uint64_t offset) override;
  void read_ahead(int, uint64_t, uint64_t) override {}
  Status pwrite(int fd, std::span<const std::byte> data, uint64_t offset) override;
  Status write_back(int, uint64_t, uint64_t, bool) override { return {}; }
  Status fsync(int fd) override;
  Status truncate(int fd, uint64_t size) override;
  Result<FileStat> fstat(int fd) override;
  Result<bool> try_lock(int fd) override;
  Result<bool> lock_bytes(int fd, ByteLock kind, int64_t start, int64_t size) override;
  Result<bool> is_locked(int fd, int64_t start, int64_t size) override;
  Result<FileStat> stat(const std::string& path) override;
  Result<FileStat> lstat(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status link(const std::string& from, const std::string& to) override;
  Status symlink(const std::string& target, const std::string& path) override;
  Result<std::string> readlink(const std::string& path) override;
  Status unlink(const std::string& path) override;
  Status rmdir(const std::string& path) override;
  Status mkdir(const std::string& path, uint32_t mode) override;
  Status chmod(const std::string& path, uint32_t mode) override;
  Result<std::vector<std::string>> list(const std::string& path) override;

 private:
  struct Open {
    uint64_t inode = 0;
    std::string path;
  };
  /// What is asked before each call: fails if the process is dead or the call is to fail.
  Status ask(Call call, std::string_view path, bool changes);
  void unlock_all(int fd);
  Status done(int error, const char* verb, const std::string& path);
  int64_t now_ns() const { return machine_.wall() * 1000; }

  SimulatedMachine& machine_;
  Random random_;
  std::map<int, Open> open_;
  uint64_t calls_ = 0, changes_ = 0;
  bool dead_ = false;
  bool answer_lost_ = false;  ///< of the current call
};

}  // namespace tidegate
