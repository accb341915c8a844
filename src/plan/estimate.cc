#include "plan/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>

#include "base/text.h"
#include "batch/type.h"
#include "plan/builder.h"

namespace tidegate {
namespace {

constexpr uint64_t kSampleRows = 20'000;  ///< of each place
/// What a sample in which every row is new stands for.
constexpr double kDistinctMax = 1e12;
constexpr int kHalvingsMax = 100;
/// A third of the rows with a smaller share of the keys than this that it would have is uneven.
constexpr double kEvenShareMin = 0.93;

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

/// SQL of `items` over some rows of a source, and of `p`: which of the places they are from.
Result<std::string> sampled_rows(Effects& effects, const SourceSnapshot& snapshot,
                                 const std::vector<std::string>& columns,
                                 const std::string& items) {
  const size_t last = snapshot.partitions.size() - 1;
  std::vector<std::string> samples;
  for (const size_t place : std::set<size_t>{0, last / 2, last}) {
    TG_ASSIGN(const std::string scan,
              scan_sql(effects, snapshot, snapshot.partitions[place], columns));
    samples.push_back(fmt::format("(SELECT {}, {} AS p FROM ({}) LIMIT {})", items, samples.size(),
                                  scan, kSampleRows));
  }
  return join(samples, " UNION ALL ");
}

bool is_integer_type(std::string_view type) {
  const auto parts = batch::parse_scalar_type(type);
  return parts && parts->meaning == batch::Meaning::kInteger;
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

Result<KeySample> sample_keys(Effects& effects, sql::Connection& scratch,
                              const SourceSnapshot& snapshot,
                              const std::vector<std::string>& columns) {
  KeySample sample;
  if (snapshot.partitions.empty()) return sample;
  std::vector<std::string> names, texts;
  for (const std::string& column : columns) {
    names.push_back(quote_identifier(column));
    const auto is_this_text = [&](const sql::Column& each) {
      return each.name == column && is_text(each);
    };
    if (std::any_of(snapshot.schema.begin(), snapshot.schema.end(), is_this_text))
      texts.push_back(fmt::format(" + coalesce(octet_length(CAST({} AS BLOB)), 0)", names.back()));
  }
  TG_ASSIGN(const std::string rows, sampled_rows(effects, snapshot, columns,
                                                 fmt::format("hash({}) AS h, 0{} AS b",
                                                             join(names, ", "), join(texts, ""))));
  TG_ASSIGN(const sql::Table found,
            scratch.query(fmt::format(
                "SELECT count(*), count(DISTINCT h), avg(b), count(*) FILTER (WHERE p = 0), "
                "count(DISTINCT h) FILTER (WHERE p = 0) FROM ({})",
                rows)));
  const auto number = [&](size_t column) {
    return std::strtod(found.rows.at(0).at(column).text.c_str(), nullptr);
  };
  if (number(0) == 0 || number(1) == 0) return sample;
  return key_sample(number(0), number(1), number(3), number(4), number(2));
}

Result<HeldSample> sample_held(Effects& effects, sql::Connection& scratch,
                               const SourceSnapshot& snapshot, const sql::Schema& keys,
                               const sql::Schema& fields) {
  HeldSample sample;
  if (snapshot.partitions.empty() || keys.empty()) return sample;
  std::vector<std::string> columns, names;
  for (const sql::Column& key : keys) {
    columns.push_back(key.name);
    names.push_back(quote_identifier(key.name));
  }
  std::string items = fmt::format("CASE WHEN {} IS NULL THEN NULL ELSE hash({}) END AS h",
                                  join(names, " IS NULL OR "), join(names, ", "));
  std::string asked = "count(h) - count(DISTINCT h)";
  const auto ask = [&](const std::string& name, size_t number) {
    items += fmt::format(", CAST({} AS DOUBLE) AS v{}", quote_identifier(name), number);
    asked += fmt::format(", coalesce(max(v{0}) - min(v{0}), 0)", number);
  };
  size_t spans = 0;
  const bool integer = keys.size() == 1 && is_integer_type(keys[0].type);
  if (integer) ask(keys[0].name, spans++);
  for (const sql::Column& field : fields) {
    if (!is_integer_type(field.type)) {
      sample.field_bytes += static_cast<double>(row_bytes({field}));
      continue;
    }
    ask(field.name, spans++);
    columns.push_back(field.name);
  }
  TG_ASSIGN(const std::string rows, sampled_rows(effects, snapshot, columns, items));
  TG_ASSIGN(const sql::Table found, scratch.query(fmt::format("SELECT {} FROM ({})", asked, rows)));
  const auto number = [&](size_t column) {
    return std::strtod(found.rows.at(0).at(column).text.c_str(), nullptr);
  };
  sample.unique = number(0) == 0;
  if (integer) sample.span = number(1) + 1;
  for (size_t i = integer ? 1 : 0; i < spans; ++i)
    sample.field_bytes += number(1 + i) <= UINT8_MAX    ? 1
                          : number(1 + i) <= UINT16_MAX ? 2
                          : number(1 + i) <= UINT32_MAX ? 4
                                                        : 8;
  return sample;
}

}  // namespace tidegate
