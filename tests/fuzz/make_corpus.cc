// Writes the seeds of tests/fuzz/corpus: real map outputs, their blocks, encoded values.
// usage: fuzz_make_corpus DIRECTORY
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "base/memory_file.h"
#include "batch/chunk_view.h"
#include "shuffle/map_output_file.h"
#include "shuffle/shuffle.h"
#include "typed_chunk.h"

namespace tidegate::fuzz {
namespace {

std::filesystem::path root;

void save(const std::string& target, const std::string& name, const std::string& bytes) {
  std::filesystem::create_directories(root / target);
  std::ofstream(root / target / name, std::ios::binary) << bytes;
}

std::unique_ptr<sql::Stream> stream_of(const std::string& sql) {
  auto stream = connection().stream(sql);
  if (!stream) std::fprintf(stderr, "%s\n%s\n", sql.c_str(), stream.error().describe().c_str());
  TG_ASSERT(stream);
  return std::move(*stream);
}

std::string written(const std::string& sql, MapOutputOptions options) {
  MemoryFile memory;
  const auto stream = stream_of(sql);
  options.schema = stream->schema();
  options.attempt = "a1";
  auto writer = MapOutputWriter::create(memory, "m", std::move(options));
  TG_ASSERT(writer);
  while (true) {
    auto chunk = stream->next();
    TG_ASSERT(chunk);
    if (*chunk == nullptr) break;
    TG_ASSERT((*writer)->append(*chunk));
    sql::destroy_chunk(*chunk);
  }
  TG_ASSERT((*writer)->finish());
  return memory.bytes;
}

/// The first block of bucket 0, and its rows.
std::pair<std::string, uint16_t> first_block(const std::string& file_bytes) {
  MemoryFile memory;
  memory.bytes = file_bytes;
  auto file = shuffle::MapOutputFile::open(memory, "m");
  TG_ASSERT(file);
  auto entries = file->all_entries();
  TG_ASSERT(entries);
  auto ranges = shuffle::bucket_ranges(*file, entries->at(0), 1 << 20);
  TG_ASSERT(ranges);
  shuffle::RangeTail tail;
  auto blocks = shuffle::range_blocks(*file, ranges->at(0), tail);
  TG_ASSERT(blocks);
  return {file_bytes.substr(ranges->at(0).offset, blocks->at(0).bytes),
          static_cast<uint16_t>(blocks->at(0).rows)};
}

/// Expressions over `i` that cast to the type.
std::string expression(const std::string& type) {
  const std::string h = "(hash(i) % 100)";
  if (type == "BOOLEAN") return h + " < 30";
  if (type == "FLOAT") return "([0.5, -0.0, 'nan', 'inf', 1e-45, 3e38])[1 + i % 6]";
  if (type == "DOUBLE") return "sqrt(i)";
  if (type == "DATE") return "DATE '1999-12-31' + " + h + "::INTEGER";
  if (type == "TIME_NS") return "'10:11:12.12345678' || i % 10";
  if (type == "TIME" || type == "TIMETZ") return "TIME '10:11:12.345' + to_seconds(i)";
  if (type.starts_with("TIMESTAMP")) return "TIMESTAMP '2001-02-03 04:05:06' + to_seconds(i * i)";
  if (type == "INTERVAL") return "to_months((i % 3)::INTEGER) + to_seconds(i) + INTERVAL 4 DAY";
  if (type == "UUID") return "md5(i::VARCHAR)";
  if (type == "VARCHAR") return "'text ' || i || repeat('x', (i % 9)::INTEGER)";
  if (type == "BLOB") return "(['ab', 'a longer one than twelve', ''])[1 + i % 3]";
  if (type == "BIT") return "(['1', '0101', '111100001111'])[1 + i % 3]";
  if (type == "BIGNUM") return h + "::HUGEINT";
  if (type.starts_with("ENUM('a'")) return "(['a', 'b', 'c'])[1 + i % 3]";
  if (type.starts_with("ENUM")) return "(hash(i) % 300)::VARCHAR";
  if (type == "\"NULL\"") return "NULL";
  if (type == "INTEGER[]") return "[i, NULL, " + h + "]";
  if (type == "VARCHAR[]") return "['a', NULL, 'x' || i, 'longer than twelve bytes']";
  if (type == "DOUBLE[][]") return "[[i, -0.0], NULL, [], ['nan'::DOUBLE]]";
  if (type == "INTEGER[3]") return "[i, NULL, 3]";
  if (type == "VARCHAR[2][]") return "[['a', 'b'], NULL, ['c' || i, NULL]]";
  if (type == "BOOLEAN[][2]") return "[[true, false], NULL]";
  if (type == "STRUCT(a BIGINT, b VARCHAR)") return "{'a': i, 'b': 'x' || i}";
  if (type.starts_with("STRUCT(a STRUCT")) {
    return "[{'a': {'f': 1.5, 'i': INTERVAL 3 DAY}, 'b': [i, NULL]}, NULL]";
  }
  if (type == "MAP(VARCHAR, INTEGER)") return "MAP {'a': i, 'b' || i: NULL}";
  if (type.starts_with("MAP(INTEGER")) return "MAP {1: [{'x': 'a', 'y': 'bytes'}], 2: NULL}";
  if (type == "UNION(i INTEGER, s VARCHAR)") {
    return "CASE WHEN i % 2 = 0 THEN union_value(i := 5)::" + type +
           " ELSE union_value(s := 'x')::" + type + " END";
  }
  if (type.starts_with("UNION")) return "union_value(l := [1, NULL, 3]::TINYINT[])";
  if (type == "\"NULL\"[]") return "[NULL, NULL]";
  if (type.starts_with("STRUCT(u UNION")) {
    return "[{'u': union_value(b := '010'::BIT), 'm': MAP {DATE '2020-01-01': 1.25}, 'n': NULL}, "
           "NULL]";
  }
  return h;
}

std::string seed_of(size_t type, uint16_t rows, std::string_view bytes) {
  std::string out(1, static_cast<char>(type));
  out.append(reinterpret_cast<const char*>(&rows), 2);
  return out.append(bytes);
}

std::string name_of(const char* prefix, size_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "%s%02zu", prefix, number);
  return name;
}

void save_block(const std::string& name, size_t type, const std::string& sql) {
  const auto [block, rows] = first_block(written(sql, {}));
  save("block", name, seed_of(type, rows, block.substr(4)));
}

void blocks() {
  for (size_t i = 0; i < block_types().size(); ++i) {
    const std::string& type = block_types()[i];
    const std::string value = "(" + expression(type) + ")::" + type;
    save_block(name_of("all-", i), i, "SELECT " + value + " FROM range(20) r(i)");
    save_block(name_of("nulls-", i), i,
               "SELECT " + value +
                   " FROM range(11) r(i) UNION ALL SELECT NULL FROM range(3) UNION ALL "
                   "SELECT " +
                   value + " FROM range(90, 102) r(i)");
  }
  const auto index = [](const std::string& type) {
    const auto& types = block_types();
    return static_cast<size_t>(std::find(types.begin(), types.end(), type) - types.begin());
  };
  const auto more = [&](const char* name, const char* type, const std::string& value, int rows) {
    save_block(
        name, index(type),
        "SELECT (" + value + ")::" + type + " FROM range(" + std::to_string(rows) + ") r(i)");
  };
  more("double-decimals", "DOUBLE", "i * 0.25", 30);
  more("double-same", "DOUBLE", "'nan'", 30);
  more("bigint-wide", "BIGINT", "hash(i)::HUGEINT - 9223372036854775808", 9);
  more("bigint-same", "BIGINT", "7", 4000);
  more("texts-same", "VARCHAR", "'the same for all'", 3000);
  more("texts-few", "VARCHAR",
       "(['a', 'bb', 'ccc and more than twelve'])[1 + (hash(i) % 3)::INTEGER]", 99);
  more("texts-prefixed", "VARCHAR", "'https://example.com/' || i", 50);
  more("texts-prefixed-short", "BLOB", "'item-' || i", 50);
  more("texts-prefixed-but-some", "VARCHAR",
       "CASE WHEN i % 11 = 0 THEN 'x' || i WHEN i % 7 = 0 THEN NULL ELSE 'https://a.b/' || i END",
       60);
  more("texts-apart", "VARCHAR", "md5(i::VARCHAR)", 20);
  const auto [block, rows] =
      first_block(written("SELECT i, 'x' || i, i % 2 = 0 FROM range(9) r(i)", {}));
  save("block", "split", seed_of(255, 3, block));
}

void values() {
  for (size_t i = 0; i < value_types().size(); ++i) {
    const std::string& type = value_types()[i];
    const auto stream =
        stream_of("SELECT (" + expression(type) + ")::" + type + " FROM range(2) r(i)");
    auto chunk = stream->next();
    TG_ASSERT(chunk && *chunk != nullptr);
    auto types = batch::chunk_types(*chunk);
    TG_ASSERT(types);
    batch::ChunkView view(*types);
    TG_ASSERT(view.load(*chunk));
    for (size_t row = 0; row < 2; ++row) {
      const auto text = static_cast<const batch::StringRef*>(view.column(0).data)[row];
      save("value", name_of(row == 0 ? "first-" : "second-", i),
           std::string(1, static_cast<char>(i)) + std::string(text.view()));
    }
    sql::destroy_chunk(*chunk);
  }
}

void map_outputs() {
  std::string columns;
  for (const sql::Column& column : file_types()) {
    const std::string from = column.name == "k" ? "i" : expression(column.type);
    columns += (columns.empty() ? "" : ", ") + std::string("(") + from + ")::" + column.type +
               " AS " + column.name;
  }
  const auto sql = [&](int rows) {
    return "SELECT " + columns + " FROM range(" + std::to_string(rows) + ") r(i)";
  };
  save("map_output", "empty", written(sql(0), {.buckets = 2}));
  save("map_output", "one-row", written(sql(1), {}));
  save("map_output", "buckets", written(sql(40), {.keys = {{0, "BIGINT"}}, .buckets = 3}));
  save("map_output", "blocks", written(sql(60), {.keys = {{1, "TINYINT"}}, .buckets = 2}));
}

}  // namespace
}  // namespace tidegate::fuzz

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  tidegate::fuzz::root = argv[1];
  tidegate::fuzz::blocks();
  tidegate::fuzz::values();
  tidegate::fuzz::map_outputs();
  return 0;
}
