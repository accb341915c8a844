#include "shuffle/bucket_finder.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"

namespace tidegate::shuffle {
namespace {

constexpr uint32_t kEntriesAtOnce = 1'024;
/// Files that a finder keeps open.
constexpr size_t kOpenFilesMax = 64;

}  // namespace

Result<MapOutputFile> open_for(const BucketTable& table, const MapOutputRef& ref,
                               std::string_view known) {
  TG_ASSIGN(MapOutputFile file, MapOutputFile::open(*table.effects, ref.path));
  if (file.attempt() != ref.attempt) {
    return fail(
        FailureClass::kLost, "shuffle.attempt",
        fmt::format("a map output is of another attempt ({}, not {}): {}",
                    quote_json(file.attempt()), quote_json(ref.attempt), quote_json(ref.path)));
  }
  if (file.schema_bytes() != known) {
    TG_ASSIGN(const sql::Schema schema, file.schema());
    if (schema != table.schema) {
      return fail(FailureClass::kDefect, "shuffle.schema",
                  "a map output has another schema than its readers: " + quote_json(ref.path));
    }
  }
  if (table.bucket_end > file.buckets()) {
    return fail(FailureClass::kDefect, "shuffle.schema",
                fmt::format("a map output has {} buckets, bucket {} was asked for: {}",
                            file.buckets(), table.bucket_end - 1, quote_json(ref.path)));
  }
  return file;
}

void BucketFinder::restart(uint32_t bucket_begin, uint32_t bucket_end) {
  bucket_begin_ = bucket_begin;
  bucket_end_ = bucket_end;
  file_index_ = 0;
  file_.reset();
}

Result<bool> BucketFinder::next(FoundBucket& out) {
  while (!file_ || (entry_index_ == entries_.size() && bucket_ == bucket_end_)) {
    if (file_index_ == table_.files.size()) {
      file_.reset();
      return false;
    }
    TG_TRY(open_file());
  }
  if (entry_index_ == entries_.size()) {
    const uint32_t end = std::min(bucket_end_, bucket_ + kEntriesAtOnce);
    TG_ASSIGN(entries_, file_->entries(bucket_, end));
    entry_index_ = 0;
    bucket_ = end;
  }
  const BucketEntry& entry = entries_[entry_index_++];
  TG_ASSIGN(auto ranges, bucket_ranges(*file_, entry, table_.memory_bytes / kRangeListShare));
  out = {.file = file_, .entry = entry, .ranges = std::move(ranges)};
  return true;
}

Status BucketFinder::open_file() {
  const size_t index = file_index_++;
  if (index < opened_.size()) {
    file_ = opened_[index];
  } else {
    TG_ASSIGN(MapOutputFile file, open_for(table_, table_.files[index], schema_bytes_));
    file_ = std::make_shared<const MapOutputFile>(std::move(file));
    if (opened_.size() == index && index < kOpenFilesMax) opened_.push_back(file_);
  }
  entries_.clear();
  entry_index_ = 0;
  bucket_ = bucket_begin_;
  schema_bytes_ = file_->schema_bytes();
  return {};
}

}  // namespace tidegate::shuffle
