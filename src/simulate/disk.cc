#include "simulate/disk.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <cstring>

namespace tidegate {
namespace {

constexpr int kLinksFollowedMax = 16;
constexpr uint64_t kPage = 4096;

}  // namespace

SimulatedDisk::SimulatedDisk() {
  nodes_.resize(kRoot + 1);
  node(kRoot).kind = Node::Kind::kDirectory;
  node(kRoot).mode = 0755;
  node(kRoot).links = 1;
}

SimulatedDisk::Place SimulatedDisk::find(std::string_view path, bool follow, int depth) const {
  if (depth > kLinksFollowedMax) return {.error = ELOOP};
  if (path.empty() || path.front() != '/') return {.error = ENOENT};
  // Directories walked into.
  static thread_local std::vector<uint64_t> way;
  way.assign(1, kRoot);
  Place place{.directory = kRoot, .name = "", .inode = kRoot};
  size_t at = 0;
  while (true) {
    while (at < path.size() && path[at] == '/') ++at;
    if (at == path.size()) return place;
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view name = path.substr(at, end - at);
    const bool last = path.find_first_not_of('/', end) == std::string_view::npos;
    at = end;
    const uint64_t here = way.back();
    if (node(here).kind != Node::Kind::kDirectory) return {.error = ENOTDIR};
    if (name == ".") {
      place = {here, "", here};
      continue;
    }
    if (name == "..") {
      if (way.size() > 1) way.pop_back();
      place = {way.back(), "", way.back()};
      continue;
    }
    const auto found = node(here).entries.find(name);
    place = {here, "", found == node(here).entries.end() ? 0 : found->second};
    if (last) place.name = name;
    if (place.inode == 0) {
      if (!last) place.error = ENOENT;
      return place;
    }
    const Node& next = node(place.inode);
    if (next.kind == Node::Kind::kLink && (!last || follow)) {
      std::string target = next.bytes;
      if (target.empty() || target.front() != '/') {
        // Relative to the directory that the link is in: its path, walked again.
        std::string base;
        for (size_t i = 1; i < way.size(); ++i) {
          for (const auto& [entry, inode] : node(way[i - 1]).entries)
            if (inode == way[i]) {
              base += "/" + entry;
              break;
            }
        }
        target.insert(0, base + "/");
      }
      return find(target + std::string(path.substr(at)), follow, depth + 1);
    }
    if (last && next.kind != Node::Kind::kDirectory) return place;
    way.push_back(place.inode);
  }
}

uint64_t SimulatedDisk::make(Node::Kind kind, uint32_t mode, int64_t now_ns) {
  nodes_.emplace_back();
  Node& made = nodes_.back();
  made.kind = kind;
  made.mode = mode & 07777;
  made.mtime_ns = made.ctime_ns = now_ns;
  return nodes_.size() - 1;
}

void SimulatedDisk::set_entry(uint64_t directory, const std::string& name, uint64_t inode,
                              int64_t now_ns, uint64_t lasts_with, bool with_previous) {
  auto& entries = node(directory).entries;
  const auto found = entries.find(name);
  const uint64_t before = found == entries.end() ? 0 : found->second;
  changes_.push_back({directory, name, before, inode, lasts_with, with_previous});
  node(directory).mtime_ns = node(directory).ctime_ns = now_ns;
  if (inode != 0) {
    ++node(inode).links;
    node(inode).ctime_ns = now_ns;
    entries[name] = inode;
  } else {
    entries.erase(name);
  }
  if (before != 0) {
    --node(before).links;
    node(before).ctime_ns = now_ns;
  }
}

int SimulatedDisk::open(std::string_view path, int flags, uint32_t mode, int64_t now_ns,
                        uint64_t& inode) {
  const Place place = find(path, (flags & O_EXCL) == 0);
  if (place.error != 0) return place.error;
  inode = place.inode;
  if (inode == 0) {
    if ((flags & O_CREAT) == 0) return ENOENT;
    inode = make(Node::Kind::kFile, mode, now_ns);
    set_entry(place.directory, place.name, inode, now_ns, place.directory);
    return 0;
  }
  if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) return EEXIST;
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  const Node& found = node(inode);
  if (found.kind == Node::Kind::kDirectory && writes) return EISDIR;
  if (found.kind != Node::Kind::kDirectory && (flags & O_DIRECTORY) != 0) return ENOTDIR;
  if (writes && (found.mode & 0200) == 0) return EACCES;
  return (flags & O_TRUNC) != 0 && writes ? truncate(inode, 0, now_ns) : 0;
}

size_t SimulatedDisk::read(uint64_t inode, std::span<std::byte> out, uint64_t offset) const {
  const std::string& bytes = node(inode).bytes;
  if (offset >= bytes.size()) return 0;
  const size_t count = std::min<size_t>(out.size(), bytes.size() - offset);
  std::memcpy(out.data(), bytes.data() + offset, count);
  return count;
}

int SimulatedDisk::write(uint64_t inode, std::span<const std::byte> data, uint64_t offset,
                         int64_t now_ns) {
  if (data.empty()) return 0;
  Node& file = node(inode);
  const uint64_t end = offset + data.size();
  const uint64_t more = end > file.bytes.size() ? end - file.bytes.size() : 0;
  if (more > bytes_max - std::min(bytes_max, bytes_)) return ENOSPC;
  const std::string before =
      offset < file.bytes.size() ? file.bytes.substr(offset, data.size()) : std::string();
  file.unsynced.push_back({offset, data.size(), before, file.bytes.size()});
  if (more > 0) file.bytes.resize(end);
  bytes_ += more;
  std::memcpy(file.bytes.data() + offset, data.data(), data.size());
  const auto last = file.lost.upper_bound((end - 1) / kPage);
  for (auto page = file.lost.lower_bound(offset / kPage); page != last; ++page)
    page->second.written_again = true;
  file.mtime_ns = file.ctime_ns = now_ns;
  return 0;
}

int SimulatedDisk::truncate(uint64_t inode, uint64_t size, int64_t now_ns) {
  Node& file = node(inode);
  if (size > file.bytes.size() &&
      size - file.bytes.size() > bytes_max - std::min(bytes_max, bytes_))
    return ENOSPC;
  const std::string before = size < file.bytes.size() ? file.bytes.substr(size) : std::string();
  file.unsynced.push_back({size, 0, before, file.bytes.size()});
  bytes_ = bytes_ - file.bytes.size() + size;
  file.bytes.resize(size);
  file.lost.erase(file.lost.lower_bound((size + kPage - 1) / kPage), file.lost.end());
  file.mtime_ns = file.ctime_ns = now_ns;
  return 0;
}

void SimulatedDisk::sync(uint64_t inode) {
  if (node(inode).kind == Node::Kind::kDirectory)
    std::erase_if(changes_, [&](const EntryChange& change) { return change.lasts_with == inode; });
  else {
    node(inode).unsynced.clear();
    std::erase_if(node(inode).lost, [](const auto& page) { return page.second.written_again; });
  }
}

void SimulatedDisk::lose_unsynced(uint64_t inode) {
  Node& file = node(inode);
  if (file.kind != Node::Kind::kFile || file.unsynced.empty()) return;
  Node on_disk{.bytes = file.bytes, .unsynced = file.unsynced};
  undo_writes(on_disk, 0, 0);
  on_disk.bytes.resize(file.bytes.size());  // lengths last, as metadata
  for (const Write& write : file.unsynced) {
    if (write.size == 0) continue;
    for (uint64_t page = write.offset / kPage; page * kPage < write.offset + write.size; ++page) {
      if (page * kPage >= file.bytes.size()) break;
      // What was lost before and is lost again is still what it was.
      const auto [at, added] =
          file.lost.try_emplace(page, LostPage{on_disk.bytes.substr(page * kPage, kPage)});
      at->second.written_again = false;
    }
  }
  file.unsynced.clear();
}

FileStat SimulatedDisk::stat(uint64_t inode) const {
  const Node& found = node(inode);
  FileStat stat;
  stat.size = found.kind == Node::Kind::kDirectory ? 4096 : found.bytes.size();
  stat.mtime_ns = found.mtime_ns;
  stat.ctime_ns = found.ctime_ns;
  stat.inode = inode;
  stat.device = 1;
  stat.mode = found.mode;
  stat.links = found.links;
  stat.is_dir = found.kind == Node::Kind::kDirectory;
  stat.is_regular = found.kind == Node::Kind::kFile;
  stat.is_symlink = found.kind == Node::Kind::kLink;
  return stat;
}

int SimulatedDisk::stat(std::string_view path, bool follow, FileStat& out) const {
  const Place place = find(path, follow);
  if (place.error != 0) return place.error;
  if (place.inode == 0) return ENOENT;
  out = stat(place.inode);
  return 0;
}

int SimulatedDisk::rename(std::string_view from, std::string_view to, int64_t now_ns) {
  const Place source = find(from, false), target = find(to, false);
  if (source.error != 0 || target.error != 0) return source.error ? source.error : target.error;
  if (source.inode == 0) return ENOENT;
  if (source.inode == target.inode) return 0;
  const bool moves_directory = node(source.inode).kind == Node::Kind::kDirectory;
  if (target.inode != 0) {
    const Node& there = node(target.inode);
    if (there.kind == Node::Kind::kDirectory) {
      if (!moves_directory) return EISDIR;
      if (!there.entries.empty()) return ENOTEMPTY;
    } else if (moves_directory) {
      return ENOTDIR;
    }
  }
  const uint64_t inode = source.inode;
  set_entry(target.directory, target.name, inode, now_ns, target.directory);
  set_entry(source.directory, source.name, 0, now_ns, target.directory, true);
  if (target.inode != 0) forget(target.inode);
  return 0;
}

int SimulatedDisk::link(std::string_view from, std::string_view to, int64_t now_ns) {
  const Place source = find(from, false), target = find(to, false);
  if (source.error != 0 || target.error != 0) return source.error ? source.error : target.error;
  if (source.inode == 0) return ENOENT;
  if (target.inode != 0) return EEXIST;
  if (node(source.inode).kind == Node::Kind::kDirectory) return EPERM;
  set_entry(target.directory, target.name, source.inode, now_ns, target.directory);
  return 0;
}

int SimulatedDisk::symlink(std::string_view to, std::string_view path, int64_t now_ns) {
  const Place place = find(path, false);
  if (place.error != 0) return place.error;
  if (place.inode != 0) return EEXIST;
  const uint64_t inode = make(Node::Kind::kLink, 0777, now_ns);
  node(inode).bytes = to;
  set_entry(place.directory, place.name, inode, now_ns, place.directory);
  return 0;
}

int SimulatedDisk::readlink(std::string_view path, std::string& target) const {
  const Place place = find(path, false);
  if (place.error != 0) return place.error;
  if (place.inode == 0) return ENOENT;
  if (node(place.inode).kind != Node::Kind::kLink) return EINVAL;
  target = node(place.inode).bytes;
  return 0;
}

int SimulatedDisk::unlink(std::string_view path, int64_t now_ns) {
  const Place place = find(path, false);
  if (place.error != 0) return place.error;
  if (place.inode == 0) return ENOENT;
  if (node(place.inode).kind == Node::Kind::kDirectory) return EISDIR;
  set_entry(place.directory, place.name, 0, now_ns, place.directory);
  forget(place.inode);
  return 0;
}

int SimulatedDisk::rmdir(std::string_view path, int64_t now_ns) {
  const Place place = find(path, false);
  if (place.error != 0) return place.error;
  if (place.inode == 0) return ENOENT;
  if (node(place.inode).kind != Node::Kind::kDirectory) return ENOTDIR;
  if (!node(place.inode).entries.empty()) return ENOTEMPTY;
  set_entry(place.directory, place.name, 0, now_ns, place.directory);
  return 0;
}

int SimulatedDisk::mkdir(std::string_view path, uint32_t mode, int64_t now_ns) {
  const Place place = find(path, false);
  if (place.error != 0) return place.error;
  if (place.inode != 0) return EEXIST;
  const uint64_t inode = make(Node::Kind::kDirectory, mode, now_ns);
  set_entry(place.directory, place.name, inode, now_ns, place.directory);
  return 0;
}

int SimulatedDisk::chmod(std::string_view path, uint32_t mode, int64_t now_ns) {
  const Place place = find(path, true);
  if (place.error != 0) return place.error;
  if (place.inode == 0) return ENOENT;
  node(place.inode).mode = mode & 07777;
  node(place.inode).ctime_ns = now_ns;
  return 0;
}

int SimulatedDisk::list(std::string_view path, std::vector<std::string>& names) const {
  const Place place = find(path, true);
  if (place.error != 0) return place.error;
  if (place.inode == 0) return ENOENT;
  if (node(place.inode).kind != Node::Kind::kDirectory) return ENOTDIR;
  for (const auto& [name, inode] : node(place.inode).entries) names.push_back(name);
  return 0;
}

/// What has no name any more takes no room. (Its bytes stay: the removal may be undone.)
void SimulatedDisk::forget(uint64_t inode) {
  if (node(inode).links == 0 && node(inode).kind == Node::Kind::kFile)
    bytes_ -= std::min<uint64_t>(bytes_, node(inode).bytes.size());
}

/// All writes after the first `kept`; of the next one so many bytes reach the disk.
void SimulatedDisk::undo_writes(Node& file, size_t kept, uint64_t torn_bytes) {
  while (file.unsynced.size() > kept) {
    const Write& write = file.unsynced.back();
    const bool torn = file.unsynced.size() == kept + 1 && torn_bytes > 0;
    const std::string reached =
        torn ? file.bytes.substr(std::min<size_t>(write.offset, file.bytes.size()),
                                 std::min(torn_bytes, write.size))
             : std::string();
    file.bytes.resize(write.size_before);
    if (!write.before.empty())
      std::memcpy(file.bytes.data() + write.offset, write.before.data(), write.before.size());
    if (!reached.empty()) {
      if (file.bytes.size() < write.offset + reached.size())
        file.bytes.resize(write.offset + reached.size());
      std::memcpy(file.bytes.data() + write.offset, reached.data(), reached.size());
    }
    file.unsynced.pop_back();
  }
}

/// Pages that a failed sync has lost are as the disk has them; those written again since, too, if
/// that was lost as well.
void SimulatedDisk::uncover_lost(Node& file, Loss loss) {
  for (const auto& [page, lost] : file.lost) {
    const uint64_t at = page * kPage;
    if (at >= file.bytes.size() || (lost.written_again && loss != Loss::kAllUnsynced)) continue;
    std::string bytes = lost.bytes;
    bytes.resize(std::min(kPage, file.bytes.size() - at));
    file.bytes.replace(at, bytes.size(), bytes);
  }
}

void SimulatedDisk::crash(Loss loss, uint64_t seed) {
  std::mt19937_64 random(seed);
  if (loss != Loss::kNothing) {
    std::map<uint64_t, size_t> lasting;  // by directory: how many of its changes last
    if (loss == Loss::kSomeUnsynced) {
      for (const EntryChange& change : changes_)
        lasting[change.lasts_with] += !change.with_previous;
      for (auto& [directory, count] : lasting) count = random() % (count + 1);
    }
    std::vector<const EntryChange*> undone;
    bool lasts = false;
    for (const EntryChange& change : changes_) {
      size_t& left = lasting[change.lasts_with];
      if (!change.with_previous) {
        lasts = left > 0;
        left -= lasts;
      }
      if (!lasts) undone.push_back(&change);
    }
    for (auto change = undone.rbegin(); change != undone.rend(); ++change) {
      auto& entries = node((*change)->directory).entries;
      if ((*change)->before != 0)
        entries[(*change)->name] = (*change)->before;
      else
        entries.erase((*change)->name);
    }
    for (Node& file : nodes_) {
      if (!file.unsynced.empty()) undo_some(file, loss, random);
      uncover_lost(file, loss);
    }
  }
  settle();
}

void SimulatedDisk::undo_some(Node& file, Loss loss, std::mt19937_64& random) {
  if (loss == Loss::kAllUnsynced) return undo_writes(file, 0, 0);
  if (random() % 2 == 0) return;
  const size_t kept = random() % file.unsynced.size();
  const uint64_t size = file.unsynced[kept].size;
  undo_writes(file, kept, size > 0 && random() % 2 == 0 ? random() % size : 0);
}

void SimulatedDisk::settle() {
  changes_.clear();
  for (Node& file : nodes_) {
    file.unsynced.clear();
    file.lost.clear();
  }
  count_links();
}

void SimulatedDisk::count_links() {
  std::vector<uint32_t> links(nodes_.size(), 0);
  links[kRoot] = 1;
  // Directories that lost their name take all below along.
  std::vector<uint64_t> open{kRoot};
  while (!open.empty()) {
    const uint64_t at = open.back();
    open.pop_back();
    for (const auto& [name, inode] : node(at).entries) {
      ++links[inode];
      if (node(inode).kind == Node::Kind::kDirectory) open.push_back(inode);
    }
  }
  bytes_ = 0;
  for (uint64_t inode = kRoot; inode < nodes_.size(); ++inode) {
    node(inode).links = links[inode];
    if (links[inode] == 0)
      nodes_[inode] = Node{};
    else if (node(inode).kind == Node::Kind::kFile)
      bytes_ += node(inode).bytes.size();
  }
}

}  // namespace tidegate
