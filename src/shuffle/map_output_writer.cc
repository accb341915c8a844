#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"
#include "batch/chunk_view.h"
#include "batch/row_hash.h"
#include "batch/type.h"
#include "shuffle/bucket_store.h"
#include "shuffle/format.h"
#include "shuffle/row_hasher.h"
#include "shuffle/shuffle.h"
#include "shuffle/spill_buffer.h"

namespace tidegate {
namespace {

using namespace shuffle;

void put_text(std::string_view text, std::string& out) {
  const uint32_t size = static_cast<uint32_t>(text.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  out += text;
}

std::string encode_schema(const sql::Schema& schema, const std::vector<HashKey>& keys) {
  std::string out;
  for (const sql::Column& column : schema) {
    put_text(column.name, out);
    put_text(column.type, out);
  }
  for (const HashKey& key : keys) {
    out.append(reinterpret_cast<const char*>(&key.column), sizeof key.column);
    put_text(key.type, out);
  }
  return out;
}

Status check_options(const MapOutputOptions& options) {
  auto defect = [](std::string message) {
    return fail(FailureClass::kDefect, "shuffle.options", std::move(message));
  };
  if (options.schema.empty() || options.schema.size() > kColumnsMax) {
    return defect(fmt::format("a map output has 1 to {} columns, not {}", kColumnsMax,
                              options.schema.size()));
  }
  if (options.buckets < 1 || options.buckets > kBucketsMax) {
    return defect(
        fmt::format("a map output has 1 to {} buckets, not {}", kBucketsMax, options.buckets));
  }
  if (options.attempt.size() > kAttemptBytesMax) {
    return defect(fmt::format("an attempt's token has at most {} bytes", kAttemptBytesMax));
  }
  for (const HashKey& key : options.keys) {
    if (key.column >= options.schema.size()) {
      return defect(fmt::format("hash key column {} does not exist", key.column));
    }
    // What can be refused by text alone is refused before the first row.
    const auto source = batch::parse_scalar_type(options.schema[key.column].type);
    if (source) TG_TRY(batch::KeyHasher::create(*source, key.type));
  }
  for (const sql::Column& column : options.schema) {
    if (column.type == "VARIANT" || column.type.starts_with("GEOMETRY")) {
      return fail(FailureClass::kDefect, "batch.type",
                  fmt::format("this type cannot be shuffled (cast it to VARCHAR): {}, column {}",
                              column.type, quote_identifier(column.name)));
    }
  }
  return {};
}

bool is_same_type(const batch::ColumnType& type, const std::string& text) {
  if (batch::plain_type_text(type.text) == batch::plain_type_text(text)) return true;
  const auto parsed = batch::parse_scalar_type(text);
  return parsed && parsed->meaning == type.meaning && parsed->storage == type.storage &&
         parsed->decimal_scale == type.decimal_scale && parsed->enum_texts == type.enum_texts;
}

class Writer final : public MapOutputWriter {
 public:
  Writer(Effects& effects, Fd fd, MapOutputOptions options)
      : options_(std::move(options)), file_(effects, std::move(fd)) {}

  Status start() {
    const std::string schema = encode_schema(options_.schema, options_.keys);
    if (schema.size() > kSchemaBytesMax) {
      return fail(FailureClass::kDefect, "shuffle.options", "a schema takes more than 64 MiB");
    }
    FileHead head{};
    std::copy_n(kHeadMagic, sizeof kHeadMagic, head.magic);
    head.version = kFormatVersion;
    head.hash_version = batch::kRowHashVersion;
    head.buckets = options_.buckets;
    head.columns = static_cast<uint32_t>(options_.schema.size());
    head.schema_bytes = static_cast<uint32_t>(schema.size());
    head.attempt_bytes = static_cast<uint32_t>(options_.attempt.size());
    head.keys = static_cast<uint32_t>(options_.keys.size());
    std::copy(options_.attempt.begin(), options_.attempt.end(), head.attempt);
    content_check_ = xxh3_64(schema, (uint64_t{options_.buckets} << 32) | batch::kRowHashVersion);
    head.schema_check = xxh3_64(schema);
    head.content_check = content_check_;
    head.check = check_of(head);
    TG_TRY(file_.append(&head, sizeof head));
    return file_.append(schema.data(), schema.size());
  }

  Status append(_duckdb_data_chunk* chunk) override {
    TG_TRY(usable());
    return remember(add(chunk));
  }

  Status append_to(const std::vector<batch::ColumnType>& types, const batch::RowsView& rows,
                   const uint32_t* row_buckets) override {
    TG_TRY(usable());
    if (!store_) TG_TRY(remember(prepare(types)));
    const batch::RowsView seen = store_->look_at(rows);
    if (hasher_.has_keys()) {
      TG_TRY(remember(hash(seen)));
      for (size_t row = 0; row < rows.rows; ++row) key_sums_[row_buckets[row]] += hashes_[row];
    }
    return remember(store_->add(row_buckets));
  }

  Result<MapOutputSummary> finish() override {
    TG_TRY(usable());
    auto summary = close();
    file_.close();
    failed_ = summary ? Failure{FailureClass::kDefect, "shuffle.closed", "the map output is closed"}
                      : summary.error();
    return summary;
  }

 private:
  Status usable() const {
    if (failed_) return std::unexpected(*failed_);
    return {};
  }
  Status remember(Status status) {
    if (!status) failed_ = status.error();
    return status;
  }

  Status prepare(std::vector<batch::ColumnType> types) {
    if (types.size() != options_.schema.size()) {
      return fail(FailureClass::kDefect, "shuffle.schema",
                  fmt::format("a chunk has {} columns, the schema {}", types.size(),
                              options_.schema.size()));
    }
    for (size_t i = 0; i < types.size(); ++i) {
      if (is_same_type(types[i], options_.schema[i].type)) continue;
      return fail(FailureClass::kDefect, "shuffle.schema",
                  fmt::format("column {} is {}, the schema says {}",
                              quote_identifier(options_.schema[i].name), types[i].text,
                              options_.schema[i].type));
    }
    TG_ASSIGN(hasher_, RowHasher::create(types, options_.keys));
    if (hasher_.has_keys()) key_sums_.resize(options_.buckets);
    TG_ASSIGN(store_, BucketStore::create(types, options_.buckets, options_.memory_bytes, file_));
    view_.emplace(std::move(types));
    return {};
  }

  Status add(_duckdb_data_chunk* chunk) {
    if (!store_) {
      TG_ASSIGN(auto types, batch::chunk_types(chunk));
      TG_TRY(prepare(std::move(types)));
    }
    TG_TRY(view_->load(chunk));
    const size_t rows = view_->rows();
    if (rows == 0) return {};
    const batch::RowsView seen = store_->look_at(view_->view());
    row_buckets_.assign(rows, 0);
    if (hasher_.has_keys()) {
      TG_TRY(hash(seen));
      for (size_t row = 0; row < rows; ++row) {
        const uint32_t bucket = batch::bucket_of(hashes_[row], options_.buckets);
        row_buckets_[row] = bucket;
        key_sums_[bucket] += hashes_[row];
      }
    }
    return store_->add(row_buckets_.data());
  }

  Status hash(const batch::RowsView& rows) {
    hashes_.resize(std::max(hashes_.size(), rows.rows));
    key_views_.clear();
    for (const HashKey& key : options_.keys) key_views_.push_back(rows.column(key.column));
    return hasher_.hash(key_views_.data(), rows.rows, hashes_.data());
  }

  Result<MapOutputSummary> close() {
    MapOutputSummary summary;
    std::vector<BucketEntry> entries(store_ ? 0 : options_.buckets);
    if (store_) {
      TG_TRY(store_->finish());
      entries = store_->entries();
      summary.memory_peak_bytes = store_->peak_bytes();
    }
    FileTail tail{};
    tail.footer_offset = file_.offset();
    Xxh3Stream footer;
    Xxh3Stream content;
    content.update(&content_check_, sizeof content_check_);
    for (uint32_t i = 0; i < options_.buckets; ++i) {
      BucketEntry& entry = entries[i];
      entry.bucket = i;
      if (!key_sums_.empty()) entry.keys = key_sums_[i];
      entry.check = check_of(entry, content_check_);
      const uint64_t facts[2] = {entry.rows, entry.content};
      content.update(facts, sizeof facts);
      footer.update(&entry, sizeof entry);
      TG_TRY(file_.append(&entry, sizeof entry));
      summary.rows += entry.rows;
      summary.bucket_rows.push_back(entry.rows);
      summary.bucket_bytes.push_back(entry.bytes);
      summary.bucket_content.push_back(entry.content);
    }
    tail.footer_check = footer.digest();
    tail.rows = summary.rows;
    tail.content_digest = content.digest();
    tail.content_check = content_check_;
    tail.buckets = options_.buckets;
    tail.version = kFormatVersion;
    tail.check = check_of(tail);
    std::copy_n(kTailMagic, sizeof kTailMagic, tail.magic);
    TG_TRY(file_.append(&tail, sizeof tail));
    TG_TRY(file_.flush());
    summary.bytes = file_.offset();
    summary.content_digest = hex64(tail.content_digest);
    return summary;
  }

  MapOutputOptions options_;
  FileAppender file_;
  uint64_t content_check_ = 0;
  std::unique_ptr<BucketStore> store_;
  std::optional<batch::ChunkView> view_;
  RowHasher hasher_;
  std::vector<batch::ColumnView> key_views_;
  std::vector<uint64_t> hashes_;
  std::vector<uint64_t> key_sums_;  ///< by bucket
  std::vector<uint32_t> row_buckets_;
  std::optional<Failure> failed_;
};

}  // namespace

Result<std::unique_ptr<MapOutputWriter>> MapOutputWriter::create(Effects& effects,
                                                                 const std::string& path,
                                                                 MapOutputOptions options) {
  TG_TRY(check_options(options));
  TG_ASSIGN(const int raw, effects.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  auto writer = std::make_unique<Writer>(effects, Fd(effects, raw), std::move(options));
  TG_TRY(writer->start());
  return writer;
}

}  // namespace tidegate
