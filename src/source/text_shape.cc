#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/hash.h"
#include "base/text.h"
#include "contract/codes.h"
#include "source/scan.h"
#include "source/shape.h"

namespace tidegate {
namespace {

/// Header cells read beyond the declared columns, so that extra ones can be named.
constexpr size_t kExtraHeaderCells = 64;

const std::string* option_of(const ReadRecipe& recipe, std::string_view name) {
  for (const auto& [key, value] : recipe.options)
    if (key == name) return &value;
  return nullptr;
}

std::string recipe_key(const char* kind, const ReadRecipe& recipe, const sql::Schema& declared) {
  IdentityHash hash;
  hash.add(kind);
  for (const auto& [name, value] : recipe.options) hash.add(name).add(value);
  hash.add(uint64_t{declared.size()});
  for (const sql::Column& column : declared) hash.add(column.name).add(column.type);
  return hash.hex();
}

bool is_true(const std::string& literal) {
  const std::string lower = to_lower_ascii(literal);
  return lower == "true" || lower == "'true'" || lower == "1";
}

void set_default(ReadRecipe& recipe, const char* name, const char* value) {
  if (!option_of(recipe, name)) recipe.options.emplace_back(name, value);
}

/// The type that values of both types are read as.
std::string wider(const std::string& a, const std::string& b) {
  if (a == b) return a;
  const auto either = [&](const char* x, const char* y) {
    return (a == x && b == y) || (a == y && b == x);
  };
  if (either("BIGINT", "DOUBLE")) return "DOUBLE";
  if (either("DATE", "TIMESTAMP")) return "TIMESTAMP";
  return "VARCHAR";
}

class CsvProbe {
 public:
  CsvProbe(ShapeContext& context, const ReadRecipe& recipe, const sql::Schema& declared)
      : context_(context), recipe_(recipe), declared_(declared) {}

  Status start() {
    TG_ASSIGN(arguments_, option_arguments(context_.effects, recipe_));
    return {};
  }

  /// The header's names, as many as there are. Bad rows below it are the scan's to find.
  Result<FileShape> header(const InputFile& file) {
    sql::Schema cells;
    for (size_t i = 0; i < declared_.size() + kExtraHeaderCells; ++i)
      cells.push_back({fmt::format("c{}", i), "VARCHAR"});
    std::string arguments;
    for (const auto& [name, value] : recipe_.options) {
      if (name != "delim" && name != "sep" && name != "quote" && name != "escape" &&
          name != "skip" && name != "encoding" && name != "compression" &&
          name != "max_line_size" && name != "comment" && name != "new_line")
        continue;
      TG_ASSIGN(const std::string resolved,
                resolve_secrets(context_.effects, value, recipe_.directory));
      arguments += fmt::format(", {} = {}", name, resolved);
    }
    TG_ASSIGN(const sql::Table table,
              context_.connection->query(fmt::format(
                  "SELECT * FROM read_csv({}, auto_detect = false, header = false, "
                  "null_padding = true, strict_mode = false, ignore_errors = true, {}{}) LIMIT 1",
                  path_list({file.path}), columns_argument(cells), arguments)));
    sql::Schema columns;
    if (table.rows.empty())
      return fail(FailureClass::kData, "source.no_header", "there is no header line in it");
    for (size_t i = 0; i < table.rows[0].size() && !table.rows[0][i].null; ++i)
      columns.push_back({table.rows[0][i].text, type_of(table.rows[0][i].text)});
    FileShape shape;
    shape.columns = std::make_shared<const sql::Schema>(std::move(columns));
    return shape;
  }

  Result<FileShape> sniff(const InputFile& file) {
    TG_ASSIGN(const sql::Table table,
              context_.connection->query(fmt::format(
                  "SELECT Delimiter, Quote, Escape, Comment, SkipRows, HasHeader, DateFormat, "
                  "TimestampFormat, CAST(to_json(Columns) AS VARCHAR) FROM sniff_csv({}{})",
                  quote_literal(file.path), arguments_)));
    TG_ASSERT(table.rows.size() == 1);
    const auto& row = table.rows[0];
    FileShape shape;
    constexpr const char* kNames[] = {"delim", "quote",  "escape",     "comment",
                                      "skip",  "header", "dateformat", "timestampformat"};
    for (size_t i = 0; i < std::size(kNames); ++i) {
      // "(empty)" is what the sniffer says where it saw none; a quote may still come later.
      if (row[i].null || row[i].text.empty() || row[i].text == "(empty)") continue;
      const bool bare = i == 4 || i == 5;
      shape.dialect.emplace_back(kNames[i], bare ? row[i].text : quote_literal(row[i].text));
    }
    sql::Schema columns;
    const auto json = nlohmann::json::parse(row[8].text, nullptr, false);
    if (json.is_array())
      for (const auto& item : json)
        columns.push_back({item.value("name", ""), item.value("type", "VARCHAR")});
    shape.columns = std::make_shared<const sql::Schema>(std::move(columns));
    return shape;
  }

 private:
  std::string type_of(const std::string& name) const {
    for (const sql::Column& column : declared_)
      if (to_lower_ascii(column.name) == to_lower_ascii(name)) return column.type;
    return "VARCHAR";
  }

  ShapeContext& context_;
  const ReadRecipe& recipe_;
  const sql::Schema& declared_;
  std::string arguments_;
};

/// Options that every file agrees on go to the recipe; the others are reported.
void pin_dialect(ShapeContext& context, ReadRecipe& recipe, const std::vector<InputFile>& files,
                 const std::vector<const FileShape*>& shapes, const std::vector<Span>& spans) {
  std::map<std::string, std::pair<std::string, size_t>> pinned;
  for (size_t i = 0; i < files.size(); ++i) {
    if (!shapes[i]) continue;
    for (const auto& [name, value] : shapes[i]->dialect) {
      const auto [place, added] = pinned.try_emplace(name, value, i);
      if (added || place->second.first == value) continue;
      context.diagnostics.add(
          {codes::kBadOption,
           Severity::kError,
           spans[i],
           fmt::format("CSV files seem to be written differently: {} is {} in \"{}\" and {} in "
                       "\"{}\"",
                       name, place->second.first, files[place->second.second].name, value,
                       files[i].name),
           "these files are read as one table",
           {},
           fmt::format("say it: `options: {{{}: ...}}`", name)});
    }
  }
  for (const auto& [name, entry] : pinned)
    if (!option_of(recipe, name)) recipe.options.emplace_back(name, entry.first);
}

/// A dialect that was guessed wrongly shows as one column whose name holds the real delimiter.
void check_one_column(ShapeContext& context, const InputFile& file, Span span) {
  if (file.columns->size() != 1) return;
  const std::string& name = (*file.columns)[0].name;
  if (name.find_first_of(",;\t|") == std::string::npos) return;
  context.diagnostics.add(
      {codes::kBadCsvRow,
       Severity::kError,
       span,
       fmt::format("the columns of \"{}\" cannot be told apart", file.name),
       fmt::format("its first line is read as one column, {}", quote_identifier(name)),
       {"rows that do not fit the first line keep DuckDB from finding the delimiter"},
       "say `options: {delim: ','}` and declare `columns:`, then bad rows are named by line"});
}

}  // namespace

Status read_csv_shapes(ShapeContext& context, ReadRecipe& recipe, const sql::Schema& declared,
                       std::vector<InputFile>& files, const std::vector<Span>& spans,
                       std::vector<BadFile>& bad) {
  const std::string key = recipe_key("csv.1.duckdb-1.5", recipe, declared);
  const std::string* header_option = option_of(recipe, "header");
  const bool has_header = !header_option || is_true(*header_option);
  CsvProbe probe(context, recipe, declared);
  bool started = false;
  std::vector<const FileShape*> shapes(files.size(), nullptr);
  std::optional<FileShape> plain;
  if (!declared.empty() && !has_header) {
    plain.emplace();
    plain->columns = std::make_shared<const sql::Schema>(declared);
  }
  for (size_t i = 0; i < files.size(); ++i) {
    if (plain) {
      shapes[i] = &*plain;
      continue;
    }
    shapes[i] = context.cache.shape(files[i].identity, key);
    if (shapes[i]) continue;
    if (!context.connection) return needs_sql(context.source);
    if (!std::exchange(started, true)) TG_TRY(probe.start());
    const auto shape = declared.empty() ? probe.sniff(files[i]) : probe.header(files[i]);
    if (!shape) {
      if (shape.error().cls == FailureClass::kMemory) return std::unexpected(shape.error());
      const bool encoding = shape.error().message.find("utf-8") != std::string::npos;
      bad.push_back({i,
                     {encoding ? codes::kBadEncoding : codes::kBadCsvRow,
                      Severity::kError,
                      spans[i],
                      fmt::format("\"{}\" cannot be read as CSV", files[i].name),
                      first_line(shape.error().message),
                      {},
                      encoding ? "say `options: {encoding: latin-1}`, or write it as UTF-8"
                               : "declare `columns:` and `options: {delim: ..., quote: ...}`"}});
      continue;
    }
    context.cache.set_shape(files[i].identity, key, *shape);
    shapes[i] = context.cache.shape(files[i].identity, key);
  }
  for (size_t i = 0; i < files.size(); ++i)
    if (shapes[i]) {
      files[i].columns = shapes[i]->columns;
      if (declared.empty()) check_one_column(context, files[i], spans[i]);
    }
  pin_dialect(context, recipe, files, shapes, spans);
  // What neither the contract nor the files said is pinned too.
  set_default(recipe, "header", "true");
  if (!option_of(recipe, "sep")) set_default(recipe, "delim", "','");
  set_default(recipe, "quote", "'\"'");
  set_default(recipe, "escape", "'\"'");
  if (!declared.empty()) return {};
  // Sniffed types of one column may differ between files: all are read as the wider.
  std::map<std::string, std::string> types;
  for (const InputFile& file : files)
    if (file.columns && !file.columns->empty())
      for (const sql::Column& column : *file.columns) {
        const auto [place, added] = types.try_emplace(to_lower_ascii(column.name), column.type);
        if (!added) place->second = wider(place->second, column.type);
      }
  std::map<const sql::Schema*, std::shared_ptr<const sql::Schema>> widened;
  for (InputFile& file : files) {
    if (!file.columns) continue;
    auto& target = widened[file.columns.get()];
    if (!target) {
      sql::Schema columns = *file.columns;
      for (sql::Column& column : columns) column.type = types[to_lower_ascii(column.name)];
      target = std::make_shared<const sql::Schema>(std::move(columns));
    }
    file.columns = target;
  }
  return {};
}

Result<sql::Schema> read_json_schema(ShapeContext& context, ReadRecipe& recipe,
                                     const sql::Schema& declared,
                                     const std::vector<InputFile>& files,
                                     const std::vector<Span>& spans) {
  set_default(recipe, "format", "'auto'");
  if (!declared.empty() || files.empty()) return declared;
  const std::string key = recipe_key("json.1.duckdb-1.5", recipe, declared);
  IdentityHash hash;
  for (const InputFile& file : files) hash.add(file.identity);
  const std::string identity = hash.hex();
  if (const FileShape* known = context.cache.shape(identity, key)) return *known->columns;
  if (!context.connection) return needs_sql(context.source);
  TG_ASSIGN(const std::string arguments, option_arguments(context.effects, recipe));
  std::vector<std::string> paths;
  for (const InputFile& file : files) paths.push_back(file.path);
  const auto schema = context.connection->describe(
      fmt::format("SELECT * FROM read_json({}{}, hive_partitioning = false, "
                  "maximum_sample_files = {})",
                  path_list(paths), arguments, paths.size()));
  if (!schema) {
    if (schema.error().cls == FailureClass::kMemory) return std::unexpected(schema.error());
    size_t at = 0;
    for (size_t i = 0; i < files.size(); ++i)
      if (schema.error().message.find(files[i].path) != std::string::npos) at = i;
    context.diagnostics.add({codes::kBadJsonRow,
                             Severity::kError,
                             spans[at],
                             fmt::format("\"{}\" cannot be read as JSON", files[at].name),
                             first_line(schema.error().message),
                             {},
                             "mend the file, or declare `columns:`"});
    return sql::Schema{};
  }
  FileShape shape;
  shape.columns = std::make_shared<const sql::Schema>(*schema);
  context.cache.set_shape(identity, key, std::move(shape));
  return *schema;
}

}  // namespace tidegate
