// What a text costs in a map output's blocks: bytes, and time to encode it, to view it as a kernel
// does, and to put it into one of DuckDB's vectors. `block_texts [NAME...]`; a line for each case.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "base/hash.h"
#include "duckdb.h"
#include "shuffle/block_decoder.h"
#include "shuffle/block_encoder.h"
#include "shuffle/format.h"
#include "sql/sql.h"

namespace tidegate::shuffle {
namespace {

constexpr size_t kBlocks = 64;
constexpr int kRounds = 15;
constexpr uint32_t kVectorRows = 2'048;

/// A number that looks random, for each row.
uint64_t random_of(uint64_t row) {
  row += 0x9e37'79b9'7f4a'7c15ULL;
  row = (row ^ (row >> 30)) * 0xbf58'476d'1ce4'e5b9ULL;
  row = (row ^ (row >> 27)) * 0x94d0'49bb'1331'11ebULL;
  return row ^ (row >> 31);
}

std::string url_of(uint64_t v) {
  return fmt::format("https://www.shop-{}.example.com/catalogue/{}/item-{}", v % 97, v % 1'009,
                     v % 1'000'000);
}
std::string digits_of(uint64_t v) { return hex64(v) + hex64(random_of(v)); }
std::string word_of(uint64_t v) { return hex64(v).substr(0, 3 + v % 8); }

struct Case {
  std::string name;
  std::function<std::string(uint64_t random)> text;
  bool sorted = false;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"urls", url_of},
      {"urls-sorted", url_of, true},
      {"urls-but-1%", [](uint64_t v) { return v % 101 == 0 ? std::string() : url_of(v); }},
      {"items", [](uint64_t v) { return fmt::format("item-{}", v % 1'000'000); }},
      {"names", [](uint64_t v) { return fmt::format("Customer#{:09}", v % 1'000'000); }},
      {"digits", digits_of},
      {"words", word_of},
      {"200-urls", [](uint64_t v) { return url_of(v % 200); }},
      {"1000-urls", [](uint64_t v) { return url_of(v % 1'000); }},
      {"1000-items", [](uint64_t v) { return fmt::format("item-{}", v % 1'000); }},
      {"1000-words", [](uint64_t v) { return word_of(random_of(v % 1'000)); }},
  };
  return all;
}

/// Of this thread: others use the machine, too.
double cpu_seconds() {
  timespec now{};
  (void)::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// The least of some rounds, in ns a row.
template <typename Work>
double best(uint64_t rows, const Work& work) {
  double least = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const double begin = cpu_seconds();
    work();
    least = std::min(least, cpu_seconds() - begin);
  }
  return least * 1e9 / static_cast<double>(rows);
}

struct Block {
  std::vector<uint32_t> sizes;
  std::string texts;
  std::vector<std::byte> bytes;
};

void run(const Case& of, const batch::ColumnType& type, duckdb_data_chunk chunk) {
  std::vector<std::string> texts;
  for (uint64_t row = 0; row < kBlocks * kBlockRowsMax; ++row)
    texts.push_back(of.text(random_of(row)));
  if (of.sorted) std::sort(texts.begin(), texts.end());
  std::vector<Block> blocks(kBlocks);
  uint64_t plain = 0, packed = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    Block& block = blocks[i / kBlockRowsMax];
    block.sizes.push_back(static_cast<uint32_t>(texts[i].size()));
    block.texts += texts[i];
    plain += texts[i].size();
  }
  BlockEncoder encoder;
  const double encode = best(texts.size(), [&] {
    for (Block& block : blocks) {
      encoder.bytes().clear();
      encoder.encode(
          {.storage = type.storage, .values = block.sizes.data(), .texts = block.texts.data()},
          kBlockRowsMax);
      block.bytes.assign(encoder.bytes().begin(), encoder.bytes().end());
    }
  });
  for (const Block& block : blocks) packed += block.bytes.size();
  uint64_t sum = 0;
  const double check = best(texts.size(), [&] {
    for (const Block& block : blocks) sum += xxh3_64(block.bytes.data(), block.bytes.size());
  });
  ColumnBuffer buffer;
  const double view = best(texts.size(), [&] {
    for (const Block& block : blocks) {
      auto cursor = ColumnCursor::open(type, block.bytes, kBlockRowsMax);
      if (!cursor) std::abort();
      const auto* refs = static_cast<const batch::StringRef*>(cursor->view(buffer).data);
      for (uint32_t i = 0; i < kBlockRowsMax; ++i) sum += xxh3_64(refs[i].view());
    }
  });
  const double read = best(texts.size(), [&] {
    for (const Block& block : blocks) {
      auto cursor = ColumnCursor::open(type, block.bytes, kBlockRowsMax);
      if (!cursor) std::abort();
      for (uint32_t row = 0; row < kBlockRowsMax; row += kVectorRows) {
        duckdb_data_chunk_reset(chunk);
        cursor->vector_changed();
        if (!cursor->read(kVectorRows, duckdb_data_chunk_get_vector(chunk, 0), 0)) std::abort();
      }
    }
  });
  const auto a_row = [&](uint64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(texts.size());
  };
  fmt::print(
      "{:12} {:5.1f} bytes of text, {:5.1f} in a block; ns a row: encode {:5.1f}, check {:4.1f}, "
      "view and hash {:5.1f}, read {:5.1f}  [{}]\n",
      of.name, a_row(plain), a_row(packed), encode, check, view, read, sum % 10);
}

int main_of(const std::vector<std::string>& names) {
  if (!sql::load_library()) return 1;
  const auto type = batch::parse_scalar_type("VARCHAR");
  duckdb_logical_type logical = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
  duckdb_data_chunk chunk = duckdb_create_data_chunk(&logical, 1);
  for (const Case& of : cases()) {
    if (names.empty() || std::find(names.begin(), names.end(), of.name) != names.end())
      run(of, *type, chunk);
  }
  duckdb_destroy_data_chunk(&chunk);
  duckdb_destroy_logical_type(&logical);
  return 0;
}

}  // namespace
}  // namespace tidegate::shuffle

int main(int argc, char** argv) { return tidegate::shuffle::main_of({argv + 1, argv + argc}); }
