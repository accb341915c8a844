#include "source/scan.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/secrets.h"
#include "base/text.h"

namespace tidegate {
namespace {

constexpr uint64_t kSecretBytesMax = 64 * 1024;
constexpr size_t kSecretsMax = 100;
/// Directories named NAME=VALUE are no columns: what a table holds is in its files.
constexpr const char* kNoHive = ", hive_partitioning = false";

const sql::Column* find_column(const sql::Schema& schema, std::string_view name) {
  for (const sql::Column& column : schema)
    if (to_lower_ascii(column.name) == to_lower_ascii(name)) return &column;
  return nullptr;
}

/// The columns to read from files of these columns, cast or filled up to the snapshot's schema.
std::string select_list(const SourceSnapshot& snapshot, const sql::Schema& present,
                        const std::vector<std::string>& wanted, bool typed_by_reader) {
  std::vector<std::string> items;
  const auto add = [&](size_t i) {
    const sql::Column& column = snapshot.schema[i];
    const std::string name = quote_identifier(column.name);
    const sql::Column* found = find_column(present, column.name);
    if (!found)
      items.push_back(fmt::format("CAST(NULL AS {}) AS {}", column.type, name));
    else if (found->type == column.type || typed_by_reader)
      items.push_back(found->name == column.name ? name
                                                 : quote_identifier(found->name) + " AS " + name);
    else
      items.push_back(
          fmt::format("CAST({} AS {}) AS {}", quote_identifier(found->name), column.type, name));
  };
  for (size_t i = 0; i < snapshot.schema.size(); ++i)
    if (wanted.empty()) add(i);
  for (const std::string& name : wanted)
    for (size_t i = 0; i < snapshot.schema.size(); ++i)
      if (snapshot.schema[i].name == name) add(i);
  return join(items, ", ");
}

/// The file's own columns with the snapshot's types: what a text reader is told.
sql::Schema typed(const SourceSnapshot& snapshot, const sql::Schema& present) {
  sql::Schema schema = present;
  for (sql::Column& column : schema)
    if (const sql::Column* pinned = find_column(snapshot.schema, column.name))
      column.type = pinned->type;
  return schema;
}

std::string json_structure(const sql::Schema& schema) {
  std::vector<std::string> fields;
  for (const sql::Column& column : schema)
    fields.push_back(quote_json(column.name) + ":" + quote_json(column.type));
  return quote_literal("{" + join(fields, ",") + "}");
}

std::string json_path(std::string_view name) { return quote_literal("$." + quote_json(name)); }

class Scan {
 public:
  Scan(const SourceSnapshot& snapshot, const std::vector<std::string>& columns, std::string options)
      : snapshot_(snapshot), columns_(columns), options_(std::move(options)) {}

  std::string group(const std::vector<FileSlice>& slices) const {
    std::vector<std::string> paths;
    for (const FileSlice& slice : slices) paths.push_back(snapshot_.files[slice.file].path);
    const std::string files = path_list(paths);
    const InputFile& first = snapshot_.files[slices[0].file];
    const sql::Schema& present = first.columns ? *first.columns : snapshot_.schema;
    switch (snapshot_.recipe.format) {
      case FileFormat::kParquet:
        return parquet(files, present, slices[0]);
      case FileFormat::kCsv:
        return csv(files, present);
      case FileFormat::kJson:
        return json(files);
    }
    return "";
  }

 private:
  std::string parquet(const std::string& files, const sql::Schema& present,
                      const FileSlice& slice) const {
    const std::string list = select_list(snapshot_, present, columns_, false);
    if (slice.whole())
      return fmt::format("SELECT {} FROM read_parquet({}{}{})", list, files, options_, kNoHive);
    const int64_t end =
        slice.row_end >= 0 ? slice.row_end : static_cast<int64_t>(snapshot_.files[slice.file].rows);
    return fmt::format(
        "SELECT {} FROM read_parquet({}{}{}, file_row_number = true) "
        "WHERE file_row_number BETWEEN {} AND {}",
        list, files, options_, kNoHive, slice.row_begin, end - 1);
  }

  std::string csv(const std::string& files, const sql::Schema& present) const {
    // Not `parallel = false`: with it DuckDB 1.5 ends a file quietly at a quote that is never
    // closed.
    return fmt::format("SELECT {} FROM read_csv({}, auto_detect = false, {}{}{}{})",
                       select_list(snapshot_, present, columns_, true), files,
                       columns_argument(typed(snapshot_, present)), options_, kNoHive,
                       snapshot_.recipe.set_aside_bad_rows ? ", store_rejects = true" : "");
  }

  std::string json(const std::string& files) const {
    const sql::Schema& schema = snapshot_.schema;
    if (!snapshot_.recipe.set_aside_bad_rows)
      return fmt::format("SELECT {} FROM read_json({}, auto_detect = false, {}{}{})",
                         select_list(snapshot_, schema, columns_, true), files,
                         columns_argument(schema), options_, kNoHive);
    // The JSON reader makes NULLs of what it cannot read. So the objects are read as they are, the
    // good ones are kept, and those are taken apart.
    std::vector<std::string> items;
    const auto add = [&](const sql::Column& column) {
      items.push_back(fmt::format("tg_row.{0} AS {0}", quote_identifier(column.name)));
    };
    for (const sql::Column& column : schema)
      if (columns_.empty()) add(column);
    for (const std::string& name : columns_)
      if (const sql::Column* column = find_column(schema, name)) add(*column);
    return fmt::format(
        "SELECT {} FROM (SELECT json_transform(json, {}) AS tg_row FROM read_json_objects({}, "
        "format = 'newline_delimited', ignore_errors = true{}) WHERE {})",
        join(items, ", "), json_structure(schema), files, kNoHive,
        json_row_is_good(schema, "json"));
  }

  const SourceSnapshot& snapshot_;
  const std::vector<std::string>& columns_;
  std::string options_;
};

}  // namespace

std::string path_list(const std::vector<std::string>& paths) {
  std::vector<std::string> quoted;
  for (const std::string& path : paths) quoted.push_back(quote_literal(path));
  return fmt::format("[{}]", join(quoted, ", "));
}

std::string columns_argument(const sql::Schema& schema) {
  std::vector<std::string> items;
  for (const sql::Column& column : schema)
    items.push_back(quote_literal(column.name) + ": " + quote_literal(column.type));
  return fmt::format("columns = {{{}}}", join(items, ", "));
}

std::string json_row_is_good(const sql::Schema& schema, const std::string& line) {
  std::vector<std::string> parts = {fmt::format(
      "coalesce(json_type(CASE WHEN json_valid({0}) THEN {0} END) = 'OBJECT', false)", line)};
  for (const sql::Column& column : schema)
    parts.push_back(
        fmt::format("(coalesce(json_type({0}, {1}), 'NULL') = 'NULL' OR "
                    "json_transform(json_extract({0}, {1}), {2}) IS NOT NULL)",
                    line, json_path(column.name), quote_literal(quote_json(column.type))));
  // CASE, because the parts after the first fail on text that is no JSON.
  const std::string rest = join(std::vector<std::string>(parts.begin() + 1, parts.end()), " AND ");
  return fmt::format("CASE WHEN {} THEN {} ELSE false END", parts[0], rest.empty() ? "true" : rest);
}

Result<std::string> resolve_secrets(Effects& effects, std::string_view text,
                                    const std::string& directory) {
  std::string out;
  for (size_t found = 0; found <= kSecretsMax; ++found) {
    const size_t open = text.find("${");
    if (open == std::string_view::npos) return out.append(text);
    const size_t close = text.find('}', open);
    out.append(text.substr(0, open));
    const std::string_view inside = close == std::string_view::npos
                                        ? text.substr(open + 2)
                                        : text.substr(open + 2, close - open - 2);
    std::string value;
    if (close != std::string_view::npos && inside.starts_with("env:")) {
      const std::string name(inside.substr(4));
      const char* found_value = std::getenv(name.c_str());
      if (!found_value)
        return fail(FailureClass::kDependency, "source.secret",
                    fmt::format("the environment has no variable {}", name));
      value = found_value;
    } else if (close != std::string_view::npos && inside.starts_with("file:")) {
      const std::string path = path_absolute(inside.substr(5), directory);
      auto bytes = read_file(effects, path, kSecretBytesMax);
      if (!bytes)
        return fail_because(std::move(bytes).error(), "source.secret",
                            fmt::format("cannot read the secret in \"{}\"", path));
      value = std::move(*bytes);
      while (!value.empty() && (value.back() == '\n' || value.back() == '\r')) value.pop_back();
    } else {
      return fail(FailureClass::kDefect, "source.secret",
                  fmt::format("not a reference to a secret: \"${{{}\"", inside));
    }
    remember_secret(value, fmt::format("${{{}}}", inside));
    for (const char c : value) out.append(c == '\'' ? 2 : 1, c);
    text.remove_prefix(close + 1);
  }
  return fail(FailureClass::kDefect, "source.secret",
              fmt::format("more than {} references in one option", kSecretsMax));
}

Result<std::string> option_arguments(Effects& effects, const ReadRecipe& recipe) {
  std::string out;
  for (const auto& [name, value] : recipe.options) {
    if (!is_valid_name(name))
      return fail(FailureClass::kDefect, "source.option",
                  fmt::format("not a reader option: \"{}\"", name));
    TG_ASSIGN(const std::string resolved, resolve_secrets(effects, value, recipe.directory));
    out += fmt::format(", {} = {}", name, resolved);
  }
  return out;
}

Result<std::string> scan_sql(Effects& effects, const SourceSnapshot& snapshot,
                             const Partition& partition, const std::vector<std::string>& columns) {
  for (const std::string& name : columns) {
    bool known = false;
    for (const sql::Column& column : snapshot.schema) known |= column.name == name;
    if (!known)
      return fail(FailureClass::kDefect, "source.column",
                  fmt::format("source {} has no column \"{}\"", snapshot.source, name));
  }
  TG_ASSIGN(std::string options, option_arguments(effects, snapshot.recipe));
  const Scan scan(snapshot, columns, std::move(options));
  std::vector<std::string> parts;
  const auto& slices = partition.slices;
  for (size_t begin = 0; begin < slices.size();) {
    // Whole files of equal columns are one call; a run of row groups is a call of its own.
    size_t end = begin + 1;
    const auto columns_of = [&](size_t i) { return snapshot.files[slices[i].file].columns; };
    const auto same_columns = [&](size_t i) {
      const auto a = columns_of(begin), b = columns_of(i);
      return a == b || (a && b && *a == *b);
    };
    while (slices[begin].whole() && end < slices.size() && slices[end].whole() && same_columns(end))
      ++end;
    parts.push_back(scan.group({slices.begin() + begin, slices.begin() + end}));
    begin = end;
  }
  if (!parts.empty()) return join(parts, " UNION ALL ");
  sql::Schema picked = columns.empty() ? snapshot.schema : sql::Schema{};
  for (const std::string& name : columns) picked.push_back(*find_column(snapshot.schema, name));
  return empty_sql(picked);
}

std::string empty_sql(const sql::Schema& schema) {
  std::vector<std::string> items;
  for (const sql::Column& column : schema)
    items.push_back(
        fmt::format("CAST(NULL AS {}) AS {}", column.type, quote_identifier(column.name)));
  return fmt::format("SELECT {} WHERE false", items.empty() ? "NULL" : join(items, ", "));
}

}  // namespace tidegate
