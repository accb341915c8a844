// What it costs to write a Parquet file: the same rows by sink::ParquetWriter and by DuckDB's COPY,
// in turns on one thread. CPU time is the process's own. Ours takes its rows from a stream, which
// copies texts; what that costs alone is "rows". Prints one JSON object a case.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "base/effects.h"
#include "base/text.h"
#include "sink/parquet_writer.h"
#include "sql/parquet_type.h"

namespace tidegate {
namespace {

constexpr int kTurns = 3;

double cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

struct Turn {
  double seconds = 0;  ///< of CPU
  uint64_t bytes = 0;
  uint64_t peak_bytes = 0;
};

Result<Turn> ours(sql::Connection& connection, const std::string& query, const std::string& path) {
  const double start = cpu_seconds();
  TG_ASSIGN(auto stream, connection.stream(query));
  std::unique_ptr<sink::ParquetWriter> writer;
  std::unique_ptr<batch::ChunkView> view;
  while (true) {
    TG_ASSIGN(_duckdb_data_chunk * chunk, stream->next());
    if (chunk == nullptr) break;
    if (!writer) {
      TG_ASSIGN(auto types, batch::chunk_types(chunk));
      view = std::make_unique<batch::ChunkView>(types);
      TG_ASSIGN(writer, sink::ParquetWriter::create(
                            real_effects(), path, {.schema = sql::parquet_schema(stream->schema())},
                            types));
    }
    TG_TRY(view->load(chunk));
    const Status status = writer->append(view->view());
    sql::destroy_chunk(chunk);
    TG_TRY(status);
  }
  TG_ASSIGN(const sink::ParquetSummary summary, writer->finish());
  return Turn{cpu_seconds() - start, summary.bytes, summary.memory_peak_bytes};
}

Result<Turn> rows_alone(sql::Connection& connection, const std::string& query) {
  const double start = cpu_seconds();
  TG_ASSIGN(auto stream, connection.stream(query));
  while (true) {
    TG_ASSIGN(_duckdb_data_chunk * chunk, stream->next());
    if (chunk == nullptr) break;
    sql::destroy_chunk(chunk);
  }
  return Turn{cpu_seconds() - start, 0, 0};
}

Result<Turn> duckdb(sql::Connection& connection, const std::string& query,
                    const std::string& path) {
  TG_ASSIGN(const sql::Schema schema, connection.describe(query));
  const std::string published = sql::parquet_select("(" + query + ")", schema);
  const double start = cpu_seconds();
  TG_TRY(connection.execute(fmt::format("COPY ({}) TO {} (FORMAT parquet, COMPRESSION zstd)",
                                        published, quote_literal(path))));
  const double end = cpu_seconds();
  TG_ASSIGN(const FileStat stat, real_effects().stat(path));
  return Turn{end - start, stat.size, 0};
}

Status compare(sql::Connection& connection, const std::string& name, const std::string& query,
               uint64_t rows, const std::string& directory) {
  std::vector<double> seconds[3];
  Turn last[3];
  const std::string paths[2] = {path_join(directory, name + "-ours.parquet"),
                                path_join(directory, name + "-duckdb.parquet")};
  for (int turn = 0; turn < kTurns; ++turn) {
    for (const std::string& path : paths) TG_TRY(remove_tree(real_effects(), path));
    TG_ASSIGN(last[0], ours(connection, query, paths[0]));
    TG_ASSIGN(last[1], duckdb(connection, query, paths[1]));
    TG_ASSIGN(last[2], rows_alone(connection, query));
    for (int i = 0; i < 3; ++i) seconds[i].push_back(last[i].seconds);
  }
  for (auto& turns : seconds) std::sort(turns.begin(), turns.end());
  const double middle[3] = {seconds[0][kTurns / 2], seconds[1][kTurns / 2], seconds[2][kTurns / 2]};
  fmt::print(
      R"({{"case":"{}","rows":{},"turns":{},"ours":{{"cpu_s":[{:.3f}],"rows_a_second":{:.0f},)"
      R"("bytes":{},"held_peak_bytes":{}}},"duckdb":{{"cpu_s":[{:.3f}],"rows_a_second":{:.0f},)"
      R"("bytes":{}}},"rows_cpu_s":{:.3f},"cpu_ratio":{:.2f},"cpu_ratio_without_rows":{:.2f},)"
      R"("bytes_ratio":{:.3f}}})"
      "\n",
      name, rows, kTurns, fmt::join(seconds[0], ","), static_cast<double>(rows) / middle[0],
      last[0].bytes, last[0].peak_bytes, fmt::join(seconds[1], ","),
      static_cast<double>(rows) / middle[1], last[1].bytes, middle[2], middle[1] / middle[0],
      middle[1] / (middle[0] - middle[2]),
      static_cast<double>(last[0].bytes) / static_cast<double>(last[1].bytes));
  return {};
}

Status report(const std::string& directory, uint64_t rows) {
  TG_TRY(sql::load_library());
  TG_ASSIGN(auto database, sql::Database::open({.memory_bytes = uint64_t{2} << 30}));
  TG_ASSIGN(auto connection, database->connect());
  TG_TRY(connection->execute(fmt::format(
      "CREATE TABLE t AS SELECT (hash(i) >> 1)::BIGINT AS key, 1 + (hash(i + 1) % "
      "5)::BIGINT AS n, (hash(i + 2) % 1000000)::DOUBLE / 100 AS amount, left(md5(("
      "CASE WHEN hash(i + 3) % 10 = 0 THEN i % 1000 ELSE i END)::VARCHAR), 20) AS name, "
      "(hash(i) % 20000000)::BIGINT AS id, (hash(i + 4) % 1000000)::HUGEINT AS total "
      "FROM range({}) r(i)",
      rows)));
  TG_TRY(compare(*connection, "all", "SELECT key, n, amount, name FROM t", rows, directory));
  TG_TRY(compare(*connection, "groups", "SELECT id, n, total FROM t", rows, directory));
  for (const char* column : {"key", "n", "amount", "name", "id", "total"})
    TG_TRY(compare(*connection, column, fmt::format("SELECT {} FROM t", column), rows, directory));
  return {};
}

}  // namespace
}  // namespace tidegate

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    fmt::print(stderr, "usage: parquet_write DIRECTORY [ROWS]\n");
    return 2;
  }
  const uint64_t rows = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 5'000'000;
  if (const tidegate::Status status = tidegate::report(argv[1], rows); !status) {
    fmt::print(stderr, "{}\n", status.error().describe());
    return 1;
  }
  return 0;
}
