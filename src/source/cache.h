#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/effects.h"
#include "source/snapshot.h"

namespace tidegate {

/// The checksums of a file's bytes as they were at that stat.
struct ContentEntry {
  FileStat stat;
  int64_t hashed_us = 0;  ///< when its reading began
  bool young = false;     ///< the file's identity includes its bytes (it was young when first seen)
  std::string sha256;
  std::string xxh3;
};

/// What is known of a file's inside without opening it again.
struct FileShape {
  uint64_t rows = 0;
  bool rows_known = false;
  std::vector<RowGroup> row_groups;
  std::shared_ptr<const sql::Schema> columns;
  std::vector<std::pair<std::string, std::string>> dialect;  ///< sniffed reader options
};

/// Remembers what files hold, so that a run with nothing to do is planned by stat alone, without
/// loading DuckDB. One file: magic, version, entries, XXH3 of all before it; read whole, written
/// aside and renamed. A file that is missing, torn, foreign or of another version is an empty
/// cache. Shapes are keyed by a file's identity and by how it is read. Not thread-safe.
class MetadataCache {
 public:
  static constexpr size_t kEntriesMax = 1'000'000;  ///< of each kind; beyond, the cache starts anew

  /// An empty path is a cache that forgets.
  static MetadataCache load(Effects& effects, const std::string& path);
  /// Writes the file if anything was added. A failure costs only time later: callers may go on.
  Status save(Effects& effects);

  /// Null if nothing is known of that inode at exactly that stat.
  const ContentEntry* content(const FileStat& stat) const;
  void set_content(ContentEntry entry);
  void mark_young(const FileStat& stat);

  const FileShape* shape(std::string_view identity, std::string_view recipe) const;
  void set_shape(std::string_view identity, std::string_view recipe, FileShape shape);

 private:
  bool decode(std::string_view bytes);
  std::string encode() const;

  std::string path_;
  bool changed_ = false;
  std::map<std::pair<uint64_t, uint64_t>, ContentEntry> contents_;  ///< by device, inode
  std::map<std::string, FileShape, std::less<>> shapes_;            ///< by "IDENTITY RECIPE"
};

}  // namespace tidegate
