#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"
#include "reduce/combine_sql.h"
#include "reduce/combiner.h"
#include "sql/parquet_type.h"
#include "store/file_hash.h"
#include "task/by_value.h"
#include "task/row_sink.h"
#include "task/run.h"

namespace tidegate {
namespace {

constexpr const char* kOwnResult = "tidegate_own_result";

}  // namespace

/// The columns that rows are ordered by, which is all that a sample looks at; the order becomes
/// theirs.
std::string TaskRun::select_keys(TaskSink& sample) const {
  std::string columns;
  for (sort::SortColumn& by : sample.order) {
    const uint32_t at = static_cast<uint32_t>(&by - sample.order.data());
    columns += fmt::format("{}{} AS k{}", at == 0 ? "" : ", ",
                           quote_identifier(schema_.at(by.column).name), at);
    by.column = at;
  }
  return fmt::format("SELECT {} FROM {}", columns, last_);
}

Status TaskRun::write_map_outputs(std::vector<const TaskSink*> sinks) {
  std::vector<std::unique_ptr<RowSink>> writers;
  const auto write = [&](_duckdb_data_chunk* rows) -> Status {
    for (auto& writer : writers) TG_TRY(writer->append(rows));
    return {};
  };
  // Making types asks DuckDB, which would end a stream.
  std::unique_ptr<reduce::Combiner> combiner;
  if (spec_.combine && !spec_.combine_in_sql) {
    TG_ASSIGN(combiner,
              reduce::Combiner::create(*connection_, *spec_.combine, limits_.combine_bytes, write));
  }
  std::string rows = "SELECT * FROM " + last_;
  if (spec_.combine_in_sql) {
    TG_TRY(reduce::register_exact_sum(*connection_));
    const auto select = reduce::combine_select(*spec_.combine, last_);
    TG_ASSERT(select);
    rows = *select;
  }
  if (spec_.combine) {
    schema_ = spec_.combine->output;
  } else {
    TG_ASSIGN(schema_, connection_->describe(rows));
  }
  std::optional<TaskSink> keys_alone;
  if (sinks.size() == 1 && sinks[0]->kind == TaskSink::Kind::kSample) {
    keys_alone = *sinks[0];
    rows = select_keys(*keys_alone);
    sinks[0] = &*keys_alone;
  }
  for (const TaskSink* sink : sinks) {
    RowSinkOptions options{.schema = schema_,
                           .path = path_join(directory_, sink->file),
                           .attempt = spec_.attempt,
                           .unit = static_cast<uint32_t>(spec_.partition),
                           .memory_bytes = limits_.writer_bytes / sinks.size(),
                           .samples = samples_of(*sink)};
    TG_ASSIGN(auto writer, RowSink::create(effects_, *sink, std::move(options)));
    writers.push_back(std::move(writer));
  }
  uint64_t rows_taken = 0;
  const auto take = [&](_duckdb_data_chunk* chunk) -> Status {
    TG_TRY(combiner ? combiner->take(chunk) : write(chunk));
    rows_taken += sql::chunk_rows(chunk);
    meter_.rows(sql::chunk_rows(chunk));
    return {};
  };
  TG_TRY(connection_->push(rows, take));
  if (combiner) {
    TG_TRY(combiner->finish());
    report_.combined_in = combiner->rows_in();
    report_.combined_out = combiner->rows_out();
  } else if (spec_.combine) {
    report_.combined_in = report_.rows_in;
    report_.combined_out = rows_taken;
  }
  for (size_t i = 0; i < writers.size(); ++i) {
    TG_ASSIGN(TaskOutputFile file, writers[i]->finish());
    if (sinks[i]->kind != TaskSink::Kind::kSample) report_.rows_out = file.rows;
    report_.bytes_shuffled += file.bytes;
    digests_.push_back(file.xxh3);
    report_.files.push_back(std::move(file));
  }
  return {};
}

Status TaskRun::bind_own_result(const TaskSink& sink) {
  if (own_bound_) return {};
  own_bound_ = true;
  last_ = kOwnResult;
  return register_bucket_table(*connection_, effects_, kOwnResult, schema_,
                               {{path_join(directory_, sink.file), spec_.attempt}}, 0, sink.buckets,
                               limits_.scan_bytes);
}

Status TaskRun::write_values(const TaskSink& sink) {
  TG_ASSERT(spec_.inputs.size() == 1 && spec_.steps.empty() && !spec_.inputs[0].scan);
  TG_ASSIGN(ByValueFiles written,
            write_by_value(effects_, *connection_,
                           {.input = spec_.inputs[0],
                            .sink = sink,
                            .attempt = spec_.attempt,
                            .directory = directory_,
                            .spill_directory = path_join(directory_, kSpillDirectory),
                            .scan_bytes = limits_.scan_bytes,
                            .split_bytes = limits_.writer_bytes,
                            .parquet_bytes = limits_.parquet_bytes,
                            .progress = [this](uint64_t rows) { meter_.rows(rows); }}));
  report_.rows_out = written.rows;
  report_.bytes_written += written.bytes;
  for (TaskOutputFile& file : written.files) {
    digests_.push_back(file.label);
    digests_.push_back(file.xxh3);
    report_.files.push_back(std::move(file));
  }
  return {};
}

Status TaskRun::write_parquet(const TaskSink& sink) {
  if (!sink.by.empty()) return write_values(sink);
  const std::string path = path_join(directory_, sink.file);
  if (sorted_) return store_sorted(sink, path);
  TG_ASSIGN(const sql::Schema schema, connection_->describe("SELECT * FROM " + last_));
  return sink::can_write(schema) ? stream_parquet(sink, path, schema)
                                 : copy_parquet(sink, path, schema);
}

Status TaskRun::stream_parquet(const TaskSink& sink, const std::string& path,
                               const sql::Schema& schema) {
  TG_ASSIGN(const auto types, batch::column_types(*connection_, schema));
  batch::ChunkView view(types);
  TG_ASSIGN(auto writer, open_parquet(sink, path, schema, types));
  const auto take = [&](_duckdb_data_chunk* chunk) -> Status {
    TG_TRY(view.load(chunk));
    if (view.rows() > 0) TG_TRY(writer->append(view.view()));
    meter_.tick();
    return {};
  };
  TG_TRY(connection_->push("SELECT * FROM " + last_, take));
  return close_parquet(sink, *writer);
}

Status TaskRun::store_sorted(const TaskSink& sink, const std::string& path) {
  TG_ASSIGN(auto writer, open_parquet(sink, path, sorted_->schema(), sorted_->types()));
  std::vector<batch::ColumnView> views;
  while (true) {
    TG_ASSIGN(const uint32_t rows, sorted_->next(views));
    if (rows == 0) break;
    TG_TRY(writer->append({views.data(), rows}));
    meter_.tick();
  }
  sorted_.reset();
  return close_parquet(sink, *writer);
}

Result<std::unique_ptr<sink::ParquetWriter>> TaskRun::open_parquet(
    const TaskSink& sink, const std::string& path, const sql::Schema& schema,
    const std::vector<batch::ColumnType>& types) {
  return sink::ParquetWriter::create(
      effects_, path,
      {.schema = schema, .compression = sink.compression, .memory_bytes = limits_.parquet_bytes},
      types);
}

Status TaskRun::close_parquet(const TaskSink& sink, sink::ParquetWriter& writer) {
  TG_ASSIGN(const sink::ParquetSummary summary, writer.finish());
  report_.rows_out = summary.rows;
  report_.bytes_written += summary.bytes;
  report_.files.push_back({sink.file, summary.bytes, summary.rows, summary.xxh3});
  digests_.push_back(summary.xxh3);
  return {};
}

Status TaskRun::copy_parquet(const TaskSink& sink, const std::string& path,
                             const sql::Schema& schema) {
  TG_ASSIGN(const std::string rows,
            connection_->execute_in_steps(
                fmt::format("COPY ({}) TO {} (FORMAT parquet, COMPRESSION {})",
                            sql::parquet_select(last_, schema), quote_literal(path),
                            sink.compression == "none" ? "uncompressed" : sink.compression),
                [&] { meter_.tick(); }));
  TG_ASSIGN(const FileHash hash, hash_file(effects_, path));
  report_.rows_out = rows.empty() ? 0 : std::stoull(rows);
  report_.bytes_written += hash.bytes;
  report_.files.push_back({sink.file, hash.bytes, report_.rows_out, hash.xxh3});
  digests_.push_back(hash.xxh3);
  return {};
}

}  // namespace tidegate
