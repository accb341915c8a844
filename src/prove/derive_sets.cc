#include <algorithm>

#include "base/failure.h"
#include "base/text.h"
#include "contract/codes.h"
#include "prove/derivation.h"

namespace tidegate::prove {

Derived Derivation::set_operation(const Json& op) {
  const std::string type = op.value("type", "");
  const Json& children = op.at("children");
  std::vector<Relation> parts;
  for (const Json& child : children) {
    TG_ASSIGN(Relation part, derive(child, {}));
    parts.push_back(std::move(part));
  }
  if (parts.size() < 2) return std::unexpected(not_proven("this set operation"));
  std::string word = type == "LOGICAL_UNION"    ? "UNION"
                     : type == "LOGICAL_EXCEPT" ? "EXCEPT"
                                                : "INTERSECT";
  auto refuse = [&](const char* code, std::string message, std::string label, std::string help) {
    Problem problem{code, std::move(message), std::move(label)};
    problem.help = std::move(help);
    problem.anchor = AnchorKind::kSetOperation;
    problem.names = {to_lower_ascii(word)};
    return std::unexpected(problem);
  };
  Relation out;
  out.columns = parts[0].columns;
  size_t replicated = 0;
  for (const Relation& part : parts) {
    if (part.columns.size() != out.columns.size()) {
      return std::unexpected(not_proven("this set operation"));
    }
    replicated += part.replicated ? 1 : 0;
    for (size_t c = 0; c < part.columns.size(); ++c) {
      if (part.columns[c].tag != ColumnTag::kPlain) {
        return std::unexpected(not_proven("this set operation"));
      }
      out.columns[c].any_form = out.columns[c].any_form || part.columns[c].any_form;
      out.columns[c].never_null = out.columns[c].never_null && part.columns[c].never_null;
    }
  }
  if (type != "LOGICAL_UNION") {
    for (RelationColumn& column : out.columns) merge_forms(column);
  }
  if (replicated == parts.size()) return out;
  out.replicated = false;
  bool domain = std::any_of(parts.begin(), parts.end(),
                            [](const Relation& part) { return part.domain >= 0; });
  if (domain) {
    for (const Relation& part : parts) {
      if (part.domain != parts[0].domain || part.replicated) {
        return std::unexpected(not_proven("a set operation inside this correlated subquery"));
      }
    }
    out.domain = parts[0].domain;
    for (size_t d = 0; d < parts[0].domain_columns.size(); ++d) {
      ColumnSet common = parts[0].domain_columns[d];
      for (const Relation& part : parts) {
        std::erase_if(common, [&](uint32_t c) { return !part.domain_columns[d].contains(c); });
      }
      if (common.empty()) {
        return std::unexpected(not_proven("a set operation inside this correlated subquery"));
      }
      out.domain_columns.push_back(std::move(common));
    }
    return out;
  }
  if (type == "LOGICAL_UNION" && replicated > 0) {
    return refuse(codes::kUnionWithBroadcast, "a UNION of split rows with broadcast ones",
                  "the broadcast rows would be repeated in every bucket",
                  "drop `broadcast`, or do it in a stage with `partition_by: all`");
  }
  if (type == "LOGICAL_EXCEPT" && parts[0].replicated) {
    return refuse(codes::kExceptFromBroadcast, "EXCEPT takes split rows from a broadcast input",
                  "every bucket would take away its own rows only",
                  "drop `broadcast` and partition both, or write `partition_by: all`");
  }
  const Relation* first = nullptr;
  for (const Relation& part : parts) {
    if (part.replicated) continue;
    if (!first) {
      first = &part;
      out.keys = part.keys;
      continue;
    }
    if (part.keys.size() != out.keys.size()) out.keys.clear();
    for (size_t j = 0; j < out.keys.size(); ++j) {
      std::erase_if(out.keys[j].members,
                    [&](uint32_t c) { return !part.keys[j].members.contains(c); });
      if (part.keys[j].hash_type != out.keys[j].hash_type) out.keys[j].members.clear();
    }
  }
  TG_ASSERT(first != nullptr);  // not all are replicated, see above
  size_t lost = SIZE_MAX;
  for (size_t j = 0; j < out.keys.size() && lost == SIZE_MAX; ++j) {
    if (out.keys[j].members.empty()) lost = j;
  }
  if (lost != SIZE_MAX) out.keys.clear();
  if (type != "LOGICAL_UNION" && !out.has_keys()) {
    return std::unexpected(misses_key(codes::kSetOperationMissesKey, *first, word,
                                      lost == SIZE_MAX ? 0 : lost, AnchorKind::kSetOperation,
                                      {to_lower_ascii(word)}));
  }
  return out;
}

}  // namespace tidegate::prove
