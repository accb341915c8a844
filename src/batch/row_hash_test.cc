#include "batch/row_hash.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "sql/sql.h"

namespace tidegate::batch {
namespace {

class RowHash : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sql::load_library());
    auto database = sql::Database::open({});
    ASSERT_TRUE(database) << database.error().describe();
    database_ = std::move(*database);
    auto connection = database_->connect();
    ASSERT_TRUE(connection);
    connection_ = std::move(*connection);
  }

  /// The hash of the first row of a SELECT, its columns hashed as `targets` (or as themselves).
  Result<uint64_t> hash(const std::string& select, std::vector<std::string> targets = {}) {
    TG_ASSIGN(auto stream, connection_->stream(select));
    TG_ASSIGN(_duckdb_data_chunk * chunk, stream->next());
    if (chunk == nullptr) return fail(FailureClass::kDefect, "test", "no rows");
    auto value = hash_chunk(chunk, targets);
    sql::destroy_chunk(chunk);
    return value;
  }
  static Result<uint64_t> hash_chunk(_duckdb_data_chunk* chunk, std::vector<std::string>& targets) {
    TG_ASSIGN(auto types, chunk_types(chunk));
    ChunkView view(types);
    TG_TRY(view.load(chunk));
    std::vector<uint64_t> hashes(view.rows());
    for (size_t i = 0; i < types.size(); ++i) {
      if (targets.size() <= i) targets.push_back(types[i].text);
      TG_ASSIGN(const auto hasher, KeyHasher::create(types[i], targets[i]));
      TG_TRY(hasher.fold(view.column(i), view.rows(), i == 0, hashes.data()));
    }
    return hashes[0];
  }
  uint64_t must(const std::string& expression, const std::string& target = "") {
    auto value = hash("SELECT " + expression, target.empty() ? std::vector<std::string>{}
                                                             : std::vector<std::string>{target});
    EXPECT_TRUE(value) << expression << ": " << (value ? "" : value.error().describe());
    return value ? *value : 0;
  }
  bool equal(const std::string& a, const std::string& b, const std::string& target = "") {
    return must(a, target) == must(b, target);
  }
  std::string refused(const std::string& expression, const std::string& target) {
    auto value = hash("SELECT " + expression, {target});
    return value ? "accepted" : value.error().code;
  }

  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<sql::Connection> connection_;
};

TEST_F(RowHash, IntegersHashByValueWhateverTheirWidth) {
  for (const std::string value : {"0", "1", "127", "-1", "-128"}) {
    const uint64_t expected = must(value + "::BIGINT");
    for (const char* type : {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}) {
      EXPECT_EQ(must("(" + value + ")::" + type, "HUGEINT"), expected) << value << " " << type;
      EXPECT_EQ(must("(" + value + ")::" + type), expected) << value << " " << type;
    }
  }
  for (const char* type : {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}) {
    EXPECT_EQ(must(std::string("200::") + type), must("200::BIGINT")) << type;
  }
  EXPECT_TRUE(equal("18446744073709551615::UBIGINT", "'18446744073709551615'::HUGEINT", "HUGEINT"));
  EXPECT_TRUE(equal("true", "1", "BIGINT"));
  EXPECT_NE(must("1"), must("-1"));
  EXPECT_NE(must("'18446744073709551616'::HUGEINT"), must("0::HUGEINT"));
  EXPECT_NE(must("18446744073709551615::UBIGINT"), must("(-1)::BIGINT"));
}

TEST_F(RowHash, ConversionsKeepEqualValuesTogether) {
  EXPECT_TRUE(equal("1.5::DECIMAL(4,1)", "1.50::DECIMAL(12,2)", "DECIMAL(12,2)"));
  EXPECT_TRUE(equal("7::INTEGER", "7.000::DECIMAL(18,3)", "DECIMAL(18,3)"));
  EXPECT_TRUE(equal("-7::INTEGER", "'-7'::DECIMAL(38,3)", "DECIMAL(38,3)"));
  EXPECT_TRUE(equal("'2001-06-30'::DATE", "'2001-06-30 00:00:00'::TIMESTAMP", "TIMESTAMP"));
  EXPECT_TRUE(equal("'infinity'::DATE", "'infinity'::TIMESTAMP", "TIMESTAMP"));
  EXPECT_TRUE(equal("'-infinity'::DATE", "'-infinity'::TIMESTAMP", "TIMESTAMP"));
  EXPECT_TRUE(equal("'1960-01-02'::TIMESTAMP_S", "'1960-01-02'::TIMESTAMP", "TIMESTAMP"));
  EXPECT_TRUE(equal("'1960-01-02'::TIMESTAMP_MS", "'1960-01-02'::TIMESTAMP_NS", "TIMESTAMP_NS"));
  EXPECT_TRUE(equal("'2001-01-01 10:00:00'::TIMESTAMP", "'2001-01-01 12:00:00+02'::TIMESTAMPTZ",
                    "TIMESTAMP WITH TIME ZONE"));
  EXPECT_TRUE(equal("0.1::FLOAT", "0.1::FLOAT::DOUBLE", "DOUBLE"));
  EXPECT_TRUE(equal("3::INTEGER", "3.0::DOUBLE", "DOUBLE"));
  EXPECT_TRUE(equal("'a'::ENUM('b', 'a')", "'a'::VARCHAR", "VARCHAR"));
  EXPECT_TRUE(equal("'10:00:00'::TIME", "'10:00:00'::TIME_NS", "TIME_NS"));
  EXPECT_FALSE(equal("1.5::DECIMAL(4,1)", "1.51::DECIMAL(12,2)", "DECIMAL(12,2)"));
}

TEST_F(RowHash, EqualityIsDuckdbs) {
  EXPECT_TRUE(equal("'-0.0'::DOUBLE", "0.0::DOUBLE"));
  EXPECT_TRUE(equal("'-0.0'::FLOAT", "0.0::FLOAT"));
  EXPECT_TRUE(equal("'nan'::DOUBLE", "-('nan'::DOUBLE)"));
  EXPECT_TRUE(equal("INTERVAL '1 month'", "INTERVAL '30 days'"));
  EXPECT_TRUE(equal("INTERVAL '1 day'", "INTERVAL '24 hours'"));
  EXPECT_FALSE(equal("INTERVAL '1 month'", "INTERVAL '31 days'"));
  EXPECT_TRUE(equal("NULL::INTEGER", "NULL::VARCHAR"));
  EXPECT_FALSE(equal("NULL::INTEGER", "0"));
  EXPECT_FALSE(equal("''", "NULL::VARCHAR"));
  EXPECT_TRUE(equal("['-0.0'::DOUBLE, 'nan']", "[0.0::DOUBLE, -('nan'::DOUBLE)]"));
  EXPECT_TRUE(equal("{'a': INTERVAL '1 month'}", "{'a': INTERVAL '30 days'}"));
  EXPECT_FALSE(equal("[1, NULL]", "[NULL, 1]"));
}

TEST_F(RowHash, TheOrderOfKeysCounts) {
  EXPECT_NE(*hash("SELECT 1, 2"), *hash("SELECT 2, 1"));
  EXPECT_NE(*hash("SELECT 1, 1"), *hash("SELECT 2, 2"));
  EXPECT_NE(*hash("SELECT NULL::INTEGER, 1"), *hash("SELECT 1, NULL::INTEGER"));
}

TEST_F(RowHash, InexactConversionsAreRefused) {
  const std::pair<const char*, const char*> kRefused[] = {
      {"1::BIGINT", "DOUBLE"},
      {"1::BIGINT", "INTEGER"},
      {"1::INTEGER", "VARCHAR"},
      {"1.0::DOUBLE", "FLOAT"},
      {"1.0::DOUBLE", "BIGINT"},
      {"1.00::DECIMAL(4,2)", "DECIMAL(4,1)"},
      {"1.0::DECIMAL(4,1)", "DOUBLE"},
      {"'2001-01-01'::TIMESTAMP_NS", "TIMESTAMP"},
      {"'2001-01-01'::TIMESTAMP", "DATE"},
      {"'x'", "BLOB"},
      {"-1::INTEGER", "UBIGINT"},
      {"100::INTEGER", "DECIMAL(10,2)"},
      {"[1]", "BIGINT[]"},
      {"'x'", "NO SUCH TYPE"},
      {"'10:00'::TIME", "TIME WITH TIME ZONE"},
  };
  for (const auto& [expression, target] : kRefused) {
    const std::string code = refused(expression, target);
    EXPECT_TRUE(code == "batch.hash_type" || code == "batch.type")
        << expression << " as " << target << ": " << code;
  }
}

// The figures stand on disk, in every map output: a change is a new kRowHashVersion.
TEST_F(RowHash, ValuesAreStable) {
  EXPECT_EQ(must("0::BIGINT"), mix64(0x9e3779b97f4a7c15ULL));
  EXPECT_EQ(mix64(1), 0x5692161d100b05e5ULL);
  EXPECT_EQ(must("NULL::INTEGER"), kNullHash);
  // The first in whole words, as little-endian; the last by XXH3.
  EXPECT_EQ(must("'abcdefghijkl'"), mix64(mix64(0x64636261'0000000cULL ^ 0xa24baed4963ee407ULL) +
                                          0x6c6b6a69'68676665ULL * 0x9fb21c651e98df25ULL));
  EXPECT_EQ(must("''"), mix64(mix64(0xa24baed4963ee407ULL)));
  EXPECT_EQ(must("'abcdefghijklm'"), xxh3_64(std::string_view("abcdefghijklm")));
  EXPECT_EQ(bucket_of(0, 7), 0u);
  EXPECT_EQ(bucket_of(~uint64_t{0}, 7), 6u);
  EXPECT_EQ(bucket_of(uint64_t{1} << 63, 65'536), 32'768u);
}

TEST_F(RowHash, TypeTextsAreReadAsDuckdbWritesThem) {
  auto type = parse_scalar_type("DECIMAL(12,2)");
  ASSERT_TRUE(type);
  EXPECT_EQ(type->decimal_scale, 2);
  EXPECT_EQ(type->storage, Storage::kI64);
  type = parse_scalar_type("ENUM('a', 'it''s', 'x, y')");
  ASSERT_TRUE(type);
  EXPECT_EQ(type->enum_texts, (std::vector<std::string>{"a", "it's", "x, y"}));
  for (const char* text : {"DECIMAL(39,2)", "DECIMAL(4,5)", "DECIMAL(", "ENUM('a", "INTEGER[]", "",
                           "STRUCT(a INTEGER)", "integer"}) {
    EXPECT_FALSE(parse_scalar_type(text)) << text;
  }
  EXPECT_EQ(plain_type_text("STRUCT(\"a\" INTEGER, \"b c\" VARCHAR, \"q\"\"x\" ENUM('\"y\"'))"),
            "STRUCT(a INTEGER, \"b c\" VARCHAR, \"q\"\"x\" ENUM('\"y\"'))");
}

// Texts that rows share are hashed once.
TEST(RowHashOfTexts, IsTheSameWhereItIsKnownWhatTextsRowsShare) {
  const std::string long_text = "a text that is longer than twelve bytes";
  const StringRef texts[] = {StringRef::of("DE"), StringRef::of(""), StringRef::of(long_text)};
  std::vector<StringRef> values;
  std::vector<uint16_t> codes;
  for (uint16_t row = 0; row < 1'500; ++row) {
    codes.push_back(row * 7 % 3);
    values.push_back(texts[codes.back()]);
  }
  std::vector<uint64_t> valid(values.size() / 64 + 1, 0xdb6d'b6db'6db6'db6dULL);
  const auto hasher = KeyHasher::create(*parse_scalar_type("VARCHAR"), "VARCHAR");
  ASSERT_TRUE(hasher);
  for (const uint64_t* validity :
       {static_cast<const uint64_t*>(nullptr), static_cast<const uint64_t*>(valid.data())}) {
    const ColumnView plain{.data = values.data(), .validity = validity};
    ColumnView coded = plain;
    coded.codes = codes.data();
    coded.texts = texts;
    coded.text_count = 3;
    for (const bool first : {true, false}) {
      std::vector<uint64_t> want(values.size(), 5), got(values.size(), 5);
      ASSERT_TRUE(hasher->fold(plain, values.size(), first, want.data()));
      ASSERT_TRUE(hasher->fold(coded, values.size(), first, got.data()));
      EXPECT_EQ(got, want);
    }
    uint64_t want = 0, got = 0;
    ASSERT_TRUE(hasher->sum(plain, values.size(), want));
    ASSERT_TRUE(hasher->sum(coded, values.size(), got));
    EXPECT_EQ(got, want);
  }
}

}  // namespace
}  // namespace tidegate::batch
