#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "prove/prove.h"
#include "prove/tokens.h"
#include "publish/standing.h"
#include "source/scan.h"
#include "store/state_dir.h"
#include "task/limits.h"
#include "trust/trust.h"

namespace tidegate::cli {
namespace {

constexpr uint64_t kQueryMemory = uint64_t{1} << 30;

/// Outputs that the SQL names; a word of the text is enough to be shown with its verdict.
bool names(const std::string& sql, const std::string& output) {
  const std::string text = to_lower_ascii(sql), word = to_lower_ascii(output);
  const auto in_word = [](char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  };
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const bool before = at > 0 && in_word(text[at - 1]);
    const size_t end = at + word.size();
    if (!before && (end >= text.size() || !in_word(text[end]))) return true;
  }
  return false;
}

struct Bound {
  std::unique_ptr<sql::Database> database;
  std::unique_ptr<sql::Connection> connection;
  std::vector<std::string> tables;
  std::vector<std::string> read;
};

/// The standing generations of all outputs as views; nothing else can be reached.
Result<Bound> bind_outputs(Effects& effects, Journal& journal, const QueryArguments& arguments,
                           uint64_t memory) {
  Bound bound;
  sql::OpenOptions options{.memory_bytes = memory};
  std::vector<std::pair<std::string, std::vector<std::string>>> views;
  TG_ASSIGN(const auto outputs, journal.output_names());
  for (const std::string& output : outputs) {
    TG_ASSIGN(const auto stored, journal.output_record(output));
    if (!stored) continue;
    TG_ASSIGN(const GenerationRecord record, generation_record_from_json(*stored));
    TG_ASSIGN(const auto standing, resolve_current(effects, record.publish_root));
    if (!standing) continue;
    std::vector<std::string> files;
    for (const GenerationFile& file : standing->record.files)
      files.push_back(path_join(standing->directory, file.name));
    options.allowed_paths.insert(options.allowed_paths.end(), files.begin(), files.end());
    views.emplace_back(output, std::move(files));
    bound.tables.push_back(output);
    if (names(arguments.sql, output)) bound.read.push_back(output);
  }
  if (!arguments.parquet.empty()) {
    const std::string target = path_absolute(arguments.parquet, working_directory());
    if (std::find(options.allowed_paths.begin(), options.allowed_paths.end(), target) !=
        options.allowed_paths.end())
      return fail(FailureClass::kDefect, "query.target",
                  "the answer would overwrite a published file: " + target);
    options.allowed_paths.push_back(target);
  }
  TG_ASSIGN(bound.database, sql::Database::open(options));
  TG_ASSIGN(bound.connection, bound.database->connect());
  for (const auto& [output, files] : views)
    TG_TRY(bound.connection->execute(fmt::format("CREATE VIEW {} AS SELECT * FROM read_parquet({})",
                                                 quote_identifier(output), path_list(files))));
  TG_TRY(bound.database->lock());
  return bound;
}

/// The allow-list is proven over empty tables of the same columns: a view would show how it reads
/// its files.
Status check_query(Bound& bound, const std::string& sql, SelectProblem& problem) {
  TG_ASSIGN(auto database, sql::Database::open({}));
  TG_ASSIGN(auto scratch, database->connect());
  for (const std::string& table : bound.tables) {
    TG_ASSIGN(const sql::Schema schema,
              bound.connection->describe("SELECT * FROM " + quote_identifier(table)));
    std::vector<std::string> columns;
    for (const sql::Column& column : schema)
      columns.push_back(quote_identifier(column.name) + " " + column.type);
    TG_TRY(scratch->execute(
        fmt::format("CREATE TABLE {} ({})", quote_identifier(table), join(columns, ", "))));
  }
  return check_select(*scratch, sql, bound.tables, &problem);
}

/// Everything as text, so that nested types print too. By place: two columns may have one name.
std::string as_text(const sql::Schema& schema, const std::string& sql, uint64_t limit) {
  std::vector<std::string> names, columns;
  for (size_t i = 0; i < schema.size(); ++i) {
    names.push_back(fmt::format("c{}", i));
    columns.push_back(fmt::format("CAST(c{0} AS VARCHAR) AS c{0}", i));
  }
  return fmt::format("SELECT {} FROM ({}) AS answer({}) LIMIT {}", join(columns, ", "), sql,
                     join(names, ", "), limit);
}

std::string verdict_lines(const std::vector<TrustAnswer>& answers) {
  std::string text;
  for (const TrustAnswer& answer : answers) {
    text += fmt::format("{} {}", answer.output, to_string(answer.verdict));
    for (const TrustPart& part : answer.reasons)
      if (part.status != "ok") text += fmt::format("; {}: {}", part.part, part.message);
    if (answer.watermark_us)
      text += fmt::format(" (complete up to {})", format_timestamp_us(*answer.watermark_us));
    text += '\n';
  }
  return text;
}

}  // namespace

int command_query(Effects& effects, const Common& common, const QueryArguments& arguments) {
  if (!arguments.require.empty() && arguments.require != "trusted")
    return tell_failure(common, {FailureClass::kDefect, "usage", "--require takes: trusted"},
                        kExitUsage);
  uint64_t memory = kQueryMemory;
  if (!arguments.memory.empty()) {
    const auto given = parse_size(arguments.memory);
    if (!given) return tell_failure(common, given.error(), kExitUsage);
    memory = *given;
  }
  auto journal = open_journal(effects, common);
  if (!journal) return tell_failure(common, journal.error(), kExitUsage);
  auto bound = bind_outputs(effects, **journal, arguments, memory);
  if (!bound) return tell_failure(common, bound.error(), kExitFailed);
  std::string sql =
      prove::canonical_sql(arguments.sql);  // a comment at its end would swallow what is put after
  while (!sql.empty() && (sql.back() == ';' || sql.back() == ' ')) sql.pop_back();
  SelectProblem problem;
  if (const Status safe = check_query(*bound, sql, problem); !safe) {
    Failure failure = safe.error();
    if (!problem.message.empty())
      failure.message = problem.message + (problem.help.empty() ? "" : "; " + problem.help);
    if (bound->tables.empty())
      failure.message += "; nothing is published in this state directory yet";
    else
      failure.message += "; published are: " + join(bound->tables, ", ");
    return tell_failure(common, failure, kExitUsage);
  }
  const auto answers = judge(effects, **journal, bound->read, {});
  if (!answers) return tell_failure(common, answers.error(), kExitFailed);
  const std::vector<TrustAnswer> verdicts =
      bound->read.empty() ? std::vector<TrustAnswer>{} : *answers;
  const bool trusted = std::all_of(verdicts.begin(), verdicts.end(), [](const TrustAnswer& answer) {
    return answer.verdict == Verdict::kTrusted;
  });
  if (!arguments.require.empty() && !trusted) {
    err(verdict_lines(verdicts));
    return tell_failure(
        common,
        {FailureClass::kData, "query.not_trusted", "an output that the query reads is not TRUSTED"},
        kExitNotTrusted);
  }
  set_address_space_wall(effects, memory + memory / 4);
  if (!arguments.parquet.empty()) {
    const auto rows = bound->connection->execute_in_steps(
        fmt::format("COPY ({}) TO {} (FORMAT parquet, COMPRESSION zstd)", sql,
                    quote_literal(path_absolute(arguments.parquet, working_directory()))),
        [] {});
    if (!rows) return tell_failure(common, rows.error(), kExitFailed);
    if (!common.quiet)
      err(fmt::format("{} rows to {}\n{}", *rows, arguments.parquet, verdict_lines(verdicts)));
    return kExitDone;
  }
  const auto schema = bound->connection->describe(sql);
  if (!schema) return tell_failure(common, schema.error(), kExitUsage);
  constexpr uint64_t kRowsAll = 10'000'000;
  const bool all = common.json || arguments.csv;
  auto table = bound->connection->query(
      as_text(*schema, sql, all ? kRowsAll : arguments.rows_max + 1), kRowsAll);
  if (!table) return tell_failure(common, table.error(), kExitFailed);
  table->schema = *schema;
  if (common.json) {
    out(render_json_rows(*table));
    err(render_json(verdicts) + "\n");
    return kExitDone;
  }
  if (arguments.csv) {
    out(render_csv(*table));
    err(verdict_lines(verdicts));
    return kExitDone;
  }
  const bool more = table->rows.size() > arguments.rows_max;
  if (more) table->rows.resize(arguments.rows_max);
  out(render_table(*table));
  if (more)
    out(fmt::format("... more than {} rows; --rows, --csv, --json or --parquet give them\n",
                    arguments.rows_max));
  out(verdict_lines(verdicts));
  return kExitDone;
}

}  // namespace tidegate::cli
