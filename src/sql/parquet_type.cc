#include "sql/parquet_type.h"

#include <fmt/format.h>

#include <cctype>
#include <map>
#include <vector>

#include "base/text.h"

namespace tidegate::sql {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

/// The end of the quoted text that begins at `at`; a doubled quote belongs to it.
size_t quoted_end(const std::string& text, size_t at) {
  const char quote = text[at];
  for (size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] != quote) continue;
    if (i + 1 == text.size() || text[i + 1] != quote) return i + 1;
    ++i;
  }
  return text.size();
}

/// The end of the parenthesis that opens at `at`.
size_t group_end(const std::string& text, size_t at) {
  size_t depth = 0;
  for (size_t i = at; i < text.size();) {
    if (text[i] == '"' || text[i] == '\'') {
      i = quoted_end(text, i);
      continue;
    }
    if (text[i] == '(') ++depth;
    if (text[i] == ')' && --depth == 0) return i + 1;
    ++i;
  }
  return text.size();
}

const std::map<std::string, std::string>& stand_ins() {
  static const std::map<std::string, std::string> kStandIns = {
      {"HUGEINT", "DECIMAL(38,0)"}, {"UHUGEINT", "DECIMAL(38,0)"}, {"ENUM", "VARCHAR"},
      {"BIT", "VARCHAR"},           {"BIGNUM", "VARCHAR"},         {"TIME_NS", "VARCHAR"},
      {"TIMESTAMP_S", "TIMESTAMP"}, {"TIMESTAMP_MS", "TIMESTAMP"}, {"INTERVAL", "VARCHAR"}};
  return kStandIns;
}

}  // namespace

std::string parquet_type(const std::string& type) {
  // UNION has a form of its own in Parquet, with the member's number in it; a column of INTERVAL is
  // guarded by parquet_select, one inside a list or a struct cannot be.
  if (type.starts_with("UNION(") || type == "INTERVAL") return type;
  std::string out;
  for (size_t i = 0; i < type.size();) {
    const char c = type[i];
    size_t end = i + 1;
    if (c == '"' || c == '\'') {
      end = quoted_end(type, i);
      out.append(type, i, end - i);
    } else if (c == '[') {
      // "INTEGER[3]" is an array: its length goes.
      end = type.find(']', i);
      end = end == std::string::npos ? type.size() : end + 1;
      out += "[]";
    } else if (is_word(c)) {
      // Field names in upper case are written in quotes: this is a type's name, or a name in lower
      // case.
      while (end < type.size() && is_word(type[end])) ++end;
      const std::string word = type.substr(i, end - i);
      const auto found = stand_ins().find(word);
      out += found == stand_ins().end() ? word : found->second;
      if (word == "ENUM" && end < type.size() && type[end] == '(') end = group_end(type, end);
    } else {
      out += c;
    }
    i = end;
  }
  return out;
}

Schema parquet_schema(Schema schema) {
  for (Column& column : schema) column.type = parquet_type(column.type);
  return schema;
}

std::string parquet_select(const std::string& relation, const Schema& schema) {
  std::vector<std::string> replaced;
  for (const Column& column : schema) {
    const std::string name = quote_identifier(column.name);
    const std::string type = parquet_type(column.type);
    if (type != column.type) replaced.push_back(fmt::format("CAST({0} AS {1}) AS {0}", name, type));
    if (column.type == "INTERVAL")
      replaced.push_back(fmt::format(
          "CASE WHEN datepart('microsecond', {0}) % 1000 = 0 THEN {0} WHEN {0} IS NOT NULL THEN "
          "error("
          "'an INTERVAL finer than milliseconds cannot be published: ' || {0}) END AS {0}",
          name));
  }
  if (replaced.empty()) return "SELECT * FROM " + relation;
  return fmt::format("SELECT * REPLACE ({}) FROM {}", join(replaced, ", "), relation);
}

}  // namespace tidegate::sql
