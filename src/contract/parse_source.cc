#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "base/units.h"
#include "contract/codes.h"
#include "contract/parse_parts.h"
#include "contract/secret.h"

namespace tidegate {
namespace {

constexpr uint64_t kPartitionBytesMin = 1024;
constexpr uint64_t kPartitionBytesMax = uint64_t{1} << 40;
constexpr int64_t kHourUs = int64_t{3600} * 1'000'000;
constexpr int64_t kDayUs = 24 * kHourUs;
constexpr size_t kPathBytesMax = 4096;

constexpr std::string_view kKindLater =
    "this version reads files (parquet, csv, json) and published outputs (`output: NAME`)";

const std::vector<NotYetKey> kSourceNotYet = {
    {"watermark", codes::kWatermarkNotYet,
     "say how arrivals are known by `arrives` or `manifest`; watermarks come with streams"},
    {"kafka", codes::kSourceKindNotYet, kKindLater},
    {"postgres", codes::kSourceKindNotYet, kKindLater},
    {"redis", codes::kSourceKindNotYet, kKindLater},
    {"elasticsearch", codes::kSourceKindNotYet, kKindLater},
    {"http", codes::kSourceKindNotYet, kKindLater},
    {"url", codes::kSourceKindNotYet, kKindLater},
    {"delta", codes::kSourceKindNotYet, kKindLater},
};

struct Ending {
  std::string_view text;
  FileFormat format;
};
constexpr std::array kEndings = {
    Ending{".parquet", FileFormat::kParquet}, Ending{".pq", FileFormat::kParquet},
    Ending{".csv", FileFormat::kCsv},         Ending{".tsv", FileFormat::kCsv},
    Ending{".json", FileFormat::kJson},       Ending{".jsonl", FileFormat::kJson},
    Ending{".ndjson", FileFormat::kJson}};

std::optional<FileFormat> format_of(std::string_view path) {
  const std::string lower = to_lower_ascii(path);
  std::string_view name = lower;
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (name.ends_with(packed)) name.remove_suffix(packed.size());
  }
  for (const Ending& ending : kEndings) {
    if (name.ends_with(ending.text)) return ending.format;
  }
  return std::nullopt;
}

/// False if a `[` of the pattern is not closed.
bool is_glob(std::string_view pattern) {
  for (size_t at = pattern.find('['); at != std::string_view::npos; at = pattern.find('[', at)) {
    const size_t close = pattern.find(']', at + 2);
    if (close == std::string_view::npos) return false;
    at = close + 1;
  }
  return true;
}

std::vector<Spanned<std::string>> parse_files(const YamlNode& node, Fields& fields) {
  std::vector<Spanned<std::string>> out;
  for (auto& file : fields.texts(node, "files")) {
    if (!is_local_path(file, "files", fields)) continue;
    if (file.value.ends_with('/')) {
      fields.error(codes::kBadGlob, file.span, "a directory is not a set of files", "ends with `/`",
                   fmt::format("write `{}*.parquet`", file.value));
      continue;
    }
    if (!is_glob(file.value)) {
      fields.error(codes::kBadGlob, file.span, "a `[` of the pattern is not closed", "",
                   "close it with `]`, or write `[[]` for the character itself");
      continue;
    }
    out.push_back(std::move(file));
  }
  return out;
}

/// Sets the format from `format` or from the endings of the file names.
void find_format(Source& source, const YamlNode* given, Fields& fields) {
  if (given != nullptr) {
    const auto index = fields.word(*given, "format", {"parquet", "csv", "json"});
    source.format_given = true;
    if (index) source.format = static_cast<FileFormat>(*index);
    return;
  }
  std::optional<FileFormat> first;
  for (const auto& file : source.files) {
    const auto format = format_of(file.value);
    if (!format) {
      fields.error(codes::kUnknownFormat, file.span,
                   fmt::format("the format of `{}` is not known from its ending", file.value), "",
                   "say it: `format: parquet`, `csv` or `json`");
      return;
    }
    if (first && *first != *format) {
      fields.error(
          codes::kMixedFormats, file.span,
          fmt::format("a source of {} and {} files", to_string(*first), to_string(*format)),
          fmt::format("{} here", to_string(*format)),
          "make two sources, and UNION ALL them in a stage");
      return;
    }
    first = format;
  }
  if (first) source.format = *first;
}

struct Placeholders {
  bool date = false, year = false, month = false, day = false, hour = false;
  bool any() const { return date || year || month || day || hour; }
  bool whole_day() const { return date || (year && month && day); }
};

/// The placeholders of a path template; nothing if one is not known.
std::optional<Placeholders> read_template(const Spanned<std::string>& path, Fields& fields) {
  Placeholders out;
  const std::string& text = path.value;
  for (size_t at = text.find('{'); at != std::string::npos; at = text.find('{', at + 1)) {
    const size_t close = text.find('}', at);
    const std::string name = close == std::string::npos ? "" : text.substr(at + 1, close - at - 1);
    if (name == "date")
      out.date = true;
    else if (name == "year")
      out.year = true;
    else if (name == "month")
      out.month = true;
    else if (name == "day")
      out.day = true;
    else if (name == "hour")
      out.hour = true;
    else {
      const std::string meant = did_you_mean(name, {"date", "year", "month", "day", "hour"});
      fields.error(
          codes::kPathTemplate, path.span,
          close == std::string::npos
              ? std::string("a `{` of the path is not closed")
              : fmt::format("unknown placeholder `{{{}}}` in the path", name),
          "",
          meant.empty()
              ? std::string("the placeholders are {date}, {year}, {month}, {day} and {hour}")
              : fmt::format("did you mean `{{{}}}`?", meant));
      return std::nullopt;
    }
  }
  return out;
}

std::optional<Arrives> parse_arrives(const YamlNode& node, Fields& fields) {
  if (!fields.is_mapping(node, "arrives", "arrives: {every: 1d, path: \"day={date}\"}")) {
    return std::nullopt;
  }
  fields.check_keys(node, "`arrives`", {"every", "path", "from", "to"});
  Arrives out;
  out.span = node.span;
  bool complete = true;
  const auto missing = [&](std::string_view key, std::string_view example) {
    fields.error(codes::kMissingKey, node.span, fmt::format("`arrives` has no `{}`", key), "",
                 fmt::format("add `{}`", example));
    complete = false;
  };
  if (const YamlNode* every = node.find("every")) {
    if (const auto value = fields.duration(*every, "every")) {
      out.every_us = *value;
      if (value->value % kHourUs != 0) {
        fields.error(codes::kOutOfRange, value->span, "`every` must be whole hours or days", "",
                     "write e.g. `1h` or `1d`");
        complete = false;
      }
    } else {
      complete = false;
    }
  } else {
    missing("every", "every: 1d");
  }
  if (const YamlNode* path = node.find("path")) {
    auto value = fields.text(*path, "path");
    const auto holes = value ? read_template(*value, fields) : std::nullopt;
    if (value) out.path = std::move(*value);
    if (!holes) {
      complete = false;
    } else if (!holes->whole_day() ||
               (complete && out.every_us.value % kDayUs != 0 && !holes->hour)) {
      const bool hours = complete && out.every_us.value % kDayUs != 0;
      fields.error(codes::kPathTemplate, out.path.span,
                   "the path is the same for different periods",
                   holes->any() ? "does not tell all periods apart" : "no placeholder",
                   hours ? "use {date} (or {year}, {month}, {day}) and {hour}"
                         : "use {date}, or {year}, {month} and {day}");
      complete = false;
    }
  } else {
    missing("path", "path: \"day={date}\"");
  }
  bool date_only = false;
  if (const YamlNode* from = node.find("from")) {
    out.from_us = fields.timestamp(*from, "from", &date_only);
  }
  if (const YamlNode* to = node.find("to")) out.to_us = fields.timestamp(*to, "to", &date_only);
  if (out.from_us && out.to_us && out.from_us->value > out.to_us->value) {
    fields.error(codes::kReversedRange, out.to_us->span, "`to` is before `from`",
                 fmt::format("before {}", format_timestamp_us(out.from_us->value)));
  }
  if (!complete) return std::nullopt;
  return out;
}

struct Option {
  std::string_view name;
  bool csv;
  bool json;
};
constexpr std::array kOptions = {Option{"delim", true, false},
                                 Option{"header", true, false},
                                 Option{"quote", true, false},
                                 Option{"escape", true, false},
                                 Option{"nullstr", true, false},
                                 Option{"dateformat", true, true},
                                 Option{"timestampformat", true, true},
                                 Option{"encoding", true, false},
                                 Option{"skip", true, false},
                                 Option{"max_line_size", true, false},
                                 Option{"comment", true, false},
                                 Option{"decimal_separator", true, false},
                                 Option{"thousands", true, false},
                                 Option{"format", false, true},
                                 Option{"maximum_object_size", false, true},
                                 Option{"columns", true, true}};

constexpr std::string_view kHiding[] = {"ignore_errors", "store_rejects", "rejects_table",
                                        "rejects_limit", "rejects_scan",  "null_padding"};

/// The option of another reader's name, or one that is spelled alike; "" if there is none.
std::string option_meant(const std::string& name, const std::vector<std::string>& names) {
  constexpr std::pair<std::string_view, std::string_view> kElsewhere[] = {
      {"delimiter", "delim"},   {"sep", "delim"},
      {"separator", "delim"},   {"null", "nullstr"},
      {"na_values", "nullstr"}, {"quotechar", "quote"},
      {"escapechar", "escape"}, {"date_format", "dateformat"},
      {"skiprows", "skip"},     {"timestamp_format", "timestampformat"},
      {"types", "columns"},     {"schema", "columns"}};
  for (const auto& [theirs, ours] : kElsewhere) {
    if (theirs == name && std::find(names.begin(), names.end(), ours) != names.end()) {
      return std::string(ours);
    }
  }
  return did_you_mean(name, names);
}

/// Refuses a credential in clear and broken references; true if the option may be kept.
bool check_option_secret(const YamlPair& option, const YamlNode& value, Fields& fields) {
  if (value.kind == YamlKind::kSequence) {
    return std::all_of(value.items.begin(), value.items.end(), [&](const auto& item) {
      return check_option_secret(option, *item, fields);
    });
  }
  if (value.kind != YamlKind::kScalar) return true;
  const auto references = find_secret_references(value.text);
  for (const SecretReference& reference : references) {
    if (reference.kind != SecretReference::Kind::kBroken) continue;
    fields.error(codes::kSecretSyntax, value.span, "a secret reference that names nothing", "",
                 "write `${env:NAME}` or `${file:PATH}`");
    return false;
  }
  if (references.empty() && names_credential(option.key) && !value.is_null()) {
    std::string variable;
    for (const char c : option.key) {
      variable += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c == '-' ? '_' : c);
    }
    fields.error(codes::kSecretInClear, value.span,
                 fmt::format("`{}` is written in clear", option.key),
                 "whoever reads this file reads the secret",
                 fmt::format("write `${{env:{}}}` or `${{file:PATH}}`, and change the secret that "
                             "stood here",
                             variable));
    return false;
  }
  return true;
}

void parse_options(const YamlNode& node, Source& source, bool has_columns, Fields& fields) {
  if (!fields.is_mapping(node, "options", "options: {header: true}")) return;
  const std::string_view format = to_string(source.format);
  std::vector<std::string> names = {"union_by_name"};
  for (const Option& option : kOptions) {
    if ((source.format == FileFormat::kCsv && option.csv) ||
        (source.format == FileFormat::kJson && option.json)) {
      names.emplace_back(option.name);
    }
  }
  for (const YamlPair& pair : node.pairs) {
    if (!check_option_secret(pair, *pair.value, fields)) continue;
    if (std::find(std::begin(kHiding), std::end(kHiding), pair.key) != std::end(kHiding)) {
      fields.error(codes::kUnknownOption, pair.key_span,
                   fmt::format("`{}` would hide bad rows", pair.key), "",
                   "set bad rows aside in the open: `retry: {data: {quarantine: 1%}}`");
      continue;
    }
    if (std::find(names.begin(), names.end(), pair.key) == names.end()) {
      const std::string meant = option_meant(pair.key, names);
      fields.error(codes::kUnknownOption, pair.key_span,
                   fmt::format("unknown option `{}` for {} files", pair.key, format), "",
                   meant.empty()
                       ? fmt::format("the options for {} are {}", format, join(names, ", "))
                       : fmt::format("did you mean `{}`?", meant));
      continue;
    }
    if (pair.key == "union_by_name") {
      if (const auto value = fields.boolean(*pair.value, pair.key)) source.union_by_name = *value;
      continue;
    }
    if (pair.key == "columns") {
      if (has_columns) {
        fields.error(codes::kConflictingKeys, pair.key_span, "`columns` is given twice",
                     "and beside `options`", "keep the one of the source");
      } else {
        source.columns = fields.columns(*pair.value, "columns");
      }
      continue;
    }
    if (auto value = fields.literal(*pair.value, pair.key, true)) {
      source.options.emplace_back(Spanned<std::string>{pair.key, pair.key_span}, std::move(*value));
    }
  }
}

constexpr std::string_view kQuarantineExample = "retry: {data: {quarantine: 1%}}";

void parse_source_retry(const YamlNode& node, Source& source, Fields& fields) {
  if (!fields.is_mapping(node, "retry", kQuarantineExample)) return;
  for (const YamlPair& pair : node.pairs) {
    if (pair.key == "data") {
      source.quarantine_share = parse_quarantine(*pair.value, fields);
    } else if (pair.key == "transient" || pair.key == "lost" || pair.key == "timeout" ||
               pair.key == "memory" || pair.key == "budget") {
      fields.error(codes::kUnknownKey, pair.key_span,
                   fmt::format("`{}` is not a source's to retry", pair.key),
                   "a source runs no task of its own",
                   "put it into `defaults: {retry: ...}` or a stage's `retry`");
    } else {
      fields.error(codes::kUnknownKey, pair.key_span,
                   fmt::format("unknown key `{}` in a source's `retry`", pair.key), "",
                   fmt::format("write `{}`", kQuarantineExample));
    }
  }
  if (!source.quarantine_share || can_set_aside(source)) return;
  const Span span = source.quarantine_share->span;
  if (source.from_output) {
    fields.error(codes::kQuarantineFormat, span, "nothing of an output can be set aside",
                 "what was published is read whole or not at all",
                 "remove `retry`; `tidegate audit` tells what is wrong with a published output");
  } else {
    fields.error(codes::kQuarantineColumns, span, "quarantine needs declared `columns`",
                 "without them every row defines what is good",
                 "add `columns: {NAME: TYPE, ...}` to the source");
  }
}

}  // namespace

std::optional<Spanned<double>> parse_quarantine(const YamlNode& data, Fields& fields) {
  if (!fields.is_mapping(data, "data", kQuarantineExample)) return std::nullopt;
  fields.check_keys(data, "`data`", {"quarantine"});
  const YamlNode* share = data.find("quarantine");
  return share == nullptr ? std::nullopt : fields.share(*share, "quarantine");
}

bool can_set_aside(const Source& source) {
  if (source.from_output) return false;
  return source.format == FileFormat::kParquet || !source.columns.empty();
}

std::string_view url_scheme(std::string_view path) {
  const size_t colon = path.find("://");
  if (colon == std::string_view::npos || colon == 0) return {};
  const std::string_view scheme = path.substr(0, colon);
  const bool valid = std::all_of(scheme.begin(), scheme.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '-' || c == '.';
  });
  return valid ? scheme : std::string_view();
}

bool is_local_path(const Spanned<std::string>& path, std::string_view what, Fields& fields,
                   std::string_view instead) {
  const std::string_view scheme = url_scheme(path.value);
  if (!scheme.empty()) {
    const bool file = to_lower_ascii(scheme) == "file";
    fields.error(codes::kRemoteNotYet, path.span,
                 fmt::format("{}:// is not supported by this version", scheme), "a URL",
                 file ? fmt::format("write the path: `{}`", path.value.substr(scheme.size() + 3))
                      : std::string(instead));
    return false;
  }
  const bool control = std::any_of(path.value.begin(), path.value.end(),
                                   [](char c) { return static_cast<uint8_t>(c) < 0x20; });
  if (control || path.value.size() > kPathBytesMax) {
    fields.error(codes::kBadPath, path.span, fmt::format("`{}` is not a usable path", what),
                 control ? "has a line break or a control character" : "longer than 4096 bytes");
    return false;
  }
  return true;
}

Source parse_source(const YamlPair& entry, Fields& fields) {
  Source out;
  out.name = {entry.key, entry.key_span};
  out.span = {entry.key_span.begin, std::max(entry.key_span.end, entry.value->span.end)};
  fields.valid_name(entry.key, entry.key_span, "a source");
  const YamlNode& node = *entry.value;
  if (!fields.is_mapping(node, entry.key, entry.key + ": {files: data/*.parquet}")) return out;
  fields.check_keys(node, "a source",
                    {"files", "format", "output", "options", "columns", "event_time", "arrives",
                     "manifest", "identity", "on_empty", "partition", "retry"},
                    kSourceNotYet);

  const YamlNode* files = node.find("files");
  const YamlNode* output = node.find("output");
  const auto conflict = [&](std::string_view key, std::string_view other, std::string_view help) {
    for (const YamlPair& pair : node.pairs) {
      if (pair.key != key) continue;
      fields.error(codes::kConflictingKeys, pair.key_span,
                   fmt::format("`{}` and `{}` exclude each other", other, key),
                   fmt::format("`{}` is given too", other), std::string(help));
    }
  };
  if (files != nullptr) out.files = parse_files(*files, fields);
  if (output != nullptr) {
    if (auto value = fields.text(*output, "output")) {
      if (fields.valid_name(value->value, value->span, "an output")) out.from_output = *value;
    }
    conflict("files", "output", "make two sources");
    for (const std::string_view key : {"format", "options", "columns", "arrives", "manifest"}) {
      conflict(key, "output", "remove it: a published output knows its own");
    }
  }
  const bool other_kind = std::any_of(kSourceNotYet.begin(), kSourceNotYet.end(), [&](auto& key) {
    return std::string_view(key.code) == codes::kSourceKindNotYet && node.find(key.key) != nullptr;
  });
  if (files == nullptr && output == nullptr && !other_kind) {
    fields.error(codes::kSourceWithoutInput, entry.key_span,
                 fmt::format("the source `{}` says nowhere what to read", entry.key), "",
                 "add `files: data/*.parquet` or `output: NAME`");
  }
  if (output == nullptr) find_format(out, node.find("format"), fields);
  if (const YamlNode* columns = node.find("columns")) {
    out.columns = fields.columns(*columns, "columns");
  }
  if (const YamlNode* options = node.find("options")) {
    parse_options(*options, out, node.find("columns") != nullptr, fields);
  }
  if (const YamlNode* column = node.find("event_time")) {
    out.event_time = fields.text(*column, "event_time");
  }
  if (const YamlNode* arrives = node.find("arrives")) out.arrives = parse_arrives(*arrives, fields);
  if (const YamlNode* manifest = node.find("manifest")) {
    auto path = fields.text(*manifest, "manifest");
    if (path && is_local_path(*path, "manifest", fields)) out.manifest = SourceManifest{*path};
    if (node.find("arrives") != nullptr) {
      conflict("manifest", "arrives", "keep the one that says how arrivals are known");
    }
  }
  if (const YamlNode* identity = node.find("identity")) {
    if (const auto index = fields.word(*identity, "identity", {"stat", "content"})) {
      out.identity = static_cast<InputIdentity>(*index);
    }
  }
  if (const YamlNode* empty = node.find("on_empty")) {
    out.on_empty = fields.on_empty(*empty).value_or(OnEmpty::kFail);
  }
  if (const YamlNode* partition = node.find("partition")) {
    out.partition_bytes =
        fields.size(*partition, "partition", kPartitionBytesMin, kPartitionBytesMax);
  }
  if (const YamlNode* retry = node.find("retry")) parse_source_retry(*retry, out, fields);
  return out;
}

}  // namespace tidegate
