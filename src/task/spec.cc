#include "task/spec.h"

#include "base/secrets.h"
#include "reduce/spec_json.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

namespace tidegate {
namespace {

using nlohmann::json;

json stat_json(const FileStat& s) {
  return json::array({s.size, s.mtime_ns, s.ctime_ns, s.inode, s.device});
}

FileStat stat_from(const json& j) {
  FileStat s;
  s.size = j.at(0);
  s.mtime_ns = j.at(1);
  s.ctime_ns = j.at(2);
  s.inode = j.at(3);
  s.device = j.at(4);
  return s;
}

json schema_json(const sql::Schema& schema) {
  json out = json::array();
  for (const sql::Column& column : schema) out.push_back({column.name, column.type});
  return out;
}

sql::Schema schema_from(const json& j) {
  sql::Schema schema;
  for (const json& item : j) schema.push_back({item.at(0), item.at(1)});
  return schema;
}

json pairs_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
  json out = json::array();
  for (const auto& [name, value] : pairs) out.push_back({name, value});
  return out;
}

json scan_json(const TaskScan& scan) {
  const SourceSnapshot& snapshot = scan.snapshot;
  // Files of one shape share it; one without is read by the snapshot's own columns.
  json files = json::array(), slices = json::array(), shapes = json::array();
  std::vector<const sql::Schema*> known;
  for (const InputFile& file : snapshot.files) {
    json item = {{"path", file.path},
                 {"name", file.name},
                 {"stat", stat_json(file.stat)},
                 {"rows", file.rows}};
    if (file.columns && *file.columns != snapshot.schema) {
      const auto same = [&](const sql::Schema* shape) { return *shape == *file.columns; };
      const auto found = std::find_if(known.begin(), known.end(), same);
      item["shape"] = found - known.begin();
      if (found == known.end()) {
        known.push_back(file.columns.get());
        shapes.push_back(schema_json(*file.columns));
      }
    }
    files.push_back(std::move(item));
  }
  for (const FileSlice& slice : scan.partition.slices)
    slices.push_back({slice.file, slice.row_begin, slice.row_end});
  return {{"source", snapshot.source},
          {"schema", schema_json(snapshot.schema)},
          {"format", static_cast<int>(snapshot.recipe.format)},
          {"options", pairs_json(snapshot.recipe.options)},
          {"set_aside", snapshot.recipe.set_aside_bad_rows},
          {"directory", snapshot.recipe.directory},
          {"files", files},
          {"shapes", shapes},
          {"slices", slices},
          {"label", scan.partition.label},
          {"rows", scan.partition.rows},
          {"bytes", scan.partition.bytes},
          {"columns", scan.columns},
          {"count_rejects", scan.count_rejects}};
}

TaskScan scan_from(const json& j) {
  TaskScan scan;
  SourceSnapshot& snapshot = scan.snapshot;
  snapshot.source = j.at("source");
  snapshot.schema = schema_from(j.at("schema"));
  snapshot.recipe.format = static_cast<FileFormat>(j.at("format").get<int>());
  for (const json& option : j.at("options"))
    snapshot.recipe.options.emplace_back(option.at(0), option.at(1));
  snapshot.recipe.set_aside_bad_rows = j.at("set_aside");
  snapshot.recipe.directory = j.at("directory");
  std::vector<std::shared_ptr<const sql::Schema>> shapes;
  for (const json& shape : j.at("shapes"))
    shapes.push_back(std::make_shared<const sql::Schema>(schema_from(shape)));
  for (const json& item : j.at("files")) {
    InputFile file;
    file.path = item.at("path");
    file.name = item.at("name");
    file.stat = stat_from(item.at("stat"));
    file.rows = item.at("rows");
    if (item.contains("shape")) file.columns = shapes.at(item.at("shape").get<size_t>());
    snapshot.files.push_back(std::move(file));
  }
  for (const json& slice : j.at("slices"))
    scan.partition.slices.push_back({slice.at(0), slice.at(1), slice.at(2)});
  scan.partition.label = j.at("label");
  scan.partition.rows = j.at("rows");
  scan.partition.bytes = j.at("bytes");
  scan.columns = j.at("columns").get<std::vector<std::string>>();
  scan.count_rejects = j.at("count_rejects");
  return scan;
}

json keys_json(const std::vector<HashKey>& keys) {
  json out = json::array();
  for (const HashKey& key : keys) out.push_back({key.column, key.type});
  return out;
}

std::vector<HashKey> keys_from(const json& j) {
  std::vector<HashKey> keys;
  for (const json& key : j) keys.push_back({key.at(0), key.at(1)});
  return keys;
}

json input_json(const TaskInput& input) {
  json refs = json::array();
  for (const MapOutputRef& ref : input.map_outputs) refs.push_back({ref.path, ref.attempt});
  json out = {{"name", input.name},
              {"schema", schema_json(input.schema)},
              {"map_outputs", refs},
              {"begin", input.bucket_begin},
              {"end", input.bucket_end}};
  if (input.scan) out["scan"] = scan_json(*input.scan);
  if (!input.split_keys.empty()) out["split_keys"] = keys_json(input.split_keys);
  return out;
}

TaskInput input_from(const json& j) {
  TaskInput input;
  input.name = j.at("name");
  input.schema = schema_from(j.at("schema"));
  if (j.contains("scan")) input.scan = scan_from(j.at("scan"));
  for (const json& ref : j.at("map_outputs")) input.map_outputs.push_back({ref.at(0), ref.at(1)});
  input.bucket_begin = j.at("begin");
  input.bucket_end = j.at("end");
  if (j.contains("split_keys")) input.split_keys = keys_from(j.at("split_keys"));
  return input;
}

json order_json(const sort::SortOrder& order) {
  json out = json::array();
  for (const sort::SortColumn& column : order)
    out.push_back({column.column, column.descending, column.nulls_first});
  return out;
}

sort::SortOrder order_from(const json& j) {
  sort::SortOrder order;
  for (const json& item : j) order.push_back({item.at(0), item.at(1), item.at(2)});
  return order;
}

json sink_json(const TaskSink& sink) {
  json out = {{"kind", static_cast<int>(sink.kind)},
              {"file", sink.file},
              {"keys", keys_json(sink.keys)},
              {"buckets", sink.buckets},
              {"compression", sink.compression},
              {"order", order_json(sink.order)},
              {"samples", sink.samples},
              {"sample_rows", sink.sample_rows}};
  if (!sink.by.empty()) out["by"] = sink.by;
  if (sink.names_buckets) out["names_buckets"] = true;
  return out;
}

TaskSink sink_from(const json& j) {
  TaskSink sink;
  sink.kind = static_cast<TaskSink::Kind>(j.at("kind").get<int>());
  sink.file = j.at("file");
  sink.keys = keys_from(j.at("keys"));
  sink.buckets = j.at("buckets");
  sink.compression = j.at("compression");
  if (j.contains("by")) sink.by = j.at("by").get<std::vector<uint32_t>>();
  sink.names_buckets = j.value("names_buckets", false);
  sink.order = order_from(j.at("order"));
  sink.samples = j.at("samples");
  sink.sample_rows = j.at("sample_rows");
  return sink;
}

json step_json(const TaskStep& step) {
  json out = {{"name", step.name}, {"sql", step.sql}};
  if (step.join) out["join"] = reduce::to_json(*step.join);
  if (step.lookup) out["lookup"] = reduce::to_json(*step.lookup);
  if (step.kernel) {
    out["kernel"] = reduce::to_json(*step.kernel);
    out["kernel_rows_made"] = step.kernel_rows_made;
  }
  if (step.sort)
    out["sort"] = {{"input", step.sort->input}, {"order", order_json(step.sort->order)}};
  return out;
}

/// A failure is caught with what else is wrong in a message.
template <typename T>
T value_of(Result<T> read, const json& j) {
  if (!read) throw json::other_error::create(0, read.error().message, &j);
  return std::move(*read);
}

TaskStep step_from(const json& j) {
  TaskStep step{.name = j.at("name"), .sql = j.at("sql")};
  if (j.contains("join"))
    step.join = value_of(reduce::join_from_json(j.at("join").get<std::string>()), j);
  if (j.contains("lookup"))
    step.lookup = value_of(reduce::join_lookup_from_json(j.at("lookup").get<std::string>()), j);
  if (j.contains("kernel")) {
    step.kernel = value_of(reduce::stage_kernel_from_json(j.at("kernel").get<std::string>()), j);
    step.kernel_rows_made = j.at("kernel_rows_made");
  }
  if (j.contains("sort"))
    step.sort = TaskSort{j.at("sort").at("input"), order_from(j.at("sort").at("order"))};
  return step;
}

json verify_json(const VerifyWork& work) {
  json out = {
      {"output", work.output}, {"text", work.pipeline_text},         {"path", work.pipeline_path},
      {"files", work.files},   {"schema", schema_json(work.schema)}, {"outputs", work.outputs}};
  for (const auto& [name, scan] : work.sources) out["sources"].push_back({name, scan_json(scan)});
  if (work.rows_before) out["rows_before"] = *work.rows_before;
  return out;
}

VerifyWork verify_from(const json& j) {
  VerifyWork work;
  work.output = j.at("output");
  work.pipeline_text = j.at("text");
  work.pipeline_path = j.at("path");
  work.files = j.at("files").get<std::vector<std::string>>();
  work.schema = schema_from(j.at("schema"));
  work.outputs =
      j.at("outputs").get<std::vector<std::pair<std::string, std::vector<std::string>>>>();
  if (j.contains("sources"))
    for (const json& item : j.at("sources"))
      work.sources.emplace_back(item.at(0), scan_from(item.at(1)));
  if (j.contains("rows_before")) work.rows_before = j.at("rows_before").get<uint64_t>();
  return work;
}

json check_json(const CheckOutcome& check) { return json::parse(to_json(check)); }

CheckOutcome check_from(const json& j) {
  CheckOutcome check;
  check.name = j.at("name");
  check.kind = j.at("kind");
  check.status = j.at("status");
  check.failing = j.at("failing");
  check.total = j.at("total");
  check.tolerance = j.at("tolerance");
  check.message = j.at("message");
  for (const json& sample : j.at("samples"))
    check.samples.push_back(sample.is_string() ? sample.get<std::string>() : sample.dump());
  return check;
}

json failure_json(const Failure& failure) {
  json out = {{"class", to_string(failure.cls)},
              {"code", failure.code},
              {"message", without_secrets(failure.message)},
              {"stage", failure.where.stage},
              {"partition", failure.where.partition},
              {"attempt", failure.where.attempt},
              {"host", failure.where.host}};
  if (failure.cause) out["cause"] = failure_json(*failure.cause);
  return out;
}

constexpr int kCauseDepthMax = 16;

Failure failure_from(const json& j, int depth) {
  Failure failure;
  if (!parse_failure_class(j.at("class").get<std::string>(), failure.cls))
    failure.cls = FailureClass::kDefect;
  failure.code = j.at("code");
  failure.message = j.at("message");
  failure.where = {j.at("stage"), j.at("partition"), j.at("attempt"), j.at("host")};
  if (depth < kCauseDepthMax && j.contains("cause"))
    failure.cause = std::make_shared<const Failure>(failure_from(j.at("cause"), depth + 1));
  return failure;
}

/// Runs a reader over parsed text; what it throws becomes a failure.
template <typename T, typename Read>
Result<T> read_json(const std::string& text, const char* what, Read read) {
  try {
    return read(json::parse(text));
  } catch (const json::exception& error) {
    return fail(FailureClass::kDefect, "task.bad_message",
                std::string("cannot read ") + what + ": " + error.what());
  }
}

/// Text from DuckDB or the user may be no valid UTF-8; it is shown with replacements.
std::string dump(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

std::string way_out_of_memory(const TaskSpec& spec) {
  bool keyed = false;
  for (const TaskInput& input : spec.inputs) keyed |= !input.split_keys.empty();
  return keyed && !spec.splits_skew
             ? "raise `memory` of the stage, give it more buckets, or `skew: split`"
             : "raise `memory` of the stage, or give it more buckets";
}

std::string to_json(const TaskSpec& spec) {
  json inputs = json::array(), steps = json::array(), sinks = json::array();
  for (const TaskInput& input : spec.inputs) inputs.push_back(input_json(input));
  for (const TaskStep& step : spec.steps) steps.push_back(step_json(step));
  for (const TaskSink& sink : spec.sinks) sinks.push_back(sink_json(sink));
  json out = {{"identity", spec.identity},
              {"attempt", spec.attempt},
              {"label", spec.label},
              {"stage", spec.stage},
              {"partition", spec.partition},
              {"memory", spec.memory_bytes},
              {"run_time", spec.run_time_us},
              {"state", spec.state_dir},
              {"inputs", inputs},
              {"steps", steps},
              {"sinks", sinks}};
  if (spec.splits_skew) out["splits_skew"] = true;
  if (spec.parts > 1) out["parts"] = spec.parts;
  if (spec.combine) {
    out["combine"] = reduce::to_json({*spec.combine, ""});
    out["combine_bytes"] = spec.combine_bytes;
    out["combine_in_sql"] = spec.combine_in_sql;
  }
  if (spec.verify) out["verify"] = verify_json(*spec.verify);
  return dump(out);
}

Result<TaskSpec> task_spec_from_json(const std::string& text) {
  return read_json<TaskSpec>(text, "a task", [](const json& j) {
    TaskSpec spec;
    spec.identity = j.at("identity");
    spec.attempt = j.at("attempt");
    spec.label = j.at("label");
    spec.stage = j.at("stage");
    spec.partition = j.at("partition");
    spec.memory_bytes = j.at("memory");
    spec.run_time_us = j.at("run_time");
    spec.state_dir = j.at("state");
    for (const json& input : j.at("inputs")) spec.inputs.push_back(input_from(input));
    for (const json& step : j.at("steps")) spec.steps.push_back(step_from(step));
    for (const json& sink : j.at("sinks")) spec.sinks.push_back(sink_from(sink));
    if (j.contains("combine")) {
      spec.combine =
          value_of(reduce::stage_kernel_from_json(j.at("combine").get<std::string>()), j).kernel;
      spec.combine_bytes = j.at("combine_bytes");
      spec.combine_in_sql = j.at("combine_in_sql");
    }
    spec.splits_skew = j.value("splits_skew", false);
    spec.parts = j.value("parts", 1U);
    if (j.contains("verify")) spec.verify = verify_from(j.at("verify"));
    return spec;
  });
}

std::string to_json(const TaskReport& report) {
  json files = json::array(), checks = json::array();
  for (const TaskOutputFile& file : report.files) {
    json& one = files.emplace_back(
        json{{"name", file.name}, {"bytes", file.bytes}, {"rows", file.rows}, {"xxh3", file.xxh3}});
    if (!file.label.empty()) one["label"] = file.label;
    if (!file.buckets.empty()) one["buckets"] = file.buckets;
  }
  for (const CheckOutcome& check : report.checks) checks.push_back(check_json(check));
  json sources = json::array();
  for (const TaskSourceCount& source : report.sources) {
    json samples = json::array();
    for (const std::string& sample : source.samples) samples.push_back(without_secrets(sample));
    json& one = sources.emplace_back(json{{"source", source.source},
                                          {"rows", source.rows},
                                          {"set_aside", source.set_aside},
                                          {"samples", std::move(samples)}});
    if (source.files.empty()) continue;
    for (const auto& [name, rows] : source.files) one["files"].push_back({name, rows});
    one["table"] = source.table;
    one["table_rows"] = source.table_rows;
  }
  return dump({{"rows_in", report.rows_in},
               {"rows_out", report.rows_out},
               {"bytes",
                {{"read", report.bytes_read},
                 {"shuffled", report.bytes_shuffled},
                 {"spilled", report.bytes_spilled},
                 {"written", report.bytes_written}}},
               {"splits", report.splits},
               {"combined", {report.combined_in, report.combined_out}},
               {"us", report.us},
               {"peak_rss", report.peak_rss},
               {"digest", report.digest},
               {"files", files},
               {"sources", sources},
               {"checks", checks}});
}

Result<TaskReport> task_report_from_json(const std::string& text) {
  return read_json<TaskReport>(text, "a task's report", [](const json& j) {
    TaskReport report;
    report.rows_in = j.at("rows_in");
    report.rows_out = j.at("rows_out");
    const json& bytes = j.at("bytes");
    report.bytes_read = bytes.at("read");
    report.bytes_shuffled = bytes.at("shuffled");
    report.bytes_spilled = bytes.at("spilled");
    report.bytes_written = bytes.at("written");
    report.splits = j.value("splits", uint64_t{0});
    if (j.contains("combined")) {
      report.combined_in = j.at("combined").at(0);
      report.combined_out = j.at("combined").at(1);
    }
    report.us = j.at("us");
    report.peak_rss = j.at("peak_rss");
    report.digest = j.at("digest");
    for (const json& file : j.at("files"))
      report.files.push_back({file.at("name"), file.at("bytes"), file.at("rows"), file.at("xxh3"),
                              file.value("label", ""), file.value("buckets", "")});
    for (const json& source : j.at("sources")) {
      TaskSourceCount& count = report.sources.emplace_back(
          TaskSourceCount{source.at("source"), source.at("rows"), source.at("set_aside"),
                          source.at("samples").get<std::vector<std::string>>()});
      if (source.contains("files"))
        for (const json& file : source.at("files"))
          count.files.emplace_back(file.at(0), file.at(1));
      count.table = source.value("table", "");
      count.table_rows = source.value("table_rows", uint64_t{0});
    }
    for (const json& check : j.at("checks")) report.checks.push_back(check_from(check));
    return report;
  });
}

std::string to_json(const Failure& failure) { return dump(failure_json(failure)); }

Result<Failure> failure_from_json(const std::string& text) {
  return read_json<Failure>(text, "a failure", [](const json& j) { return failure_from(j, 0); });
}

}  // namespace tidegate
