#include "contract/fields.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "base/text.h"
#include "base/units.h"
#include "contract/codes.h"

namespace tidegate {
namespace {

constexpr std::string_view kSizeUnits = "B, KB, MB, GB, TB, KiB, MiB, GiB, TiB";
constexpr std::string_view kDurationUnits = "us, ms, s, m, h, d, w";

/// The leading number of a text and what follows it.
std::pair<std::string, std::string> split_unit(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && ((text[at] >= '0' && text[at] <= '9') || text[at] == '.')) ++at;
  const size_t rest = text.find_first_not_of(' ', at);
  return {std::string(text.substr(0, at)),
          rest == std::string_view::npos ? "" : std::string(text.substr(rest))};
}

bool is_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// A number as JSON writes it: what YAML and SQL understand alike. "00501" is a text.
bool is_number(std::string_view text) {
  size_t at = text.starts_with('-') ? 1 : 0;
  const auto digits = [&] {
    const size_t begin = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at - begin;
  };
  const bool zero = at < text.size() && text[at] == '0';
  const size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0) return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

std::optional<bool> as_boolean(std::string_view text) {
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  return std::nullopt;
}

std::string list_words(std::initializer_list<std::string_view> words) {
  std::vector<std::string> quoted;
  for (const std::string_view word : words) quoted.push_back(fmt::format("`{}`", word));
  return join(quoted, ", ");
}

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
}

int parenthesis_depth(std::string_view text) {
  int depth = 0;
  for (const char c : text) depth += c == '(' ? 1 : c == ')' ? -1 : 0;
  return depth;
}

}  // namespace

std::string_view kind_of(const YamlNode& node) {
  switch (node.kind) {
    case YamlKind::kSequence:
      return "a list";
    case YamlKind::kMapping:
      return "a mapping";
    case YamlKind::kScalar:
      break;
  }
  if (node.is_null()) return "nothing";
  if (!node.is_plain()) return "a text";
  if (is_number(node.text)) return "a number";
  return as_boolean(node.text) ? "a boolean" : "a text";
}

void Fields::error(const char* code, Span span, std::string message, std::string label,
                   std::string help, std::vector<std::string> notes) {
  diagnostics_.add({.code = code,
                    .severity = Severity::kError,
                    .span = span,
                    .message = std::move(message),
                    .label = std::move(label),
                    .notes = std::move(notes),
                    .help = std::move(help)});
}

void Fields::warning(const char* code, Span span, std::string message, std::string label,
                     std::string help, std::vector<std::string> notes) {
  diagnostics_.add({.code = code,
                    .severity = Severity::kWarning,
                    .span = span,
                    .message = std::move(message),
                    .label = std::move(label),
                    .notes = std::move(notes),
                    .help = std::move(help)});
}

void Fields::wrong_type(const YamlNode& node, std::string_view what, std::string_view wanted,
                        std::string help) {
  if (node.broken) return;
  if (node.is_null()) {
    error(codes::kEmptyValue, node.span, fmt::format("`{}` has no value", what),
          fmt::format("expected {}", wanted), std::move(help));
    return;
  }
  error(codes::kWrongType, node.span, fmt::format("`{}` must be {}", what, wanted),
        fmt::format("this is {}", kind_of(node)), std::move(help));
}

bool Fields::is_mapping(const YamlNode& node, std::string_view what, std::string_view example) {
  if (node.kind == YamlKind::kMapping) return true;
  wrong_type(node, what, "a mapping", fmt::format("write `{}`", example));
  return false;
}

bool Fields::is_list(const YamlNode& node, std::string_view what, std::string_view example) {
  if (node.kind == YamlKind::kSequence) return true;
  wrong_type(node, what, "a list", fmt::format("write `{}`", example));
  return false;
}

void Fields::check_keys(const YamlNode& mapping, std::string_view what,
                        std::initializer_list<std::string_view> known,
                        const std::vector<NotYetKey>& not_yet) {
  std::vector<std::string> candidates(known.begin(), known.end());
  for (const YamlPair& pair : mapping.pairs) {
    if (std::find(known.begin(), known.end(), pair.key) != known.end()) continue;
    const auto later = std::find_if(not_yet.begin(), not_yet.end(),
                                    [&](const NotYetKey& each) { return each.key == pair.key; });
    if (later != not_yet.end()) {
      error(later->code, pair.key_span,
            fmt::format("`{}` is not supported by this version", pair.key), "not yet",
            std::string(later->message));
      continue;
    }
    const std::string meant = did_you_mean(pair.key, candidates);
    error(codes::kUnknownKey, pair.key_span, fmt::format("unknown key `{}` in {}", pair.key, what),
          "not a key of this mapping",
          meant.empty() ? fmt::format("the keys here are {}", list_words(known))
                        : fmt::format("did you mean `{}`?", meant));
  }
}

bool Fields::is_value(const YamlNode& node, std::string_view what, std::string_view wanted) {
  if (node.broken) return false;
  if (node.kind == YamlKind::kScalar && !node.is_null()) return true;
  wrong_type(node, what, wanted, "");
  return false;
}

std::optional<Spanned<std::string>> Fields::text(const YamlNode& node, std::string_view what) {
  if (!is_value(node, what, "a text")) return std::nullopt;
  if (node.text.empty()) {
    error(codes::kEmptyValue, node.span, fmt::format("`{}` is empty", what));
    return std::nullopt;
  }
  return Spanned<std::string>{node.text, node.span};
}

bool Fields::valid_name(std::string_view name, Span span, std::string_view what) {
  if (to_lower_ascii(name).starts_with("tidegate_")) {
    error(codes::kReservedName, span, fmt::format("the name `{}` is reserved", name),
          "names that begin with `tidegate_` are tidegate's own");
    return false;
  }
  if (is_valid_name(name)) return true;
  if (name.empty()) {
    error(codes::kInvalidName, span, fmt::format("the name of {} is empty", what));
    return false;
  }
  const bool ascii =
      std::all_of(name.begin(), name.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  std::string better;
  for (const char c : name.substr(0, 63)) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    const bool digit = c >= '0' && c <= '9';
    if (better.empty() && digit) better += '_';
    better += letter || digit ? c : '_';
  }
  const bool useful =
      ascii && better.find_first_not_of('_') != std::string::npos && is_valid_name(better);
  error(codes::kInvalidName, span, fmt::format("`{}` is not a valid name for {}", name, what),
        name.size() > 63 ? "longer than 63 characters" : "",
        useful ? fmt::format("write `{}`", better) : std::string("choose another name"),
        {"a name has letters a-z, digits and `_`, begins with no digit, and has at most 63 "
         "characters"});
  return false;
}

std::vector<Spanned<std::string>> Fields::texts(const YamlNode& node, std::string_view what) {
  std::vector<Spanned<std::string>> out;
  if (node.kind == YamlKind::kScalar) {
    if (auto one = text(node, what)) out.push_back(std::move(*one));
    return out;
  }
  if (!is_list(node, what, fmt::format("{}: [a, b]", what))) return out;
  if (node.items.empty()) {
    error(codes::kEmptyValue, node.span, fmt::format("`{}` is an empty list", what),
          "expected at least one item");
  }
  if (node.items.size() > kEntriesMax) {
    error(codes::kOutOfRange, node.items[kEntriesMax]->span,
          fmt::format("`{}` has more than {} items", what, format_count(kEntriesMax)));
    return out;
  }
  std::set<std::string> seen;
  for (const auto& item : node.items) {
    auto one = text(*item, what);
    if (!one) continue;
    if (!seen.insert(to_lower_ascii(one->value)).second) {
      error(codes::kDuplicateItem, one->span,
            fmt::format("`{}` stands twice in `{}`", one->value, what), "given again here",
            "remove one of them");
      continue;
    }
    out.push_back(std::move(*one));
  }
  return out;
}

std::vector<std::pair<Spanned<std::string>, Spanned<std::string>>> Fields::columns(
    const YamlNode& node, std::string_view what) {
  std::vector<std::pair<Spanned<std::string>, Spanned<std::string>>> out;
  if (!is_mapping(node, what, fmt::format("{}: {{carrier: VARCHAR, flights: BIGINT}}", what))) {
    return out;
  }
  if (node.pairs.empty()) {
    error(codes::kEmptyValue, node.span, fmt::format("`{}` names no columns", what),
          "expected at least one column");
  }
  std::set<std::string> seen;
  for (size_t i = 0; i < node.pairs.size(); ++i) {
    const YamlPair& pair = node.pairs[i];
    if (pair.key.empty()) {
      error(codes::kEmptyValue, pair.key_span, "a column without a name");
      continue;
    }
    if (pair.value->is_plain() && parenthesis_depth(pair.value->text) > 0) {
      // In {...} a comma ends the value, so DECIMAL(12,2) becomes a type and a stray key.
      Span span = pair.value->span;
      int depth = parenthesis_depth(pair.value->text);
      while (depth > 0 && i + 1 < node.pairs.size() && node.pairs[i + 1].value->is_null()) {
        ++i;
        depth += parenthesis_depth(node.pairs[i].key);
        span.end = node.pairs[i].key_span.end;
      }
      const std::string whole = source_.text().substr(span.begin, span.end - span.begin);
      error(codes::kUnknownType, span, "the comma ends the type here",
            "in `{...}` a comma begins the next key",
            fmt::format("put the type in quotes: \"{}\"", whole));
      continue;
    }
    auto type = text(*pair.value, pair.key);
    if (!type) continue;
    if (!seen.insert(to_lower_ascii(pair.key)).second) {
      error(codes::kDuplicateItem, pair.key_span,
            fmt::format("the column `{}` stands twice in `{}`", pair.key, what),
            "names that differ only in case are one column");
      continue;
    }
    out.emplace_back(Spanned<std::string>{pair.key, pair.key_span}, std::move(*type));
  }
  return out;
}

std::optional<Spanned<uint64_t>> Fields::size(const YamlNode& node, std::string_view what,
                                              uint64_t least, uint64_t most) {
  if (!is_value(node, what, "a size")) return std::nullopt;
  const auto parsed = parse_size(node.text);
  if (!parsed) {
    const auto [number, unit] = split_unit(node.text);
    std::string label, help;
    if (!number.empty() && unit.empty()) {
      label = "a bare number: bytes, or megabytes?";
      help = fmt::format("write `{}MiB` (units: {})", number, kSizeUnits);
    } else {
      const std::string meant =
          did_you_mean(unit, {"KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", "B"});
      label =
          number.empty() || unit.empty() ? std::string() : fmt::format("unknown unit `{}`", unit);
      help = number.empty() || meant.empty()
                 ? fmt::format("write a number and its unit, e.g. `512MiB` (units: {})", kSizeUnits)
                 : fmt::format("write `{}{}` (units: {})", number, meant, kSizeUnits);
    }
    error(codes::kBadSize, node.span,
          unit.empty() && !number.empty() ? fmt::format("`{}` needs a unit", what)
                                          : fmt::format("`{}` is not a size", node.text),
          label, help);
    return std::nullopt;
  }
  if (*parsed < least || *parsed > most) {
    error(codes::kOutOfRange, node.span, fmt::format("`{}` is out of range", what),
          format_size(*parsed),
          fmt::format("write {} to {}", format_size(least), format_size(most)));
    return std::nullopt;
  }
  return Spanned<uint64_t>{*parsed, node.span};
}

std::optional<Spanned<int64_t>> Fields::duration(const YamlNode& node, std::string_view what) {
  if (!is_value(node, what, "a duration")) return std::nullopt;
  const auto parsed = parse_duration_us(node.text);
  if (!parsed) {
    const auto [number, unit] = split_unit(node.text);
    const bool bare = !number.empty() && unit.empty();
    std::string help =
        fmt::format("write a number and its unit, e.g. `24h` (units: {})", kDurationUnits);
    if (bare)
      help = fmt::format("write `{}h` or `{}d` (units: {})", number, number, kDurationUnits);
    static const std::pair<std::string_view, std::string_view> kLongNames[] = {
        {"second", "s"}, {"sec", "s"}, {"minute", "m"}, {"min", "m"},
        {"hour", "h"},   {"hr", "h"},  {"day", "d"},    {"week", "w"}};
    for (const auto& [name, shorter] : kLongNames) {
      const std::string lower = to_lower_ascii(unit);
      if (!number.empty() && (lower == name || lower == std::string(name) + "s")) {
        help = fmt::format("write `{}{}` (units: {})", number, shorter, kDurationUnits);
      }
    }
    error(codes::kBadDuration, node.span,
          bare ? fmt::format("`{}` needs a unit", what)
               : fmt::format("`{}` is not a duration", node.text),
          bare ? "a bare number: seconds, or hours?" : "", help);
    return std::nullopt;
  }
  if (*parsed <= 0) {
    error(codes::kOutOfRange, node.span, fmt::format("`{}` must be longer than nothing", what),
          "zero");
    return std::nullopt;
  }
  return Spanned<int64_t>{*parsed, node.span};
}

std::optional<Spanned<double>> Fields::share(const YamlNode& node, std::string_view what,
                                             double most) {
  if (!is_value(node, what, "a percentage")) return std::nullopt;
  std::string_view number_text = node.text;
  const bool has_percent = number_text.ends_with('%');
  if (has_percent) number_text.remove_suffix(1);
  const std::string digits = trimmed(number_text);
  double number = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number,
                                             std::chars_format::fixed);
  const bool is_numeric = failed == std::errc() && end == digits.data() + digits.size() &&
                          !digits.empty() && std::isfinite(number);
  if (!is_numeric || !has_percent) {
    std::string help = "write a percentage, e.g. `99.9%`";
    if (is_numeric) help = fmt::format("write `{}%`", digits);
    if (is_numeric && number > 0 && number < 1) {
      help = fmt::format("write `{:g}%`, or `{}%` if so little is meant", number * 100, digits);
    }
    error(codes::kBadPercent, node.span,
          is_numeric ? fmt::format("`{}` needs a `%`", what)
                     : fmt::format("`{}` is not a percentage", node.text),
          is_numeric ? "a share, or a percentage?" : "", help);
    return std::nullopt;
  }
  const double value = std::round(number * 1e7) / 1e9;
  if (value < 0 || value > most) {
    error(codes::kOutOfRange, node.span, fmt::format("`{}` is out of range", what), "",
          fmt::format("write 0% to {:g}%", most * 100));
    return std::nullopt;
  }
  return Spanned<double>{value, node.span};
}

std::optional<Spanned<uint64_t>> Fields::integer(const YamlNode& node, std::string_view what,
                                                 uint64_t least, uint64_t most) {
  if (!is_value(node, what, "a whole number")) return std::nullopt;
  uint64_t value = 0;
  const auto [end, failed] =
      std::from_chars(node.text.data(), node.text.data() + node.text.size(), value);
  if (!is_digits(node.text)) {
    std::string plain;
    for (const char c : node.text) {
      if (c != ',' && c != '_' && c != ' ') plain += c;
    }
    error(codes::kBadInteger, node.span, fmt::format("`{}` must be a whole number", what),
          !is_number(node.text)                      ? fmt::format("this is {}", kind_of(node))
          : node.text.starts_with('-')               ? "this is negative"
          : node.text.find('.') != std::string::npos ? "this has a fraction"
                                                     : "write it out in digits",
          is_digits(plain) ? fmt::format("write `{}`", plain) : std::string());
    return std::nullopt;
  }
  if (failed != std::errc() || value < least || value > most) {
    error(codes::kOutOfRange, node.span, fmt::format("`{}` is out of range", what), "",
          fmt::format("write {} to {}", least, most));
    return std::nullopt;
  }
  return Spanned<uint64_t>{value, node.span};
}

std::optional<bool> Fields::boolean(const YamlNode& node, std::string_view what) {
  if (!is_value(node, what, "`true` or `false`")) return std::nullopt;
  if (node.is_plain()) {
    if (const auto value = as_boolean(node.text)) return value;
  }
  error(codes::kBadBoolean, node.span, fmt::format("`{}` must be `true` or `false`", what),
        fmt::format("this is {}", kind_of(node)));
  return std::nullopt;
}

std::optional<Spanned<int64_t>> Fields::timestamp(const YamlNode& node, std::string_view what,
                                                  bool* date_only) {
  if (!is_value(node, what, "a date or a time")) return std::nullopt;
  const auto parsed = parse_timestamp_us(node.text, date_only);
  if (!parsed) {
    error(codes::kBadTimestamp, node.span, fmt::format("`{}` is not a date or a time", node.text),
          "", "write `2001-06-30` or `2001-06-30T12:00:00Z`");
    return std::nullopt;
  }
  return Spanned<int64_t>{*parsed, node.span};
}

std::optional<size_t> Fields::word(const YamlNode& node, std::string_view what,
                                   std::initializer_list<std::string_view> words) {
  if (!is_value(node, what, "one word")) return std::nullopt;
  const auto found = std::find(words.begin(), words.end(), node.text);
  if (found != words.end()) return static_cast<size_t>(found - words.begin());
  const std::string meant =
      did_you_mean(node.text, std::vector<std::string>(words.begin(), words.end()));
  error(codes::kUnknownWord, node.span, fmt::format("`{}` cannot be `{}`", what, node.text), "",
        meant.empty() ? fmt::format("write one of {}", list_words(words))
                      : fmt::format("did you mean `{}`? It may be {}", meant, list_words(words)));
  return std::nullopt;
}

std::optional<OnEmpty> Fields::on_empty(const YamlNode& node) {
  const auto index = word(node, "on_empty", {"fail", "warn", "allow"});
  if (!index) return std::nullopt;
  return static_cast<OnEmpty>(*index);
}

std::optional<Spanned<std::string>> Fields::literal(const YamlNode& node, std::string_view what,
                                                    bool lists) {
  if (lists && node.kind == YamlKind::kSequence) {
    std::vector<std::string> parts;
    for (const auto& item : node.items) {
      auto part = literal(*item, what);
      if (!part) return std::nullopt;
      parts.push_back(std::move(part->value));
    }
    return Spanned<std::string>{'[' + join(parts, ", ") + ']', node.span};
  }
  if (!is_value(node, what, lists ? "a value or a list of values" : "a value")) return std::nullopt;
  if (node.is_plain()) {
    if (is_number(node.text)) return Spanned<std::string>{node.text, node.span};
    if (const auto value = as_boolean(node.text)) {
      return Spanned<std::string>{*value ? "true" : "false", node.span};
    }
  }
  return Spanned<std::string>{quote_literal(node.text), node.span};
}

SqlText Fields::sql(const YamlNode& node, std::string_view what) {
  SqlText out;
  out.span = node.span;
  if (node.broken) return out;
  if (node.kind != YamlKind::kScalar) {
    wrong_type(node, what, "a text of SQL",
               what == "expect" ? "write a condition, e.g. `expect: flights > 0`"
                                : "write `sql: SELECT ...`");
    return out;
  }
  if (node.is_null() || trimmed(node.text).empty()) {
    error(codes::kSqlEmpty, node.span, fmt::format("`{}` is empty", what), "expected SQL");
    return out;
  }
  if (node.text.size() > kSqlBytesMax) {
    error(codes::kSqlTooLarge, node.span,
          fmt::format("`{}` is larger than {}", what, format_size(kSqlBytesMax)),
          format_size(node.text.size()), "split the stage");
    return out;
  }
  out.text = node.text;
  out.offsets = scalar_offsets(source_, node);
  return out;
}

}  // namespace tidegate
