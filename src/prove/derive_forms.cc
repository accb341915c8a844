#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "prove/derivation.h"
#include "prove/functions.h"
#include "prove/types.h"

// -0.0 and 0.0 are one group, and so are all NaNs. DuckDB shows the first one that it met, so which
// of them is shown depends on the order of the rows, hence on how the stage is split. A column of
// the result that is such a key as it stands is brought into one form behind the stage's SQL
// (prove.cc); where an expression of the same SQL can tell the forms apart, the stage is unordered.

namespace tidegate::prove {
namespace {

bool holds_floating(const std::string& type) {
  return type.find("DOUBLE") != std::string::npos || type.find("FLOAT") != std::string::npos;
}

/// Aggregates and windows that give one of their arguments' values.
bool gives_argument(const std::string& function) {
  static const std::set<std::string> kNames = {
      "min",       "max", "first", "last",    "any_value", "arbitrary", "first_value", "last_value",
      "nth_value", "lag", "lead",  "arg_min", "arg_max",   "min_by",    "max_by"};
  return kNames.contains(function);
}

/// What gives the same for all forms of a value, up to the form of its own result.
bool is_blind(const std::string& function) {
  static const std::set<std::string> kNames = {"count", "count_star", "isnan", "isinf", "isfinite"};
  return kNames.contains(function) || gives_argument(function) ||
         (is_float_summing(function) && function != "product");
}

/// The text under a key; "" if there is none. What a function was bound with (a quantile's shares)
/// lies among the expressions and has other things under the same names.
std::string text_at(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_string() ? at->get<std::string>() : "";
}

/// What turns forms of one value into forms of one value: the result differs as the argument does,
/// by the sign of a zero or of a NaN. (A quotient does so by its dividend only.)
bool carries(const Json& expression) {
  static const std::set<std::string> kNames = {"+",     "-",        "*",    "/",       "abs",
                                               "round", "floor",    "ceil", "ceiling", "trunc",
                                               "sqrt",  "greatest", "least"};
  const std::string& cls = class_of(expression);
  if (cls == "BOUND_CASE") return true;
  if (cls == "BOUND_OPERATOR") return text_at(expression, "type") == "OPERATOR_COALESCE";
  return cls == "BOUND_FUNCTION" && kNames.contains(text_at(expression, "name"));
}

/// The name of a function, an aggregate or a window; a window like lag has it in its type.
std::string function_of(const Json& expression) {
  const std::string name = text_at(expression, "name"), type = text_at(expression, "type");
  return name.empty() && type.starts_with("WINDOW_") ? to_lower_ascii(type.substr(7)) : name;
}

bool is_quotient(const Json& expression) {
  return class_of(expression) == "BOUND_FUNCTION" && text_at(expression, "name") == "/";
}

/// The parts of an expression that are expressions, or hold some.
bool is_part(const std::string& key, const Json& part) {
  return part.is_structured() && key != "return_type" && key != "value" && key != kLambdaBody;
}

/// Names the columns of several forms that `expression` looks into; `blind`: above, all forms are
/// taken alike.
void seen_forms(const Json& expression, const std::vector<RelationColumn>& columns, uint32_t offset,
                bool blind, std::set<std::string>& names) {
  if (expression.is_array()) {
    for (const Json& part : expression) seen_forms(part, columns, offset, blind, names);
    return;
  }
  if (!expression.is_object()) return;
  const std::string& cls = class_of(expression);
  if (cls == "BOUND_REF") {
    size_t index = size_t{ref_index(expression)} + offset;
    if (!blind && index < columns.size() && columns[index].any_form) {
      names.insert(columns[index].name);
    }
    return;
  }
  const std::string type = text_at(expression, "type");
  bool inside = false;
  if (is_quotient(expression)) {
    const Json& sides = expression.at("children");
    for (size_t i = 0; i < sides.size(); ++i) {
      seen_forms(sides[i], columns, offset, blind && i == 0, names);
    }
    return;
  }
  if (carries(expression) || cls.empty()) {
    inside = blind;  // without a class: an ORDER BY's element, say
  } else if (cls == "BOUND_CAST") {
    // A number of another kind has one form, and a FLOAT made a DOUBLE is told by its tag.
    const std::string to = type_of(expression);
    inside = blind && to != "VARCHAR" && (is_floating(to) || !holds_floating(to));
  } else if (cls == "BOUND_COMPARISON" || cls == "BOUND_BETWEEN") {
    inside = true;
  } else if (cls == "BOUND_OPERATOR") {
    inside = type == "OPERATOR_IS_NULL" || type == "OPERATOR_IS_NOT_NULL" || type == "COMPARE_IN" ||
             type == "COMPARE_NOT_IN";
  } else if (cls == "BOUND_FUNCTION" || cls == "BOUND_AGGREGATE" || cls == "BOUND_WINDOW") {
    inside = is_blind(function_of(expression));
  }
  for (const auto& [key, part] : expression.items()) {
    if (!is_part(key, part)) continue;
    // Partitions, orders and filters compare.
    bool argument = key == "children" || (cls != "BOUND_AGGREGATE" && cls != "BOUND_WINDOW");
    seen_forms(part, columns, offset, argument ? inside : true, names);
  }
}

}  // namespace

void Derivation::look_at_forms(const Json& expression, const std::vector<RelationColumn>& columns,
                               uint32_t offset) {
  std::set<std::string> names;
  seen_forms(expression, columns, offset, true, names);
  for (const std::string& name : names) {
    forms_matter(
        fmt::format("an expression can tell which of -0.0 and 0.0, or of several NaNs, "
                    "stands for the others in `{}`; compute it in a stage after this one",
                    name));
  }
}

void Derivation::forms_matter(std::string reason) {
  auto& reasons = result_.unordered_reasons;
  if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) {
    reasons.push_back(std::move(reason));
  }
}

void Derivation::look_at_distinct(const Json& aggregate) {
  if (aggregate.value("aggregate_type", "") != "DISTINCT") return;
  const std::string name = function_of(aggregate);
  if (is_blind(name)) return;
  const Json arguments = aggregate.value("children", Json::array());
  if (std::any_of(arguments.begin(), arguments.end(),
                  [](const Json& argument) { return holds_floating(type_of(argument)); })) {
    forms_matter(
        fmt::format("which of -0.0 and 0.0 {}(DISTINCT) takes depends on the order of its "
                    "rows",
                    name));
  }
}

void Derivation::merge_forms(RelationColumn& column, const Json* made_by) {
  if (made_by && class_of(*made_by) == "BOUND_CAST") {
    const std::string from = type_of(made_by->at("child"));
    if (from != "VARCHAR" && !holds_floating(from)) return;
  }
  if (is_floating(column.type)) {
    column.any_form = true;
  } else if (holds_floating(column.type)) {
    forms_matter(
        fmt::format("which of -0.0 and 0.0 is shown inside of `{}` depends on the order "
                    "of its rows",
                    column.name));
  }
}

bool Derivation::keeps_forms(const Json& expression, const std::vector<RelationColumn>& columns) {
  if (expression.is_array()) {
    return std::any_of(expression.begin(), expression.end(),
                       [&](const Json& part) { return keeps_forms(part, columns); });
  }
  if (!expression.is_object()) return false;
  const std::string& cls = class_of(expression);
  if (!cls.empty() && !is_floating(type_of(expression))) return false;
  if (cls == "BOUND_REF") {
    return ref_index(expression) < columns.size() && columns[ref_index(expression)].any_form;
  }
  if (cls == "BOUND_AGGREGATE" || cls == "BOUND_WINDOW") {
    return gives_argument(function_of(expression)) &&
           keeps_forms(expression.value("children", Json::array()), columns);
  }
  if (!cls.empty() && cls != "BOUND_CAST" && !carries(expression)) return false;
  for (const auto& [key, part] : expression.items()) {
    if (is_part(key, part) && keeps_forms(part, columns)) return true;
  }
  return false;
}

}  // namespace tidegate::prove
