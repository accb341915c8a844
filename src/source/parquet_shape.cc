#include <fcntl.h>
#include <fmt/format.h>

#include <cstring>
#include <map>
#include <span>

#include "base/hash.h"
#include "base/text.h"
#include "contract/codes.h"
#include "source/parquet_footer.h"
#include "source/scan.h"
#include "source/shape.h"

namespace tidegate {
namespace {

constexpr size_t kMagicBytes = 4;
constexpr uint64_t kSmallestBytes = 12;
constexpr const char* kShapeRecipe = "parquet.1.duckdb-1.5";

/// A file's footer, or, by its first and last bytes, why it cannot be Parquet.
struct FileEnds {
  const char* problem = nullptr;  ///< a code; null: it looks like Parquet
  std::string message;
  std::string help;
  std::string footer;
};

Result<FileEnds> read_ends(Effects& effects, const InputFile& file) {
  TG_ASSIGN(const int raw, effects.open(file.path, O_RDONLY));
  const Fd fd(effects, raw);
  std::byte head[kMagicBytes] = {};
  std::byte tail[8] = {};
  TG_ASSIGN(const size_t got, effects.pread(fd.get(), head, 0));
  const bool starts = got == kMagicBytes && std::memcmp(head, "PAR1", kMagicBytes) == 0;
  if (got == kMagicBytes && std::memcmp(head, "PARE", kMagicBytes) == 0)
    return FileEnds{codes::kNotThisFormat,
                    fmt::format("\"{}\" is an encrypted Parquet file", file.name),
                    "encrypted Parquet cannot be read; write it without encryption",
                    {}};
  if (!starts)
    return FileEnds{codes::kNotThisFormat,
                    fmt::format("\"{}\" is not a Parquet file", file.name),
                    "say `format: csv` or `format: json` if that is what it is",
                    {}};
  FileEnds cut{codes::kFileTruncated,
               fmt::format("\"{}\" is cut off: it begins as Parquet and has no end", file.name),
               "its writer died or is still at work; write aside and rename",
               {}};
  if (file.stat.size < kSmallestBytes) return cut;
  const uint64_t end = file.stat.size - sizeof tail;
  TG_ASSIGN(const size_t last, effects.pread(fd.get(), tail, end));
  if (last != sizeof tail || std::memcmp(tail + 4, "PAR1", kMagicBytes) != 0) return cut;
  uint32_t size = 0;
  std::memcpy(&size, tail, sizeof size);
  if (size > file.stat.size - kSmallestBytes) return cut;
  FileEnds ends;
  ends.footer.resize(size);
  TG_ASSIGN(const size_t read,
            effects.pread(fd.get(), std::as_writable_bytes(std::span(ends.footer)), end - size));
  return read == size ? std::move(ends) : std::move(cut);
}

class ParquetReader {
 public:
  ParquetReader(ShapeContext& context, const ReadRecipe& recipe)
      : context_(context), recipe_(recipe) {}

  Status read(const InputFile& file, const std::string& bytes) {
    TG_ASSIGN(ParquetFooter footer, parse_parquet_footer(bytes));
    // Describing a file costs a bind; files of equal schemas need it once.
    auto& columns = by_schema_[std::move(footer.schema)];
    if (!columns) {
      TG_ASSIGN(const std::string options, option_arguments(context_.effects, recipe_));
      TG_ASSIGN(sql::Schema schema,
                context_.connection->describe(
                    fmt::format("SELECT * FROM read_parquet({}{}, hive_partitioning = false)",
                                path_list({file.path}), options)));
      columns = std::make_shared<const sql::Schema>(std::move(schema));
    }
    FileShape shape;
    shape.columns = columns;
    shape.row_groups = std::move(footer.row_groups);
    for (const RowGroup& group : shape.row_groups) shape.rows += group.rows;
    shape.rows_known = true;  // those of its row groups, of which it may have none
    context_.cache.set_shape(file.identity, kShapeRecipe + options_key(), shape);
    return {};
  }

  std::string options_key() const {
    std::string text;
    for (const auto& [name, value] : recipe_.options) text += fmt::format("{}={}\n", name, value);
    return text.empty() ? "" : "." + hex64(xxh3_64(text));
  }

 private:
  ShapeContext& context_;
  const ReadRecipe& recipe_;
  std::map<std::string, std::shared_ptr<const sql::Schema>> by_schema_;
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
  for (size_t i = 0; i < files.size(); ++i) {
    if (context.cache.shape(files[i].identity, key)) continue;
    const auto ends = read_ends(context.effects, files[i]);
    if (!ends) {
      report(i, codes::kFileUnreadable, fmt::format("cannot read \"{}\"", files[i].name),
             ends.error().message, "give this user the right to read it");
      continue;
    }
    if (ends->problem) {
      report(i, ends->problem, ends->message, "read as Parquet", ends->help);
      continue;
    }
    if (!context.connection) return needs_sql(context.source);
    const Status read = reader.read(files[i], ends->footer);
    if (read) continue;
    if (read.error().cls == FailureClass::kMemory) return read;
    report(i, codes::kNotThisFormat, fmt::format("\"{}\" cannot be read as Parquet", files[i].name),
           first_line(read.error().message), "write the file again");
  }
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
