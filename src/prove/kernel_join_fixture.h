#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/text.h"
#include "prove/kernel_join.h"

namespace tidegate::prove {

/// Makes the relations of the join by DuckDB's own.
inline Status make_relations(sql::Connection& rows, const reduce::JoinSpec& join) {
  std::vector<std::string> on, items, left, right;
  for (size_t i = 0; i < join.left.keys.size(); ++i)
    on.push_back(fmt::format("l.{} = r.{}", quote_identifier(join.left.keys[i]),
                             quote_identifier(join.right.keys[i])));
  const bool left_only = join.kind >= reduce::JoinSpec::Kind::kSemi;
  for (const std::string& column : join.left.columns) {
    std::string item = "l." + quote_identifier(column);
    for (size_t i = 0; i < join.left.keys.size(); ++i)
      if (join.merged && !left_only && to_lower_ascii(join.left.keys[i]) == to_lower_ascii(column))
        item = fmt::format("coalesce({}, r.{})", item, quote_identifier(join.right.keys[i]));
    items.push_back(fmt::format("{} AS l{}", item, left.size()));
    left.push_back(fmt::format("l{} AS {}", left.size(), quote_identifier(column)));
  }
  for (const std::string& column : join.right.columns) {
    if (left_only) break;
    items.push_back(fmt::format("r.{} AS r{}", quote_identifier(column), right.size()));
    right.push_back(fmt::format("r{} AS {}", right.size(), quote_identifier(column)));
  }
  TG_TRY(rows.execute(fmt::format(
      "CREATE OR REPLACE TEMP TABLE pairs AS SELECT {} FROM {} l {} "
      "JOIN {} r ON {}",
      tidegate::join(items, ", "), quote_identifier(join.left.input), reduce::to_string(join.kind),
      quote_identifier(join.right.input), tidegate::join(on, " AND "))));
  for (const auto& [relation, columns] :
       {std::pair(join.left.relation, left), std::pair(join.right.relation, right)}) {
    if (relation.empty()) continue;
    TG_TRY(rows.execute(fmt::format("CREATE OR REPLACE TEMP TABLE {} AS SELECT {} FROM pairs",
                                    quote_identifier(relation), tidegate::join(columns, ", "))));
  }
  return {};
}

}  // namespace tidegate::prove
