#include <random>
#include <set>

#include "base/hash.h"
#include "base/memory_file.h"
#include "batch/value_codec.h"
#include "shuffle/bucket_scan.h"
#include "shuffle/format.h"
#include "shuffle/map_output_fixture.h"

#include "duckdb.h"

namespace tidegate {
namespace {

constexpr const char* kSelect =
    "SELECT i::BIGINT AS k, (i % 5)::TINYINT AS t, i * 0.25 AS d, sqrt(i) AS r, CASE WHEN i % 4 = "
    "0 "
    "THEN NULL ELSE md5(i::VARCHAR) END AS s, CASE WHEN i % 6 = 0 THEN NULL ELSE 'text ' || i END "
    "AS p, CASE WHEN i % 7 = 0 THEN 'other' ELSE 'https://example.com/' || i END AS u, ['a', "
    "'b'][(i % 2 + 1)::INTEGER] AS e, "
    "to_days((i % 3)::INTEGER) AS v, [i, NULL] AS l, {'a': i::HUGEINT, 'b': 'x' || i} AS st, CASE "
    "WHEN i "
    "% 2 = 0 THEN 'red' ELSE 'blue' END::ENUM('red', 'blue') AS en FROM range(40) r(i)";

class Mutations : public MapOutputFixture {
 protected:
  void SetUp() override {
    MapOutputFixture::SetUp();
    if (HasFatalFailure()) return;
    load(kSelect, {.keys = {{0, "BIGINT"}}, .buckets = 3, .attempt = "a1"});
  }
  void TearDown() override {
    forget_types();
    MapOutputFixture::TearDown();
  }

  /// Makes the rows of a SELECT the file that is read.
  void load(const std::string& select, const MapOutputOptions& options) {
    forget_types();
    auto written = write(select, file("m"), options);
    ASSERT_TRUE(written) << written.error().describe();
    memory_.bytes = bytes(file("m"));
    original_ = memory_.bytes;
    table_.effects = &memory_;
    auto info = read_map_output_info(memory_, "m");
    ASSERT_TRUE(info) << info.error().describe();
    table_.schema = info->schema;
    table_.files = {{"m", "a1"}};
    table_.bucket_end = options.buckets;
    table_.memory_bytes = 1 << 20;
    table_.types.clear();
    for (const sql::Column& column : table_.schema) {
      auto type = connection_->make_type(column.type);
      ASSERT_TRUE(type);
      logical_.push_back(*type);
      auto parts = batch::column_type(*type);
      ASSERT_TRUE(parts);
      table_.types.push_back(*parts);
    }
  }
  void forget_types() {
    for (duckdb_logical_type& type : logical_) duckdb_destroy_logical_type(&type);
    logical_.clear();
  }

  /// Reads one bucket with all columns: a number for each row that a reader may use, which stands
  /// for all its values; whether the end came; or the failure after them.
  struct Used {
    std::vector<uint64_t> rows;
    std::optional<Failure> failure;
  };
  Used read_bucket(uint32_t bucket) {
    shuffle::BucketTable table = table_;
    table.bucket_begin = bucket;
    table.bucket_end = bucket + 1;
    std::vector<uint32_t> columns;
    for (uint32_t i = 0; i < table.schema.size(); ++i) columns.push_back(i);
    shuffle::BucketScan scan(table, columns);
    duckdb_data_chunk chunk = duckdb_create_data_chunk(logical_.data(), logical_.size());
    Used used;
    while (true) {
      duckdb_data_chunk_reset(chunk);
      const Status status = scan.fill(chunk);
      if (!status) used.failure = status.error();
      const idx_t rows = status ? duckdb_data_chunk_get_size(chunk) : 0;
      if (rows == 0) break;
      std::vector<std::string> values(rows);
      for (size_t c = 0; c < columns.size(); ++c) {
        const auto tree =
            batch::VectorTree::of(table.types[c], duckdb_data_chunk_get_vector(chunk, c));
        for (idx_t i = 0; i < rows; ++i) {
          batch::encode_value(table.types[c], tree, i, values[i]);
        }
      }
      for (const std::string& value : values) used.rows.push_back(xxh3_64(value));
    }
    duckdb_destroy_data_chunk(&chunk);
    return used;
  }

  /// Flips each bit of the bytes at `places`, one at a time: some bucket's reader must fail as
  /// lost, and what readers were given is what was written.
  void flip_every_bit(const std::set<size_t>& places) {
    std::vector<std::vector<uint64_t>> wanted;
    for (uint32_t b = 0; b < table_.bucket_end; ++b) {
      Used used = read_bucket(b);
      ASSERT_FALSE(used.failure) << used.failure->describe();
      wanted.push_back(std::move(used.rows));
    }
    for (const size_t at : places) {
      for (int bit = 0; bit < 8; ++bit) {
        const char good = memory_.bytes[at];
        memory_.bytes[at] = static_cast<char>(good ^ (1 << bit));
        bool found = false;
        for (uint32_t b = 0; b < table_.bucket_end; ++b) {
          const Used used = read_bucket(b);
          ASSERT_LE(used.rows.size(), wanted[b].size()) << "byte " << at << " bit " << bit;
          ASSERT_TRUE(std::equal(used.rows.begin(), used.rows.end(), wanted[b].begin()))
              << "byte " << at << " bit " << bit << ": an altered row was used";
          if (!used.failure) {
            ASSERT_EQ(used.rows.size(), wanted[b].size()) << "byte " << at << " bit " << bit;
            continue;
          }
          found = true;
          ASSERT_EQ(used.failure->cls, FailureClass::kLost) << used.failure->describe();
        }
        ASSERT_TRUE(found) << "byte " << at << " bit " << bit;
        memory_.bytes[at] = good;
      }
    }
  }

  /// Reads all rows; the sum of the first column, or the failure.
  Result<int64_t> read_all() {
    std::vector<uint32_t> columns;
    for (uint32_t i = 0; i < table_.schema.size(); ++i) columns.push_back(i);
    shuffle::BucketScan scan(table_, columns);
    duckdb_data_chunk chunk = duckdb_create_data_chunk(logical_.data(), logical_.size());
    int64_t sum = 0;
    Status status;
    while (true) {
      duckdb_data_chunk_reset(chunk);
      status = scan.fill(chunk);
      const idx_t rows = status ? duckdb_data_chunk_get_size(chunk) : 0;
      if (rows == 0) break;
      const auto* keys = static_cast<const int64_t*>(
          duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0)));
      for (idx_t i = 0; i < rows; ++i) sum += keys[i];
    }
    duckdb_destroy_data_chunk(&chunk);
    if (!status) return std::unexpected(status.error());
    return sum;
  }
  void expect_lost(const Result<int64_t>& read, const std::string& what) {
    ASSERT_FALSE(read) << what;
    EXPECT_EQ(read.error().cls, FailureClass::kLost) << what << ": " << read.error().describe();
  }

  MemoryFile memory_;
  std::string original_;
  shuffle::BucketTable table_;
  std::vector<duckdb_logical_type> logical_;
};

constexpr int64_t kSum = 40 * 39 / 2;

TEST_F(Mutations, TheUnchangedFileReads) {
  auto read = read_all();
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_EQ(*read, kSum);
}

// Head, schema, blocks, range tables and tails, footer, tail.
TEST_F(Mutations, EveryFlippedBitIsFoundBeforeARowIsUsed) {
  const std::string few = std::string(kSelect).replace(std::string(kSelect).find("40"), 2, "12");
  load(few, {.keys = {{0, "BIGINT"}}, .buckets = 3, .attempt = "a1"});
  ASSERT_LT(memory_.bytes.size(), 6'000u);
  std::set<size_t> places;
  for (size_t at = 0; at < memory_.bytes.size(); ++at) places.insert(at);
  flip_every_bit(places);
}

// Several ranges, linked from the last to the first: every bit but for those of the long texts, of
// which some are flipped.
TEST_F(Mutations, EveryFlippedBitOfAChainIsFoundBeforeARowIsUsed) {
  load("SELECT i::INTEGER AS i, repeat(chr((97 + i)::INTEGER), 300000) AS s FROM range(3) r(i)",
       {.buckets = 1, .attempt = "a1", .memory_bytes = 4 << 20});
  auto opened = shuffle::MapOutputFile::open(memory_, "m");
  ASSERT_TRUE(opened);
  auto entries = opened->all_entries();
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->at(0).ranges, 3u);
  std::set<size_t> places;
  for (size_t at = 0; at < memory_.bytes.size(); ++at) {
    const bool text = at > 0 && memory_.bytes[at] >= 'a' && memory_.bytes[at] <= 'c' &&
                      memory_.bytes[at] == memory_.bytes[at - 1];
    if (!text || at % 30'011 == 0) places.insert(at);
  }
  ASSERT_LT(places.size(), 2'000u);
  flip_every_bit(places);
}

TEST_F(Mutations, EveryTruncationIsFound) {
  for (size_t size = 0; size < original_.size(); ++size) {
    memory_.bytes = original_.substr(0, size);
    expect_lost(read_all(), "cut at " + std::to_string(size));
  }
  memory_.bytes = original_ + "x";
  expect_lost(read_all(), "one byte more");
}

TEST_F(Mutations, ZeroedRangesAreFound) {
  for (size_t at = 0; at < original_.size(); at += 64) {
    memory_.bytes = original_;
    const size_t size = std::min<size_t>(256, original_.size() - at);
    memory_.bytes.replace(at, size, size, '\0');
    if (memory_.bytes != original_) expect_lost(read_all(), "zeros at " + std::to_string(at));
  }
}

// Blocks whose checksum is right by chance or malice: only the decoder's own checks stand between
// them and memory. They may give any rows, but never a bad access.
TEST_F(Mutations, DecoderSurvivesAnyBytes) {
  auto file = shuffle::MapOutputFile::open(memory_, "m");
  ASSERT_TRUE(file);
  auto entries = file->all_entries();
  ASSERT_TRUE(entries);
  std::mt19937_64 random(7);
  duckdb_data_chunk chunk = duckdb_create_data_chunk(logical_.data(), logical_.size());
  size_t accepted = 0;
  size_t refused = 0;
  for (const shuffle::BucketEntry& entry : *entries) {
    auto ranges = shuffle::bucket_ranges(*file, entry, 1 << 20);
    ASSERT_TRUE(ranges);
    shuffle::RangeTail tail;
    auto blocks = shuffle::range_blocks(*file, ranges->at(0), tail);
    ASSERT_TRUE(blocks);
    const uint32_t rows = blocks->at(0).rows;
    std::vector<std::byte> block(blocks->at(0).bytes);
    ASSERT_TRUE(file->read(block, ranges->at(0).offset));
    auto columns = shuffle::split_block(block, table_.schema.size());
    ASSERT_TRUE(columns);
    for (size_t c = 0; c < columns->size(); ++c) {
      for (int round = 0; round < 2'000; ++round) {
        // Its own allocation, exactly as long: one byte too far is seen by the sanitizer.
        std::vector<std::byte> mutant(columns->at(c).begin(), columns->at(c).end());
        const int edits = 1 + static_cast<int>(random() % 3);
        for (int i = 0; i < edits && !mutant.empty(); ++i) {
          mutant[random() % std::min<size_t>(mutant.size(), random() % 2 == 0 ? 24 : 1 << 20)] =
              static_cast<std::byte>(random() % 4 == 0 ? 0xff : random());
        }
        if (random() % 5 == 0) mutant.resize(random() % (mutant.size() + 1));
        std::vector<std::byte> exact(mutant);
        exact.shrink_to_fit();
        const uint32_t claimed = random() % 8 == 0 ? 1 + random() % 2'000 : rows;
        duckdb_data_chunk_reset(chunk);
        auto cursor = shuffle::ColumnCursor::open(table_.types[c], exact, claimed);
        if (cursor && cursor->read(std::min<uint32_t>(claimed, 2'048),
                                   duckdb_data_chunk_get_vector(chunk, c), 0)) {
          ++accepted;
        } else {
          ++refused;
        }
      }
    }
    for (int round = 0; round < 2'000; ++round) {
      std::vector<std::byte> noise(random() % 200);
      for (std::byte& byte : noise) byte = static_cast<std::byte>(random() % 9);
      (void)shuffle::split_block(noise, table_.schema.size());
      for (const auto& type : table_.types) {
        duckdb_data_chunk_reset(chunk);
        auto cursor = shuffle::ColumnCursor::open(type, noise, 1 + random() % 100);
        accepted += cursor ? 1 : 0;
      }
    }
  }
  duckdb_destroy_data_chunk(&chunk);
  EXPECT_GT(accepted, 0u);
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace tidegate
