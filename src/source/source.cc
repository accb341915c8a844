#include "source/source.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "contract/codes.h"
#include "source/arrival.h"
#include "source/content.h"
#include "source/files.h"
#include "source/partition.h"
#include "source/shape.h"

namespace tidegate {
namespace {

class Snapshotter {
 public:
  Snapshotter(Effects& effects, const Pipeline& pipeline, const Source& source,
              sql::Connection* connection, Diagnostics& diagnostics, const SnapshotOptions& options)
      : effects_(effects),
        pipeline_(pipeline),
        source_(source),
        diagnostics_(diagnostics),
        options_(options),
        now_us_(options.now_us ? options.now_us : effects.now_us()),
        cache_(MetadataCache::load(effects, options.cache_path)),
        context_{effects, connection, cache_, diagnostics, source} {
    snapshot_.source = source.name.value;
    snapshot_.recipe.format = source.format;
    snapshot_.recipe.directory = pipeline.directory;
    snapshot_.recipe.set_aside_bad_rows = source.quarantine_share.has_value();
    for (const auto& [name, value] : source.options)
      snapshot_.recipe.options.emplace_back(name.value, value.value);
    snapshot_.arrival.source = source.name.value;
  }

  Result<SourceSnapshot> take() {
    const size_t errors = diagnostics_.error_count();
    Status done = look(errors);
    // What was learnt is kept even when the rest failed; a cache that cannot be written costs time.
    (void)cache_.save(effects_);
    TG_TRY(std::move(done));
    if (diagnostics_.error_count() > errors) return invalid(errors);
    return std::move(snapshot_);
  }

 private:
  std::unexpected<Failure> invalid(size_t errors) const {
    return fail(FailureClass::kData, "source.invalid",
                fmt::format("source {} has {} problems", source_.name.value,
                            diagnostics_.error_count() - errors));
  }

  /// A secret that is not there is said before anything is read by it.
  void check_secrets() {
    for (const auto& [name, value] : source_.options) {
      const auto resolved = resolve_secrets(effects_, value.value, pipeline_.directory);
      if (!resolved)
        report(codes::kSecretMissing, Severity::kError, value.span,
               fmt::format("option `{}` needs a secret that is not there", name.value),
               resolved.error().message, "");
    }
  }

  Status look(size_t errors) {
    check_secrets();
    if (diagnostics_.error_count() > errors) return {};
    TG_ASSIGN(const sql::Schema declared, declared_columns(context_));
    std::optional<ArrivalManifest> manifest;
    if (source_.manifest) {
      TG_ASSIGN(manifest, read_manifest(effects_, source_, pipeline_.directory, diagnostics_));
    }
    TG_ASSIGN(std::vector<FoundFile> found, find());
    if (diagnostics_.error_count() > errors) return {};
    if (manifest) apply_manifest(source_, *manifest, found, diagnostics_);
    drop_empty(found);
    TG_TRY(name(found));
    TG_TRY(shape(declared));
    if (diagnostics_.error_count() > errors) return {};
    TG_TRY(arrive(manifest));
    check_rows();
    check_event_time();
    if (options_.with_partitions)
      snapshot_.partitions = cut_partitions(snapshot_, partition_target(source_, snapshot_.bytes));
    return {};
  }

  void report(const char* code, Severity severity, Span span, std::string message,
              std::string label, std::string help) {
    diagnostics_.add(
        {code, severity, span, std::move(message), std::move(label), {}, std::move(help)});
  }

  Span source_span() const { return source_.name.span; }

  Result<std::vector<FoundFile>> find() {
    if (!options_.files) {
      if (source_.from_output)
        return fail(FailureClass::kDefect, "source.no_generation",
                    fmt::format("source {} reads an output and was given no generation",
                                source_.name.value));
      return find_files(effects_, pipeline_.directory, source_.files, source_.on_empty,
                        diagnostics_);
    }
    const Span span = source_.from_output ? source_.from_output->span : source_span();
    std::vector<FoundFile> found;
    for (const GivenFile& file : *options_.files) {
      TG_ASSIGN(const std::string real, resolve_links(effects_, file.path));
      TG_ASSIGN(const FileStat stat, effects_.lstat(real));
      found.push_back({path_basename(file.path), real, stat, span});
    }
    return found;
  }

  /// A file of no bytes is not a table of no rows, but what a writer that failed leaves behind.
  /// Where the contract allows an empty input it is left out.
  void drop_empty(std::vector<FoundFile>& found) {
    std::erase_if(found, [&](const FoundFile& file) {
      const bool aside = source_.quarantine_share && source_.format == FileFormat::kParquet;
      if (file.stat.size > 0 || aside) return false;
      const bool text = source_.format != FileFormat::kParquet;
      const bool allowed = text && source_.on_empty == OnEmpty::kAllow;
      const bool warned = text && source_.on_empty == OnEmpty::kWarn;
      if (!allowed)
        report(codes::kFileEmpty, warned ? Severity::kWarning : Severity::kError, file.span,
               fmt::format("\"{}\" has no bytes", file.name), "matches an empty file",
               text ? "remove it, or say `on_empty: allow`" : "remove it: it is not Parquet");
      return true;
    });
  }

  /// Once for each time that it was released.
  void rename_released(InputFile& file) const {
    for (size_t times = 0; times < options_.released.size(); ++times) {
      if (std::ranges::find(options_.released, std::pair{file.name, file.identity}) ==
          options_.released.end())
        return;
      file.identity = IdentityHash().add("tidegate.released.1").add(file.identity).hex();
    }
  }

  Status name(const std::vector<FoundFile>& found) {
    IdentityHash all;
    all.add("tidegate.source.1");
    for (size_t i = 0; i < found.size(); ++i) {
      InputFile file;
      file.path = found[i].path;
      file.name = found[i].name;
      file.stat = found[i].stat;
      if (options_.files && !(*options_.files)[i].identity.empty()) {
        file.identity = (*options_.files)[i].identity;
      } else {
        auto identity =
            file_identity(effects_, file.path, file.stat, source_.identity, now_us_, cache_);
        if (!identity && identity.error().code != "source.changed" &&
            identity.error().cls == FailureClass::kDependency) {
          report(codes::kFileUnreadable, Severity::kError, found[i].span,
                 fmt::format("cannot read \"{}\"", file.name), identity.error().message,
                 "give this user the right to read it");
          continue;
        }
        if (!identity) return std::unexpected(std::move(identity).error());
        file.identity = std::move(*identity);
      }
      rename_released(file);
      all.add(file.identity);
      snapshot_.bytes += file.stat.size;
      snapshot_.files.push_back(std::move(file));
      spans_.push_back(found[i].span);
    }
    snapshot_.arrival.identity = all.hex();
    return {};
  }

  /// Bad files are set aside where the contract says so, unless that leaves none.
  void set_bad_files_aside(std::vector<BadFile> bad) {
    const bool aside = source_.quarantine_share && bad.size() < snapshot_.files.size();
    for (BadFile& one : bad) {
      if (!aside) {
        diagnostics_.add(std::move(one.finding));
        continue;
      }
      const InputFile& file = snapshot_.files[one.file];
      const bool accepted =
          std::ranges::find(options_.accepted, std::pair{file.name, file.identity}) !=
          options_.accepted.end();
      snapshot_.set_aside.push_back(
          {file.path, file.name, file.identity, one.finding.message, accepted, file.stat.size});
      report(codes::kRowsQuarantined, Severity::kWarning, one.finding.span,
             "set aside: " + one.finding.message, std::move(one.finding.label),
             accepted ? "" : "mend it, or accept the loss: `tidegate quarantine drop`");
    }
    if (!aside) return;
    for (size_t i = bad.size(); i-- > 0;) {
      snapshot_.bytes -= snapshot_.files[bad[i].file].stat.size;
      snapshot_.files.erase(snapshot_.files.begin() + static_cast<long>(bad[i].file));
      spans_.erase(spans_.begin() + static_cast<long>(bad[i].file));
    }
  }

  Status shape(const sql::Schema& declared) {
    std::vector<BadFile> bad;
    switch (source_.format) {
      case FileFormat::kParquet:
        TG_TRY(read_parquet_shapes(context_, snapshot_.recipe, snapshot_.files, spans_, bad));
        break;
      case FileFormat::kCsv:
        TG_TRY(read_csv_shapes(context_, snapshot_.recipe, declared, snapshot_.files, spans_, bad));
        break;
      case FileFormat::kJson: {
        TG_ASSIGN(snapshot_.schema,
                  read_json_schema(context_, snapshot_.recipe, declared, snapshot_.files, spans_));
        check_json_quarantine();
        break;
      }
    }
    set_bad_files_aside(std::move(bad));
    if (source_.format != FileFormat::kJson) {
      TG_ASSIGN(snapshot_.schema, common_schema(context_, snapshot_.files, spans_));
      check_declared(declared);
    }
    if (snapshot_.files.empty() && !declared.empty()) snapshot_.schema = declared;
    if (snapshot_.files.empty() && declared.empty() && source_.on_empty != OnEmpty::kFail)
      report(codes::kNoFiles, Severity::kError, source_span(),
             fmt::format("source {} has no files and no declared columns", source_.name.value),
             "nothing says what columns it has", "declare `columns:` beside `on_empty`");
    for (const InputFile& file : snapshot_.files) {
      snapshot_.rows += file.rows;
      snapshot_.rows_known &= file.rows_known;
    }
    return {};
  }

  /// Declared columns have to be in the files, of that type; a CSV's header has to name them in
  /// their order, since the reader goes by position.
  void check_declared(const sql::Schema& declared) {
    if (declared.empty() || snapshot_.files.empty()) return;
    const auto& schema = snapshot_.schema;
    if (schema.empty()) return;
    std::vector<std::string> names;
    for (const sql::Column& column : schema) names.push_back(column.name);
    bool all_there = true;
    for (size_t i = 0; i < declared.size(); ++i) {
      const sql::Column& column = declared[i];
      const Span span = source_.columns[i].first.span;
      const auto found = std::find_if(schema.begin(), schema.end(), [&](const auto& other) {
        return to_lower_ascii(other.name) == to_lower_ascii(column.name);
      });
      if (found == schema.end()) {
        all_there = false;
        const std::string near = did_you_mean(column.name, names);
        report(codes::kDeclaredColumn, Severity::kError, span,
               fmt::format("the files of {} have no column {}", source_.name.value,
                           quote_identifier(column.name)),
               fmt::format("they have {}", join(names, ", ")),
               near.empty() ? "" : fmt::format("did you mean `{}`?", near));
      } else if (found->type != column.type) {
        report(
            codes::kDeclaredColumn, Severity::kError, source_.columns[i].second.span,
            fmt::format("column {} is {} in the files", quote_identifier(column.name), found->type),
            fmt::format("declared as {}", column.type),
            fmt::format("write `{}: {}` and cast in a stage", column.name, found->type));
      }
    }
    if (source_.format != FileFormat::kCsv || !all_there) return;
    if (schema.size() > declared.size()) {
      report(codes::kExtraColumnInFile, Severity::kError, spans_[0],
             fmt::format("\"{}\" has {} columns, {} are declared", snapshot_.files[0].name,
                         schema.size(), declared.size()),
             fmt::format("they are {}", join(names, ", ")), "declare all columns of a CSV file");
      return;
    }
    for (size_t i = 0; i < declared.size(); ++i) {
      if (to_lower_ascii(schema[i].name) == to_lower_ascii(declared[i].name)) continue;
      report(codes::kColumnsReordered, Severity::kError, spans_[0],
             fmt::format("the columns of \"{}\" come in another order than declared",
                         snapshot_.files[0].name),
             fmt::format("they are {}", join(names, ", ")), "declare them in the files' order");
      return;
    }
    // Names as declared: a header may differ in case.
    snapshot_.schema = declared;
  }

  /// A value inside a list or a struct would quietly become NULL where it is bad.
  void check_json_quarantine() {
    if (!snapshot_.recipe.set_aside_bad_rows) return;
    for (const sql::Column& column : snapshot_.schema) {
      if (column.type.find('[') == std::string::npos && !column.type.starts_with("STRUCT") &&
          !column.type.starts_with("MAP") && !column.type.starts_with("UNION"))
        continue;
      report(codes::kQuarantineColumns, Severity::kError, source_.quarantine_share->span,
             fmt::format("bad rows cannot be told from good ones in column {}",
                         quote_identifier(column.name)),
             fmt::format("it is {}", column.type),
             "declare the column as JSON and take it apart in a stage");
      return;
    }
    for (const auto& [name, value] : source_.options)
      if (name.value == "dateformat" || name.value == "timestampformat" ||
          (name.value == "format" && value.value.find("newline") == std::string::npos))
        report(codes::kQuarantineFormat, Severity::kError, name.span,
               fmt::format("`{}` does not go with quarantine of JSON rows", name.value),
               "rows are set aside from newline-delimited JSON with ISO dates",
               "remove the option, or the quarantine");
  }

  Status arrive(const std::optional<ArrivalManifest>& manifest) {
    SourceArrival& arrival = snapshot_.arrival;
    if (options_.files) {
      arrival.known_by = source_.from_output ? "output" : "";
      arrival.upstream_output = options_.upstream_output;
      arrival.upstream_generation = options_.upstream_generation;
    }
    if (source_.arrives)
      TG_TRY(count_arrivals(source_, snapshot_.files, snapshot_.set_aside, now_us_, diagnostics_,
                            arrival));
    if (manifest)
      TG_TRY(check_manifest(effects_, source_, *manifest, snapshot_.files, snapshot_.set_aside,
                            now_us_, cache_, diagnostics_, arrival));
    if (arrival.complete_to_us) arrival.complete_to_us = std::min(*arrival.complete_to_us, now_us_);
    return {};
  }

  void check_rows() {
    if (!snapshot_.rows_known || snapshot_.rows > 0 || source_.on_empty == OnEmpty::kAllow) return;
    if (snapshot_.files.empty()) return;
    report(codes::kNoRows,
           source_.on_empty == OnEmpty::kFail ? Severity::kError : Severity::kWarning, spans_[0],
           fmt::format("source {} has no rows", source_.name.value),
           fmt::format("{} files, all of them without rows", snapshot_.files.size()),
           "say `on_empty: allow` if that may be");
  }

  void check_event_time() {
    if (!source_.event_time || snapshot_.schema.empty()) return;
    std::vector<std::string> names;
    for (const sql::Column& column : snapshot_.schema) {
      names.push_back(column.name);
      if (to_lower_ascii(column.name) != to_lower_ascii(source_.event_time->value)) continue;
      if (column.type == "DATE" || column.type.starts_with("TIMESTAMP")) return;
      report(codes::kEventTimeType, Severity::kError, source_.event_time->span,
             fmt::format("event_time is column {} of type {}", quote_identifier(column.name),
                         column.type),
             "a DATE or a TIMESTAMP is needed", "");
      return;
    }
    const std::string near = did_you_mean(source_.event_time->value, names);
    report(codes::kEventTimeColumn, Severity::kError, source_.event_time->span,
           fmt::format("source {} has no column {}", source_.name.value,
                       quote_identifier(source_.event_time->value)),
           fmt::format("it has {}", join(names, ", ")),
           near.empty() ? "" : fmt::format("did you mean `{}`?", near));
  }

  Effects& effects_;
  const Pipeline& pipeline_;
  const Source& source_;
  Diagnostics& diagnostics_;
  const SnapshotOptions& options_;
  const int64_t now_us_;
  MetadataCache cache_;
  ShapeContext context_;
  SourceSnapshot snapshot_;
  std::vector<Span> spans_;  ///< of snapshot_.files
};

}  // namespace

Result<SourceSnapshot> snapshot_source(Effects& effects, const Pipeline& pipeline,
                                       const Source& source, sql::Connection* connection,
                                       Diagnostics& diagnostics, const SnapshotOptions& options) {
  return Snapshotter(effects, pipeline, source, connection, diagnostics, options).take();
}

Status verify_unchanged(Effects& effects, const InputFile& file) {
  const auto stat = effects.stat(file.path);
  if (stat && same_file(*stat, file.stat)) return {};
  if (!stat && !is_not_found(stat.error()) && stat.error().cls != FailureClass::kDependency)
    return std::unexpected(stat.error());
  return fail(FailureClass::kDependency, "source.changed",
              fmt::format("an input file {} while it was in use: \"{}\"",
                          stat ? "changed" : "went away", file.path));
}

Status verify_unchanged(Effects& effects, const SourceSnapshot& snapshot,
                        const Partition& partition) {
  for (const FileSlice& slice : partition.slices)
    TG_TRY(verify_unchanged(effects, snapshot.files[slice.file]));
  return {};
}

}  // namespace tidegate
