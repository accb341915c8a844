#include "plan/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"

namespace tidegate {
namespace {

constexpr uint64_t kSampleRows = 20'000;  ///< of each place
/// What a sample in which every row is new stands for.
constexpr double kDistinctMax = 1e12;
constexpr int kHalvingsMax = 100;
constexpr uint64_t kSampleMemory = uint64_t{256} << 20;

}  // namespace

double expected_distinct(double distinct, double rows) {
  return distinct * -std::expm1(-rows / distinct);
}

Result<KeySample> sample_keys(Effects& effects, const SourceSnapshot& snapshot,
                              const std::vector<std::string>& columns) {
  KeySample sample;
  if (snapshot.partitions.empty()) return sample;
  TG_ASSIGN(const auto database, sql::Database::open({.memory_bytes = kSampleMemory}));
  TG_ASSIGN(const auto connection, database->connect());
  std::vector<std::string> names, texts;
  for (const std::string& column : columns) {
    names.push_back(quote_identifier(column));
    const auto is_text = [&](const sql::Column& each) {
      return each.name == column && (each.type == "VARCHAR" || each.type == "BLOB");
    };
    if (std::any_of(snapshot.schema.begin(), snapshot.schema.end(), is_text))
      texts.push_back(fmt::format(" + coalesce(octet_length(CAST({} AS BLOB)), 0)", names.back()));
  }
  const size_t last = snapshot.partitions.size() - 1;
  std::vector<std::string> samples;
  for (const size_t place : std::set<size_t>{0, last / 2, last}) {
    TG_ASSIGN(const std::string scan,
              scan_sql(effects, snapshot, snapshot.partitions[place], columns));
    samples.push_back(fmt::format("(SELECT hash({}) AS h, 0{} AS b FROM ({}) LIMIT {})",
                                  join(names, ", "), join(texts, ""), scan, kSampleRows));
  }
  TG_ASSIGN(const sql::Table found,
            connection->query(fmt::format("SELECT count(*), count(DISTINCT h), avg(b) FROM ({})",
                                          join(samples, " UNION ALL "))));
  const double rows = std::strtod(found.rows.at(0).at(0).text.c_str(), nullptr);
  const double seen = std::strtod(found.rows.at(0).at(1).text.c_str(), nullptr);
  if (rows == 0 || seen == 0) return sample;
  sample.bytes = std::strtod(found.rows.at(0).at(2).text.c_str(), nullptr);
  // The population in which that many rows would meet that many values, found by halving.
  double low = seen, high = kDistinctMax;
  sample.distinct = high;
  if (expected_distinct(high, rows) <= seen) return sample;
  for (int step = 0; step < kHalvingsMax && high > low * 1.001; ++step) {
    const double middle = std::sqrt(low * high);
    (expected_distinct(middle, rows) < seen ? low : high) = middle;
  }
  sample.distinct = low;
  return sample;
}

}  // namespace tidegate
