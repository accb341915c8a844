#include <fmt/format.h>

#include <map>
#include <optional>

#include "base/hash.h"
#include "base/text.h"
#include "contract/codes.h"
#include "source/shape.h"

namespace tidegate {
namespace {

constexpr const char* kUnionRecipe = "union.1.duckdb-1.5";
constexpr const char* kTypesRecipe = "types.1.duckdb-1.5";

std::optional<size_t> index_of(const sql::Schema& schema, std::string_view name) {
  for (size_t i = 0; i < schema.size(); ++i)
    if (to_lower_ascii(schema[i].name) == to_lower_ascii(name)) return i;
  return std::nullopt;
}

std::string names_of(const sql::Schema& schema) {
  std::vector<std::string> names;
  for (const sql::Column& column : schema) names.push_back(quote_identifier(column.name));
  return join(names, ", ");
}

/// Findings about files that differ from the first, one a kind: the first file is named, the others
/// are counted.
class Differences {
 public:
  void add(const char* code, Span span, std::string message, std::string label, std::string help) {
    auto& [first, count] = by_code_[code];
    if (count++ == 0)
      first = {code, Severity::kError, span, std::move(message), std::move(label),
               {},   std::move(help)};
  }
  void flush(Diagnostics& diagnostics) {
    for (auto& [code, entry] : by_code_) {
      if (entry.second > 1)
        entry.first.notes.push_back(
            fmt::format("and {} more of the kind in other files or columns", entry.second - 1));
      diagnostics.add(std::move(entry.first));
    }
  }

 private:
  std::map<std::string, std::pair<Diagnostic, size_t>> by_code_;
};

void compare(const InputFile& first, const InputFile& file, Span span, Differences& found) {
  constexpr const char* kUnionHelp =
      "if that is meant, say `options: {union_by_name: true}`: missing columns become NULL and "
      "types are made common";
  const sql::Schema& want = *first.columns;
  const sql::Schema& have = *file.columns;
  bool same_names = want.size() == have.size();
  for (const sql::Column& column : want) {
    const auto at = index_of(have, column.name);
    same_names &= at.has_value();
    if (!at) {
      found.add(codes::kColumnMissingInFile, span,
                fmt::format("\"{}\" has no column {}", file.name, quote_identifier(column.name)),
                fmt::format("\"{}\" has it, as {}", first.name, column.type), kUnionHelp);
    } else if (have[*at].type != column.type) {
      found.add(
          codes::kColumnTypeDiffers, span,
          fmt::format("column {} is {} in \"{}\" and {} in \"{}\"", quote_identifier(column.name),
                      column.type, first.name, have[*at].type, file.name),
          "these files are read as one table", kUnionHelp);
    }
  }
  for (const sql::Column& column : have)
    if (!index_of(want, column.name)) {
      same_names = false;
      found.add(
          codes::kExtraColumnInFile, span,
          fmt::format("\"{}\" has a column {} more", file.name, quote_identifier(column.name)),
          fmt::format("\"{}\" has no such column", first.name), kUnionHelp);
    }
  if (!same_names) return;
  for (size_t i = 0; i < want.size(); ++i) {
    if (index_of(have, want[i].name) == i) continue;
    found.add(codes::kColumnsReordered, span,
              fmt::format("\"{}\" has its columns in another order", file.name),
              fmt::format("{} against {} in \"{}\"", names_of(have), names_of(want), first.name),
              kUnionHelp);
    return;
  }
}

}  // namespace

std::unexpected<Failure> needs_sql(const Source& source) {
  return fail(FailureClass::kTransient, "source.needs_sql",
              fmt::format("source {} has files that are not known yet: DuckDB is needed to read "
                          "their metadata",
                          source.name.value));
}

Result<sql::Schema> declared_columns(ShapeContext& context) {
  const auto& columns = context.source.columns;
  if (columns.empty()) return sql::Schema{};
  IdentityHash hash;
  for (const auto& [name, type] : columns) hash.add(name.value).add(type.value);
  const std::string key = hash.hex();
  if (const FileShape* known = context.cache.shape(key, kTypesRecipe)) return *known->columns;
  if (!context.connection) return needs_sql(context.source);
  sql::Schema schema;
  bool good = true;
  for (const auto& [name, type] : columns) {
    const auto made =
        context.connection->describe(fmt::format("SELECT CAST(NULL AS {}) AS x", type.value));
    if (!made || made->size() != 1) {
      good = false;
      context.diagnostics.add({codes::kUnknownType,
                               Severity::kError,
                               type.span,
                               fmt::format("\"{}\" is not a type", type.value),
                               made ? "more than a type" : "DuckDB does not know it",
                               {},
                               "e.g. INTEGER, BIGINT, DOUBLE, VARCHAR, DATE, TIMESTAMP, "
                               "DECIMAL(12,2)"});
      schema.push_back({name.value, "VARCHAR"});
      continue;
    }
    schema.push_back({name.value, (*made)[0].type});
  }
  if (good) {
    FileShape shape;
    shape.columns = std::make_shared<const sql::Schema>(schema);
    context.cache.set_shape(key, kTypesRecipe, std::move(shape));
  }
  return schema;
}

Result<sql::Schema> common_schema(ShapeContext& context, const std::vector<InputFile>& files,
                                  const std::vector<Span>& spans) {
  const InputFile* first = nullptr;
  std::vector<const sql::Schema*> distinct;
  Differences found;
  for (size_t i = 0; i < files.size(); ++i) {
    if (!files[i].columns) continue;
    if (!first) first = &files[i];
    bool seen = false;
    for (const sql::Schema* schema : distinct)
      seen |= schema == files[i].columns.get() || *schema == *files[i].columns;
    if (seen) continue;
    distinct.push_back(files[i].columns.get());
    if (&files[i] != first && !context.source.union_by_name)
      compare(*first, files[i], spans[i], found);
  }
  found.flush(context.diagnostics);
  if (!first) return sql::Schema{};
  if (distinct.size() == 1 || !context.source.union_by_name) return *first->columns;

  IdentityHash hash;
  for (const sql::Schema* schema : distinct) {
    hash.add(uint64_t{schema->size()});
    for (const sql::Column& column : *schema) hash.add(column.name).add(column.type);
  }
  const std::string key = hash.hex();
  if (const FileShape* known = context.cache.shape(key, kUnionRecipe)) return *known->columns;
  if (!context.connection) return needs_sql(context.source);
  sql::Schema all;
  for (const sql::Schema* schema : distinct)
    for (const sql::Column& column : *schema) {
      const auto at = index_of(all, column.name);
      if (!at) {
        all.push_back(column);
      } else if (all[*at].type != column.type) {
        TG_ASSIGN(const sql::Schema common,
                  context.connection->describe(
                      fmt::format("SELECT CAST(NULL AS {}) AS x UNION ALL SELECT CAST(NULL AS {})",
                                  all[*at].type, column.type)));
        all[*at].type = common[0].type;
      }
    }
  FileShape shape;
  shape.columns = std::make_shared<const sql::Schema>(all);
  context.cache.set_shape(key, kUnionRecipe, std::move(shape));
  return all;
}

}  // namespace tidegate
