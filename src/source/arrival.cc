#include "source/arrival.h"

#include <fmt/format.h>

#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"
#include "base/units.h"
#include "contract/codes.h"
#include "source/content.h"

namespace tidegate {
namespace {

constexpr size_t kMissingNamed = 10;
constexpr uint64_t kManifestBytesMax = uint64_t{256} << 20;

struct Field {
  std::string_view name;
  std::string_view shape;  ///< '9' is a digit
};
constexpr Field kFields[] = {{"{date}", "9999-99-99"},
                             {"{year}", "9999"},
                             {"{month}", "99"},
                             {"{day}", "99"},
                             {"{hour}", "99"}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The template with each field replaced by its shape, and which characters are of a shape.
struct Shape {
  std::string text;
  std::vector<bool> open;
};

Shape shape_of(std::string_view pattern) {
  Shape shape;
  while (!pattern.empty()) {
    bool matched = false;
    for (const Field& field : kFields) {
      if (!pattern.starts_with(field.name)) continue;
      shape.text += field.shape;
      for (const char c : field.shape) shape.open.push_back(c == '9');
      pattern.remove_prefix(field.name.size());
      matched = true;
      break;
    }
    if (matched) continue;
    shape.text += pattern.front();
    shape.open.push_back(false);
    pattern.remove_prefix(1);
  }
  return shape;
}

/// Every place in `name` that has the template's shape.
std::vector<std::string> matches_in(const Shape& shape, std::string_view name) {
  std::vector<std::string> found;
  const size_t size = shape.text.size();
  for (size_t at = 0; size > 0 && at + size <= name.size(); ++at) {
    bool fits = true;
    for (size_t i = 0; i < size && fits; ++i)
      fits = shape.open[i] ? is_digit(name[at + i]) : name[at + i] == shape.text[i];
    if (!fits) continue;
    if (shape.open.front() && at > 0 && is_digit(name[at - 1])) continue;
    if (shape.open.back() && at + size < name.size() && is_digit(name[at + size])) continue;
    found.emplace_back(name.substr(at, size));
  }
  return found;
}

/// When the period begins that a match names, if its fields name one.
std::optional<int64_t> begin_of(std::string_view pattern, std::string_view match) {
  int year = 0, month = 1, day = 1, hour = 0;
  const auto number = [&](size_t at, size_t size) {
    int value = 0;
    for (size_t i = at; i < at + size; ++i) value = value * 10 + (match[i] - '0');
    return value;
  };
  size_t at = 0;
  while (!pattern.empty()) {
    size_t taken = 1, width = 1;
    for (const Field& field : kFields) {
      if (!pattern.starts_with(field.name)) continue;
      taken = field.name.size();
      width = field.shape.size();
      if (field.name == "{date}") {
        year = number(at, 4);
        month = number(at + 5, 2);
        day = number(at + 8, 2);
      } else {
        (field.name == "{year}"    ? year
         : field.name == "{month}" ? month
         : field.name == "{day}"   ? day
                                   : hour) = number(at, width);
      }
      break;
    }
    pattern.remove_prefix(taken);
    at += width;
  }
  const auto time =
      parse_timestamp_us(fmt::format("{:04}-{:02}-{:02}T{:02}:00:00Z", year, month, day, hour));
  return time && year > 0 ? std::optional(*time) : std::nullopt;
}

void report(Diagnostics& diagnostics, const char* code, Severity severity, Span span,
            std::string message, std::string label, std::string help) {
  diagnostics.add(
      {code, severity, span, std::move(message), std::move(label), {}, std::move(help)});
}

}  // namespace

std::string render_period(std::string_view pattern, int64_t begin_us) {
  const time_t seconds = static_cast<time_t>(begin_us / 1'000'000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  const std::map<std::string_view, std::string> values = {
      {"{date}",
       fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday)},
      {"{year}", fmt::format("{:04}", parts.tm_year + 1900)},
      {"{month}", fmt::format("{:02}", parts.tm_mon + 1)},
      {"{day}", fmt::format("{:02}", parts.tm_mday)},
      {"{hour}", fmt::format("{:02}", parts.tm_hour)}};
  std::string out;
  while (!pattern.empty()) {
    bool matched = false;
    for (const auto& [name, value] : values) {
      if (!pattern.starts_with(name)) continue;
      out += value;
      pattern.remove_prefix(name.size());
      matched = true;
      break;
    }
    if (matched) continue;
    out += pattern.front();
    pattern.remove_prefix(1);
  }
  return out;
}

Status count_arrivals(const Source& source, const std::vector<InputFile>& files,
                      const std::vector<FileSetAside>& aside, int64_t now_us,
                      Diagnostics& diagnostics, SourceArrival& arrival) {
  const Arrives& arrives = *source.arrives;
  const std::string& pattern = arrives.path.value;
  const int64_t every = arrives.every_us.value;
  arrival.known_by = "arrives";
  arrival.every_us = every;
  if (every <= 0)
    return fail(FailureClass::kDefect, "source.arrives", "a period of arrivals must be positive");
  const Shape shape = shape_of(pattern);
  std::set<std::string> present, broken;
  for (const InputFile& file : files)
    for (std::string& match : matches_in(shape, file.name)) present.insert(std::move(match));
  for (const FileSetAside& file : aside)
    for (std::string& match : matches_in(shape, file.name)) {
      if (!file.accepted) broken.insert(match);
      present.insert(std::move(match));
    }
  if (present.empty() && !files.empty()) {
    report(diagnostics, codes::kArrivesNoMatch, Severity::kError, arrives.path.span,
           fmt::format("no file's path holds \"{}\"", pattern),
           fmt::format("looked for e.g. \"{}\"", render_period(pattern, now_us)),
           fmt::format("the first file is \"{}\"", files[0].name));
    return {};
  }
  std::optional<int64_t> from;
  if (arrives.from_us) from = arrives.from_us->value;
  for (const std::string& match : present) {
    if (arrives.from_us) break;
    const auto begin = begin_of(pattern, match);
    if (begin && (!from || *begin < *from)) from = begin;
  }
  arrival.arrives_from_us = from;
  if (arrives.to_us) arrival.arrives_to_us = arrives.to_us->value;
  if (!from) return {};
  int64_t last = now_us - every;
  if (arrives.to_us) last = std::min(last, arrives.to_us->value);
  if (last >= *from && static_cast<uint64_t>((last - *from) / every) >= kPeriodsMax) {
    report(diagnostics, codes::kOutOfRange, Severity::kError, arrives.every_us.span,
           fmt::format("more than {} periods are expected", format_count(kPeriodsMax)),
           "every so often, since `from`", "name a coarser period or a later `from`");
    return {};
  }
  bool unbroken = true;
  arrival.complete_to_us = from;
  for (int64_t begin = *from; begin <= last; begin += every) {
    ++arrival.expected;
    std::string name = render_period(pattern, begin);
    if (present.contains(name) && !broken.contains(name)) {
      ++arrival.arrived;
      if (unbroken) arrival.complete_to_us = begin + every;
      continue;
    }
    unbroken = false;
    if (arrival.missing.size() < kMissingNamed) arrival.missing.push_back(std::move(name));
  }
  return {};
}

Result<std::optional<ArrivalManifest>> read_manifest(Effects& effects, const Source& source,
                                                     const std::string& directory,
                                                     Diagnostics& diagnostics) {
  const Spanned<std::string>& written = source.manifest->path;
  const std::string path = path_absolute(written.value, directory);
  const auto bytes = read_file(effects, path, kManifestBytesMax);
  if (!bytes) {
    report(diagnostics, codes::kManifestMissing, Severity::kError, written.span,
           fmt::format("cannot read the manifest \"{}\"", written.value), bytes.error().message,
           "the producer writes it when all its files are there");
    return std::nullopt;
  }
  const auto invalid = [&](std::string why) {
    report(diagnostics, codes::kManifestInvalid, Severity::kError, written.span,
           fmt::format("\"{}\" is not a manifest", written.value), std::move(why),
           R"(it looks like {"files": [{"path": "a.parquet", "rows": 100}]})");
    return std::optional<ArrivalManifest>();
  };
  const auto json = nlohmann::json::parse(*bytes, nullptr, false);
  if (json.is_discarded()) return invalid("it does not parse as JSON");
  if (!json.is_object() || !json.contains("files") || !json["files"].is_array())
    return invalid("it has no list \"files\"");
  if (json["files"].size() > kInputFilesMax) return invalid("it lists more than 1,000,000 files");
  ArrivalManifest manifest;
  TG_ASSIGN(const std::string base, resolve_links(effects, path_dirname(path)));
  std::set<std::string> seen;
  for (const auto& item : json["files"]) {
    ManifestEntry entry;
    if (!item.is_object() || !item.contains("path") || !item["path"].is_string())
      return invalid("an entry of \"files\" has no \"path\"");
    entry.path = path_absolute(item["path"].get<std::string>(), base);
    if (!seen.insert(entry.path).second)
      return invalid(fmt::format("it lists \"{}\" twice", item["path"].get<std::string>()));
    if (item.contains("rows")) {
      if (!item["rows"].is_number_unsigned()) return invalid("\"rows\" is not a count");
      entry.rows = item["rows"].get<uint64_t>();
    }
    for (auto [name, target] : {std::pair{"xxh3", &entry.xxh3}, {"sha256", &entry.sha256}}) {
      if (!item.contains(name)) continue;
      if (!item[name].is_string()) return invalid(fmt::format("\"{}\" is not a text", name));
      *target = to_lower_ascii(item[name].get<std::string>());
    }
    manifest.files.push_back(std::move(entry));
  }
  if (json.contains("complete_to") && !json["complete_to"].is_null()) {
    if (!json["complete_to"].is_string()) return invalid("\"complete_to\" is not a text");
    const auto time = parse_timestamp_us(json["complete_to"].get<std::string>());
    if (!time) return invalid("\"complete_to\" is not a timestamp");
    manifest.complete_to_us = *time;
  }
  return manifest;
}

void apply_manifest(const Source& source, const ArrivalManifest& manifest,
                    std::vector<FoundFile>& found, Diagnostics& diagnostics) {
  const Span span = source.manifest->path.span;
  std::map<std::string, size_t> by_path;
  for (size_t i = 0; i < found.size(); ++i) by_path.emplace(found[i].path, i);
  std::vector<bool> listed(found.size(), false);
  std::vector<std::string> absent;
  for (const ManifestEntry& entry : manifest.files) {
    const auto place = by_path.find(entry.path);
    if (place == by_path.end())
      absent.push_back(entry.path);
    else
      listed[place->second] = true;
  }
  if (!absent.empty())
    report(diagnostics, codes::kManifestFile, Severity::kError, span,
           fmt::format("the manifest lists \"{}\", which is not among the source's files",
                       path_basename(absent[0])),
           absent.size() == 1 ? absent[0]
                              : fmt::format("{} and {} more", absent[0], absent.size() - 1),
           "wait for the file, or widen `files:`");
  std::vector<FoundFile> kept;
  std::string ignored;
  for (size_t i = 0; i < found.size(); ++i) {
    if (listed[i])
      kept.push_back(std::move(found[i]));
    else if (ignored.empty())
      ignored = found[i].name;
  }
  if (kept.size() < found.size())
    report(diagnostics, codes::kManifestFile, Severity::kWarning,
           Span{span.begin, span.begin == span.end ? span.end : span.end - 1},
           fmt::format("{} files are not in the manifest and are left out",
                       found.size() - kept.size()),
           fmt::format("e.g. \"{}\"", ignored), "");
  found = std::move(kept);
}

Status check_manifest(Effects& effects, const Source& source, const ArrivalManifest& manifest,
                      const std::vector<InputFile>& files, const std::vector<FileSetAside>& aside,
                      int64_t now_us, MetadataCache& cache, Diagnostics& diagnostics,
                      SourceArrival& arrival) {
  const Span span = source.manifest->path.span;
  arrival.known_by = "manifest";
  arrival.complete_to_us = manifest.complete_to_us;
  std::map<std::string, const InputFile*> by_path;
  for (const InputFile& file : files) by_path.emplace(file.path, &file);
  std::set<std::string> accepted;
  for (const FileSetAside& file : aside)
    if (file.accepted) accepted.insert(file.path);
  for (const ManifestEntry& entry : manifest.files) {
    if (accepted.contains(entry.path)) continue;
    if (entry.rows) arrival.expected += *entry.rows;
    const auto place = by_path.find(entry.path);
    if (place == by_path.end()) {
      if (arrival.missing.size() < kMissingNamed)
        arrival.missing.push_back(path_basename(entry.path));
      continue;
    }
    const InputFile& file = *place->second;
    const auto mismatch = [&](const char* what, const std::string& said, const std::string& is) {
      report(diagnostics, codes::kManifestMismatch, Severity::kError, span,
             fmt::format("\"{}\" is not as the manifest says", file.name),
             fmt::format("{} should be {} and is {}", what, said, is),
             "the file was altered or is not the one that was listed: have it produced again");
    };
    arrival.arrived += file.rows_known ? file.rows : entry.rows.value_or(0);
    if (entry.rows && file.rows_known && *entry.rows != file.rows)
      mismatch("rows", format_count(*entry.rows), format_count(file.rows));
    if (entry.xxh3.empty() && entry.sha256.empty()) continue;
    TG_ASSIGN(const FileDigest digest, cached_digest(effects, file.path, file.stat, now_us, cache));
    if (!entry.xxh3.empty() && entry.xxh3 != digest.xxh3)
      mismatch("xxh3", entry.xxh3, digest.xxh3);
    else if (!entry.sha256.empty() && entry.sha256 != digest.sha256)
      mismatch("sha256", entry.sha256, digest.sha256);
  }
  return {};
}

}  // namespace tidegate
