#include <fmt/format.h>

#include <algorithm>
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

/// Differences of a kind that are named column by column; the others are counted.
constexpr size_t kDifferencesNamedMax = 20;

/// Findings about files that differ from the first, one a kind: each column with both files and
/// types.
class Differences {
 public:
  void add(const char* code, Span span, std::string message, std::string label, std::string help) {
    auto& [first, count] = by_code_[code];
    ++count;
    if (count == 1)
      first = {code, Severity::kError, span, std::move(message), std::move(label),
               {},   std::move(help)};
    else if (count <= kDifferencesNamedMax)
      first.notes.push_back(std::move(message));
  }
  void flush(Diagnostics& diagnostics) {
    for (auto& [code, entry] : by_code_) {
      if (entry.second > kDifferencesNamedMax)
        entry.first.notes.push_back(fmt::format("and {} more of the kind in other files or columns",
                                                entry.second - kDifferencesNamedMax));
      diagnostics.add(std::move(entry.first));
    }
  }

 private:
  std::map<std::string, std::pair<Diagnostic, size_t>> by_code_;
};

/// Files that have one schema.
struct SchemaKind {
  const sql::Schema* schema = nullptr;
  const InputFile* first = nullptr;
  Span span;
  size_t files = 0;
};

std::string file_text(const SchemaKind& kind) {
  std::string text = fmt::format("\"{}\"", kind.first->name);
  if (kind.files > 1)
    text += fmt::format(" and {} more file{}", kind.files - 1, kind.files == 2 ? "" : "s");
  return text;
}

void compare(const SchemaKind& first, const SchemaKind& other, Differences& found) {
  constexpr const char* kUnionHelp =
      "if that is meant, say `options: {union_by_name: true}`: missing columns become NULL and "
      "types are made common";
  const sql::Schema& want = *first.schema;
  const sql::Schema& have = *other.schema;
  const std::string wanted = file_text(first), differing = file_text(other);
  const char* const has = other.files > 1 ? "have" : "has";
  bool same_names = want.size() == have.size();
  for (const sql::Column& column : want) {
    const auto at = index_of(have, column.name);
    same_names &= at.has_value();
    if (!at) {
      found.add(codes::kColumnMissingInFile, other.span,
                fmt::format("{} {} no column {}, which is {} in {}", differing, has,
                            quote_identifier(column.name), column.type, wanted),
                "these files are read as one table", kUnionHelp);
    } else if (have[*at].type != column.type) {
      found.add(codes::kColumnTypeDiffers, other.span,
                fmt::format("column {} is {} in {} and {} in {}", quote_identifier(column.name),
                            column.type, wanted, have[*at].type, differing),
                "these files are read as one table", kUnionHelp);
    }
  }
  for (const sql::Column& column : have)
    if (!index_of(want, column.name)) {
      same_names = false;
      found.add(codes::kExtraColumnInFile, other.span,
                fmt::format("{} {} the column {} ({}), which {} {} not", differing, has,
                            quote_identifier(column.name), column.type, wanted,
                            first.files > 1 ? "have" : "has"),
                "these files are read as one table", kUnionHelp);
    }
  if (!same_names) return;
  for (size_t i = 0; i < want.size(); ++i) {
    if (index_of(have, want[i].name) == i) continue;
    found.add(codes::kColumnsReordered, other.span,
              fmt::format("the columns of {} are in another order than those of {}: {} against {}",
                          differing, wanted, names_of(have), names_of(want)),
              "these files are read as one table", kUnionHelp);
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
  std::vector<SchemaKind> kinds;
  for (size_t i = 0; i < files.size(); ++i) {
    if (!files[i].columns) continue;
    const sql::Schema* schema = files[i].columns.get();
    const auto known = std::ranges::find_if(kinds, [&](const SchemaKind& kind) {
      return kind.schema == schema || *kind.schema == *schema;
    });
    if (known == kinds.end())
      kinds.push_back({schema, &files[i], spans[i], 1});
    else
      ++known->files;
  }
  if (kinds.empty()) return sql::Schema{};
  if (!context.source.union_by_name) {
    Differences found;
    for (size_t k = 1; k < kinds.size(); ++k) compare(kinds[0], kinds[k], found);
    found.flush(context.diagnostics);
  }
  if (kinds.size() == 1 || !context.source.union_by_name) return *kinds[0].schema;

  IdentityHash hash;
  for (const SchemaKind& kind : kinds) {
    hash.add(uint64_t{kind.schema->size()});
    for (const sql::Column& column : *kind.schema) hash.add(column.name).add(column.type);
  }
  const std::string key = hash.hex();
  if (const FileShape* known = context.cache.shape(key, kUnionRecipe)) return *known->columns;
  if (!context.connection) return needs_sql(context.source);
  sql::Schema all;
  for (const SchemaKind& kind : kinds)
    for (const sql::Column& column : *kind.schema) {
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
