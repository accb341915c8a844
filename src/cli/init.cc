#include <fmt/format.h>

#include "base/text.h"
#include "cli/cli.h"

namespace tidegate::cli {
namespace {

/// Daily mean temperatures of three cities (degrees Celsius, rounded climate normals of July).
constexpr const char* kReadings =
    "city,day,celsius\n"
    "Oslo,2024-07-01,17.1\nOslo,2024-07-02,17.4\nOslo,2024-07-03,16.8\n"
    "Rome,2024-07-01,25.2\nRome,2024-07-02,25.9\nRome,2024-07-03,26.1\n"
    "Cairo,2024-07-01,29.4\nCairo,2024-07-02,29.9\nCairo,2024-07-03,30.2\n";

constexpr const char* kPipeline = R"(# A first pipeline: readings become one row a city.
#   tidegate check pipeline.yaml      every mistake, with its fix
#   tidegate run pipeline.yaml        run, verify, publish
#   tidegate trust                    can it be trusted now?
version: 1
pipeline: first
owner: you@example.com
sources:
  readings:
    files: data/readings.csv
    columns: {city: VARCHAR, day: DATE, celsius: DOUBLE}
    event_time: day
    manifest: data/manifest.json
stages:
  by_city:
    partition_by: [city]
    sql: |
      SELECT city, count(*) AS days, min(celsius) AS coldest, max(celsius) AS warmest
      FROM readings
      GROUP BY city
outputs:
  by_city:
    from: by_city
    freshness: {through: 2024-07-03, completeness: 100%}
    checks:
      - unique: [city]
      - not_null: [city]
      - range: {column: coldest, min: -60, max: 60}
      - rows: {min: 1}
    publish:
      - parquet: published/by_city
)";

constexpr const char* kManifest =
    "{\"files\": [{\"path\": \"readings.csv\", \"rows\": 9}], \"complete_to\": \"2024-07-04\"}\n";

}  // namespace

int command_init(Effects& effects, const Common& common, const std::string& directory) {
  const std::string pipeline = path_join(directory, "pipeline.yaml");
  if (exists(effects, pipeline))
    return tell_failure(common, {FailureClass::kDefect, "init.exists", "there is a pipeline already: " + pipeline}, kExitUsage);
  Status status = make_directories(effects, path_join(directory, "data"));
  if (status) status = write_file(effects, path_join(directory, "data/readings.csv"), kReadings);
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
