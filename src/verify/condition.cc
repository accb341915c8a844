#include "verify/condition.h"

#include <fmt/format.h>

#include "base/text.h"

namespace tidegate {
namespace {

bool is_float(const sql::Column* column) {
  return column && (column->type == "DOUBLE" || column->type == "FLOAT");
}

/// True where the condition is FALSE; NULL holds.
std::string is_false(const std::string& condition) {
  return fmt::format("NOT coalesce({}, true)", condition);
}

}  // namespace

std::string parenthesised(const std::string& expression) { return "(" + expression + "\n)"; }

std::string rows_of(const std::vector<std::string>& files, const sql::Schema& schema) {
  std::vector<std::string> items;
  if (files.empty()) {
    for (const sql::Column& column : schema)
      items.push_back(
          fmt::format("CAST(NULL AS {}) AS {}", column.type, quote_identifier(column.name)));
    return fmt::format("(SELECT {} WHERE false)",
                       items.empty() ? "NULL AS \"?\"" : join(items, ", "));
  }
  for (const std::string& file : files) items.push_back(quote_literal(file));
  return fmt::format("read_parquet([{}], hive_partitioning = false)", join(items, ", "));
}

std::string column_list(const std::vector<Spanned<std::string>>& columns,
                        const std::string& prefix) {
  std::vector<std::string> names;
  for (const auto& column : columns) names.push_back(prefix + quote_identifier(column.value));
  return join(names, ", ");
}

const sql::Column* column_named(const sql::Schema& schema, const std::string& name) {
  for (const sql::Column& column : schema)
    if (to_lower_ascii(column.name) == to_lower_ascii(name)) return &column;
  return nullptr;
}

std::string broken_row(const Check& check, const sql::Schema& schema) {
  const std::string name = check.columns.empty() ? "" : quote_identifier(check.columns[0].value);
  switch (check.kind) {
    case CheckKind::kNotNull: {
      std::vector<std::string> parts;
      for (const auto& column : check.columns)
        parts.push_back(quote_identifier(column.value) + " IS NULL");
      return "(" + join(parts, " OR ") + ")";
    }
    case CheckKind::kAccepted: {
      std::vector<std::string> values;
      for (const auto& value : check.accepted) values.push_back(parenthesised(value.value));
      return is_false(fmt::format("{} IN ({})", name, join(values, ", ")));
    }
    case CheckKind::kRange: {
      std::vector<std::string> parts;
      if (check.range_min)
        parts.push_back(fmt::format("{} >= {}", name, parenthesised(check.range_min->value)));
      if (check.range_max)
        parts.push_back(fmt::format("{} <= {}", name, parenthesised(check.range_max->value)));
      // NaN is above every number in DuckDB's order, and would pass a range without a maximum.
      if (is_float(column_named(schema, check.columns[0].value)))
        parts.push_back(fmt::format("NOT isnan({})", name));
      return is_false(join(parts, " AND "));
    }
    case CheckKind::kRegex:
      return is_false(
          fmt::format("regexp_full_match({}, {})", name, quote_literal(check.regex->value)));
    case CheckKind::kExpect:
      return is_false(fmt::format("CAST({} AS BOOLEAN)", parenthesised(check.expect.text)));
    default:
      return "";
  }
}

std::vector<std::string> schema_differences(const sql::Schema& promised, const sql::Schema& actual,
                                            bool may_add) {
  std::vector<std::string> found;
  for (const sql::Column& column : promised) {
    const sql::Column* have = column_named(actual, column.name);
    if (!have)
      found.push_back(fmt::format("column {} is missing", quote_identifier(column.name)));
    else if (have->type != column.type)
      found.push_back(fmt::format("column {} is {}, promised as {}", quote_identifier(column.name),
                                  have->type, column.type));
    else if (have->name != column.name)
      found.push_back(fmt::format("column {} is written {}", quote_identifier(column.name),
                                  quote_identifier(have->name)));
  }
  for (const sql::Column& column : actual)
    if (!may_add && !column_named(promised, column.name))
      found.push_back(fmt::format("column {} ({}) was not promised", quote_identifier(column.name),
                                  column.type));
  if (!found.empty()) return found;
  for (size_t i = 0; i < promised.size(); ++i)
    if (actual[i].name != promised[i].name) {
      found.push_back(fmt::format("column {} is {}, promised was {}", i + 1,
                                  quote_identifier(actual[i].name),
                                  quote_identifier(promised[i].name)));
      break;
    }
  return found;
}

Result<sql::Schema> promised_schema(sql::Connection& connection, const Check& check) {
  sql::Schema schema;
  for (const auto& [name, type] : check.schema) {
    const auto made =
        connection.describe(fmt::format("SELECT CAST(NULL AS {}\n) AS x", type.value));
    if (!made || made->size() != 1)
      return fail(FailureClass::kDefect, "verify.type",
                  fmt::format("\"{}\" is not a type", type.value));
    schema.push_back({name.value, (*made)[0].type});
  }
  return schema;
}

}  // namespace tidegate
