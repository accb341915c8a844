#include <fmt/format.h>

#include "base/text.h"
#include "cli/cli.h"

namespace tidegate::cli {
namespace {

/// Carbon dioxide in the air at Mauna Loa, monthly mean in parts per million, as published by the
/// Scripps CO2 program (C. D. Keeling et al.; the series of npm's vega-datasets,
/// co2-concentration.csv).
constexpr const char* kReadings =
    "month,ppm\n"
    "2016-01-01,402.65\n2016-02-01,404.16\n2016-03-01,404.85\n2016-04-01,407.57\n"
    "2016-05-01,407.66\n2016-06-01,407.00\n2016-07-01,404.50\n2016-08-01,402.24\n"
    "2016-09-01,401.01\n2016-10-01,401.50\n2016-11-01,403.64\n2016-12-01,404.55\n"
    "2017-01-01,406.07\n2017-02-01,406.64\n2017-03-01,407.05\n2017-04-01,408.95\n"
    "2017-05-01,409.91\n2017-06-01,409.12\n2017-07-01,407.20\n2017-08-01,405.24\n"
    "2017-09-01,403.27\n2017-10-01,403.64\n2017-11-01,405.17\n2017-12-01,406.75\n"
    "2018-01-01,408.05\n2018-02-01,408.34\n2018-03-01,409.25\n2018-04-01,410.30\n"
    "2018-05-01,411.30\n2018-06-01,410.88\n2018-07-01,408.90\n2018-08-01,407.10\n"
    "2018-09-01,405.59\n2018-10-01,405.99\n2018-11-01,408.12\n2018-12-01,409.23\n"
    "2019-01-01,410.92\n2019-02-01,411.66\n2019-03-01,412.00\n2019-04-01,413.52\n"
    "2019-05-01,414.83\n2019-06-01,413.96\n2019-07-01,411.85\n2019-08-01,410.08\n"
    "2019-09-01,408.55\n2019-10-01,408.43\n2019-11-01,410.29\n2019-12-01,411.85\n";

constexpr const char* kPipeline =
    R"(# A first pipeline: carbon dioxide at Mauna Loa, months become years.
#   tidegate check pipeline.yaml      every mistake, with its fix
#   tidegate run pipeline.yaml        run, verify, publish
#   tidegate trust                    can it be trusted now?
#   tidegate query 'SELECT * FROM yearly ORDER BY year'
version: 1
pipeline: first
owner: you@example.com
sources:
  readings:
    files: data/co2.csv
    columns: {month: DATE, ppm: DOUBLE}
    event_time: month
    manifest: data/manifest.json
stages:
  monthly:
    sql: SELECT year(month) AS year, ppm FROM readings WHERE ppm IS NOT NULL
  yearly:
    partition_by: [year]
    sql: |
      SELECT year, count(*) AS months, min(ppm) AS lowest, max(ppm) AS highest
      FROM monthly
      GROUP BY year
outputs:
  yearly:
    from: yearly
    freshness: {through: 2019-12-31, completeness: 100%}
    checks:
      - unique: [year]
      - not_null: [year]
      - expect: months = 12
        name: whole years only
      - range: {column: lowest, min: 250, max: 1000}
      - rows: {min: 1}
    publish:
      - parquet: published/yearly
)";

constexpr const char* kManifest =
    "{\"files\": [{\"path\": \"co2.csv\", \"rows\": 48}], \"complete_to\": \"2020-01-01\"}\n";

}  // namespace

int command_init(Effects& effects, const Common& common, const std::string& directory) {
  const std::string pipeline = path_join(directory, "pipeline.yaml");
  if (exists(effects, pipeline))
    return tell_failure(
        common, {FailureClass::kDefect, "init.exists", "there is a pipeline already: " + pipeline},
        kExitUsage);
  Status status = make_directories(effects, path_join(directory, "data"));
  if (status) status = write_file(effects, path_join(directory, "data/co2.csv"), kReadings);
  if (status) status = write_file(effects, path_join(directory, "data/manifest.json"), kManifest);
  if (status) status = write_file(effects, pipeline, kPipeline);
  if (!status) return tell_failure(common, status.error(), kExitFailed);
  if (common.json)
    out(fmt::format("{{\"pipeline\":{}}}\n", quote_json(pipeline)));
  else if (!common.quiet)
    out(fmt::format("made {0}; now: tidegate run {0}\n", pipeline));
  return kExitDone;
}

}  // namespace tidegate::cli
