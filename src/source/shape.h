#pragma once

#include <string>
#include <vector>

#include "source/cache.h"
#include "source/files.h"
#include "source/snapshot.h"

namespace tidegate {

/// What reading the files' metadata needs. `connection` may be null: then everything must be in the
/// cache, or the answer is the failure `source.needs_sql` (class transient: open DuckDB and ask
/// again).
struct ShapeContext {
  Effects& effects;
  sql::Connection* connection;
  MetadataCache& cache;
  Diagnostics& diagnostics;
  const Source& source;
};

/// A file whose bytes are not what its format wants, and what is to be said of it.
struct BadFile {
  size_t file = 0;  ///< index
  Diagnostic finding;
};

/// Fills rows, row groups and columns of Parquet files; `spans[i]` is where files[i] was named. Bad
/// files come to `bad`, in order, and keep no columns; one that may not be opened is reported.
Status read_parquet_shapes(ShapeContext& context, const ReadRecipe& recipe,
                           std::vector<InputFile>& files, const std::vector<Span>& spans,
                           std::vector<BadFile>& bad);

/// Fills the columns of CSV files and pins the dialect in `recipe.options`. With declared columns
/// only each file's header line is read (a reordered file would be read wrongly, not refused, by a
/// reader that is told the columns); else each file's first 20,480 rows are sniffed. Types that
/// differ between files are widened (BIGINT to DOUBLE, DATE to TIMESTAMP, else VARCHAR); dialects
/// that differ are reported. Bad files as above.
Status read_csv_shapes(ShapeContext& context, ReadRecipe& recipe, const sql::Schema& declared,
                       std::vector<InputFile>& files, const std::vector<Span>& spans,
                       std::vector<BadFile>& bad);

/// The columns of a JSON source: as declared, else as DuckDB finds them over a sample of every
/// file.
Result<sql::Schema> read_json_schema(ShapeContext& context, ReadRecipe& recipe,
                                     const sql::Schema& declared,
                                     const std::vector<InputFile>& files,
                                     const std::vector<Span>& spans);

/// The source's declared columns with types as DuckDB writes them; unknown types are reported.
Result<sql::Schema> declared_columns(ShapeContext& context);

/// One schema for all files: the first file's, every other having to agree with it; with
/// `union_by_name` all columns in the order of their first appearance, types made common. Missing,
/// extra, reordered and retyped columns are reported with the file and both types.
Result<sql::Schema> common_schema(ShapeContext& context, const std::vector<InputFile>& files,
                                  const std::vector<Span>& spans);

/// The failure for "DuckDB is needed and was not given".
std::unexpected<Failure> needs_sql(const Source& source);

}  // namespace tidegate
