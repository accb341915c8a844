#include "task/by_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <unordered_map>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "batch/chunk_view.h"
#include "shuffle/bucket_scan.h"
#include "sink/parquet_writer.h"
#include "sql/parquet_type.h"
#include "store/file_hash.h"
#include "task/file_label.h"

namespace tidegate {
namespace {

constexpr const char* kSplitFile = "by-value.tgm";
constexpr const char* kSplitTable = "tidegate_by_value";

struct KeyHash {
  using is_transparent = void;
  size_t operator()(std::string_view key) const { return xxh3_64(key); }
};
/// The bytes of a row's values -> number of the value.
using ValueNumbers = std::unordered_map<std::string, uint32_t, KeyHash, std::equal_to<>>;

/// Appends a row's values so that equal values, and no others, have equal bytes.
void append_value(const batch::ColumnType& type, const batch::ColumnView& column, size_t row,
                  std::string& key) {
  const bool valid = column.is_valid(row);
  key += valid ? '\1' : '\0';
  if (!valid) return;
  if (type.storage == batch::Storage::kBytes) {
    const std::string_view text = static_cast<const batch::StringRef*>(column.data)[row].view();
    const uint32_t size = static_cast<uint32_t>(text.size());
    key.append(reinterpret_cast<const char*>(&size), sizeof size);
    key += text;
    return;
  }
  key.append(static_cast<const char*>(column.data) + row * type.width, type.width);
}

class ByValue {
 public:
  ByValue(Effects& effects, sql::Connection& connection, const ByValueWork& work)
      : effects_(effects), connection_(connection), work_(work) {}

  Result<ByValueFiles> write() {
    TG_ASSIGN(rows_,
              table_of(work_.input.map_outputs, work_.input.bucket_begin, work_.input.bucket_end));
    TG_TRY(find_values());
    TG_TRY(label_values());
    if (labels_.size() > 1)
      TG_TRY(write_each());
    else
      TG_TRY(write_all());
    return std::move(out_);
  }

 private:
  Result<shuffle::BucketTable> table_of(std::vector<MapOutputRef> files, uint32_t begin,
                                        uint32_t end) {
    shuffle::BucketTable table;
    table.effects = &effects_;
    table.schema = work_.input.schema;
    table.files = std::move(files);
    table.bucket_begin = begin;
    table.bucket_end = end;
    table.memory_bytes = work_.scan_bytes;
    for (const sql::Column& column : table.schema) {
      TG_ASSIGN(_duckdb_logical_type * type, connection_.make_type(column.type));
      auto parts = batch::column_type(type);
      sql::destroy_type(type);
      if (!parts) return std::unexpected(std::move(parts).error());
      table.types.push_back(std::move(*parts));
    }
    return table;
  }

  std::vector<uint32_t> all_columns() const {
    std::vector<uint32_t> columns(work_.input.schema.size());
    std::iota(columns.begin(), columns.end(), 0U);
    return columns;
  }

  /// The key of a row; `columns[i]` is the view of the i-th column in `by`.
  void make_key(const std::vector<batch::ColumnView>& views, const std::vector<uint32_t>& columns,
                size_t row) {
    key_.clear();
    for (size_t i = 0; i < columns.size(); ++i)
      append_value(rows_.types[work_.sink.by[i]], views[columns[i]], row, key_);
  }

  Status find_values() {
    shuffle::BucketScan scan(rows_, work_.sink.by);
    std::vector<uint32_t> places(work_.sink.by.size());
    std::iota(places.begin(), places.end(), 0U);
    std::vector<batch::ColumnView> views;
    std::string before;
    for (;;) {
      TG_ASSIGN(const uint32_t rows, scan.next(views));
      if (rows == 0) return {};
      for (uint32_t row = 0; row < rows; ++row) {
        make_key(views, places, row);
        if (key_ == before) continue;
        if (!numbers_.contains(key_)) TG_TRY(add_value());
        before = key_;
      }
      work_.progress(0);
    }
  }

  Status add_value() {
    if (key_.size() > kPublishValueBytesMax)
      return fail(FailureClass::kData, "publish.by_value",
                  fmt::format("a value of {} takes {} bytes, at most {} can name a file", columns(),
                              key_.size(), kPublishValueBytesMax));
    if (numbers_.size() == kPublishValuesMax)
      return fail(FailureClass::kData, "publish.by_values",
                  fmt::format("more than {} values of {}: an output has a file for each, so take "
                              "columns of fewer values",
                              format_count(kPublishValuesMax), columns()));
    numbers_.emplace(key_, static_cast<uint32_t>(numbers_.size()));
    return {};
  }

  std::string columns() const {
    std::vector<std::string> names;
    for (const uint32_t column : work_.sink.by) names.push_back(work_.input.schema[column].name);
    return join(names, ", ");
  }

  /// Asks DuckDB for the texts of the values, and numbers these in order of their labels.
  Status label_values() {
    if (numbers_.empty()) return {};
    std::vector<std::string> plain, texts;
    std::vector<batch::ColumnType> types;
    for (const uint32_t column : work_.sink.by) {
      plain.push_back(quote_identifier(work_.input.schema[column].name));
      texts.push_back(fmt::format("CAST({} AS VARCHAR)", plain.back()));
      types.push_back(rows_.types[column]);
    }
    TG_ASSIGN(const auto text_type, batch::parse_scalar_type("VARCHAR"));
    types.resize(types.size() + texts.size(), text_type);
    TG_ASSIGN(auto stream,
              connection_.stream(fmt::format("SELECT {0}, {1} FROM (SELECT DISTINCT {0} FROM {2})",
                                             join(plain, ", "), join(texts, ", "),
                                             quote_identifier(work_.input.name))));
    std::vector<std::pair<std::string, uint32_t>> found;
    batch::ChunkView view(std::move(types));
    for (;;) {
      TG_ASSIGN(_duckdb_data_chunk * chunk, stream->next());
      if (!chunk) break;
      const std::unique_ptr<_duckdb_data_chunk, void (*)(_duckdb_data_chunk*)> hold(
          chunk, sql::destroy_chunk);
      TG_TRY(view.load(chunk));
      for (size_t row = 0; row < view.rows(); ++row) found.push_back(label_row(view, row));
    }
    std::sort(found.begin(), found.end());
    std::vector<uint32_t> place(numbers_.size(), UINT32_MAX);
    for (const auto& [label, number] : found) {
      TG_ASSERT(place[number] == UINT32_MAX);
      place[number] = static_cast<uint32_t>(labels_.size());
      labels_.push_back(label);
    }
    TG_ASSERT(labels_.size() == numbers_.size());
    for (auto& [key, number] : numbers_) number = place[number];
    return {};
  }

  std::pair<std::string, uint32_t> label_row(const batch::ChunkView& view, size_t row) {
    const size_t count = work_.sink.by.size();
    LabelledValues values;
    key_.clear();
    for (size_t i = 0; i < count; ++i) {
      append_value(view.types()[i], view.column(i), row, key_);
      const batch::ColumnView& text = view.column(count + i);
      std::optional<std::string> shown;
      if (text.is_valid(row)) shown = static_cast<const batch::StringRef*>(text.data)[row].view();
      values.emplace_back(work_.input.schema[work_.sink.by[i]].name, std::move(shown));
    }
    const auto at = numbers_.find(key_);
    TG_ASSERT(at != numbers_.end());
    return {file_label(values), at->second};
  }

  /// One value, or no row at all: nothing to put in order.
  Status write_all() {
    const std::string label = labels_.empty() ? "" : labels_.front();
    if (!sink::can_write(work_.input.schema))
      return copy_file_of(label, quote_identifier(work_.input.name));
    shuffle::BucketScan scan(rows_, all_columns());
    TG_TRY(begin_file());
    for (;;) {
      TG_ASSIGN(const uint32_t rows, scan.next(views_));
      if (rows == 0) break;
      TG_TRY(writer_->append({views_.data(), rows}));
      work_.progress(rows);
    }
    return end_file(label);
  }

  Status write_each() {
    TG_ASSIGN(const MapOutputSummary split, split_rows());
    const MapOutputRef file{path_join(work_.spill_directory, kSplitFile), work_.attempt};
    const uint32_t count = static_cast<uint32_t>(labels_.size());
    if (!sink::can_write(work_.input.schema)) {
      for (uint32_t value = 0; value < count; ++value) {
        TG_TRY(register_bucket_table(connection_, effects_, kSplitTable, work_.input.schema, {file},
                                     value, value + 1, work_.scan_bytes));
        TG_TRY(copy_file_of(labels_[value], kSplitTable));
      }
      return {};
    }
    TG_ASSIGN(const auto table, table_of({file}, 0, count));
    shuffle::BucketScan scan(table, all_columns());
    for (uint32_t value = 0; value < count; ++value) {
      TG_TRY(begin_file());
      // Blocks hold rows of one bucket.
      for (uint64_t left = split.bucket_rows[value]; left > 0;) {
        TG_ASSIGN(const uint32_t rows, scan.next(views_));
        TG_ASSERT(rows > 0 && rows <= left);
        TG_TRY(writer_->append({views_.data(), rows}));
        left -= rows;
        work_.progress(0);
      }
      TG_TRY(end_file(labels_[value]));
    }
    return {};
  }

  Result<MapOutputSummary> split_rows() {
    TG_ASSIGN(auto writer,
              MapOutputWriter::create(effects_, path_join(work_.spill_directory, kSplitFile),
                                      {.schema = work_.input.schema,
                                       .keys = {},
                                       .buckets = static_cast<uint32_t>(labels_.size()),
                                       .attempt = work_.attempt,
                                       .memory_bytes = work_.split_bytes}));
    shuffle::BucketScan scan(rows_, all_columns());
    std::vector<uint32_t> values;
    std::string before;
    uint32_t value = 0;
    for (;;) {
      TG_ASSIGN(const uint32_t rows, scan.next(views_));
      if (rows == 0) break;
      values.resize(rows);
      for (uint32_t row = 0; row < rows; ++row) {
        make_key(views_, work_.sink.by, row);
        if (key_ != before) {
          value = numbers_.at(key_);
          before = key_;
        }
        values[row] = value;
      }
      TG_TRY(writer->append_to(rows_.types, {views_.data(), rows}, values.data()));
      work_.progress(rows);
    }
    return writer->finish();
  }

  std::string next_name() const {
    return fmt::format("part-{}-{:05}.parquet", work_.sink.compression, out_.files.size());
  }

  Status begin_file() {
    TG_ASSIGN(writer_,
              sink::ParquetWriter::create(effects_, path_join(work_.directory, next_name()),
                                          {.schema = work_.input.schema,
                                           .compression = work_.sink.compression,
                                           .memory_bytes = work_.parquet_bytes},
                                          rows_.types));
    return {};
  }

  Status end_file(const std::string& label) {
    TG_ASSIGN(const sink::ParquetSummary summary, writer_->finish());
    writer_.reset();
    add_file({next_name(), summary.bytes, summary.rows, summary.xxh3, label});
    return {};
  }

  /// What our writer does not know, nested values above all.
  Status copy_file_of(const std::string& label, const std::string& relation) {
    const std::string path = path_join(work_.directory, next_name());
    TG_ASSIGN(
        const std::string rows,
        connection_.execute_in_steps(
            fmt::format("COPY ({}) TO {} (FORMAT parquet, COMPRESSION {})",
                        sql::parquet_select(relation, work_.input.schema), quote_literal(path),
                        work_.sink.compression == "none" ? "uncompressed" : work_.sink.compression),
            [&] { work_.progress(0); }));
    TG_ASSIGN(const FileHash hash, hash_file(effects_, path));
    add_file({next_name(), hash.bytes, rows.empty() ? 0 : std::stoull(rows), hash.xxh3, label});
    return {};
  }

  void add_file(TaskOutputFile file) {
    out_.rows += file.rows;
    out_.bytes += file.bytes;
    out_.files.push_back(std::move(file));
  }

  Effects& effects_;
  sql::Connection& connection_;
  const ByValueWork& work_;
  shuffle::BucketTable rows_;
  ValueNumbers numbers_;
  std::vector<std::string> labels_;  ///< by number
  std::string key_;
  std::vector<batch::ColumnView> views_;
  std::unique_ptr<sink::ParquetWriter> writer_;
  ByValueFiles out_;
};

}  // namespace

Result<ByValueFiles> write_by_value(Effects& effects, sql::Connection& connection,
                                    const ByValueWork& work) {
  TG_ASSERT(!work.sink.by.empty());
  return ByValue(effects, connection, work).write();
}

}  // namespace tidegate
