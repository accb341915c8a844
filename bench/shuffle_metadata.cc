// What a shuffle of M map outputs and N buckets costs in metadata alone: bench/run's `metadata`.
// Writes a few real files with N buckets and a row or so in each, takes away what the rows take,
// and multiplies by M: 10,000 files would hold nothing else than these hold. Prints one JSON
// object.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>

#include "base/effects.h"
#include "base/text.h"
#include "shuffle/format.h"
#include "shuffle/shuffle.h"
#include "sql/sql.h"

namespace tidegate {
namespace {

constexpr uint64_t kMaps = 10'000;
constexpr int kFilesWritten = 4;

struct Cost {
  uint64_t metadata_bytes = 0;  ///< of one file: all but its ranges
  uint64_t rows = 0;
  uint64_t writer_peak_bytes = 0;
  double write_seconds = 0;
  double open_seconds = 0;  ///< reads and verifies the whole footer
};

Result<Cost> measure(sql::Connection& connection, const std::string& path, uint32_t buckets) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::time_point from) {
    return std::chrono::duration<double>(Clock::now() - from).count();
  };
  Cost cost;
  const auto start = Clock::now();
  TG_ASSIGN(auto stream,
            connection.stream(fmt::format("SELECT i AS key FROM range({}) t(i)", buckets * 4)));
  TG_ASSIGN(auto writer, MapOutputWriter::create(real_effects(), path,
                                                 {.schema = stream->schema(),
                                                  .keys = {{.column = 0, .type = "BIGINT"}},
                                                  .buckets = buckets,
                                                  .attempt = "metadata"}));
  while (true) {
    TG_ASSIGN(_duckdb_data_chunk * chunk, stream->next());
    if (chunk == nullptr) break;
    const Status status = writer->append(chunk);
    sql::destroy_chunk(chunk);
    TG_TRY(status);
  }
  TG_ASSIGN(const MapOutputSummary summary, writer->finish());
  cost.write_seconds = seconds(start);
  uint64_t ranges = 0;
  for (const uint64_t bytes : summary.bucket_bytes) ranges += bytes;
  cost.metadata_bytes = summary.bytes - ranges;
  cost.rows = summary.rows;
  cost.writer_peak_bytes = summary.memory_peak_bytes;
  const auto opened = Clock::now();
  TG_ASSIGN(const MapOutputInfo info, read_map_output_info(real_effects(), path));
  cost.open_seconds = seconds(opened);
  if (info.rows != summary.rows) return fail(FailureClass::kDefect, "bench.rows", "rows differ");
  return cost;
}

Status report(const std::string& directory) {
  TG_TRY(sql::load_library());
  TG_ASSIGN(auto database, sql::Database::open({}));
  TG_ASSIGN(auto connection, database->connect());
  std::string sizes;
  for (const uint32_t buckets : {uint32_t{1'000}, uint32_t{10'000}}) {
    Cost last;
    for (int file = 0; file < kFilesWritten; ++file) {
      TG_ASSIGN(last,
                measure(*connection, path_join(directory, fmt::format("{}-{}.tgm", buckets, file)),
                        buckets));
    }
    sizes += fmt::format(
        R"({}{{"buckets":{},"metadata_bytes_a_file":{},"bytes_a_bucket":{:.1f},"writer_peak_bytes":{},)"
        R"("write_seconds":{:.4f},"open_seconds":{:.4f},"all_maps_bytes":{}}})",
        sizes.empty() ? "" : ",", buckets, last.metadata_bytes,
        static_cast<double>(last.metadata_bytes) / buckets, last.writer_peak_bytes,
        last.write_seconds, last.open_seconds, last.metadata_bytes * kMaps);
  }
  // A reader of one bucket reads of each file its head, its tail and one entry.
  const uint64_t one =
      sizeof(shuffle::FileHead) + sizeof(shuffle::FileTail) + sizeof(shuffle::BucketEntry);
  fmt::print(R"({{"maps":{},"files_written":{},"sizes":[{}],"bucket_reader_bytes":{}}})"
             "\n",
             kMaps, kFilesWritten, sizes, one * kMaps);
  return {};
}

}  // namespace
}  // namespace tidegate

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: shuffle_metadata DIRECTORY\n");
    return 2;
  }
  if (const tidegate::Status status = tidegate::report(argv[1]); !status) {
    fmt::print(stderr, "{}\n", status.error().describe());
    return 1;
  }
  return 0;
}
