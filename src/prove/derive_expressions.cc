#include <algorithm>

#include "base/text.h"
#include "contract/codes.h"
#include "prove/derivation.h"
#include "prove/tree.h"
#include "prove/types.h"

namespace tidegate::prove {

std::string type_text(const Json& type) {
  std::string id = type.value("id", "");
  auto info = type.find("type_info");
  if (info == type.end() || info->is_null()) return id;
  if (id == "DECIMAL") {
    return "DECIMAL(" + std::to_string(info->value("width", 0)) + "," +
           std::to_string(info->value("scale", 0)) + ")";
  }
  // Aliases (JSON), collations, enums and nested types: their own text, equal only to itself.
  return id + info->dump();
}

std::string type_of(const Json& expression) {
  if (auto it = expression.find("return_type"); it != expression.end()) return type_text(*it);
  if (class_of(expression) == "BOUND_CONSTANT") return type_text(expression.at("value").at("type"));
  return "BOOLEAN";
}

const std::string& class_of(const Json& expression) {
  static const std::string none;
  if (!expression.is_object()) return none;
  auto it = expression.find("expression_class");
  return it != expression.end() && it->is_string() ? it->get_ref<const std::string&>() : none;
}

bool is_ref(const Json& expression) { return class_of(expression) == "BOUND_REF"; }

uint32_t ref_index(const Json& expression) {
  return static_cast<uint32_t>(
      std::min<uint64_t>(expression.at("index").get<uint64_t>(), kVirtualColumn - 1));
}

void collect_refs(const Json& expression, ColumnSet& refs) {
  if (!expression.is_structured()) return;
  if (is_ref(expression)) {
    refs.insert(ref_index(expression));
    return;
  }
  for (const auto& [key, child] : expression.items()) {
    if (key != kLambdaBody) collect_refs(child, refs);
  }
}

bool as_side(const Json& expression, Side& out) {
  const Json* at = &expression;
  std::vector<std::string> casts;
  while (class_of(*at) == "BOUND_CAST") {
    if (at->value("try_cast", false)) return false;
    casts.push_back(type_of(*at));
    at = &at->at("child");
  }
  if (!is_ref(*at)) return false;
  std::reverse(casts.begin(), casts.end());
  out = {ref_index(*at), type_of(*at), std::move(casts)};
  return true;
}

bool is_equality(const std::string& comparison) {
  return comparison == "COMPARE_EQUAL" || comparison == "COMPARE_NOT_DISTINCT_FROM";
}

bool as_edge(const Json& conjunct, Edge& out) {
  if (class_of(conjunct) != "BOUND_COMPARISON") return false;
  if (!is_equality(conjunct.value("type", ""))) return false;
  return as_side(conjunct.at("left"), out.left) && as_side(conjunct.at("right"), out.right);
}

void each_conjunct(const Json& expression, const std::function<void(const Json&)>& take) {
  if (class_of(expression) == "BOUND_CONJUNCTION" &&
      expression.value("type", "") == "CONJUNCTION_AND") {
    for (const Json& child : expression.at("children")) each_conjunct(child, take);
  } else {
    take(expression);
  }
}

bool is_never_null(const Json& expression, const std::vector<RelationColumn>& columns) {
  const std::string& cls = class_of(expression);
  if (cls == "BOUND_CONSTANT") return !expression.at("value").value("is_null", true);
  if (Side side; as_side(expression, side)) {
    return side.column < columns.size() && columns[side.column].never_null;
  }
  if (cls == "BOUND_CAST") {
    return !expression.value("try_cast", false) && is_never_null(expression.at("child"), columns);
  }
  if (cls != "BOUND_OPERATOR" || expression.value("type", "") != "OPERATOR_COALESCE") return false;
  const Json& children = expression.at("children");
  return std::any_of(children.begin(), children.end(),
                     [&](const Json& child) { return is_never_null(child, columns); });
}

void mark_never_null(const Json& expression, std::vector<RelationColumn>& columns,
                     uint32_t offset) {
  each_conjunct(expression, [&](const Json& conjunct) {
    auto mark = [&](const Json& part) {
      Side side;
      if (as_side(part, side) && size_t{side.column} + offset < columns.size()) {
        columns[side.column + offset].never_null = true;
      }
    };
    const std::string& cls = class_of(conjunct);
    const std::string type = conjunct.value("type", "");
    if (cls == "BOUND_OPERATOR" && type == "OPERATOR_IS_NOT_NULL") {
      mark(conjunct.at("children").at(0));
    } else if (cls == "BOUND_BETWEEN") {
      mark(conjunct.at("input"));
    } else if (cls == "BOUND_COMPARISON" && type.find("DISTINCT") == std::string::npos) {
      mark(conjunct.at("left"));
      mark(conjunct.at("right"));
    }
  });
}

bool keeps_key(const Side& side, const std::string& hash_type) {
  const std::string* from = &side.type;
  for (const std::string& to : side.casts) {
    if (!cast_keeps_hash(*from, to, hash_type)) return false;
    from = &to;
  }
  return true;
}

namespace {

bool is_coalesce_member(const std::vector<const Json*>& children, const Relation& relation,
                        size_t j, uint32_t offset) {
  if (children.size() == 1) return is_key_member(*children[0], relation, j, offset);
  if (!relation.full) return false;
  const Relation& left = *relation.full->left;
  auto width = static_cast<uint32_t>(left.columns.size());
  if (!is_key_member(*children.back(), *relation.full->right, j, offset + width)) return false;
  return is_coalesce_member({children.begin(), children.end() - 1}, left, j, offset);
}

}  // namespace

bool is_key_member(const Json& expression, const Relation& relation, size_t j, uint32_t offset) {
  if (j >= relation.keys.size()) return false;
  const KeyClass& key = relation.keys[j];
  if (is_ref(expression)) {
    uint32_t index = ref_index(expression);
    return index >= offset && key.members.contains(index - offset);
  }
  if (class_of(expression) == "BOUND_CAST") {
    const Json& child = expression.at("child");
    return !expression.value("try_cast", false) && is_key_member(child, relation, j, offset) &&
           cast_keeps_hash(type_of(child), type_of(expression), key.hash_type);
  }
  // How the binder groups and compares INTERVALs, and how they are hashed.
  if (class_of(expression) == "BOUND_FUNCTION" && key.hash_type == "INTERVAL" &&
      expression.value("name", "") == "normalized_interval") {
    return is_key_member(expression.at("children").at(0), relation, j, offset);
  }
  if (class_of(expression) == "BOUND_OPERATOR" &&
      expression.value("type", "") == "OPERATOR_COALESCE") {
    std::vector<const Json*> children;
    for (const Json& child : expression.at("children")) children.push_back(&child);
    return is_coalesce_member(children, relation, j, offset);
  }
  return false;
}

void grow_keys(std::vector<KeyClass>& keys, const Edges& edges) {
  for (KeyClass& key : keys) {
    // Every round adds a column or ends.
    for (bool grown = true; grown;) {
      grown = false;
      for (const Edge& edge : edges) {
        if (!keeps_key(edge.left, key.hash_type) || !keeps_key(edge.right, key.hash_type)) continue;
        bool left = key.members.contains(edge.left.column);
        bool right = key.members.contains(edge.right.column);
        if (left == right) continue;
        key.members.insert(left ? edge.right.column : edge.left.column);
        grown = true;
      }
    }
  }
}

void names_of(const Json& expression, std::set<std::string>& names) {
  if (expression.is_object()) {
    for (const char* key : {"alias", "name"}) {
      auto it = expression.find(key);
      if (it == expression.end() || !it->is_string()) continue;
      std::string name = to_lower_ascii(it->get<std::string>());
      if (size_t dot = name.rfind('.'); dot != std::string::npos) name = name.substr(dot + 1);
      if (!name.empty()) names.insert(name);
    }
  }
  if (expression.is_structured()) {
    for (const Json& child : expression) names_of(child, names);
  }
}

ColumnSet shifted(const ColumnSet& set, uint32_t by) {
  ColumnSet out;
  for (uint32_t column : set) out.insert(column + by);
  return out;
}

bool subset(const ColumnSet& small, const ColumnSet& large) {
  return std::includes(large.begin(), large.end(), small.begin(), small.end());
}

Checked Derivation::check_expression(const Json& expression,
                                     const std::vector<RelationColumn>& columns, uint32_t offset,
                                     bool conjunct) {
  look_at_forms(expression, columns, offset);
  return check_part(expression, &columns, offset, conjunct);
}

Checked Derivation::check_reference(const Json& reference,
                                    const std::vector<RelationColumn>& columns, uint32_t offset,
                                    bool conjunct) const {
  size_t index = size_t{ref_index(reference)} + offset;
  if (index >= columns.size()) return std::unexpected(not_proven("a column of this plan"));
  if (columns[index].tag == ColumnTag::kRowId) {
    Problem problem{codes::kSqlConstructNotAllowed, "`rowid` is a row's place in one task's input",
                    "it means another row in every bucket"};
    problem.help = "use a key of the data";
    problem.anchor = AnchorKind::kTable;
    return std::unexpected(problem);
  }
  if (columns[index].tag == ColumnTag::kTrueOnly && !conjunct) {
    Problem problem{codes::kInAsValue, "IN over a partitioned table is used as a value",
                    "a NULL in another bucket turns FALSE into NULL"};
    problem.help =
        "use it as a condition of WHERE by itself, or write EXISTS (for NOT IN: NOT EXISTS)";
    problem.anchor = AnchorKind::kSubquery;
    return std::unexpected(problem);
  }
  return {};
}

Checked Derivation::check_part(const Json& expression, const std::vector<RelationColumn>* columns,
                               uint32_t offset, bool conjunct) {
  static const std::set<std::string> kClasses = {
      "BOUND_REF",         "BOUND_CAST",     "BOUND_CONSTANT",  "BOUND_COMPARISON",
      "BOUND_CONJUNCTION", "BOUND_FUNCTION", "BOUND_AGGREGATE", "BOUND_OPERATOR",
      "BOUND_CASE",        "BOUND_BETWEEN",  "BOUND_WINDOW",    "BOUND_UNNEST"};
  if (expression.is_array()) {
    for (const Json& child : expression) TG_TRY(check_part(child, columns, offset, false));
    return {};
  }
  if (!expression.is_object()) return {};
  const std::string& cls = class_of(expression);
  if (!cls.empty() && !kClasses.contains(cls)) return std::unexpected(not_proven("`" + cls + "`"));
  if (cls == "BOUND_REF") {
    if (columns) TG_TRY(check_reference(expression, *columns, offset, conjunct));
    return {};
  }
  if (columns && cls == "BOUND_OPERATOR" && expression.value("type", "") == "OPERATOR_NOT") {
    const Json& child = expression.at("children").at(0);
    if (is_ref(child) && size_t{ref_index(child)} + offset < columns->size() &&
        (*columns)[ref_index(child) + offset].tag == ColumnTag::kTrueOnly) {
      Problem problem{codes::kNotInOverPartitions, "NOT IN over a partitioned table",
                      "one NULL in any bucket would change every bucket"};
      problem.help = "write NOT EXISTS (SELECT ... WHERE the keys are equal)";
      problem.anchor = AnchorKind::kSubquery;
      return std::unexpected(problem);
    }
  }
  if (cls == "BOUND_FUNCTION" || cls == "BOUND_AGGREGATE" || cls == "BOUND_WINDOW") {
    std::string name = expression.value("name", "");
    size_t arguments = expression.value("children", Json::array()).size();
    if (!name.empty()) {
      auto problem = function_problem(name, arguments);
      bool forgiven = problem && request_.clock_and_chance &&
                      problem->code != std::string(codes::kFunctionNotAllowed) &&
                      problem->code != std::string(codes::kSessionFunction);
      if (problem && !forgiven) {
        uint64_t at = expression.value("query_location", UINT64_MAX);
        if (at != UINT64_MAX) problem->range = Range{static_cast<uint32_t>(at), 0};
        problems_.push_back(std::move(*problem));
      }
    }
  }
  // AND and OR are TRUE for the right rows if their parts are.
  bool keeps = conjunct && cls == "BOUND_CONJUNCTION";
  for (const auto& [key, value] : expression.items()) {
    if (!value.is_structured() || key == "return_type" || key == "value") continue;
    if (value.is_array()) {
      for (const Json& child : value) {
        TG_TRY(check_part(child, columns, offset, keeps && key == "children"));
      }
    } else {
      TG_TRY(check_part(value, key == kLambdaBody ? nullptr : columns, offset, false));
    }
  }
  return {};
}

}  // namespace tidegate::prove
