#include "source/cache.h"

#include <cstring>

#include "base/hash.h"

namespace tidegate {
namespace {

constexpr std::string_view kMagic = "TGINPUTS";
constexpr uint64_t kVersion = 1;
constexpr uint64_t kFileBytesMax = uint64_t{1} << 30;

class Writer {
 public:
  void number(uint64_t value) {
    char bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
    out_.append(bytes, 8);
  }
  void text(std::string_view text) {
    number(text.size());
    out_.append(text);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

/// Reads what Writer wrote; after the first bad field everything is zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}
  uint64_t number() {
    if (in_.size() < 8) return bad();
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i)
      value |= static_cast<uint64_t>(static_cast<unsigned char>(in_[i])) << (8 * i);
    in_.remove_prefix(8);
    return value;
  }
  std::string_view text() {
    const uint64_t size = number();
    if (size > in_.size()) {
      bad();
      return {};
    }
    const std::string_view text = in_.substr(0, size);
    in_.remove_prefix(size);
    return text;
  }
  /// A count of items that take at least 8 bytes each.
  uint64_t count() {
    const uint64_t count = number();
    return count > in_.size() / 8 ? bad() : count;
  }
  bool ok() const { return ok_; }
  bool at_end() const { return in_.empty(); }

 private:
  uint64_t bad() {
    ok_ = false;
    in_ = {};
    return 0;
  }
  std::string_view in_;
  bool ok_ = true;
};

std::string schema_key(const sql::Schema& schema) {
  Writer writer;
  for (const sql::Column& column : schema) {
    writer.text(column.name);
    writer.text(column.type);
  }
  return writer.take();
}

std::string shape_key(std::string_view identity, std::string_view recipe) {
  std::string key(identity);
  key += ' ';
  key += recipe;
  return key;
}

}  // namespace

MetadataCache MetadataCache::load(Effects& effects, const std::string& path) {
  MetadataCache cache;
  cache.path_ = path;
  if (path.empty()) return cache;
  const auto bytes = read_file(effects, path, kFileBytesMax);
  if (!bytes) return cache;
  if (!cache.decode(*bytes)) {
    cache.contents_.clear();
    cache.shapes_.clear();
  }
  return cache;
}

Status MetadataCache::save(Effects& effects) {
  if (!changed_ || path_.empty()) return {};
  TG_TRY(make_directories(effects, path_dirname(path_)));
  TG_TRY(write_file(effects, path_, encode()));
  changed_ = false;
  return {};
}

const ContentEntry* MetadataCache::content(const FileStat& stat) const {
  const auto found = contents_.find({stat.device, stat.inode});
  if (found == contents_.end()) return nullptr;
  const FileStat& known = found->second.stat;
  const bool same =
      known.size == stat.size && known.mtime_ns == stat.mtime_ns && known.ctime_ns == stat.ctime_ns;
  return same ? &found->second : nullptr;
}

void MetadataCache::set_content(ContentEntry entry) {
  if (contents_.size() >= kEntriesMax) contents_.clear();
  const auto key = std::pair(entry.stat.device, entry.stat.inode);
  contents_.insert_or_assign(key, std::move(entry));
  changed_ = true;
}

void MetadataCache::mark_young(const FileStat& stat) {
  const auto found = contents_.find({stat.device, stat.inode});
  if (found == contents_.end() || found->second.young) return;
  found->second.young = true;
  changed_ = true;
}

const FileShape* MetadataCache::shape(std::string_view identity, std::string_view recipe) const {
  const auto found = shapes_.find(shape_key(identity, recipe));
  return found == shapes_.end() ? nullptr : &found->second;
}

void MetadataCache::set_shape(std::string_view identity, std::string_view recipe, FileShape shape) {
  if (shapes_.size() >= kEntriesMax) shapes_.clear();
  shapes_.insert_or_assign(shape_key(identity, recipe), std::move(shape));
  changed_ = true;
}

std::string MetadataCache::encode() const {
  Writer writer;
  writer.number(kVersion);
  writer.number(contents_.size());
  for (const auto& [key, entry] : contents_) {
    for (const uint64_t value :
         {entry.stat.device, entry.stat.inode, entry.stat.size,
          static_cast<uint64_t>(entry.stat.mtime_ns), static_cast<uint64_t>(entry.stat.ctime_ns),
          static_cast<uint64_t>(entry.hashed_us), uint64_t{entry.young}})
      writer.number(value);
    writer.text(entry.sha256);
    writer.text(entry.xxh3);
  }
  // Most files share a schema: each is written once.
  std::map<std::string, uint64_t> numbers;
  std::vector<const sql::Schema*> schemas;
  const auto number_of = [&](const FileShape& shape) {
    static const sql::Schema kNone;
    const sql::Schema& schema = shape.columns ? *shape.columns : kNone;
    const auto [place, added] = numbers.try_emplace(schema_key(schema), schemas.size());
    if (added) schemas.push_back(&schema);
    return place->second;
  };
  for (const auto& [key, shape] : shapes_) number_of(shape);
  writer.number(schemas.size());
  for (const sql::Schema* schema : schemas) {
    writer.number(schema->size());
    for (const sql::Column& column : *schema) {
      writer.text(column.name);
      writer.text(column.type);
    }
  }
  writer.number(shapes_.size());
  for (const auto& [key, shape] : shapes_) {
    writer.text(key);
    writer.number(shape.rows);
    writer.number(shape.rows_known);
    writer.number(number_of(shape));
    writer.number(shape.row_groups.size());
    for (const RowGroup& group : shape.row_groups) {
      writer.number(group.row_begin);
      writer.number(group.rows);
      writer.number(group.bytes);
    }
    writer.number(shape.dialect.size());
    for (const auto& [name, value] : shape.dialect) {
      writer.text(name);
      writer.text(value);
    }
  }
  std::string out(kMagic);
  out += writer.take();
  Writer checksum;
  checksum.number(xxh3_64(out));
  return out + checksum.take();
}

bool MetadataCache::decode(std::string_view bytes) {
  if (bytes.size() < kMagic.size() + 16 || !bytes.starts_with(kMagic)) return false;
  const std::string_view covered = bytes.substr(0, bytes.size() - 8);
  if (Reader(bytes.substr(covered.size())).number() != xxh3_64(covered)) return false;
  Reader reader(covered.substr(kMagic.size()));
  if (reader.number() != kVersion) return false;
  for (uint64_t left = reader.count(); left > 0 && reader.ok(); --left) {
    ContentEntry entry;
    entry.stat.device = reader.number();
    entry.stat.inode = reader.number();
    entry.stat.size = reader.number();
    entry.stat.mtime_ns = static_cast<int64_t>(reader.number());
    entry.stat.ctime_ns = static_cast<int64_t>(reader.number());
    entry.hashed_us = static_cast<int64_t>(reader.number());
    entry.young = reader.number() != 0;
    entry.sha256 = reader.text();
    entry.xxh3 = reader.text();
    contents_.insert_or_assign({entry.stat.device, entry.stat.inode}, std::move(entry));
  }
  std::vector<std::shared_ptr<const sql::Schema>> schemas;
  for (uint64_t left = reader.count(); left > 0 && reader.ok(); --left) {
    auto schema = std::make_shared<sql::Schema>();
    for (uint64_t columns = reader.count(); columns > 0 && reader.ok(); --columns) {
      std::string name(reader.text());
      schema->push_back({std::move(name), std::string(reader.text())});
    }
    schemas.push_back(std::move(schema));
  }
  for (uint64_t left = reader.count(); left > 0 && reader.ok(); --left) {
    std::string key(reader.text());
    FileShape shape;
    shape.rows = reader.number();
    shape.rows_known = reader.number() != 0;
    const uint64_t schema = reader.number();
    if (!reader.ok() || schema >= schemas.size()) return false;
    shape.columns = schemas[schema];
    for (uint64_t groups = reader.count(); groups > 0 && reader.ok(); --groups) {
      RowGroup group;
      group.row_begin = reader.number();
      group.rows = reader.number();
      group.bytes = reader.number();
      shape.row_groups.push_back(group);
    }
    for (uint64_t options = reader.count(); options > 0 && reader.ok(); --options) {
      std::string name(reader.text());
      shape.dialect.emplace_back(std::move(name), reader.text());
    }
    shapes_.emplace_hint(shapes_.end(), std::move(key), std::move(shape));
  }
  return reader.ok() && reader.at_end();
}

}  // namespace tidegate
