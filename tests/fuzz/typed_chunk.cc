#include "typed_chunk.h"

#include <map>
#include <memory>

#include "base/hash.h"
#include "batch/value_codec.h"
#include "duckdb.h"

namespace tidegate::fuzz {
namespace {

std::string large_enum() {
  std::string out = "ENUM(";
  for (int i = 0; i < 300; ++i) out += (i == 0 ? "'" : ", '") + std::to_string(i) + "'";
  return out + ")";
}

}  // namespace

const std::vector<std::string>& block_types() {
  static const std::vector<std::string> types = {"BOOLEAN",
                                                 "TINYINT",
                                                 "SMALLINT",
                                                 "INTEGER",
                                                 "BIGINT",
                                                 "HUGEINT",
                                                 "UTINYINT",
                                                 "USMALLINT",
                                                 "UINTEGER",
                                                 "UBIGINT",
                                                 "UHUGEINT",
                                                 "FLOAT",
                                                 "DOUBLE",
                                                 "DECIMAL(4,1)",
                                                 "DECIMAL(9,2)",
                                                 "DECIMAL(18,3)",
                                                 "DECIMAL(38,5)",
                                                 "DATE",
                                                 "TIME",
                                                 "TIME_NS",
                                                 "TIMETZ",
                                                 "TIMESTAMP_S",
                                                 "TIMESTAMP_MS",
                                                 "TIMESTAMP",
                                                 "TIMESTAMP_NS",
                                                 "TIMESTAMPTZ",
                                                 "INTERVAL",
                                                 "UUID",
                                                 "VARCHAR",
                                                 "BLOB",
                                                 "BIT",
                                                 "BIGNUM",
                                                 "ENUM('a', 'b', 'c')",
                                                 large_enum(),
                                                 "\"NULL\"",
                                                 "INTEGER[]",
                                                 "VARCHAR[]",
                                                 "INTEGER[3]",
                                                 "STRUCT(a BIGINT, b VARCHAR)",
                                                 "MAP(VARCHAR, INTEGER)",
                                                 "UNION(i INTEGER, s VARCHAR)"};
  return types;
}

const std::vector<std::string>& value_types() {
  static const std::vector<std::string> types = {
      "INTEGER[]",
      "VARCHAR[]",
      "DOUBLE[][]",
      "INTEGER[3]",
      "VARCHAR[2][]",
      "BOOLEAN[][2]",
      "STRUCT(a BIGINT, b VARCHAR)",
      "STRUCT(a STRUCT(f FLOAT, i INTERVAL), b HUGEINT[])[]",
      "MAP(VARCHAR, INTEGER)",
      "MAP(INTEGER, STRUCT(x ENUM('a', 'b'), y BLOB)[])",
      "UNION(i INTEGER, s VARCHAR, l TINYINT[])",
      "\"NULL\"[]",
      "STRUCT(u UNION(a UUID, b BIT), m MAP(DATE, DECIMAL(38,2)), n \"NULL\")[2]"};
  return types;
}

const sql::Schema& file_types() {
  static const sql::Schema schema = {{"k", "BIGINT"},
                                     {"t", "TINYINT"},
                                     {"d", "DOUBLE"},
                                     {"s", "VARCHAR"},
                                     {"e", "ENUM('a', 'b', 'c')"},
                                     {"v", "INTERVAL"},
                                     {"l", "INTEGER[]"},
                                     {"h", "HUGEINT"}};
  return schema;
}

sql::Connection& connection() {
  static const auto database = [] {
    const Status loaded = sql::load_library();
    TG_ASSERT(loaded);
    auto opened = sql::Database::open({});
    TG_ASSERT(opened);
    return std::move(*opened);
  }();
  static const auto connected = [] {
    auto made = database->connect();
    TG_ASSERT(made);
    return std::move(*made);
  }();
  return *connected;
}

TypedChunk::TypedChunk(const std::vector<std::string>& types) {
  for (const std::string& text : types) {
    auto logical = connection().make_type(text);
    TG_ASSERT(logical);
    auto type = batch::column_type(*logical);
    TG_ASSERT(type);
    logical_.push_back(*logical);
    types_.push_back(std::move(*type));
  }
  raw_ = duckdb_create_data_chunk(logical_.data(), logical_.size());
  TG_ASSERT(raw_ != nullptr);
}

TypedChunk::~TypedChunk() {
  duckdb_destroy_data_chunk(&raw_);
  for (duckdb_logical_type& type : logical_) duckdb_destroy_logical_type(&type);
}

_duckdb_vector* TypedChunk::vector(size_t column) const {
  return duckdb_data_chunk_get_vector(raw_, column);
}

void TypedChunk::reset() { duckdb_data_chunk_reset(raw_); }

void TypedChunk::set_rows(uint64_t rows) { duckdb_data_chunk_set_size(raw_, rows); }

std::string TypedChunk::value(size_t column, size_t row) const {
  std::string out;
  batch::encode_value(types_[column], batch::VectorTree::of(types_[column], vector(column)), row,
                      out);
  return out;
}

void TypedChunk::digests(size_t column, size_t rows, std::vector<uint64_t>& out) const {
  const auto tree = batch::VectorTree::of(types_[column], vector(column));
  std::string bytes;
  for (size_t row = 0; row < rows; ++row) {
    bytes.clear();
    batch::encode_value(types_[column], tree, row, bytes);
    out.push_back(xxh3_64(bytes));
  }
}

TypedChunk& chunk_of(const std::vector<std::string>& types, size_t index) {
  connection();  // lives longer than the chunks
  static std::map<std::string, std::unique_ptr<TypedChunk>> chunks;
  auto& chunk = chunks[types.at(index)];
  if (!chunk) chunk = std::make_unique<TypedChunk>(std::vector<std::string>{types[index]});
  return *chunk;
}

}  // namespace tidegate::fuzz
