#include "prove/kernel_lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "reduce/lookup_function.h"

namespace tidegate::prove {
namespace {

using reduce::JoinLookup;
using reduce::JoinSpec;
using Kind = JoinSpec::Kind;

/// As what the side's rows come, if the other one is held.
std::optional<Kind> kind_where_read(Kind kind, int side) {
  if (kind == Kind::kInner) return Kind::kInner;
  if (kind == Kind::kLeft || kind == Kind::kRight)
    return (side == 0) == (kind == Kind::kLeft) ? std::optional(Kind::kLeft) : std::nullopt;
  if (kind == Kind::kFull || side == 1) return std::nullopt;
  return kind;
}

std::set<std::string> lower_names(const sql::Schema& schema) {
  std::set<std::string> out;
  for (const sql::Column& column : schema) out.insert(to_lower_ascii(column.name));
  return out;
}

/// Names of columns of one side, put in the node that had the join.
class PartnerNames {
 public:
  PartnerNames(const sql::Schema& read, const sql::Schema& held, const std::string& partner)
      : read_(lower_names(read)), held_(lower_names(held)), partner_(partner) {}

  /// Puts the partner's name before its columns that stand alone. False where that is not certain.
  bool settle(Json& node) {
    if (read_.contains(to_lower_ascii(partner_))) return false;
    if (!node.at("cte_map").at("map").empty()) return false;
    const bool unsure = any_below(node, true, [](const Json& json) {
      return is_class(json, "STAR") || is_class(json, "LAMBDA") || json.contains("subquery");
    });
    if (unsure) return false;
    for (const Json& item : node.at("select_list")) {
      const std::string alias = text_in(item, "alias");
      if (!alias.empty()) aliases_.insert(to_lower_ascii(alias));
    }
    return settle_below(node);
  }
  const std::set<std::string>& used() const { return used_; }

 private:
  bool settle_below(Json& json) {
    if (is_class(json, "COLUMN_REF")) return settle_column(json.at("column_names"));
    if (!json.is_structured()) return true;
    bool sure = true;
    for (Json& child : json) sure = settle_below(child) && sure;
    return sure;
  }

  bool settle_column(Json& names) {
    const std::string first = to_lower_ascii(names[0].get<std::string>());
    const bool of_partner = first == to_lower_ascii(partner_);
    if (names.size() > 1) {
      if (of_partner) used_.insert(to_lower_ascii(names[1].get<std::string>()));
      return true;
    }
    if (of_partner) return false;  // the whole row
    if (!held_.contains(first) || read_.contains(first)) return true;
    if (aliases_.contains(first)) return false;
    names.insert(names.begin(), partner_);
    used_.insert(first);
    return true;
  }

  std::set<std::string> read_, held_, aliases_, used_;
  std::string partner_;
};

std::optional<JoinLookup> lookup_of(sql::Connection& scratch, const std::string& stage,
                                    const JoinSite& site, const sql::Schema& schema, int read) {
  const auto kind = kind_where_read(site.spec.kind, read);
  if (!kind) return {};
  const JoinSpec::Side* sides[2] = {&site.spec.left, &site.spec.right};
  const sql::Schema& held = *site.schemas[1 - read];
  JoinLookup out;
  out.kind = *kind;
  out.input = sides[read]->input;
  out.keys = sides[read]->keys;
  out.held = sides[1 - read]->input;
  out.held_keys = sides[1 - read]->keys;
  out.relation = stage + ":rows";
  out.partner = name_in_from(site.tables[1 - read]);

  Json tree = site.tree;
  Json table = site.tables[read];
  table["alias"] = name_in_from(table);
  table["table_name"] = out.relation;
  tree[site.join] = std::move(table);
  tree[site.node / "where_clause"] = site.where;
  PartnerNames names(*site.schemas[read], held, out.partner);
  if (!names.settle(tree[site.node])) return {};
  for (const sql::Column& column : held)
    if (names.used().contains(to_lower_ascii(column.name))) out.columns.push_back(column.name);

  std::vector<std::string> items;
  for (const sql::Column& column : *site.schemas[read])
    items.push_back(quote_identifier(column.name) + " " + column.type);
  if (!out.columns.empty())
    items.push_back(quote_identifier(out.partner) + " " + reduce::partner_type(out, held));
  if (!scratch.execute(fmt::format("CREATE OR REPLACE TEMP TABLE {} ({})",
                                   quote_identifier(out.relation), tidegate::join(items, ", "))))
    return {};
  const auto texts = print_selects(scratch, {tree});
  if (!texts) return {};
  const auto bound = scratch.describe(texts->front());
  if (!bound || *bound != schema) return {};
  out.sql = texts->front();
  return out;
}

}  // namespace

std::string name_in_from(const Json& table) {
  const std::string alias = text_in(table, "alias");
  return alias.empty() ? text_in(table, "table_name") : alias;
}

std::vector<JoinLookup> choose_lookups(sql::Connection& scratch, const std::string& stage,
                                       const JoinSite& site, const sql::Schema& schema) {
  std::vector<JoinLookup> out;
  for (const int read : {0, 1})
    if (auto lookup = lookup_of(scratch, stage, site, schema, read))
      out.push_back(std::move(*lookup));
  return out;
}

}  // namespace tidegate::prove
