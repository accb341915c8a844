#include "base/units.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <ctime>

namespace tidegate {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr Unit kSizes[] = {{"B", 1},
                           {"KB", 1'000},
                           {"MB", 1'000'000},
                           {"GB", 1'000'000'000},
                           {"TB", 1'000'000'000'000},
                           {"KiB", uint64_t{1} << 10},
                           {"MiB", uint64_t{1} << 20},
                           {"GiB", uint64_t{1} << 30},
                           {"TiB", uint64_t{1} << 40}};

constexpr uint64_t kSecond = 1'000'000;
constexpr Unit kDurations[] = {{"us", 1},
                               {"ms", 1'000},
                               {"s", kSecond},
                               {"m", 60 * kSecond},
                               {"min", 60 * kSecond},
                               {"h", 3600 * kSecond},
                               {"d", 86400 * kSecond},
                               {"w", 7 * 86400 * kSecond}};

/// Splits "1.5GiB" at the end of its number; false if it does not begin with one.
bool split_number(std::string_view text, double& number, std::string_view& rest) {
  size_t i = 0;
  bool dot = false;
  while (i < text.size() &&
         ((text[i] >= '0' && text[i] <= '9') || (text[i] == '.' && !dot && i > 0)))
    dot |= text[i++] == '.';
  if (i == 0) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + i, number);
  if (error != std::errc() || end != text.data() + i) return false;
  rest = text.substr(i);
  return true;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

Result<int> digits(std::string_view text, size_t begin, size_t count) {
  int value = 0;
  if (begin + count > text.size()) return fail(FailureClass::kDefect, "units.time", "short");
  for (size_t i = begin; i < begin + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return fail(FailureClass::kDefect, "units.time", "digit");
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant, days_from_civil).
int64_t days_from_civil(int64_t year, int month, int day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t yoe = year - era * 400;
  const int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + doe - 719468;
}

void civil_from_days(int64_t days, int64_t& year, int& month, int& day) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const int64_t doe = days - era * 146097;
  const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const int64_t mp = (5 * doy + 2) / 153;
  day = static_cast<int>(doy - (153 * mp + 2) / 5 + 1);
  month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
  year = yoe + era * 400 + (month <= 2);
}

constexpr int64_t kDayUs = int64_t{86400} * 1'000'000;

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

}  // namespace

Result<uint64_t> parse_size(std::string_view raw) {
  const std::string_view text = trim(raw);
  double number = 0;
  std::string_view unit;
  if (!split_number(text, number, unit))
    return fail(FailureClass::kDefect, "units.size",
                fmt::format("not a size: \"{}\"; write a number with its unit, e.g. 512MiB", raw));
  unit = trim(unit);
  for (const Unit& known : kSizes) {
    if (known.name != unit) continue;
    const double bytes = number * static_cast<double>(known.factor);
    if (bytes > 0x1p62)
      return fail(FailureClass::kDefect, "units.size", fmt::format("size too large: \"{}\"", raw));
    return static_cast<uint64_t>(std::llround(bytes));
  }
  return fail(
      FailureClass::kDefect, "units.size",
      unit.empty()
          ? fmt::format("size without a unit: \"{}\"; write e.g. {}MiB", raw, text)
          : fmt::format("unknown unit of size \"{}\"; known are B, KB, MB, GB, TB, KiB, MiB, "
                        "GiB, TiB",
                        unit));
}

Result<int64_t> parse_duration_us(std::string_view raw) {
  std::string_view text = trim(raw);
  double total = 0;
  if (text.empty()) return fail(FailureClass::kDefect, "units.duration", "empty duration");
  while (!text.empty()) {
    double number = 0;
    std::string_view rest;
    if (!split_number(text, number, rest))
      return fail(
          FailureClass::kDefect, "units.duration",
          fmt::format("not a duration: \"{}\"; write a number with its unit, e.g. 24h", raw));
    size_t size = 0;
    while (size < rest.size() && rest[size] >= 'a' && rest[size] <= 'z') ++size;
    const std::string_view unit = rest.substr(0, size);
    const Unit* found = nullptr;
    for (const Unit& known : kDurations)
      if (known.name == unit) found = &known;
    if (!found)
      return fail(FailureClass::kDefect, "units.duration",
                  unit.empty()
                      ? fmt::format("duration without a unit: \"{}\"; write e.g. {}h", raw, text)
                      : fmt::format("unknown unit of time \"{}\"; known are us, ms, s, m, h, "
                                    "d, w",
                                    unit));
    total += number * static_cast<double>(found->factor);
    text = trim(rest.substr(size));
  }
  if (total > 0x1p60)
    return fail(FailureClass::kDefect, "units.duration",
                fmt::format("duration too long: \"{}\"", raw));
  return std::llround(total);
}

Result<double> parse_percent(std::string_view raw) {
  const std::string_view text = trim(raw);
  double number = 0;
  std::string_view rest;
  if (!split_number(text, number, rest) || trim(rest) != "%" || number > 100)
    return fail(
        FailureClass::kDefect, "units.percent",
        fmt::format("not a share: \"{}\"; write a percentage from 0% to 100%, e.g. 99.9%", raw));
  return std::round(number * 1e7) / 1e9;
}

Result<int64_t> parse_timestamp_us(std::string_view raw, bool* date_only) {
  const std::string_view text = trim(raw);
  const auto bad = [&] {
    return fail(FailureClass::kDefect, "units.time",
                fmt::format("not a time: \"{}\"; write 2001-06-30 or 2001-06-30T12:00:00Z", raw));
  };
  const auto year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2);
  if (!year || !month || !day || text[4] != '-' || text[7] != '-') return bad();
  if (*month < 1 || *month > 12 || *day < 1 || *day > 31) return bad();
  const int64_t days = days_from_civil(*year, *month, *day);
  int64_t back_year;
  int back_month, back_day;
  civil_from_days(days, back_year, back_month, back_day);
  if (back_day != *day || back_month != *month) return bad();
  if (date_only) *date_only = text.size() == 10;
  int64_t us = days * kDayUs;
  if (text.size() == 10) return us;
  if (text[10] != 'T' && text[10] != ' ') return bad();
  const auto hour = digits(text, 11, 2), minute = digits(text, 14, 2);
  if (!hour || !minute || text[13] != ':' || *hour > 23 || *minute > 59) return bad();
  us += (*hour * int64_t{3600} + *minute * 60) * 1'000'000;
  size_t at = 16;
  if (at < text.size() && text[at] == ':') {
    const auto second = digits(text, 17, 2);
    if (!second || *second > 59) return bad();
    us += *second * int64_t{1'000'000};
    at = 19;
    if (at < text.size() && text[at] == '.') {
      int64_t scale = 100'000;
      size_t count = 0;
      for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++count) {
        us += (text[at] - '0') * scale;
        scale /= 10;
      }
      if (count == 0) return bad();
    }
  }
  const std::string_view zone = text.substr(at);
  if (zone.empty() || zone == "Z") return us;
  if ((zone[0] != '+' && zone[0] != '-') || (zone.size() != 6 && zone.size() != 3)) return bad();
  const auto zone_hour = digits(zone, 1, 2);
  const auto zone_minute = zone.size() == 6 ? digits(zone, 4, 2) : Result<int>(0);
  if (!zone_hour || !zone_minute || *zone_hour > 15 || (zone.size() == 6 && zone[3] != ':'))
    return bad();
  const int64_t offset = (*zone_hour * int64_t{3600} + *zone_minute * 60) * 1'000'000;
  return zone[0] == '+' ? us - offset : us + offset;
}

std::string format_size(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  constexpr std::string_view kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return value < 9.95    ? fmt::format("{:.2f} {}", value, kUnits[unit])
         : value < 99.95 ? fmt::format("{:.1f} {}", value, kUnits[unit])
                         : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

std::string format_duration_us(int64_t us) {
  if (us < 0) return "-" + format_duration_us(-us);
  if (us < 1'000) return fmt::format("{} us", us);
  if (us < 1'000'000) return fmt::format("{} ms", us / 1000);
  const int64_t seconds = us / 1'000'000;
  if (seconds < 100) return fmt::format("{:.1f} s", static_cast<double>(us) / 1e6);
  const int64_t minutes = seconds / 60;
  if (minutes < 100) return fmt::format("{} min", minutes);
  const int64_t hours = minutes / 60;
  if (hours < 48) return fmt::format("{} h {:02} min", hours, minutes % 60);
  return fmt::format("{} d {} h", hours / 24, hours % 24);
}

std::string format_date_us(int64_t us) {
  int64_t year;
  int month, day;
  civil_from_days(floor_div(us, kDayUs), year, month, day);
  return fmt::format("{:04}-{:02}-{:02}", year, month, day);
}

std::string format_timestamp_us(int64_t us) {
  const int64_t rest = us - floor_div(us, kDayUs) * kDayUs;
  const int64_t seconds = rest / 1'000'000, fraction = rest % 1'000'000;
  std::string text = fmt::format("{}T{:02}:{:02}:{:02}", format_date_us(us), seconds / 3600,
                                 seconds / 60 % 60, seconds % 60);
  if (fraction) text += fmt::format(".{:06}", fraction);
  return text + "Z";
}

std::string format_count(uint64_t count) {
  const std::string plain = fmt::format("{}", count);
  std::string out;
  for (size_t i = 0; i < plain.size(); ++i) {
    if (i && (plain.size() - i) % 3 == 0) out += ',';
    out += plain[i];
  }
  return out;
}

}  // namespace tidegate
