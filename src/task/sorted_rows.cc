#include "task/sorted_rows.h"

#include <algorithm>
#include <numeric>

#include "shuffle/bucket_scan.h"

namespace tidegate {

Result<std::unique_ptr<SortedRows>> SortedRows::read(
    Effects& effects, const TaskInput& input, std::vector<batch::ColumnType> types,
    const sort::SortOrder& order, sort::SortOptions options, uint64_t scan_bytes,
    const std::function<void(uint64_t rows)>& progress) {
  std::unique_ptr<SortedRows> sorted(new SortedRows(input.schema, types));
  TG_ASSIGN(sorted->sort_,
            sort::ExternalSort::create(effects, input.schema, types, order, std::move(options)));
  shuffle::BucketTable table;
  table.effects = &effects;
  table.schema = input.schema;
  table.types = std::move(types);
  table.files = input.map_outputs;
  table.bucket_begin = input.bucket_begin;
  table.bucket_end = input.bucket_end;
  table.memory_bytes = scan_bytes;
  std::vector<uint32_t> columns(table.schema.size());
  std::iota(columns.begin(), columns.end(), 0U);
  shuffle::BucketScan scan(table, std::move(columns));
  std::vector<batch::ColumnView> views;
  while (true) {
    TG_ASSIGN(const uint32_t rows, scan.next(views));
    if (rows == 0) break;
    TG_TRY(sorted->sort_->add({views.data(), rows}));
    progress(rows);
  }
  TG_TRY(sorted->sort_->finish());
  return sorted;
}

Status SortedRows::store(Effects& effects, const std::string& path, const std::string& attempt,
                         uint64_t memory_bytes) {
  MapOutputOptions options{.schema = schema_,
                           .keys = {},
                           .buckets = 1,
                           .attempt = attempt,
                           .memory_bytes = memory_bytes};
  TG_ASSIGN(const auto writer, MapOutputWriter::create(effects, path, std::move(options)));
  std::vector<batch::ColumnView> views;
  std::vector<uint32_t> buckets;
  while (true) {
    TG_ASSIGN(const uint32_t rows, next(views));
    if (rows == 0) break;
    buckets.resize(std::max<size_t>(buckets.size(), rows), 0);
    TG_TRY(writer->append_to(types_, {views.data(), rows}, buckets.data()));
  }
  TG_ASSIGN(const MapOutputSummary summary, writer->finish());
  (void)summary;
  return {};
}

}  // namespace tidegate
