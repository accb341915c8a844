#include "trust/arrivals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.h"
#include "base/units.h"

namespace tidegate {
namespace {

/// Shares are declared in percent with a few digits: differences below this are rounding.
constexpr double kRounding = 1e-9;

/// Share of the rows that was set aside. Whether rows_read counts them too makes no difference that
/// could flatter.
double quarantined_share(const SourceArrival& a) {
  if (a.rows_quarantined == 0) return 0;
  return static_cast<double>(a.rows_quarantined) /
         static_cast<double>(std::max(a.rows_read, a.rows_quarantined));
}

bool reaches(double arrived, double share, double expected) {
  return arrived + kRounding * std::max(1.0, expected) >= share * expected;
}

/// Most periods that `arrived` of them are the share of.
int64_t periods_covered(double arrived, double share) {
  return static_cast<int64_t>(std::floor(arrived / std::max(share, kRounding) + 1e-6));
}

CompleteUpTo none(std::string why) { return {CompleteUpTo::Kind::kNone, 0, std::move(why)}; }
CompleteUpTo unknown(std::string why) { return {CompleteUpTo::Kind::kUnknown, 0, std::move(why)}; }

std::string quarantine_message(const SourceArrival& a) {
  return fmt::format("{}: {} quarantined rows count as missing{}", a.source,
                     format_count(a.rows_quarantined),
                     a.missing.empty() ? "" : ", and so do " + join(a.missing, ", "));
}

/// The schedule of an `arrives` source.
struct Schedule {
  int64_t from = 0;
  int64_t every = 1;
  std::optional<int64_t> total;  ///< periods that will ever be expected
  int64_t unbroken = 0;          ///< first periods that all arrived

  /// Periods that have ended by `time`.
  int64_t ended_by(int64_t time) const {
    const int64_t periods = time <= from ? 0 : (time - from) / every;
    return total ? std::min(periods, *total) : periods;
  }
};

std::optional<Schedule> schedule_of(const SourceArrival& a) {
  if (a.known_by != "arrives" || !a.every_us || *a.every_us <= 0 || !a.arrives_from_us)
    return std::nullopt;
  Schedule s;
  s.from = *a.arrives_from_us;
  s.every = *a.every_us;
  if (a.arrives_to_us)
    s.total = *a.arrives_to_us < s.from ? 0 : (*a.arrives_to_us - s.from) / s.every + 1;
  if (a.complete_to_us)
    s.unbroken = std::clamp<int64_t>((*a.complete_to_us - s.from) / s.every, 0,
                                     static_cast<int64_t>(a.arrived));
  return s;
}

CompleteUpTo by_schedule(const SourceArrival& a, const Schedule& s, double share) {
  const double kept = 1 - quarantined_share(a);
  if (!reaches(kept, share, 1)) return none(quarantine_message(a));
  // Worst case beyond the first hole: nothing arrived. Unless the whole count reaches the share.
  int64_t covered = periods_covered(static_cast<double>(s.unbroken) * kept, share);
  const double arrived = static_cast<double>(a.arrived) * kept;
  if (reaches(arrived, share, static_cast<double>(a.expected)))
    covered = std::max(covered, periods_covered(arrived, share));
  if (s.total && covered >= *s.total) return {CompleteUpTo::Kind::kClosed};
  int64_t length = 0, time = 0;
  if (__builtin_mul_overflow(covered, s.every, &length) ||
      __builtin_add_overflow(s.from, length, &time))
    return unknown(fmt::format("{}: its periods are out of range", a.source));
  return {CompleteUpTo::Kind::kTime, time};
}

}  // namespace

CompleteUpTo complete_up_to(const SourceArrival& a, double share) {
  if (a.known_by.empty())
    return unknown(fmt::format("{}: how it arrives is not declared", a.source));
  if (a.known_by == "arrives") {
    if (const auto schedule = schedule_of(a)) return by_schedule(a, *schedule, share);
    return unknown(fmt::format("{}: when its first period begins is not known", a.source));
  }
  if (a.known_by != "manifest" && a.known_by != "output")
    return unknown(fmt::format("{}: no known way of arriving: {}", a.source, a.known_by));
  if (!reaches(1 - quarantined_share(a), share, 1)) return none(quarantine_message(a));
  if (a.expected > 0) {
    const double arrived = static_cast<double>(a.arrived) -
                           static_cast<double>(std::min(a.arrived, a.rows_quarantined));
    if (!reaches(arrived, share, static_cast<double>(a.expected)))
      return none(fmt::format("{}: {} of {} expected rows are there", a.source,
                              format_count(static_cast<uint64_t>(arrived)),
                              format_count(a.expected)));
  }
  if (a.complete_to_us) return {CompleteUpTo::Kind::kTime, *a.complete_to_us};
  if (a.known_by == "manifest") return {CompleteUpTo::Kind::kTimeless};
  return unknown(
      fmt::format("{}: output {} did not say how far it is complete", a.source, a.upstream_output));
}

CompleteUpTo complete_up_to(const std::vector<SourceArrival>& arrivals, double share) {
  using Kind = CompleteUpTo::Kind;
  CompleteUpTo all = unknown("no source of it is recorded");
  bool any_none = false, any_unknown = false, any_time = false, any_closed = false;
  CompleteUpTo earliest, first_none, first_unknown;
  for (const SourceArrival& arrival : arrivals) {
    CompleteUpTo one = complete_up_to(arrival, share);
    if (one.kind == Kind::kNone && !std::exchange(any_none, true)) first_none = one;
    if (one.kind == Kind::kUnknown && !std::exchange(any_unknown, true)) first_unknown = one;
    if (one.kind == Kind::kClosed) any_closed = true;
    if (one.kind == Kind::kTime &&
        (!std::exchange(any_time, true) || one.time_us < earliest.time_us))
      earliest = one;
  }
  if (any_none) return first_none;
  if (any_unknown) return first_unknown;
  if (any_time) return earliest;
  if (any_closed) return {Kind::kClosed};
  if (!arrivals.empty()) all = {Kind::kTimeless, 0, "no source of it states a time"};
  return all;
}

Completeness count_complete(const SourceArrival& a, const CompleteScope& scope, int64_t now_us) {
  using Kind = Completeness::Kind;
  Completeness c;
  const double kept = 1 - quarantined_share(a);
  auto decide = [&](double arrived, uint64_t expected, std::string_view unit) {
    c.arrived = arrived;
    c.expected = expected;
    const double share = expected == 0 ? 1 : arrived / static_cast<double>(expected);
    const bool ok = reaches(arrived, scope.share, static_cast<double>(expected)) &&
                    reaches(kept, scope.share, 1);
    c.kind = ok ? Kind::kOk : Kind::kShort;
    c.message = fmt::format("{}: {} of {} {} ({:.6g}%)", a.source, fmt::format("{:.10g}", arrived),
                            format_count(expected), unit, 100 * std::min(share, kept));
    if (a.rows_quarantined > 0)
      c.message += fmt::format(", {} rows quarantined", format_count(a.rows_quarantined));
    if (a.files_quarantined > 0)
      c.message += fmt::format(", {} files quarantined", format_count(a.files_quarantined));
    if (a.rows_dropped > 0)
      c.message += fmt::format(", {} rows dropped by a person", format_count(a.rows_dropped));
    if (!ok && !a.missing.empty()) c.message += ", missing: " + join(a.missing, ", ");
  };
  if (a.known_by == "manifest") {
    const double arrived = static_cast<double>(a.arrived) -
                           static_cast<double>(std::min(a.arrived, a.rows_quarantined));
    decide(a.expected == 0 ? 0 : arrived, a.expected, "rows");
    return c;
  }
  if (a.known_by == "output" && a.complete_to_us) {
    decide(static_cast<double>(a.arrived) * kept, a.expected, "rows");
    return c;
  }
  const auto s = schedule_of(a);
  if (!s) {
    c.message = a.known_by.empty() ? fmt::format("{}: how it arrives is not declared", a.source)
                                   : fmt::format("{}: what to expect is not known", a.source);
    return c;
  }
  if (scope.through_us) {
    const int64_t expected = s->ended_by(*scope.through_us);
    const int64_t later = std::max<int64_t>(0, static_cast<int64_t>(a.expected) - expected);
    // Worst case: all that may have arrived later did.
    const int64_t arrived = std::max(std::min(s->unbroken, expected),
                                     std::min(static_cast<int64_t>(a.arrived) - later, expected));
    decide(static_cast<double>(std::max<int64_t>(0, arrived)) * kept,
           static_cast<uint64_t>(expected), "periods");
    return c;
  }
  const int64_t slack = scope.max_age_us.value_or(0);
  const int64_t expected = std::max(static_cast<int64_t>(a.expected), s->ended_by(now_us - slack));
  const double arrived = static_cast<double>(a.arrived) * kept;
  decide(arrived, static_cast<uint64_t>(expected), "periods");
  if (c.kind == Kind::kOk) {
    const int64_t covered = periods_covered(arrived, scope.share);
    int64_t length = 0, time = 0;
    if ((!s->total || covered < *s->total) &&
        !__builtin_mul_overflow(covered + 1, s->every, &length) &&
        !__builtin_add_overflow(s->from, length, &time) &&
        !__builtin_add_overflow(time, slack, &time))
      c.short_at_us = time;
  }
  return c;
}

}  // namespace tidegate
