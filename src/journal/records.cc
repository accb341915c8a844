#include "journal/records.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/remembered.h"

namespace tidegate {
namespace {

using nlohmann::json;

std::string to_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

template <typename T>
void put_optional(json& object, const char* key, const std::optional<T>& value) {
  if (value) object[key] = *value;
}

/// Reads a field if it is there and not null; a wrong type throws, and the caller of the outermost
/// function turns that into a failure.
template <typename T>
void get(const json& object, const char* key, T& out) {
  auto it = object.find(key);
  if (it != object.end() && !it->is_null()) out = it->get<T>();
}
template <typename T>
void get(const json& object, const char* key, std::optional<T>& out) {
  auto it = object.find(key);
  if (it != object.end() && !it->is_null()) out = it->get<T>();
}

json encode(const SourceArrival& a) {
  json j = {{"source", a.source},       {"known_by", a.known_by},
            {"expected", a.expected},   {"arrived", a.arrived},
            {"rows_read", a.rows_read}, {"rows_quarantined", a.rows_quarantined},
            {"missing", a.missing},     {"identity", a.identity}};
  if (a.rows_dropped > 0) j["rows_dropped"] = a.rows_dropped;
  if (a.files_quarantined > 0) j["files_quarantined"] = a.files_quarantined;
  put_optional(j, "complete_to_us", a.complete_to_us);
  if (!a.upstream_output.empty()) {
    j["upstream_output"] = a.upstream_output;
    j["upstream_generation"] = a.upstream_generation;
  }
  put_optional(j, "every_us", a.every_us);
  put_optional(j, "arrives_from_us", a.arrives_from_us);
  put_optional(j, "arrives_to_us", a.arrives_to_us);
  return j;
}

void must_be_object(const json& j, const char* what) {
  if (!j.is_object()) throw std::runtime_error(fmt::format("{} is no object", what));
}

SourceArrival decode_arrival(const json& j) {
  must_be_object(j, "a source");
  SourceArrival a;
  get(j, "source", a.source);
  get(j, "known_by", a.known_by);
  get(j, "complete_to_us", a.complete_to_us);
  get(j, "expected", a.expected);
  get(j, "arrived", a.arrived);
  get(j, "rows_read", a.rows_read);
  get(j, "rows_quarantined", a.rows_quarantined);
  get(j, "rows_dropped", a.rows_dropped);
  get(j, "files_quarantined", a.files_quarantined);
  get(j, "missing", a.missing);
  get(j, "identity", a.identity);
  get(j, "upstream_output", a.upstream_output);
  get(j, "upstream_generation", a.upstream_generation);
  get(j, "every_us", a.every_us);
  get(j, "arrives_from_us", a.arrives_from_us);
  get(j, "arrives_to_us", a.arrives_to_us);
  return a;
}

json encode(const CheckOutcome& c) {
  json j = {{"name", c.name},       {"kind", c.kind},      {"status", c.status},
            {"failing", c.failing}, {"total", c.total},    {"tolerance", c.tolerance},
            {"message", c.message}, {"samples", c.samples}};
  return j;
}

CheckOutcome decode_check(const json& j) {
  must_be_object(j, "a check");
  CheckOutcome c;
  get(j, "name", c.name);
  get(j, "kind", c.kind);
  get(j, "status", c.status);
  get(j, "failing", c.failing);
  get(j, "total", c.total);
  get(j, "tolerance", c.tolerance);
  get(j, "message", c.message);
  get(j, "samples", c.samples);
  return c;
}

json encode(const GenerationFile& f) {
  json j = {{"name", f.name},
            {"rows", f.rows},
            {"bytes", f.bytes},
            {"xxh3", f.xxh3},
            {"stat",
             {{"size", f.stat.size},
              {"mtime_ns", f.stat.mtime_ns},
              {"ctime_ns", f.stat.ctime_ns},
              {"inode", f.stat.inode},
              {"device", f.stat.device},
              {"mode", f.stat.mode},
              {"links", f.stat.links}}}};
  if (!f.shared_from.empty()) j["shared_from"] = f.shared_from;
  return j;
}

GenerationFile decode_file(const json& j) {
  must_be_object(j, "a file");
  GenerationFile f;
  get(j, "name", f.name);
  get(j, "rows", f.rows);
  get(j, "bytes", f.bytes);
  get(j, "xxh3", f.xxh3);
  get(j, "shared_from", f.shared_from);
  if (auto it = j.find("stat"); it != j.end() && it->is_object()) {
    get(*it, "size", f.stat.size);
    get(*it, "mtime_ns", f.stat.mtime_ns);
    get(*it, "ctime_ns", f.stat.ctime_ns);
    get(*it, "inode", f.stat.inode);
    get(*it, "device", f.stat.device);
    get(*it, "mode", f.stat.mode);
    get(*it, "links", f.stat.links);
    f.stat.is_regular = true;
  }
  return f;
}

GenerationRecord decode_record(const json& j) {
  GenerationRecord r;
  r.output = j.at("output").get<std::string>();
  r.publish_root = j.at("publish_root").get<std::string>();
  r.generation = j.at("generation").get<std::string>();
  r.number = j.at("number").get<uint64_t>();
  r.state = j.at("state").get<std::string>();
  for (const json& file : j.at("files")) r.files.push_back(decode_file(file));
  get(j, "pipeline", r.pipeline);
  get(j, "pipeline_file", r.pipeline_file);
  get(j, "run", r.run);
  get(j, "fence", r.fence);
  get(j, "identity", r.identity);
  get(j, "contract_hash", r.contract_hash);
  get(j, "published_us", r.published_us);
  get(j, "hashed_us", r.hashed_us);
  get(j, "rows", r.rows);
  get(j, "bytes", r.bytes);
  get(j, "max_age_us", r.max_age_us);
  get(j, "through_us", r.through_us);
  get(j, "completeness", r.completeness);
  get(j, "manifest_xxh3", r.manifest_xxh3);
  if (auto it = j.find("schema"); it != j.end())
    for (const json& column : *it)
      r.schema.emplace_back(column.at(0).get<std::string>(), column.at(1).get<std::string>());
  if (auto it = j.find("checks"); it != j.end())
    for (const json& check : *it) r.checks.push_back(decode_check(check));
  if (auto it = j.find("sources"); it != j.end())
    for (const json& source : *it) r.sources.push_back(decode_arrival(source));
  return r;
}

}  // namespace

std::string to_json(const GenerationRecord& r) {
  json j = {{"output", r.output},
            {"pipeline", r.pipeline},
            {"pipeline_file", r.pipeline_file},
            {"publish_root", r.publish_root},
            {"number", r.number},
            {"generation", r.generation},
            {"state", r.state},
            {"run", r.run},
            {"fence", r.fence},
            {"identity", r.identity},
            {"contract_hash", r.contract_hash},
            {"published_us", r.published_us},
            {"hashed_us", r.hashed_us},
            {"rows", r.rows},
            {"bytes", r.bytes},
            {"manifest_xxh3", r.manifest_xxh3},
            {"schema", json::array()},
            {"files", json::array()},
            {"checks", json::array()},
            {"sources", json::array()}};
  for (const auto& [name, type] : r.schema) j["schema"].push_back(json::array({name, type}));
  for (const GenerationFile& file : r.files) j["files"].push_back(encode(file));
  for (const CheckOutcome& check : r.checks) j["checks"].push_back(encode(check));
  for (const SourceArrival& source : r.sources) j["sources"].push_back(encode(source));
  put_optional(j, "max_age_us", r.max_age_us);
  put_optional(j, "through_us", r.through_us);
  put_optional(j, "completeness", r.completeness);
  return to_text(j);
}

Result<GenerationRecord> generation_record_from_json(const std::string& text) {
  // A run asks for the same few records again and again.
  static thread_local Remembered<GenerationRecord, 16, size_t{64} * 1024> known;
  if (const GenerationRecord* record = known.find(text)) return *record;
  try {
    const json j = json::parse(text);
    if (!j.is_object()) throw std::runtime_error("not an object");
    GenerationRecord record = decode_record(j);
    if (known.fits(text)) known.keep(text, record);
    return record;
  } catch (const std::exception& error) {
    return fail(FailureClass::kData, "journal.bad_record",
                fmt::format("a generation's record cannot be read: {}", error.what()));
  }
}

std::string to_json(const CheckOutcome& outcome) { return to_text(encode(outcome)); }
std::string to_json(const SourceArrival& arrival) { return to_text(encode(arrival)); }

}  // namespace tidegate
