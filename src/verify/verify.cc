#include "verify/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "base/units.h"
#include "verify/condition.h"

namespace tidegate {
namespace {

/// Distinct keys that one pass of `unique` may have to hold: DuckDB takes about 70 bytes for each.
constexpr uint64_t kKeysPerPass = 2'000'000;
constexpr uint64_t kPassesMax = 256;
constexpr size_t kSampleTextMax = 200;
constexpr size_t kSampleColumnsMax = 100;

uint64_t to_u64(const std::string& text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Failures that say nothing about the check: the task has failed, not the promise.
bool is_of_the_machine(const Failure& failure) {
  return failure.cls == FailureClass::kMemory || failure.cls == FailureClass::kDisk ||
         failure.cls == FailureClass::kDependency || failure.cls == FailureClass::kLost ||
         failure.cls == FailureClass::kTransient || failure.code == "sql.interrupted";
}

bool is_row_wise(CheckKind kind) {
  return kind == CheckKind::kNotNull || kind == CheckKind::kAccepted || kind == CheckKind::kRange ||
         kind == CheckKind::kRegex || kind == CheckKind::kExpect;
}

std::string no_null_key(const Check& check, const std::string& prefix = "") {
  std::vector<std::string> parts;
  for (const auto& column : check.columns)
    parts.push_back(prefix + quote_identifier(column.value) + " IS NOT NULL");
  return join(parts, " AND ");
}

std::string aggregate_sql(const std::vector<std::string>& conditions, const std::string& rows) {
  std::string list = "count(*)";
  for (const std::string& condition : conditions)
    list += fmt::format(", count(*) FILTER (WHERE {})", condition);
  return fmt::format("SELECT {} FROM {} AS t", list, rows);
}

std::string hash_of(const Check& check) {
  return fmt::format("hash({})", column_list(check.columns));
}

std::string hash_pass_sql(const Check& check, const std::string& rows, uint64_t passes,
                          uint64_t pass) {
  const std::string part =
      passes == 1 ? "" : fmt::format(" AND {} % {} = {}", hash_of(check), passes, pass);
  return fmt::format(
      "SELECT h FROM (SELECT {} AS h FROM {} AS t WHERE {}{}) GROUP BY h "
      "HAVING count(*) > 1",
      hash_of(check), rows, no_null_key(check), part);
}

/// Rows beyond the first of their key among the keys whose hashes met.
std::string exact_pass_sql(const Check& check, const std::string& rows, uint64_t passes,
                           uint64_t pass) {
  return fmt::format(
      "SELECT coalesce(sum(n - 1), 0)::UBIGINT FROM (SELECT count(*) AS n FROM {} "
      "AS t WHERE {} AND {} IN ({}) GROUP BY {} HAVING count(*) > 1)",
      rows, no_null_key(check), hash_of(check), hash_pass_sql(check, rows, passes, pass),
      column_list(check.columns));
}

std::string orphans_from(const Check& check, const std::string& rows, const std::string& relation) {
  std::vector<std::string> pairs;
  for (size_t i = 0; i < check.columns.size() && i < check.references_columns.size(); ++i)
    pairs.push_back(fmt::format("t.{} = r.{}", quote_identifier(check.columns[i].value),
                                quote_identifier(check.references_columns[i].value)));
  return fmt::format("FROM {} AS t ANTI JOIN (SELECT DISTINCT {} FROM ({}\n)) AS r ON {} WHERE {}",
                     rows, column_list(check.references_columns), relation, join(pairs, " AND "),
                     no_null_key(check, "t."));
}

bool within(uint64_t failing, uint64_t total, double tolerance) {
  // Shares are exact to 1e-9: a millionth of a row is no row.
  return static_cast<long double>(failing) <=
         static_cast<long double>(tolerance) * static_cast<long double>(total) + 1e-6L;
}

class Runner {
 public:
  Runner(sql::Connection& connection, const std::vector<Check>& checks, const VerifyInput& input)
      : connection_(connection),
        checks_(checks),
        input_(input),
        schema_(input.schema),
        rows_(rows_of(input.files, input.schema)) {}

  Result<std::vector<CheckOutcome>> run() {
    if (!input_.files.empty()) {
      TG_ASSIGN(schema_, connection_.describe("SELECT * FROM " + rows_));
    }
    outcomes_.resize(checks_.size());
    for (size_t i = 0; i < checks_.size(); ++i) {
      outcomes_[i].name = checks_[i].name.value;
      outcomes_[i].kind = std::string(to_string(checks_[i].kind));
      outcomes_[i].tolerance = checks_[i].tolerance ? checks_[i].tolerance->value : 0;
    }
    TG_TRY(scan_once());
    for (size_t i = 0; i < checks_.size(); ++i) {
      switch (checks_[i].kind) {
        case CheckKind::kUnique:
          TG_TRY(unique(i));
          break;
        case CheckKind::kReferences:
          TG_TRY(references(i));
          break;
        case CheckKind::kRows:
          row_count(i);
          break;
        case CheckKind::kSchema:
          TG_TRY(schema(i));
          break;
        default:
          break;
      }
    }
    return std::move(outcomes_);
  }

 private:
  Status error(size_t i, const Failure& failure) {
    if (is_of_the_machine(failure)) return std::unexpected(failure);
    outcomes_[i].status = "error";
    outcomes_[i].total = total_;
    outcomes_[i].message =
        fmt::format("{} cannot be evaluated: {}", outcomes_[i].name, first_line(failure.message));
    return {};
  }

  /// The count and all row-wise checks. When the statement fails, each check is asked alone, so
  /// that the one that cannot be evaluated is named and the others still are.
  Status scan_once() {
    std::vector<size_t> asked;
    std::vector<std::string> conditions;
    for (size_t i = 0; i < checks_.size(); ++i) {
      if (!is_row_wise(checks_[i].kind)) continue;
      asked.push_back(i);
      conditions.push_back(broken_row(checks_[i], schema_));
    }
    const auto together = connection_.query(aggregate_sql(conditions, rows_));
    if (together) {
      total_ = to_u64(together->rows[0][0].text);
      for (size_t k = 0; k < asked.size(); ++k)
        TG_TRY(counted(asked[k], to_u64(together->rows[0][k + 1].text), conditions[k]));
      return {};
    }
    if (is_of_the_machine(together.error())) return std::unexpected(together.error());
    TG_ASSIGN(const sql::Table count, connection_.query(aggregate_sql({}, rows_)));
    total_ = to_u64(count.scalar());
    for (size_t k = 0; k < asked.size(); ++k) {
      const auto alone = connection_.query(aggregate_sql({conditions[k]}, rows_));
      if (alone)
        TG_TRY(counted(asked[k], to_u64(alone->rows[0][1].text), conditions[k]));
      else
        TG_TRY(error(asked[k], alone.error()));
    }
    return {};
  }

  /// Sets status and message from the number of failing rows.
  void judge(size_t i, uint64_t failing) {
    CheckOutcome& outcome = outcomes_[i];
    outcome.failing = failing;
    outcome.total = total_;
    const bool holds = within(failing, total_, outcome.tolerance);
    outcome.status = holds ? "pass" : checks_[i].is_error ? "fail" : "warn";
    if (failing == 0) {
      outcome.message = fmt::format("{} holds for {} rows", outcome.name, format_count(total_));
      return;
    }
    outcome.message = fmt::format(
        "{} of {} rows ({:.4g}%) break {}", format_count(failing), format_count(total_),
        100.0 * static_cast<double>(failing) / static_cast<double>(total_), outcome.name);
    if (outcome.tolerance > 0)
      outcome.message += fmt::format("; tolerated are {:.4g}%", 100.0 * outcome.tolerance);
  }

  Status counted(size_t i, uint64_t failing, const std::string& condition) {
    judge(i, failing);
    if (outcomes_[i].status == "pass") return {};
    return sample(i, sample_columns("t."), fmt::format("FROM {} AS t WHERE {}", rows_, condition));
  }

  std::vector<std::string> sample_columns(const std::string& prefix) const {
    std::vector<std::string> names;
    for (const sql::Column& column : schema_)
      if (names.size() < kSampleColumnsMax) names.push_back(prefix + quote_identifier(column.name));
    return names;
  }

  /// Up to kSamplesMax rows as JSON objects. Numbers and booleans stand bare, all else is text.
  Status sample(size_t i, const std::vector<std::string>& columns, const std::string& from) {
    const auto shape = connection_.describe(fmt::format("SELECT {} {}", join(columns, ", "), from));
    if (!shape) return is_of_the_machine(shape.error()) ? std::unexpected(shape.error()) : Status{};
    std::vector<std::string> texts;
    for (const sql::Column& column : *shape)
      texts.push_back(fmt::format("CAST({} AS VARCHAR)", quote_identifier(column.name)));
    // Nested values have no text of their own in an answer: they are cast.
    const auto cast =
        connection_.query(fmt::format("SELECT {} FROM (SELECT {} {} LIMIT {})", join(texts, ", "),
                                      join(columns, ", "), from, kSamplesMax));
    if (!cast) return is_of_the_machine(cast.error()) ? std::unexpected(cast.error()) : Status{};
    for (const auto& row : cast->rows) {
      std::string json = "{";
      for (size_t c = 0; c < row.size(); ++c) {
        json += (c ? "," : "") + quote_json((*shape)[c].name) + ":";
        json += json_value((*shape)[c].type, row[c]);
      }
      outcomes_[i].samples.push_back(json + "}");
    }
    return {};
  }

  static std::string json_value(const std::string& type, const sql::Table::Cell& cell) {
    if (cell.null) return "null";
    const bool number = type == "BIGINT" || type == "INTEGER" || type == "SMALLINT" ||
                        type == "TINYINT" || type == "UBIGINT" || type == "UINTEGER" ||
                        type == "USMALLINT" || type == "UTINYINT" || type == "HUGEINT" ||
                        type.starts_with("DECIMAL");
    const bool floating = type == "DOUBLE" || type == "FLOAT";
    if (type == "BOOLEAN" || number) return cell.text;
    if (floating && cell.text.find_first_of("nN") == std::string::npos) return cell.text;
    std::string text = cell.text;
    if (text.size() > kSampleTextMax) {
      size_t end = kSampleTextMax;
      while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
      text = text.substr(0, end) + "...";
    }
    return quote_json(text);
  }

  Status unique(size_t i) {
    const Check& check = checks_[i];
    const uint64_t passes = std::clamp<uint64_t>(total_ / kKeysPerPass + 1, 1, kPassesMax);
    uint64_t failing = 0;
    std::string hashes;
    for (uint64_t pass = 0; pass < passes; ++pass) {
      const std::string meeting = hash_pass_sql(check, rows_, passes, pass);
      const auto met = connection_.query("SELECT count(*) FROM (" + meeting + ")");
      if (!met) return error(i, met.error());
      if (met->scalar() == "0") continue;
      const auto exact = connection_.query(exact_pass_sql(check, rows_, passes, pass));
      if (!exact) return error(i, exact.error());
      const uint64_t found = to_u64(exact->scalar());
      if (found > 0 && failing == 0) hashes = meeting;
      failing += found;
    }
    judge(i, failing);
    if (outcomes_[i].status == "pass") return {};
    std::vector<std::string> columns;
    for (const auto& column : check.columns) columns.push_back(quote_identifier(column.value));
    columns.push_back("count(*) AS \"rows with this key\"");
    return sample(
        i, columns,
        fmt::format("FROM {} AS t WHERE {} AND {} IN ({}) GROUP BY {} "
                    "HAVING count(*) > 1",
                    rows_, no_null_key(check), hash_of(check), hashes, column_list(check.columns)));
  }

  Status references(size_t i) {
    const Check& check = checks_[i];
    const auto relation = input_.relations.find(check.references_to.value);
    if (relation == input_.relations.end())
      return error(i, Failure{FailureClass::kDefect, "verify.no_relation",
                              fmt::format("\"{}\" has no rows to refer to: it was never published",
                                          check.references_to.value)});
    const std::string from = orphans_from(check, rows_, relation->second);
    const auto count = connection_.query("SELECT count(*) " + from);
    if (!count) return error(i, count.error());
    judge(i, to_u64(count->scalar()));
    return outcomes_[i].status == "pass" ? Status{} : sample(i, sample_columns("t."), from);
  }

  void row_count(size_t i) {
    const Check& check = checks_[i];
    CheckOutcome& outcome = outcomes_[i];
    outcome.total = total_;
    std::vector<std::string> broken;
    if (check.rows_min && total_ < check.rows_min->value)
      broken.push_back(
          fmt::format("at least {} were promised", format_count(check.rows_min->value)));
    if (check.rows_max && total_ > check.rows_max->value)
      broken.push_back(
          fmt::format("at most {} were promised", format_count(check.rows_max->value)));
    bool baseline = false;
    if (check.rows_change) {
      const uint64_t before = input_.rows_before.value_or(0);
      const uint64_t moved = before > total_ ? before - total_ : total_ - before;
      baseline = before == 0;
      if (!baseline && !within(moved, before, check.rows_change->value))
        broken.push_back(fmt::format(
            "{} before is a change of {:.4g}%, {:.4g}% was promised", format_count(before),
            100.0 * static_cast<double>(moved) / static_cast<double>(before),
            100.0 * check.rows_change->value));
    }
    outcome.failing = broken.empty() ? 0 : 1;
    outcome.status = !broken.empty() ? (check.is_error ? "fail" : "warn")
                     : baseline      ? "baseline"
                                     : "pass";
    outcome.message = fmt::format("{} rows", format_count(total_));
    if (!broken.empty())
      outcome.message += ": " + join(broken, "; ");
    else if (baseline)
      outcome.message += ": baseline set";
  }

  Status schema(size_t i) {
    const auto promised = promised_schema(connection_, checks_[i]);
    if (!promised) return error(i, promised.error());
    const auto found = schema_differences(*promised, schema_, checks_[i].evolution_add);
    CheckOutcome& outcome = outcomes_[i];
    outcome.failing = found.size();
    outcome.total = schema_.size();
    outcome.status = found.empty() ? "pass" : checks_[i].is_error ? "fail" : "warn";
    outcome.message =
        found.empty() ? fmt::format("{} columns as promised", schema_.size()) : join(found, "; ");
    return {};
  }

  sql::Connection& connection_;
  const std::vector<Check>& checks_;
  const VerifyInput& input_;
  sql::Schema schema_;
  const std::string rows_;
  uint64_t total_ = 0;
  std::vector<CheckOutcome> outcomes_;
};

}  // namespace

Result<std::vector<CheckOutcome>> run_checks(sql::Connection& connection,
                                             const std::vector<Check>& checks,
                                             const VerifyInput& input) {
  return Runner(connection, checks, input).run();
}

std::vector<std::string> checks_sql(const std::vector<Check>& checks, const VerifyInput& input) {
  const std::string rows = rows_of(input.files, input.schema);
  std::vector<std::string> conditions;
  for (const Check& check : checks)
    if (is_row_wise(check.kind)) conditions.push_back(broken_row(check, input.schema));
  std::vector<std::string> out = {aggregate_sql(conditions, rows)};
  for (const Check& check : checks) {
    if (check.kind == CheckKind::kUnique) out.push_back(hash_pass_sql(check, rows, 1, 0));
    const auto relation = input.relations.find(check.references_to.value);
    if (check.kind == CheckKind::kReferences && relation != input.relations.end())
      out.push_back("SELECT count(*) " + orphans_from(check, rows, relation->second));
  }
  return out;
}

}  // namespace tidegate
