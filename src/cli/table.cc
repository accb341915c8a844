#include "cli/table.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace tidegate::cli {
namespace {

constexpr size_t kCellWidthMax = 40;

bool is_number(const std::string& type) {
  for (const char* name : {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE",
                           "DECIMAL", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"})
    if (type.starts_with(name)) return true;
  return false;
}

size_t code_points(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

/// One line of a terminal: control characters shown as '.', long ones cut at a code point.
std::string cell_text(const sql::Table::Cell& cell) {
  if (cell.null) return "NULL";
  std::string text;
  size_t points = 0;
  for (char c : without_control(cell.text)) {
    if ((c & 0xC0) != 0x80 && ++points > kCellWidthMax) return text + "…";
    text += c == '\n' || c == '\t' ? '.' : c;
  }
  return text;
}

}  // namespace

std::string render_table(const sql::Table& table) {
  std::vector<size_t> widths;
  std::vector<std::vector<std::string>> cells;
  for (const sql::Column& column : table.schema) widths.push_back(code_points(column.name));
  for (const auto& row : table.rows) {
    auto& line = cells.emplace_back();
    for (size_t x = 0; x < row.size(); ++x) {
      line.push_back(cell_text(row[x]));
      widths[x] = std::max(widths[x], code_points(line.back()));
    }
  }
  std::string out;
  const auto put = [&](const std::string& text, size_t x, bool right) {
    const std::string pad(widths[x] - std::min(widths[x], code_points(text)), ' ');
    if (x) out += "  ";
    out += right ? pad + text : text + (x + 1 < widths.size() ? pad : "");
  };
  for (size_t x = 0; x < widths.size(); ++x)
    put(table.schema[x].name, x, is_number(table.schema[x].type));
  out += '\n';
  for (size_t x = 0; x < widths.size(); ++x) out += (x ? "  " : "") + std::string(widths[x], '-');
  out += '\n';
  for (const auto& line : cells) {
    for (size_t x = 0; x < line.size(); ++x) put(line[x], x, is_number(table.schema[x].type));
    out += '\n';
  }
  return out;
}

std::string render_json_rows(const sql::Table& table) {
  std::string out;
  for (const auto& row : table.rows) {
    out += '{';
    for (size_t x = 0; x < row.size(); ++x) {
      if (x) out += ',';
      out += quote_json(table.schema[x].name) + ":";
      const bool plain = (is_number(table.schema[x].type) &&
                          row[x].text.find_first_of("in") == std::string::npos) ||
                         table.schema[x].type == "BOOLEAN";
      out += row[x].null ? "null" : plain ? row[x].text : quote_json(row[x].text);
    }
    out += "}\n";
  }
  return out;
}

std::string render_csv(const sql::Table& table) {
  std::string out;
  const auto put = [&](const std::string& text, bool last, bool null) {
    if (!null && (text.empty() || text.find_first_of(",\"\r\n") != std::string::npos))
      out += quote_identifier(text);
    else
      out += text;
    out += last ? "\r\n" : ",";
  };
  for (size_t x = 0; x < table.schema.size(); ++x)
    put(table.schema[x].name, x + 1 == table.schema.size(), false);
  for (const auto& row : table.rows)
    for (size_t x = 0; x < row.size(); ++x) put(row[x].text, x + 1 == row.size(), row[x].null);
  return out;
}

}  // namespace tidegate::cli
