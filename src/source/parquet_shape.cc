#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "base/hash.h"
#include "base/text.h"
#include "contract/codes.h"
#include "source/scan.h"
#include "source/shape.h"

namespace tidegate {
namespace {

/// Files asked about in one statement.
constexpr size_t kBatchFiles = 256;
constexpr size_t kMagicBytes = 4;
constexpr uint64_t kSmallestBytes = 12;
constexpr const char* kShapeRecipe = "parquet.1.duckdb-1.5";

/// Why a file cannot be Parquet, by its first and last bytes; empty if it looks like it.
struct MagicProblem {
  const char* code = nullptr;
  std::string message;
  std::string help;
};

Result<MagicProblem> look_at_magic(Effects& effects, const InputFile& file) {
  TG_ASSIGN(const int raw, effects.open(file.path, O_RDONLY));
  const Fd fd(effects, raw);
  std::byte head[kMagicBytes] = {};
  std::byte tail[8] = {};
  TG_ASSIGN(const size_t got, effects.pread(fd.get(), head, 0));
  const bool starts = got == kMagicBytes && std::memcmp(head, "PAR1", kMagicBytes) == 0;
  if (got == kMagicBytes && std::memcmp(head, "PARE", kMagicBytes) == 0)
    return MagicProblem{codes::kNotThisFormat,
                        fmt::format("\"{}\" is an encrypted Parquet file", file.name),
                        "encrypted Parquet cannot be read; write it without encryption"};
  if (!starts)
    return MagicProblem{codes::kNotThisFormat,
                        fmt::format("\"{}\" is not a Parquet file", file.name),
                        "say `format: csv` or `format: json` if that is what it is"};
  MagicProblem cut{codes::kFileTruncated,
                   fmt::format("\"{}\" is cut off: it begins as Parquet and has no end", file.name),
                   "its writer died or is still at work; write aside and rename"};
  if (file.stat.size < kSmallestBytes) return cut;
  TG_ASSIGN(const size_t end, effects.pread(fd.get(), tail, file.stat.size - sizeof tail));
  if (end != sizeof tail || std::memcmp(tail + 4, "PAR1", kMagicBytes) != 0) return cut;
  uint32_t footer = 0;
  std::memcpy(&footer, tail, sizeof footer);
  if (footer > file.stat.size - kSmallestBytes) return cut;
  return MagicProblem{};
}

class ParquetReader {
 public:
  ParquetReader(ShapeContext& context, const ReadRecipe& recipe)
      : context_(context), recipe_(recipe) {}

  Status start() {
    TG_ASSIGN(options_, option_arguments(context_.effects, recipe_));
    return {};
  }

  Status read(const std::vector<InputFile*>& files) {
    std::vector<std::string> paths;
    std::map<std::string, FileShape> shapes;
    for (const InputFile* file : files) paths.push_back(file->path);
    const std::string list = path_list(paths);
    TG_ASSIGN(const sql::Table groups,
              query(fmt::format("SELECT file_name, row_group_id, any_value(row_group_num_rows), "
                                "sum(total_compressed_size) FROM parquet_metadata({}) "
                                "GROUP BY ALL ORDER BY file_name, row_group_id",
                                list)));
    for (const auto& row : groups.rows) {
      FileShape& shape = shapes[row[0].text];
      const RowGroup* last = shape.row_groups.empty() ? nullptr : &shape.row_groups.back();
      shape.row_groups.push_back(
          {last ? last->row_begin + last->rows : 0, to_u64(row[2].text), to_u64(row[3].text)});
      shape.rows += shape.row_groups.back().rows;
    }
    // Describing a file costs a bind; files whose schema trees are equal need it once.
    TG_ASSIGN(const sql::Table trees,
              query(fmt::format(
                  "SELECT file_name, md5(string_agg(concat_ws('/', coalesce(name, ''), "
                  "coalesce(type, ''), coalesce(type_length, ''), coalesce(repetition_type, ''), "
                  "coalesce(num_children, 0), coalesce(converted_type, ''), coalesce(scale, 0), "
                  "coalesce(precision, 0), coalesce(logical_type, '')), chr(10) ORDER BY "
                  "column_id)) FROM parquet_schema({}) GROUP BY ALL",
                  list)));
    std::map<std::string, std::string> tree_of;
    for (const auto& row : trees.rows) tree_of[row[0].text] = row[1].text;
    for (InputFile* file : files) {
      auto& columns = by_tree_[tree_of[file->path]];
      if (!columns) {
        TG_ASSIGN(sql::Schema schema,
                  context_.connection->describe(
                      fmt::format("SELECT * FROM read_parquet({}{}, hive_partitioning = false)",
                                  path_list({file->path}), options_)));
        columns = std::make_shared<const sql::Schema>(std::move(schema));
      }
      FileShape& shape = shapes[file->path];
      shape.columns = columns;
      shape.rows_known = true;  // those of its row groups, of which it may have none
      context_.cache.set_shape(file->identity, kShapeRecipe + options_key(), shape);
    }
    return {};
  }

  std::string options_key() const {
    std::string text;
    for (const auto& [name, value] : recipe_.options) text += fmt::format("{}={}\n", name, value);
    return text.empty() ? "" : "." + hex64(xxh3_64(text));
  }

 private:
  Result<sql::Table> query(const std::string& sql) {
    return context_.connection->query(sql, size_t{10'000'000});
  }

  ShapeContext& context_;
  const ReadRecipe& recipe_;
  std::string options_;
  std::map<std::string, std::shared_ptr<const sql::Schema>> by_tree_;
};

}  // namespace

Status read_parquet_shapes(ShapeContext& context, const ReadRecipe& recipe,
                           std::vector<InputFile>& files, const std::vector<Span>& spans,
                           std::vector<BadFile>& bad) {
  ParquetReader reader(context, recipe);
  const std::string key = kShapeRecipe + reader.options_key();
  const auto report = [&](size_t i, const char* code, std::string message, std::string label,
                          std::string help) {
    Diagnostic finding{code, Severity::kError, spans[i], std::move(message), std::move(label),
                       {},   std::move(help)};
    if (code == codes::kFileUnreadable)
      context.diagnostics.add(std::move(finding));
    else
      bad.push_back({i, std::move(finding)});
  };
  std::vector<size_t> unknown;
  for (size_t i = 0; i < files.size(); ++i) {
    if (context.cache.shape(files[i].identity, key)) continue;
    const auto problem = look_at_magic(context.effects, files[i]);
    if (!problem)
      report(i, codes::kFileUnreadable, fmt::format("cannot read \"{}\"", files[i].name),
             problem.error().message, "give this user the right to read it");
    else if (problem->code)
      report(i, problem->code, problem->message, "read as Parquet", problem->help);
    else
      unknown.push_back(i);
  }
  if (!unknown.empty()) {
    if (!context.connection) return needs_sql(context.source);
    TG_TRY(reader.start());
  }
  for (size_t begin = 0; begin < unknown.size(); begin += kBatchFiles) {
    std::vector<InputFile*> batch;
    const size_t end = std::min(unknown.size(), begin + kBatchFiles);
    for (size_t k = begin; k < end; ++k) batch.push_back(&files[unknown[k]]);
    if (reader.read(batch)) continue;
    // One bad file fails the whole question: ask file by file to name every bad one.
    for (size_t k = begin; k < end; ++k) {
      const Status one = reader.read({&files[unknown[k]]});
      if (one) continue;
      if (one.error().cls == FailureClass::kMemory) return one;
      report(unknown[k], codes::kNotThisFormat,
             fmt::format("\"{}\" cannot be read as Parquet", files[unknown[k]].name),
             one.error().message.substr(0, one.error().message.find('\n')), "write the file again");
    }
  }
  std::ranges::sort(bad, {}, &BadFile::file);
  for (InputFile& file : files) {
    const FileShape* shape = context.cache.shape(file.identity, key);
    if (!shape) continue;
    file.rows = shape->rows;
    file.rows_known = true;
    file.row_groups = shape->row_groups;
    file.columns = shape->columns;
  }
  return {};
}

}  // namespace tidegate
