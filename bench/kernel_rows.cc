// What a row costs a kernel by itself: chunks of made rows go into one, without a scan before it or
// a shuffle around it. `kernel_rows [NAME...]`; prints one line for each case.
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "duckdb.h"
#include "reduce/kernel.h"
#include "sql/sql.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnView;
using batch::StringRef;

constexpr size_t kChunkRows = 2'048;
constexpr uint64_t kMemoryBytes = uint64_t{4} << 30;

/// A number that looks random, for each row.
uint64_t random_of(uint64_t row) {
  row += 0x9e37'79b9'7f4a'7c15ULL;
  row = (row ^ (row >> 30)) * 0xbf58'476d'1ce4'e5b9ULL;
  row = (row ^ (row >> 27)) * 0x94d0'49bb'1331'11ebULL;
  return row ^ (row >> 31);
}

std::string url_of(uint64_t v) {
  return fmt::format("https://www.shop-{}.example.com/catalogue/{}/item-{}", v % 97, v % 1'009, v);
}
std::string country_of(uint64_t v) {
  return {static_cast<char>('A' + v / 26), static_cast<char>('A' + v % 26)};
}

struct Column {
  std::string type;
  std::function<uint64_t(uint64_t random)> number = {};
  std::function<std::string(uint64_t random)> text = {};
  uint64_t texts = 0;  ///< how many there are
};

struct Case {
  std::string name;
  uint64_t rows = 0;
  uint64_t bucket_rows = 0;  ///< after which the kernel begins anew
  std::vector<Column> columns;
  uint32_t keys = 0;
  std::vector<Aggregate> aggregates;
};

/// Rows of one column, a chunk at a time.
class Values {
 public:
  Values(const Column& column, const batch::ColumnType& type, uint64_t salt)
      : column_(column), width_(type.width), salt_(salt), bytes_(kChunkRows * 16) {}
  ColumnView make(uint64_t first, size_t rows) {
    arrived_.clear();
    arrived_.reserve(kChunkRows * 64);
    for (size_t i = 0; i < rows; ++i) {
      const uint64_t random = random_of((first + i) * 8 + salt_);
      if (column_.texts == 0) {
        const uint64_t value = column_.number(random);
        std::memcpy(bytes_.data() + i * width_, &value, width_);
        continue;
      }
      // Beside each other, as a scan leaves them.
      const std::string text = column_.text(random % column_.texts);
      const size_t at = arrived_.size();
      arrived_ += text;
      const StringRef ref = StringRef::of({arrived_.data() + at, text.size()});
      std::memcpy(bytes_.data() + i * sizeof ref, &ref, sizeof ref);
    }
    return {.data = bytes_.data()};
  }

 private:
  const Column& column_;
  size_t width_;
  uint64_t salt_;
  std::vector<char> bytes_;
  std::string arrived_;
};

/// Has the first aggregate's results made, which is a count in every case.
void emit_counts(Kernel& kernel, uint32_t keys, uint64_t groups, duckdb_data_chunk chunk) {
  for (uint64_t begin = 0; begin < groups; begin += kChunkRows) {
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(kChunkRows, groups - begin));
    if (!kernel.emit(begin, count, {keys}, chunk)) std::abort();
  }
}

/// Of this thread: others use the machine, too.
double cpu_seconds() {
  timespec now{};
  (void)::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void run(const Case& of, duckdb_data_chunk chunk) {
  KernelSpec spec;
  std::vector<batch::ColumnType> types;
  std::vector<Values> values;
  for (size_t i = 0; i < of.columns.size(); ++i) {
    spec.input.push_back({fmt::format("c{}", i), of.columns[i].type});
    types.push_back(*batch::parse_scalar_type(of.columns[i].type));
  }
  for (size_t i = 0; i < of.columns.size(); ++i) values.emplace_back(of.columns[i], types[i], i);
  spec.keys = of.keys;
  spec.aggregates = of.aggregates;
  const auto kernel = Kernel::create(spec, types, kMemoryBytes);
  uint64_t groups = 0;
  double seconds = 0, first = 0;
  std::vector<ColumnView> views(of.columns.size());
  for (uint64_t row = 0; row < of.rows; row += kChunkRows) {
    for (size_t i = 0; i < views.size(); ++i) views[i] = values[i].make(row, kChunkRows);
    const double begin = cpu_seconds();
    if (!*kernel->consume({views.data(), kChunkRows})) std::abort();
    if ((row + kChunkRows) % of.bucket_rows < kChunkRows) {
      groups += kernel->finish();
      emit_counts(*kernel, of.keys, kernel->finish(), chunk);
      kernel->clear();
    }
    seconds += cpu_seconds() - begin;
    if (row < of.rows / 4) first = seconds;
  }
  const auto per_row = [&](double spent, uint64_t rows) {
    return spent * 1e9 / static_cast<double>(rows);
  };
  fmt::print("{:10} {:9} groups {:7.1f} ns a row, {:7.1f} after the first quarter, {:6.1f} MiB\n",
             of.name, groups, per_row(seconds, of.rows),
             per_row(seconds - first, of.rows - of.rows / 4),
             static_cast<double>(kernel->peak_bytes()) / (1 << 20));
}

std::vector<Case> cases() {
  using Kind = AggregateKind;
  const auto below = [](uint64_t most) {
    return [most](uint64_t random) { return (random >> 8) % most; };
  };
  const auto cents = [](uint64_t random) {
    return std::bit_cast<uint64_t>(static_cast<double>((random >> 8) % 100'000) / 100);
  };
  const Column amount{"INTEGER", below(1'000)}, price{"DOUBLE", cents};
  const Column country{.type = "VARCHAR", .text = country_of, .texts = 200};
  const auto small = [](uint32_t first) {
    return std::vector<Aggregate>{{.kind = Kind::kCountRows},
                                  {.kind = Kind::kSum, .arguments = {first}},
                                  {.kind = Kind::kMax, .arguments = {first + 1}}};
  };
  const auto urls = [&](uint64_t count) {
    return Column{.type = "VARCHAR", .text = url_of, .texts = count};
  };
  std::vector<Case> all;
  const uint64_t million = 1'048'576;
  all.push_back(
      {"url-1M", 16 * million, 16 * million, {urls(1'000'000), amount, price}, 1, small(1)});
  all.push_back(
      {"url-125k", 8 * million, 8 * million, {urls(125'000), amount, price}, 1, small(1)});
  all.push_back({"url-2k", 4 * million, million / 16, {urls(2'000), amount, price}, 1, small(1)});
  all.push_back({"country", 8 * million, 8 * million, {country, amount, price}, 1, small(1)});
  all.push_back(
      {"k", 8 * million, million / 4, {{"BIGINT", below(20'000)}, amount, price}, 1, small(1)});
  all.push_back({"shop",
                 8 * million,
                 million / 4,
                 {{"INTEGER", below(50)}, country, amount, price, {"TIMESTAMP", below(1ULL << 40)}},
                 2,
                 {{.kind = Kind::kCountRows},
                  {.kind = Kind::kSum, .arguments = {2}},
                  {.kind = Kind::kMin, .arguments = {3}},
                  {.kind = Kind::kMax, .arguments = {3}},
                  {.kind = Kind::kAvg, .arguments = {2}},
                  {.kind = Kind::kMax, .arguments = {4}}}});
  const std::vector<Aggregate> distinct{{.kind = Kind::kCount, .arguments = {1}, .distinct = true}};
  const Column one{.type = "VARCHAR", .text = country_of, .texts = 1};
  all.push_back(
      {"distinct", 8 * million, million, {one, {"BIGINT", below(20'000'000)}}, 1, distinct});
  all.push_back(
      {"distinct-3",
       8 * million,
       million,
       {{.type = "VARCHAR", .text = country_of, .texts = 3}, {"BIGINT", below(2'500'000)}},
       1,
       distinct});
  all.push_back({"distinct-s",
                 8 * million,
                 million,
                 {one, {"BIGINT", [](uint64_t random) { return random; }}},
                 1,
                 distinct});
  all.push_back({"distinct-m",
                 8 * million,
                 million / 8,
                 {{"BIGINT", below(500)}, {"INTEGER", below(50'000)}},
                 1,
                 distinct});
  return all;
}

}  // namespace
}  // namespace tidegate::reduce

int main(int argc, char** argv) {
  using namespace tidegate;
  (void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
  (void)mallopt(M_TRIM_THRESHOLD, INT32_MAX);
  const auto database = sql::Database::open({});
  if (!database) return 1;
  duckdb_logical_type bigint = duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);
  duckdb_data_chunk chunk = duckdb_create_data_chunk(&bigint, 1);
  for (const auto& each : reduce::cases())
    if (argc == 1 || std::find(argv + 1, argv + argc, each.name) != argv + argc)
      reduce::run(each, chunk);
  duckdb_destroy_data_chunk(&chunk);
  duckdb_destroy_logical_type(&bigint);
  return 0;
}
