#include "task/reads.h"

#include <fmt/format.h>

#include <atomic>

#include "base/text.h"

namespace tidegate {

Result<Scans> Scans::of(sql::Connection& connection, const std::string& select) {
  TG_ASSIGN(const sql::Table explained, connection.query("EXPLAIN (FORMAT json) " + select));
  Scans scans;
  for (const auto& row : explained.rows) scans.plan_ += to_lower_ascii(row.back().text);
  return scans;
}

uint32_t Scans::count(const std::string& function) const {
  const std::string name = fmt::format("\"name\": \"{}", function);
  uint32_t count = 0;
  for (size_t at = plan_.find(name); at != std::string::npos; at = plan_.find(name, at + 1)) {
    const size_t end = at + name.size();
    if (end < plan_.size() && (plan_[end] == '"' || plan_[end] == ' ')) ++count;
  }
  return count;
}

bool Scans::reads_halves_apart() const { return count("positional_join") > 0; }

Status keep_rows(sql::Connection& connection, const std::string& name,
                 const std::string& function) {
  const std::string quoted = quote_identifier(name);
  TG_TRY(connection.execute("DROP VIEW " + quoted));
  return connection.execute(
      fmt::format("CREATE TEMP TABLE {} AS SELECT * FROM {}()", quoted, function));
}

Status keep_join(sql::Connection& connection, const JoinHalf& left, const JoinHalf& right) {
  static std::atomic<uint64_t> counter{0};
  const std::string table = fmt::format("tidegate_joined_{}", ++counter);
  std::vector<std::string> items, sources;
  const auto add = [&](const JoinHalf& half, const char* alias) {
    if (half.relation.empty()) return;
    sources.push_back(fmt::format("{}() {}", half.function, alias));
    for (size_t i = 0; i < half.columns.size(); ++i)
      items.push_back(
          fmt::format("{}.{} AS {}{}", alias, quote_identifier(half.columns[i]), alias, i));
  };
  add(left, "l");
  add(right, "r");
  TG_TRY(connection.execute(fmt::format("CREATE TEMP TABLE {} AS SELECT {} FROM {}", table,
                                        join(items, ", "), join(sources, " POSITIONAL JOIN "))));
  const auto show = [&](const JoinHalf& half, const char* alias) -> Status {
    if (half.relation.empty()) return {};
    std::vector<std::string> columns;
    for (size_t i = 0; i < half.columns.size(); ++i)
      columns.push_back(fmt::format("{}{} AS {}", alias, i, quote_identifier(half.columns[i])));
    return connection.execute(fmt::format("CREATE OR REPLACE TEMP VIEW {} AS SELECT {} FROM {}",
                                          quote_identifier(half.relation), join(columns, ", "),
                                          table));
  };
  TG_TRY(show(left, "l"));
  return show(right, "r");
}

}  // namespace tidegate
