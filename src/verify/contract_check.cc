#include <fmt/format.h>

#include "base/text.h"
#include "contract/codes.h"
#include "verify/condition.h"
#include "verify/verify.h"

namespace tidegate {
namespace {

constexpr const char* kTable = "t";

/// Types whose equal values have one text, as they are published.
bool names_a_file(std::string_view type) {
  for (const std::string_view plain : {"BOOLEAN",      "TINYINT",      "SMALLINT",
                                       "INTEGER",      "BIGINT",       "HUGEINT",
                                       "UTINYINT",     "USMALLINT",    "UINTEGER",
                                       "UBIGINT",      "UHUGEINT",     "DATE",
                                       "TIME",         "TIMESTAMP",    "TIMESTAMP_S",
                                       "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE",
                                       "VARCHAR",      "UUID"})
    if (type == plain) return true;
  return (type.starts_with("DECIMAL(") || type.starts_with("ENUM(")) && type.ends_with(')');
}

/// The name that DuckDB says it cannot find, "" if it says something else.
std::string unknown_name(const std::string& message) {
  constexpr std::string_view kBefore = "Referenced column \"";
  const size_t at = message.find(kBefore);
  if (at == std::string::npos) return "";
  const size_t begin = at + kBefore.size();
  const size_t end = message.find("\" not found", begin);
  return end == std::string::npos ? "" : message.substr(begin, end - begin);
}

class Checker {
 public:
  Checker(const sql::Schema& schema, sql::Connection& connection, Diagnostics& diagnostics,
          const std::function<Status(const std::string&)>& is_safe,
          const std::map<std::string, sql::Schema>& relations)
      : schema_(schema),
        connection_(connection),
        diagnostics_(diagnostics),
        is_safe_(is_safe),
        relations_(relations) {
    for (const sql::Column& column : schema) names_.push_back(column.name);
  }

  void check(const Check& check) {
    bool known = true;
    for (const auto& column : check.columns) known &= is_column(column, schema_, "the output");
    if (!known) return;
    switch (check.kind) {
      case CheckKind::kAccepted:
        accepted(check);
        break;
      case CheckKind::kRange:
        range(check);
        break;
      case CheckKind::kRegex:
        regex(check);
        break;
      case CheckKind::kReferences:
        references(check);
        break;
      case CheckKind::kExpect:
        expect(check);
        break;
      case CheckKind::kSchema:
        schema(check);
        break;
      case CheckKind::kUnique:
      case CheckKind::kNotNull:
      case CheckKind::kRows:
        break;
    }
  }

  void publish_by(const Output& output) {
    for (const auto& name : output.publish_by) {
      if (!is_column(name, schema_, "the output", codes::kPublishByColumn)) continue;
      const sql::Column& column = *column_named(schema_, name.value);
      if (!names_a_file(column.type))
        report(codes::kPublishByType, name.span,
               fmt::format("values of `{}` cannot name a file", column.name),
               fmt::format("the column is {}", column.type),
               "take a column of dates, times, numbers or texts, or cast it in the stage");
    }
  }

 private:
  void report(const char* code, Span span, std::string message, std::string label,
              std::string help) {
    diagnostics_.add(
        {code, Severity::kError, span, std::move(message), std::move(label), {}, std::move(help)});
  }

  bool is_column(const Spanned<std::string>& name, const sql::Schema& schema,
                 const std::string& owner, const char* code = codes::kCheckColumn) {
    if (column_named(schema, name.value)) return true;
    std::vector<std::string> names;
    for (const sql::Column& column : schema) names.push_back(column.name);
    const std::string near = did_you_mean(name.value, names);
    report(code, name.span, fmt::format("{} has no column `{}`", owner, name.value),
           fmt::format("it has {}", join(names, ", ")),
           near.empty() ? "" : fmt::format("did you mean `{}`?", near));
    return false;
  }

  Status bind(const std::string& condition) {
    const auto bound =
        connection_.describe(fmt::format("SELECT 1 FROM {} WHERE {}", kTable, condition));
    return bound ? Status{} : std::unexpected(bound.error());
  }

  /// One value on its own, so that the finding names it.
  void value(const Check& check, const Spanned<std::string>& value, const char* operation) {
    const sql::Column& column = *column_named(schema_, check.columns[0].value);
    const std::string name = quote_identifier(column.name);
    // Comparing as the other's type is what SQL does; a text that is no such value fails here.
    const Status bound = bind(fmt::format("{} {} {}", name, operation, parenthesised(value.value)));
    const auto cast = connection_.query(
        fmt::format("SELECT CAST({} AS {}) IS NULL", parenthesised(value.value), column.type));
    const bool is_text = value.value.starts_with('\'');
    const bool is_text_column = column.type == "VARCHAR";
    if (bound && cast && cast->scalar() != "true" && (is_text || !is_text_column)) return;
    std::string why = !bound ? bound.error().message : !cast ? cast.error().message : "";
    if (why.empty()) why = is_text_column && !is_text ? "a number beside a text column" : "NULL";
    report(codes::kCheckValue, value.span,
           fmt::format("{} is no value of column `{}`", value.value, column.name),
           fmt::format("the column is {}: {}", column.type, first_line(why)),
           is_text_column && !is_text ? fmt::format("write \"'{}'\"", value.value) : "");
  }

  void accepted(const Check& check) {
    for (const auto& one : check.accepted) value(check, one, "=");
  }

  void range(const Check& check) {
    if (check.range_min) value(check, *check.range_min, ">=");
    if (check.range_max) value(check, *check.range_max, "<=");
    if (!check.range_min || !check.range_max) return;
    const auto ordered = connection_.query(fmt::format(
        "SELECT CAST({} AS {}) <= CAST({} AS {})", parenthesised(check.range_min->value),
        column_named(schema_, check.columns[0].value)->type, parenthesised(check.range_max->value),
        column_named(schema_, check.columns[0].value)->type));
    if (ordered && ordered->scalar() == "false")
      report(codes::kReversedRange, check.range_max->span, "`max` is below `min`", "", "");
  }

  void regex(const Check& check) {
    const sql::Column& column = *column_named(schema_, check.columns[0].value);
    if (column.type != "VARCHAR" && !column.type.starts_with("ENUM"))
      report(codes::kCheckType, check.columns[0].span,
             fmt::format("column `{}` is {}, not text", column.name, column.type),
             "a regex needs VARCHAR",
             fmt::format("use `expect: regexp_full_match(CAST({} AS VARCHAR), ...)`",
                         quote_identifier(column.name)));
    const auto compiled = connection_.query(
        fmt::format("SELECT regexp_full_match('', {})", quote_literal(check.regex->value)));
    if (!compiled)
      report(codes::kBadRegex, check.regex->span, "the pattern does not compile",
             first_line(compiled.error().message), "the syntax is RE2's");
  }

  void references(const Check& check) {
    const auto relation = relations_.find(check.references_to.value);
    if (check.columns.size() != check.references_columns.size()) return;  // said by the parser
    if (relation == relations_.end()) return;
    for (size_t i = 0; i < check.columns.size(); ++i) {
      const auto& theirs = check.references_columns[i];
      if (!is_column(theirs, relation->second, fmt::format("`{}`", check.references_to.value)))
        continue;
      const sql::Column& left = *column_named(schema_, check.columns[i].value);
      const sql::Column& right = *column_named(relation->second, theirs.value);
      const auto bound = connection_.describe(
          fmt::format("SELECT CAST(NULL AS {}) = CAST(NULL AS {})", left.type, right.type));
      const bool mixed = (left.type == "VARCHAR") != (right.type == "VARCHAR");
      if (bound && !mixed) continue;
      report(codes::kCheckType, theirs.span,
             fmt::format("`{}` is {} and `{}` is {}", left.name, left.type, right.name, right.type),
             "they cannot be compared", "cast one of them in the stage");
    }
  }

  /// One boolean expression over a row: no aggregate, window or subquery, nothing that the sandbox
  /// forbids, and not text that only looks like an expression between our parentheses.
  void expect(const Check& check) {
    const std::string select =
        fmt::format("SELECT {} FROM {}", parenthesised(check.expect.text), kTable);
    const auto shape = connection_.describe(select);
    if (!shape) return unbound(check, shape.error());
    const auto balanced =
        connection_.describe(fmt::format("SELECT [{}\n] FROM {}", check.expect.text, kTable));
    if (!balanced || shape->size() != 1) {
      report(codes::kExpectSql, check.expect.span, "`expect` is not one expression",
             balanced ? "several values" : "its brackets do not pair up", "");
      return;
    }
    if (const Status safe = is_safe_(select); !safe) {
      report(codes::kExpectSql, check.expect.span, first_line(safe.error().message),
             "not allowed in a check", "");
      return;
    }
    const auto tree = connection_.query(
        fmt::format("SELECT CAST(json_serialize_sql({}) AS VARCHAR)", quote_literal(select)));
    if (!tree || tree->scalar().find(R"("class":"SUBQUERY")") != std::string::npos) {
      report(codes::kExpectSql, check.expect.span, "a subquery in `expect`",
             "a check looks at one row at a time",
             "join what you need in the stage, or use `references`");
      return;
    }
    if ((*shape)[0].type != "BOOLEAN") {
      report(codes::kExpectNotBoolean, check.expect.span, "`expect` is not a condition",
             fmt::format("it is {}", (*shape)[0].type),
             "compare it with something, e.g. `... > 0`");
      return;
    }
    if (const Status bound = bind(parenthesised(check.expect.text)); !bound)
      unbound(check, bound.error());
  }

  void unbound(const Check& check, const Failure& failure) {
    const std::string name = unknown_name(failure.message);
    Span span = check.expect.span;
    const size_t at = name.empty() ? std::string::npos : check.expect.text.find(name);
    if (at != std::string::npos && !check.expect.offsets.empty())
      span = check.expect.map(at, at + name.size());
    const std::string near = name.empty() ? "" : did_you_mean(name, names_);
    report(codes::kExpectSql, span,
           name.empty() ? first_line(failure.message)
                        : fmt::format("the output has no column `{}`", name),
           name.empty() ? "does not bind" : fmt::format("it has {}", join(names_, ", ")),
           near.empty() ? "" : fmt::format("did you mean `{}`?", near));
  }

  void schema(const Check& check) {
    sql::Schema promised;
    for (const auto& [name, type] : check.schema) {
      const auto made =
          connection_.describe(fmt::format("SELECT CAST(NULL AS {}\n) AS x", type.value));
      if (!made || made->size() != 1) {
        report(codes::kUnknownType, type.span, fmt::format("\"{}\" is not a type", type.value),
               "DuckDB does not know it", "e.g. BIGINT, DOUBLE, VARCHAR, DATE, DECIMAL(12,2)");
        return;
      }
      promised.push_back({name.value, (*made)[0].type});
    }
    const auto found = schema_differences(promised, schema_, check.evolution_add);
    if (found.empty()) return;
    // The place of the first column that is not as promised.
    Span span = check.span;
    for (size_t i = promised.size(); i-- > 0;) {
      const sql::Column* have = column_named(schema_, promised[i].name);
      if (!have)
        span = check.schema[i].first.span;
      else if (have->type != promised[i].type)
        span = check.schema[i].second.span;
    }
    Diagnostic diagnostic{codes::kSchemaMismatch,
                          Severity::kError,
                          span,
                          "the stage's columns are not those promised",
                          found[0],
                          {},
                          ""};
    for (size_t i = 1; i < found.size() && i < 10; ++i) diagnostic.notes.push_back(found[i]);
    diagnostics_.add(std::move(diagnostic));
  }

  const sql::Schema& schema_;
  sql::Connection& connection_;
  Diagnostics& diagnostics_;
  const std::function<Status(const std::string&)>& is_safe_;
  const std::map<std::string, sql::Schema>& relations_;
  std::vector<std::string> names_;
};

}  // namespace

void check_contract(const Output& output, const sql::Schema& schema, sql::Connection& connection,
                    Diagnostics& diagnostics,
                    const std::function<Status(const std::string& select_sql)>& is_safe,
                    const std::map<std::string, sql::Schema>& relations) {
  Checker checker(schema, connection, diagnostics, is_safe, relations);
  checker.publish_by(output);
  if (output.checks.empty()) return;
  const Status made = connection.execute(fmt::format(
      "CREATE OR REPLACE TEMP TABLE {} AS SELECT * FROM {}", kTable, rows_of({}, schema)));
  if (!made) {
    diagnostics.add({codes::kExpectSql,
                     Severity::kError,
                     output.span,
                     "the output's columns cannot be bound",
                     first_line(made.error().message),
                     {},
                     ""});
    return;
  }
  for (const Check& check : output.checks) checker.check(check);
  (void)connection.execute(fmt::format("DROP TABLE IF EXISTS temp.{}", kTable));
}

}  // namespace tidegate
