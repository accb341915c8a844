#include <cstring>
#include <functional>

#include "base/hash.h"
#include "base/memory_file.h"
#include "duckdb.h"
#include "shuffle/bucket_scan.h"
#include "shuffle/format.h"
#include "shuffle/map_output_fixture.h"

namespace tidegate {
namespace {

using shuffle::BlockEntry;
using shuffle::BucketEntry;
using shuffle::FileTail;
using shuffle::RangeTail;

constexpr uint32_t kBucket = 1;

/// A file whose every checksum is right, but whose blocks are not those that its writer was given
/// rows for: what a mistake in our own code, or of the machine's memory, would make.
class ReadChecks : public MapOutputFixture {
 protected:
  void TearDown() override {
    for (duckdb_logical_type& type : logical_) duckdb_destroy_logical_type(&type);
    MapOutputFixture::TearDown();
  }

  void load(const std::string& select, const std::vector<HashKey>& keys) {
    MapOutputOptions options{.keys = keys, .buckets = 3, .attempt = "a1"};
    auto written = write(select, file("m"), options);
    ASSERT_TRUE(written) << written.error().describe();
    memory_.bytes = bytes(file("m"));
    auto info = read_map_output_info(memory_, "m");
    ASSERT_TRUE(info) << info.error().describe();
    EXPECT_EQ(info->keys.size(), keys.size());
    rows_ = info->bucket_rows[kBucket];
    table_.effects = &memory_;
    table_.schema = info->schema;
    table_.files = {{"m", "a1"}};
    table_.bucket_end = options.buckets;
    table_.memory_bytes = 1 << 20;
    for (const sql::Column& column : table_.schema) {
      auto type = connection_->make_type(column.type);
      ASSERT_TRUE(type);
      logical_.push_back(*type);
      auto parts = batch::column_type(*type);
      ASSERT_TRUE(parts);
      table_.types.push_back(*parts);
    }
  }

  template <typename T>
  T get(uint64_t at) const {
    T value;
    std::memcpy(&value, memory_.bytes.data() + at, sizeof value);
    return value;
  }
  template <typename T>
  void put(uint64_t at, const T& value) {
    std::memcpy(memory_.bytes.data() + at, &value, sizeof value);
  }

  /// Lets `change` alter the blocks of the bucket's one range and their entries, then makes all
  /// checksums, counts of rows too, right again.
  void alter(const std::function<void(std::vector<std::string>& blocks,
                                      std::vector<BlockEntry>& entries)>& change) {
    const auto head = get<shuffle::FileHead>(0);
    auto tail = get<FileTail>(memory_.bytes.size() - sizeof(FileTail));
    std::vector<BucketEntry> buckets;
    for (uint32_t b = 0; b < tail.buckets; ++b)
      buckets.push_back(get<BucketEntry>(tail.footer_offset + b * sizeof(BucketEntry)));
    BucketEntry& bucket = buckets[kBucket];
    ASSERT_EQ(bucket.ranges, 1U);
    auto range = get<RangeTail>(bucket.last_offset + bucket.last_bytes - sizeof(RangeTail));
    std::vector<BlockEntry> entries;
    std::vector<std::string> blocks;
    uint64_t at = bucket.last_offset;
    const uint64_t table = bucket.last_offset + bucket.last_bytes - sizeof(RangeTail) -
                           range.blocks * sizeof(BlockEntry);
    for (uint32_t i = 0; i < range.blocks; ++i) {
      entries.push_back(get<BlockEntry>(table + i * sizeof(BlockEntry)));
      blocks.push_back(memory_.bytes.substr(at, entries[i].bytes));
      at += entries[i].bytes;
    }
    change(blocks, entries);
    // The new range goes to the end of the data, so that nothing else moves.
    std::string out = memory_.bytes.substr(0, tail.footer_offset);
    bucket.last_offset = out.size();
    bucket.rows = 0;
    std::string links;
    for (size_t i = 0; i < blocks.size(); ++i) {
      entries[i].bytes = static_cast<uint32_t>(blocks[i].size());
      entries[i].check = xxh3_64(blocks[i]);
      bucket.rows += entries[i].rows;
      out += blocks[i];
      links.append(reinterpret_cast<const char*>(&entries[i]), sizeof(BlockEntry));
    }
    range.blocks = static_cast<uint32_t>(blocks.size());
    links.append(reinterpret_cast<const char*>(&range), sizeof range);
    out += links;
    bucket.last_bytes = out.size() - bucket.last_offset;
    bucket.last_chain = xxh3_64(links);
    bucket.check = check_of(bucket, head.content_check);
    tail.footer_offset = out.size();
    tail.footer_check = xxh3_64(buckets.data(), buckets.size() * sizeof(BucketEntry));
    tail.rows = 0;
    for (const BucketEntry& entry : buckets) tail.rows += entry.rows;
    tail.check = check_of(tail);
    out.append(reinterpret_cast<const char*>(buckets.data()), buckets.size() * sizeof(BucketEntry));
    out.append(reinterpret_cast<const char*>(&tail), sizeof tail);
    memory_.bytes = out;
  }

  /// Reads the bucket's `columns` to the end, as a kernel does.
  Status views(std::vector<uint32_t> columns) {
    const shuffle::BucketTable table = bucket();
    shuffle::BucketScan scan(table, std::move(columns));
    std::vector<batch::ColumnView> views;
    uint64_t rows = 0;
    while (true) {
      TG_ASSIGN(const uint32_t count, scan.next(views));
      if (count == 0) break;
      rows += count;
    }
    EXPECT_EQ(rows, rows_);
    return {};
  }
  /// The same, as DuckDB does.
  Status chunks(const std::vector<uint32_t>& columns) {
    const shuffle::BucketTable table = bucket();
    std::vector<duckdb_logical_type> types;
    for (const uint32_t column : columns) types.push_back(logical_[column]);
    shuffle::BucketScan scan(table, columns);
    duckdb_data_chunk chunk = duckdb_create_data_chunk(types.data(), types.size());
    Status status;
    uint64_t rows = 0;
    while (status) {
      duckdb_data_chunk_reset(chunk);
      status = scan.fill(chunk);
      const idx_t count = status ? duckdb_data_chunk_get_size(chunk) : 0;
      if (count == 0) break;
      rows += count;
    }
    duckdb_destroy_data_chunk(&chunk);
    EXPECT_TRUE(!status || rows == rows_) << rows;
    return status;
  }
  void expect_found(const char* what) {
    for (const std::vector<uint32_t>& columns : {std::vector<uint32_t>{0, 1, 2}, {2}, {1, 0}}) {
      for (const Status& status : {views(columns), chunks(columns)}) {
        ASSERT_FALSE(status) << what;
        EXPECT_EQ(status.error().cls, FailureClass::kLost) << what;
        EXPECT_EQ(status.error().code, "shuffle.rows") << what << status.error().describe();
        EXPECT_NE(status.error().message.find("\"m\""), std::string::npos) << what;
      }
    }
  }
  void expect_good() {
    for (const std::vector<uint32_t>& columns : {std::vector<uint32_t>{0, 1, 2}, {2}, {1, 0}}) {
      for (const Status& status : {views(columns), chunks(columns)})
        EXPECT_TRUE(status) << status.error().describe();
    }
  }

  shuffle::BucketTable bucket() const {
    shuffle::BucketTable table = table_;
    table.bucket_begin = kBucket;
    table.bucket_end = kBucket + 1;
    return table;
  }

  MemoryFile memory_;
  shuffle::BucketTable table_;
  std::vector<duckdb_logical_type> logical_;
  uint64_t rows_ = 0;
};

// Blocks of 4,096 rows; each bucket has several, and some NULLs.
constexpr const char* kRows =
    "SELECT CASE WHEN i % 7 = 0 THEN NULL ELSE i END::INTEGER AS k, CASE WHEN i % 5 = 0 THEN NULL "
    "ELSE 'text number ' || i END AS s, i * 0.25 AS d FROM range(50000) r(i)";

TEST_F(ReadChecks, ABlockThatIsMissingIsFound) {
  load(kRows, {{0, "BIGINT"}, {1, "VARCHAR"}});
  expect_good();
  alter([](auto& blocks, auto& entries) {
    ASSERT_GE(blocks.size(), 3U);
    blocks.erase(blocks.begin() + 1);
    entries.erase(entries.begin() + 1);
  });
  expect_found("a block is missing");
}

TEST_F(ReadChecks, ABlockThatIsReadTwiceIsFound) {
  load(kRows, {{0, "BIGINT"}, {1, "VARCHAR"}});
  alter([](auto& blocks, auto& entries) {
    blocks.insert(blocks.begin() + 1, blocks[0]);
    entries.insert(entries.begin() + 1, entries[0]);
  });
  expect_found("a block is there twice");
}

// As many rows, but those of one block instead of another's: only the keys tell.
TEST_F(ReadChecks, ABlockInPlaceOfAnotherIsFound) {
  load(kRows, {{0, "BIGINT"}, {1, "VARCHAR"}});
  alter([](auto& blocks, auto& entries) {
    ASSERT_EQ(entries[0].rows, entries[1].rows);
    blocks[1] = blocks[0];
  });
  expect_found("a block stands in another's place");
}

TEST_F(ReadChecks, BlocksInAnotherOrderAreTheSameRows) {
  load(kRows, {{0, "BIGINT"}, {1, "VARCHAR"}});
  alter([](auto& blocks, auto& entries) {
    std::swap(blocks[1], blocks[0]);
    std::swap(entries[1], entries[0]);
  });
  expect_good();
}

TEST_F(ReadChecks, AKeyThatIsAnotherIsFound) {
  load(kRows, {{0, "BIGINT"}, {1, "VARCHAR"}});
  alter([](auto& blocks, auto&) {
    const size_t at = blocks[0].find("text number ");
    ASSERT_NE(at, std::string::npos);
    blocks[0][at] = 'T';
  });
  expect_found("a key is another");
}

TEST_F(ReadChecks, NestedKeysAndKeysHashedAsAnotherTypeAgree) {
  load("SELECT i::SMALLINT AS k, [i % 3, NULL] AS s, {'a': i} AS d FROM range(20000) r(i)",
       {{1, "BIGINT[]"}, {0, "DECIMAL(18,3)"}});
  expect_good();
}

TEST_F(ReadChecks, WithoutKeysRowsAreCounted) {
  MapOutputOptions options{.attempt = "a1"};
  auto written = write("SELECT i AS k, i AS s, i AS d FROM range(9000) r(i)", file("m"), options);
  ASSERT_TRUE(written);
  ASSERT_TRUE(attach("t", {{file("m"), "a1"}}, 0, 1));
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(k) FROM t"), "9000 40495500");
}

}  // namespace
}  // namespace tidegate
