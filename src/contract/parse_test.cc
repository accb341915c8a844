#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

#include "contract/codes.h"
#include "contract/contract.h"
#include "contract/fields.h"
#include "contract/secret.h"

namespace tidegate {
namespace {

/// Uses every field that there is.
constexpr const char* kEverything = R"yaml(# all fields
version: 1
pipeline: delays
owner: "analytics@example.com"
publish_together: true
sources:
  flights:
    files: [data/flights/*.parquet, 'data/more/**/*.pq']
    columns: {time_hour: TIMESTAMP, price: "DECIMAL(12,2)"}
    event_time: time_hour
    arrives: {every: 1d, path: "day={date}", from: 2001-01-01, to: 2001-06-30}
    identity: content
    on_empty: warn
    partition: 64MiB
    options: {union_by_name: true}
  airports:
    files: airports.txt
    format: csv
    options:
      header: true
      delim: "${env:DELIM}"
      nullstr: ["", 'N/A', "it's"]
      skip: 1
      escape: '"'
    columns:
      iata: VARCHAR
      elevation: INTEGER
    manifest: airports.manifest.json
    retry: {data: {quarantine: 0.5%}}
  upstream: {output: weather, on_empty: allow}
  events: {files: events.ndjson.gz}
defaults:
  memory: 1GiB
  retry: {transient: 7, timeout: 2, memory: split, data: {quarantine: 2%}, budget: 20%}
stages:
  legs:
    sql: SELECT * FROM flights
  route_delay:
    partition_by: [carrier, origin]
    sql: |
      SELECT carrier, origin, count(*) AS flights
      FROM legs
      GROUP BY ALL
    memory: 256MiB
    buckets: 16
    retry: {transient: 0, lost: 9}
    timeout: 1h30m
    on_empty: fail
    skew: fail
  joined:
    partition_by: {ROUTE_DELAY: [origin], airports: [iata]}
    broadcast: [Upstream]
    sql: "SELECT 1 \
      AS x"
  total:
    partition_by: all
    sql: SELECT count(*) AS n FROM legs
outputs:
  route_delay:
    from: Route_Delay
    description: delays by route
    freshness: {through: 2001-06-30, completeness: 99.9%}
    checks:
      - unique: [carrier, origin]
      - not_null: carrier
        severity: warn
        tolerance: 0.1%
      - rows: {min: 100, max: 1000, change: 300%}
      - accepted: {column: carrier, values: [AA, 1, true, "1", 007, 1.5e3]}
      - range: {column: flights, min: 0, max: 1e6}
      - range: {column: day, min: 2001-01-01}
      - regex: {column: origin, pattern: '^[A-Z]{3}$'}
      - references: {columns: [origin], to: AIRPORTS, to_columns: [iata]}
      - expect: flights > 0
        name: some flights
      - schema: {carrier: VARCHAR, flights: BIGINT}
        evolution: add
    publish:
      - parquet: published/route_delay
        compression: snappy
    keep: 5
    on_empty: fail
  total:
    from: total
    freshness: {max_age: 24h}
    publish: {parquet: published/total}
)yaml";

Pipeline parse(const std::string& text, Diagnostics& diagnostics) {
  return parse_pipeline("pipeline.yaml", "/project", text, diagnostics);
}

TEST(Parse, EveryField) {
  Diagnostics diagnostics;
  const Pipeline p = parse(kEverything, diagnostics);
  ASSERT_EQ(render_all(diagnostics, *p.text, false), "");
  EXPECT_EQ(p.directory, "/project");
  EXPECT_EQ(p.name.value, "delays");
  EXPECT_EQ(p.owner, "analytics@example.com");
  EXPECT_TRUE(p.publish_together);
  EXPECT_EQ(p.memory_bytes, uint64_t{1} << 30);
  EXPECT_EQ(p.retry, (Retry{.transient_max = 7, .timeout_max = 2, .lost_max = 3}));
  EXPECT_DOUBLE_EQ(p.retry_share, 0.2);

  ASSERT_EQ(p.sources.size(), 4u);
  const Source& flights = p.sources[0];
  ASSERT_EQ(flights.files.size(), 2u);
  EXPECT_EQ(flights.files[1].value, "data/more/**/*.pq");
  EXPECT_EQ(flights.format, FileFormat::kParquet);
  EXPECT_FALSE(flights.format_given);
  ASSERT_EQ(flights.columns.size(), 2u);
  EXPECT_EQ(flights.columns[1].second.value, "DECIMAL(12,2)");
  EXPECT_EQ(flights.event_time->value, "time_hour");
  EXPECT_EQ(flights.arrives->every_us.value, int64_t{86'400'000'000});
  EXPECT_EQ(flights.arrives->path.value, "day={date}");
  EXPECT_EQ(flights.arrives->from_us->value, int64_t{978'307'200'000'000});
  EXPECT_EQ(flights.arrives->to_us->value, int64_t{993'859'200'000'000});
  EXPECT_EQ(flights.identity, InputIdentity::kContent);
  EXPECT_EQ(flights.on_empty, OnEmpty::kWarn);
  EXPECT_EQ(flights.partition_bytes->value, uint64_t{64} << 20);
  EXPECT_TRUE(flights.union_by_name);
  EXPECT_TRUE(flights.options.empty());

  const Source& airports = p.sources[1];
  EXPECT_EQ(airports.format, FileFormat::kCsv);
  EXPECT_TRUE(airports.format_given);
  ASSERT_EQ(airports.options.size(), 5u);
  EXPECT_EQ(airports.options[0].second.value, "true");
  EXPECT_EQ(airports.options[1].second.value, "'${env:DELIM}'");
  EXPECT_EQ(airports.options[2].second.value, "['', 'N/A', 'it''s']");
  EXPECT_EQ(airports.options[3].second.value, "1");
  EXPECT_EQ(airports.options[4].second.value, "'\"'");
  EXPECT_EQ(airports.manifest->path.value, "airports.manifest.json");
  EXPECT_DOUBLE_EQ(airports.quarantine_share->value, 0.005);
  EXPECT_DOUBLE_EQ(flights.quarantine_share->value, 0.02) << "as `defaults` say";
  EXPECT_FALSE(p.sources[2].quarantine_share) << "nothing of an output is set aside";
  EXPECT_FALSE(p.sources[3].quarantine_share) << "without columns every row is good";
  EXPECT_EQ(p.sources[2].from_output->value, "weather");
  EXPECT_EQ(p.sources[2].on_empty, OnEmpty::kAllow);
  EXPECT_EQ(p.sources[3].format, FileFormat::kJson);
  EXPECT_EQ(p.sources[3].on_empty, OnEmpty::kFail);
  EXPECT_EQ(p.sources[3].identity, InputIdentity::kStat);

  ASSERT_EQ(p.stages.size(), 4u);
  EXPECT_FALSE(p.stages[0].partition_by.has_value());
  EXPECT_FALSE(p.stages[0].retry.has_value());
  const Stage& route = p.stages[1];
  ASSERT_EQ(route.partition_by->columns.size(), 2u);
  EXPECT_EQ(route.partition_by->columns[1].value, "origin");
  EXPECT_EQ(route.memory_bytes->value, uint64_t{256} << 20);
  EXPECT_EQ(route.buckets->value, 16u);
  EXPECT_EQ(*route.retry, (Retry{.transient_max = 0, .lost_max = 9}));
  EXPECT_EQ(route.timeout_us->value, int64_t{5'400'000'000});
  EXPECT_EQ(route.on_empty, OnEmpty::kFail);
  const Stage& joined = p.stages[2];
  ASSERT_EQ(joined.partition_by->per_input.size(), 2u);
  EXPECT_EQ(joined.partition_by->per_input[0].input.value, "route_delay") << "as declared";
  EXPECT_EQ(joined.partition_by->per_input[1].columns[0].value, "iata");
  EXPECT_EQ(joined.broadcast[0].value, "upstream");
  EXPECT_EQ(joined.sql.text, "SELECT 1 AS x");
  EXPECT_TRUE(p.stages[3].partition_by->all);

  ASSERT_EQ(p.outputs.size(), 2u);
  const Output& output = p.outputs[0];
  EXPECT_EQ(output.from.value, "route_delay");
  EXPECT_EQ(output.description, "delays by route");
  EXPECT_EQ(output.freshness->through_us->value, int64_t{993'945'600'000'000})
      << "the end of 30 June is the midnight after it";
  EXPECT_DOUBLE_EQ(output.freshness->completeness->value, 0.999);
  EXPECT_EQ(output.parquet_path.value, "published/route_delay");
  EXPECT_EQ(output.compression, "snappy");
  EXPECT_EQ(output.keep, 5u);
  EXPECT_EQ(output.on_empty, OnEmpty::kFail);
  EXPECT_EQ(p.outputs[1].freshness->max_age_us->value, int64_t{86'400'000'000});
  EXPECT_EQ(p.outputs[1].keep, 2u);
  EXPECT_EQ(p.outputs[1].compression, "zstd");
}

TEST(Parse, EveryCheck) {
  Diagnostics diagnostics;
  const Pipeline p = parse(kEverything, diagnostics);
  const auto& checks = p.outputs[0].checks;
  ASSERT_EQ(checks.size(), 10u);
  EXPECT_EQ(checks[0].kind, CheckKind::kUnique);
  EXPECT_EQ(checks[0].name.value, "unique(carrier, origin)");
  EXPECT_TRUE(checks[0].is_error);
  EXPECT_EQ(checks[1].columns[0].value, "carrier");
  EXPECT_FALSE(checks[1].is_error);
  EXPECT_DOUBLE_EQ(checks[1].tolerance->value, 0.001);
  EXPECT_EQ(checks[2].rows_min->value, 100u);
  EXPECT_EQ(checks[2].rows_max->value, 1000u);
  EXPECT_DOUBLE_EQ(checks[2].rows_change->value, 3.0);
  std::vector<std::string> accepted;
  for (const auto& value : checks[3].accepted) accepted.push_back(value.value);
  EXPECT_EQ(accepted, (std::vector<std::string>{"'AA'", "1", "true", "'1'", "'007'", "1.5e3"}));
  EXPECT_EQ(checks[4].range_min->value, "0");
  EXPECT_EQ(checks[4].range_max->value, "1e6");
  EXPECT_EQ(checks[5].range_min->value, "'2001-01-01'");
  EXPECT_FALSE(checks[5].range_max.has_value());
  EXPECT_EQ(checks[6].regex->value, "^[A-Z]{3}$");
  EXPECT_EQ(checks[7].references_to.value, "airports");
  EXPECT_EQ(checks[7].references_columns[0].value, "iata");
  EXPECT_EQ(checks[7].name.value, "references(origin -> AIRPORTS)");
  EXPECT_EQ(checks[8].name.value, "some flights");
  EXPECT_EQ(checks[8].expect.text, "flights > 0");
  EXPECT_TRUE(checks[9].evolution_add);
  EXPECT_EQ(checks[9].schema[0].first.value, "carrier");
}

TEST(Parse, SqlPositionsMapToTheFile) {
  Diagnostics diagnostics;
  const Pipeline p = parse(kEverything, diagnostics);
  const SqlText& sql = p.stages[1].sql;
  const size_t at = sql.text.find("FROM legs");
  const Span span = sql.map(at + 5, at + 9);
  EXPECT_EQ(p.text->text().substr(span.begin, span.end - span.begin), "legs");
  EXPECT_EQ(p.text->position(span.begin).column, 12u);
  const SqlText& folded = p.stages[2].sql;
  const Span alias = folded.map(12, 13);
  EXPECT_EQ(p.text->text().substr(alias.begin, alias.end - alias.begin), "x");
  EXPECT_LE(folded.map(500, 900).end, p.text->text().size());
}

TEST(Parse, TheDocumentedFileHolds) {
  std::ifstream in(std::string(TIDEGATE_SOURCE_DIR) + "/docs/contract.md");
  std::stringstream page;
  page << in.rdbuf();
  const std::string text = page.str();
  const std::string open = "```yaml\n";
  const size_t begin = text.find(open);
  ASSERT_NE(begin, std::string::npos);
  const size_t end = text.find("```", begin + open.size());
  Diagnostics diagnostics;
  const Pipeline p =
      parse(text.substr(begin + open.size(), end - begin - open.size()), diagnostics);
  EXPECT_EQ(render_all(diagnostics, *p.text, false), "");
  EXPECT_EQ(p.outputs.size(), 1u);
}

TEST(Parse, SecretsInListsAreLookedAt) {
  Diagnostics diagnostics;
  std::string text = kEverything;
  text.replace(text.find("'N/A'"), 5, "'${env:}'");
  parse(text, diagnostics);
  ASSERT_EQ(diagnostics.error_count(), 1u);
  EXPECT_EQ(diagnostics.sorted()[0].code, codes::kSecretSyntax);
}

TEST(Parse, NamesAreFoundInAnyCase) {
  Diagnostics diagnostics;
  const Pipeline p = parse(kEverything, diagnostics);
  ASSERT_NE(p.source("FLIGHTS"), nullptr);
  EXPECT_EQ(p.stage("LEGS"), &p.stages[0]);
  EXPECT_EQ(p.output("total"), &p.outputs[1]);
  EXPECT_EQ(p.source("legs"), nullptr);
  EXPECT_EQ(p.stage(""), nullptr);
}

TEST(Parse, Names) {
  EXPECT_TRUE(is_valid_name("a"));
  EXPECT_TRUE(is_valid_name("_1"));
  EXPECT_TRUE(is_valid_name(std::string(63, 'a')));
  EXPECT_FALSE(is_valid_name(std::string(64, 'a')));
  EXPECT_FALSE(is_valid_name(""));
  EXPECT_FALSE(is_valid_name("1a"));
  EXPECT_FALSE(is_valid_name("a-b"));
  EXPECT_FALSE(is_valid_name("ä"));
}

TEST(Parse, ANulWrittenAsAnEscapeIsRefused) {
  Diagnostics diagnostics;
  std::string text = kEverything;
  text.replace(text.find("\"analytics"), 10, "\"a\\0nalytics");
  parse(text, diagnostics);
  ASSERT_EQ(diagnostics.error_count(), 1u);
  EXPECT_EQ(diagnostics.sorted()[0].code, codes::kControlCharacter);
}

TEST(Parse, TooMuchSqlIsRefused) {
  Diagnostics diagnostics;
  std::string text = kEverything;
  const std::string sql = "SELECT * FROM flights";
  text.replace(text.find(sql), sql.size(), sql + std::string(kSqlBytesMax, 'x'));
  const Pipeline p = parse(text, diagnostics);
  ASSERT_EQ(diagnostics.error_count(), 1u);
  EXPECT_EQ(diagnostics.sorted()[0].code, codes::kSqlTooLarge);
  EXPECT_EQ(p.stages[0].sql.text, "");
}

TEST(Secrets, References) {
  const auto found =
      find_secret_references("a ${env:A_1} b ${file:/run/x} $HOME ${other:x} {env:B}");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].kind, SecretReference::Kind::kEnv);
  EXPECT_EQ(found[0].name, "A_1");
  EXPECT_EQ(found[0].begin, 2u);
  EXPECT_EQ(found[0].end, 12u);
  EXPECT_EQ(found[1].kind, SecretReference::Kind::kFile);
  EXPECT_EQ(found[1].name, "/run/x");
  for (const char* broken :
       {"${env:}", "${env:A", "${env:1}", "${env:a b}", "${file:}", "${file:${env:A}}"}) {
    const auto bad = find_secret_references(broken);
    ASSERT_FALSE(bad.empty()) << broken;
    EXPECT_EQ(bad[0].kind, SecretReference::Kind::kBroken) << broken;
  }
  EXPECT_TRUE(names_credential("S3_Secret_Access_Key"));
  EXPECT_TRUE(names_credential("auth_token"));
  EXPECT_FALSE(names_credential("delim"));
}

/// Whatever the text, it parses or there is an error to show, and all of it can be shown.
void expect_sound(const std::string& text) {
  Diagnostics diagnostics;
  const Pipeline p = parse(text, diagnostics);
  const bool whole = !p.outputs.empty() && !p.stages.empty() && !p.sources.empty();
  ASSERT_TRUE(diagnostics.has_errors() || whole) << text;
  if (!diagnostics.has_errors()) return;
  const std::string shown = render_all(diagnostics, *p.text, false);
  ASSERT_FALSE(shown.empty());
  for (const Diagnostic& diagnostic : diagnostics.sorted()) {
    ASSERT_LE(diagnostic.span.begin, diagnostic.span.end) << diagnostic.message;
    ASSERT_LE(diagnostic.span.end, text.size()) << diagnostic.message;
    ASSERT_NE(find_code(diagnostic.code), nullptr);
  }
  for (const Stage& stage : p.stages) {
    ASSERT_TRUE(stage.sql.text.empty() || stage.sql.offsets.size() == stage.sql.text.size() + 1);
  }
}

TEST(Parse, EveryTruncationIsSound) {
  const std::string text = kEverything;
  for (size_t size = 0; size <= text.size(); ++size) expect_sound(text.substr(0, size));
}

TEST(Parse, RandomDamageIsSound) {
  std::mt19937 random(20010630);
  const std::string alphabet = "{}[]:,-|>'\"&*!%@#?~ \n\t\\$0aA=\xC3\xA9\xFF";
  for (int round = 0; round < 4'000; ++round) {
    std::string text = kEverything;
    for (size_t flips = 1 + random() % 6; flips > 0; --flips) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 2:
          text.erase(at, 1 + random() % 20);
          break;
        default:
          text.insert(at, 1, alphabet[random() % alphabet.size()]);
          break;
      }
    }
    expect_sound(text);
    if (HasFatalFailure()) return;
  }
}

TEST(Parse, ASectionHasAtMostAThousandEntries) {
  const auto stages = [](size_t count) {
    std::string text =
        "version: 1\npipeline: p\nsources: {a: {files: a.csv}}\n"
        "outputs: {o: {from: s0, publish: {parquet: p/o}}}\nstages:\n";
    for (size_t i = 0; i < count; ++i) text += "  s" + std::to_string(i) + ": {sql: SELECT 1}\n";
    return text;
  };
  Diagnostics full;
  EXPECT_EQ(parse(stages(kEntriesMax), full).stages.size(), kEntriesMax);
  EXPECT_FALSE(full.has_errors());
  Diagnostics beyond;
  EXPECT_EQ(parse(stages(kEntriesMax + 1), beyond).stages.size(), kEntriesMax);
  ASSERT_EQ(beyond.error_count(), 1u);
  EXPECT_EQ(beyond.sorted()[0].code, codes::kOutOfRange);
}

TEST(Parse, AFullFileOfErrorsEndsSoon) {
  std::string text = "version: 1\npipeline: p\nstages:\n";
  for (int i = 0; i < 1'500; ++i) {
    text += "  s" + std::to_string(i) + ": {sqll: x, memory: 1, broadcast: [a, b]}\n";
  }
  Diagnostics diagnostics;
  const Pipeline p = parse(text, diagnostics);
  EXPECT_EQ(diagnostics.sorted().size(), Diagnostics::kDiagnosticsMax);
  EXPECT_NE(render_all(diagnostics, *p.text, false).find("more findings not shown"),
            std::string::npos);
}

}  // namespace
}  // namespace tidegate
