#include "task/row_sink.h"

#include <optional>

#include "base/hash.h"
#include "batch/chunk_view.h"
#include "batch/row_hash.h"
#include "shuffle/shuffle.h"
#include "sort/splitters.h"

namespace tidegate {
namespace {

TaskOutputFile file_of(const TaskSink& sink, const MapOutputSummary& summary) {
  TaskOutputFile file{sink.file, summary.bytes, summary.rows, summary.content_digest};
  if (sink.names_buckets)
    for (const uint64_t content : summary.bucket_content) file.buckets += hex64(content);
  return file;
}

/// Columns that rows are ordered by, so that who reads a range compares their hashes.
std::vector<HashKey> compared_keys(const sql::Schema& schema, const sort::SortOrder& order) {
  std::vector<HashKey> keys;
  for (const sort::SortColumn& by : order) {
    const std::string& type = schema[by.column].type;
    const auto parts = batch::parse_scalar_type(type);
    if (parts && batch::KeyHasher::create(*parts, type)) keys.push_back({by.column, type});
  }
  return keys;
}

/// Rows by the hash of their keys, or all in one bucket.
class HashedRows final : public RowSink {
 public:
  HashedRows(const TaskSink& sink, std::unique_ptr<MapOutputWriter> writer)
      : sink_(sink), writer_(std::move(writer)) {}
  Status append(_duckdb_data_chunk* rows) override { return writer_->append(rows); }
  Result<TaskOutputFile> finish() override {
    TG_ASSIGN(const MapOutputSummary summary, writer_->finish());
    return file_of(sink_, summary);
  }

 private:
  const TaskSink& sink_;
  std::unique_ptr<MapOutputWriter> writer_;
};

/// Rows by where they stand in the order: bucket i is what lies between splitters i - 1 and i.
class RangedRows final : public RowSink {
 public:
  RangedRows(const TaskSink& sink, uint32_t unit, std::unique_ptr<MapOutputWriter> writer,
             sort::Ranges ranges)
      : sink_(sink), unit_(unit), writer_(std::move(writer)), ranges_(std::move(ranges)) {}

  Status append(_duckdb_data_chunk* rows) override {
    if (!maker_) {
      TG_ASSIGN(auto types, batch::chunk_types(rows));
      TG_ASSIGN(maker_, sort::KeyMaker::create(types, sink_.order));
      view_.emplace(std::move(types));
    }
    TG_TRY(view_->load(rows));
    const size_t count = view_->rows();
    if (count == 0) return {};
    maker_->make(view_->view(), 0, count, keys_);
    buckets_.resize(count);
    ranges_.find(keys_, unit_, buckets_.data());
    return writer_->append_to(view_->types(), view_->view(), buckets_.data());
  }
  Result<TaskOutputFile> finish() override {
    TG_ASSIGN(const MapOutputSummary summary, writer_->finish());
    return file_of(sink_, summary);
  }

 private:
  const TaskSink& sink_;
  uint32_t unit_;
  std::unique_ptr<MapOutputWriter> writer_;
  sort::Ranges ranges_;
  std::optional<sort::KeyMaker> maker_;
  std::optional<batch::ChunkView> view_;
  sort::KeyBatch keys_;
  std::vector<uint32_t> buckets_;
};

/// The keys of some of the rows.
class SampledRows final : public RowSink {
 public:
  SampledRows(Effects& effects, const TaskSink& sink, RowSinkOptions options)
      : effects_(effects), sink_(sink), options_(std::move(options)) {}

  Status append(_duckdb_data_chunk* rows) override {
    if (!sampler_) {
      TG_ASSIGN(auto types, batch::chunk_types(rows));
      TG_ASSIGN(auto maker, sort::KeyMaker::create(types, sink_.order));
      sampler_.emplace(std::move(maker), options_.unit, sink_.sample_rows);
      view_.emplace(std::move(types));
    }
    TG_TRY(view_->load(rows));
    sampler_->add(view_->view());
    return {};
  }
  Result<TaskOutputFile> finish() override {
    std::vector<sort::SampledRow> rows;
    if (sampler_) rows = sampler_->take();
    TG_ASSIGN(const MapOutputSummary summary,
              sort::write_sample(effects_, options_.path, options_.attempt, rows));
    return file_of(sink_, summary);
  }

 private:
  Effects& effects_;
  const TaskSink& sink_;
  RowSinkOptions options_;
  std::optional<sort::RowSampler> sampler_;
  std::optional<batch::ChunkView> view_;
};

}  // namespace

Result<std::unique_ptr<RowSink>> RowSink::create(Effects& effects, const TaskSink& sink,
                                                 RowSinkOptions options) {
  TG_ASSERT(sink.kind != TaskSink::Kind::kParquet);
  if (sink.kind == TaskSink::Kind::kSample)
    return std::make_unique<SampledRows>(effects, sink, std::move(options));
  const bool ranges = sink.kind == TaskSink::Kind::kRanges;
  MapOutputOptions written{.schema = options.schema,
                           .keys = ranges ? compared_keys(options.schema, sink.order) : sink.keys,
                           .buckets = sink.buckets,
                           .attempt = options.attempt,
                           .memory_bytes = options.memory_bytes};
  TG_ASSIGN(auto writer, MapOutputWriter::create(effects, options.path, std::move(written)));
  if (!ranges) return std::make_unique<HashedRows>(sink, std::move(writer));
  TG_ASSIGN(auto sample, sort::read_samples(effects, options.samples));
  return std::make_unique<RangedRows>(
      sink, options.unit, std::move(writer),
      sort::Ranges(sort::choose_splitters(std::move(sample), sink.buckets)));
}

}  // namespace tidegate
