#include "plan/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>

#include "base/text.h"

namespace tidegate {
namespace {

constexpr uint64_t kSampleRows = 20'000;  ///< of each place
/// What a sample in which every row is new stands for.
constexpr double kDistinctMax = 1e12;
constexpr int kHalvingsMax = 100;
/// A third of the rows with a smaller share of the keys than this that it would have is uneven.
constexpr double kEvenShareMin = 0.93;
constexpr uint64_t kSampleMemory = uint64_t{256} << 20;

/// How many different values there are among `rows` drawn from `distinct`, all as likely.
double expected_distinct(double distinct, double rows) {
  return distinct * -std::expm1(-rows / distinct);
}

/// The population in which that many rows would meet that many values, found by halving.
double population(double rows, double seen) {
  double low = seen, high = kDistinctMax;
  if (expected_distinct(high, rows) <= seen) return high;
  for (int step = 0; step < kHalvingsMax && high > low * 1.001; ++step) {
    const double middle = std::sqrt(low * high);
    (expected_distinct(middle, rows) < seen ? low : high) = middle;
  }
  return low;
}

}  // namespace

double KeySample::among(double rows) const {
  if (is_even()) return expected_distinct(distinct, rows);
  return std::min(rows, scale * std::pow(rows, growth));
}

double KeySample::rows_with(double keys) const {
  if (is_even()) {
    return keys < distinct ? -distinct * std::log1p(-keys / distinct)
                           : std::numeric_limits<double>::infinity();
  }
  return std::max(keys, std::pow(keys / scale, 1 / growth));
}

std::string to_text(const KeySample& sample) {
  return fmt::format("{:.0f} {:.0f} {:.4f} {:.4f}", sample.distinct, sample.bytes, sample.growth,
                     sample.scale);
}

std::optional<KeySample> key_sample_from(const std::string& text) {
  KeySample sample;
  std::istringstream numbers(text);
  if (!(numbers >> sample.distinct >> sample.bytes >> sample.growth >> sample.scale)) return {};
  return sample;
}

KeySample key_sample(double rows, double seen, double rows_before, double seen_before,
                     double bytes) {
  KeySample sample{.distinct = population(rows, seen), .bytes = bytes};
  const bool two = rows_before > 0 && rows_before < rows && seen_before > 1;
  if (!two || seen_before >= kEvenShareMin * expected_distinct(sample.distinct, rows_before))
    return sample;
  sample.growth = std::min(1.0, std::log(seen / seen_before) / std::log(rows / rows_before));
  if (sample.growth <= 0) return KeySample{.distinct = seen, .bytes = bytes};
  sample.scale = seen / std::pow(rows, sample.growth);
  return sample;
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
    samples.push_back(fmt::format("(SELECT hash({}) AS h, 0{} AS b, {} AS p FROM ({}) LIMIT {})",
                                  join(names, ", "), join(texts, ""), samples.size(), scan,
                                  kSampleRows));
  }
  TG_ASSIGN(const sql::Table found,
            connection->query(fmt::format(
                "SELECT count(*), count(DISTINCT h), avg(b), count(*) FILTER (WHERE p = 0), "
                "count(DISTINCT h) FILTER (WHERE p = 0) FROM ({})",
                join(samples, " UNION ALL "))));
  const auto number = [&](size_t column) {
    return std::strtod(found.rows.at(0).at(column).text.c_str(), nullptr);
  };
  if (number(0) == 0 || number(1) == 0) return sample;
  return key_sample(number(0), number(1), number(3), number(4), number(2));
}

}  // namespace tidegate
