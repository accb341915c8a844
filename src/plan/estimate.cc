#include "plan/estimate.h"

#include <fmt/format.h>

#include <set>

#include "base/text.h"

namespace tidegate {
namespace {

constexpr uint64_t kSampleRows = 20'000;  ///< of each place
constexpr uint64_t kSampleMemory = uint64_t{256} << 20;

}  // namespace

Result<double> distinct_share(Effects& effects, const SourceSnapshot& snapshot,
                              const std::vector<std::string>& columns) {
  if (snapshot.partitions.empty()) return 1;
  TG_ASSIGN(const auto database, sql::Database::open({.memory_bytes = kSampleMemory}));
  TG_ASSIGN(const auto connection, database->connect());
  std::vector<std::string> names;
  for (const std::string& column : columns) names.push_back(quote_identifier(column));
  const size_t last = snapshot.partitions.size() - 1;
  std::vector<std::string> samples;
  for (const size_t place : std::set<size_t>{0, last / 2, last}) {
    TG_ASSIGN(const std::string scan,
              scan_sql(effects, snapshot, snapshot.partitions[place], columns));
    samples.push_back(fmt::format("(SELECT hash({}) AS h FROM ({}) LIMIT {})", join(names, ", "),
                                  scan, kSampleRows));
  }
  TG_ASSIGN(
      const sql::Table found,
      connection->query(fmt::format("SELECT count(DISTINCT h) / greatest(count(*), 1) FROM ({})",
                                    join(samples, " UNION ALL "))));
  return std::strtod(found.scalar().c_str(), nullptr);
}

}  // namespace tidegate
