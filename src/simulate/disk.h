#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/effects.h"

namespace tidegate {

/// A file system in memory, and what a power cut leaves of it. A value: a copy is another disk in
/// the same state. Calls give errno (0: done) and take absolute paths.
///
/// The model: a change of a directory (an entry made, renamed or removed) lasts once that directory
/// was synced after it, one of several directories once the one that got the new name was; bytes of
/// a file last once the file was. `crash` undoes what does not last: all of it, or of each
/// directory all after a random moment and of each file all after a random write, which may itself
/// be torn. A sync that fails loses what it should have written: it is read as written until a
/// crash, and no later sync writes it. Not modelled: modes (they last at once).
class SimulatedDisk {
 public:
  enum class Loss : uint8_t { kNothing, kAllUnsynced, kSomeUnsynced };
  static constexpr uint64_t kRoot = 1;

  SimulatedDisk();

  int open(std::string_view path, int flags, uint32_t mode, int64_t now_ns, uint64_t& inode);
  size_t read(uint64_t inode, std::span<std::byte> out, uint64_t offset) const;
  int write(uint64_t inode, std::span<const std::byte> data, uint64_t offset, int64_t now_ns);
  int truncate(uint64_t inode, uint64_t size, int64_t now_ns);
  void sync(uint64_t inode);
  /// A sync that fails: pages of a file are clean then, and not on the disk.
  void lose_unsynced(uint64_t inode);
  int stat(std::string_view path, bool follow, FileStat& stat) const;
  FileStat stat(uint64_t inode) const;
  int rename(std::string_view from, std::string_view to, int64_t now_ns);
  int link(std::string_view from, std::string_view to, int64_t now_ns);
  int symlink(std::string_view target, std::string_view path, int64_t now_ns);
  int readlink(std::string_view path, std::string& target) const;
  int unlink(std::string_view path, int64_t now_ns);
  int rmdir(std::string_view path, int64_t now_ns);
  int mkdir(std::string_view path, uint32_t mode, int64_t now_ns);
  int chmod(std::string_view path, uint32_t mode, int64_t now_ns);
  int list(std::string_view path, std::vector<std::string>& names) const;

  /// Undoes what does not last. Nobody may have a file open.
  void crash(Loss loss, uint64_t seed);
  /// Everything so far lasts.
  void settle();

  /// Of all files together; writing more is ENOSPC.
  uint64_t bytes_max = UINT64_MAX;
  uint64_t bytes() const { return bytes_; }

 private:
  struct Write {
    uint64_t offset = 0, size = 0;  ///< of what was written
    std::string before;             ///< what lay there
    uint64_t size_before = 0;       ///< of the file
  };
  /// What the disk has of a page that a failed sync has lost.
  struct LostPage {
    std::string bytes;
    bool written_again = false;  ///< so the next sync writes all of it
  };
  struct Node {
    enum class Kind : uint8_t { kFree, kFile, kDirectory, kLink };
    Kind kind = Kind::kFree;
    uint32_t mode = 0;
    uint32_t links = 0;
    int64_t mtime_ns = 0, ctime_ns = 0;
    std::string bytes;  ///< of a file; where a link leads
    std::vector<Write> unsynced;
    std::map<uint64_t, LostPage> lost;  ///< by number
    std::map<std::string, uint64_t, std::less<>> entries;
  };
  struct EntryChange {
    uint64_t directory = 0;
    std::string name;
    uint64_t before = 0, after = 0;  ///< inodes; 0: none
    uint64_t lasts_with = 0;         ///< the directory whose sync makes it last
    bool with_previous = false;      ///< the second half of a rename
  };
  /// A path's directory and last name, and the inode there (0: none).
  struct Place {
    uint64_t directory = 0;
    std::string name;
    uint64_t inode = 0;
    int error = 0;
  };

  Node& node(uint64_t inode) { return nodes_[inode]; }
  const Node& node(uint64_t inode) const { return nodes_[inode]; }
  Place find(std::string_view path, bool follow, int depth = 0) const;
  uint64_t make(Node::Kind kind, uint32_t mode, int64_t now_ns);
  void set_entry(uint64_t directory, const std::string& name, uint64_t inode, int64_t now_ns,
                 uint64_t lasts_with, bool with_previous = false);
  void forget(uint64_t inode);
  static void undo_writes(Node& file, size_t kept, uint64_t torn_bytes);
  static void undo_some(Node& file, Loss loss, std::mt19937_64& random);
  static void uncover_lost(Node& file, Loss loss);
  void count_links();

  std::vector<Node> nodes_;
  std::vector<EntryChange> changes_;  ///< of directories that were not synced since, in order
  uint64_t bytes_ = 0;
};

}  // namespace tidegate
