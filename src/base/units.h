#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/failure.h"

namespace tidegate {

/// Parses a size with its unit: B, KB MB GB TB (powers of 1000), KiB MiB GiB TiB (powers of 1024).
/// "512MiB" -> 536870912. A missing or unknown unit is a failure (code units.size) that says which
/// units there are. At most 2^62 bytes. Fractions are allowed: "1.5GiB".
Result<uint64_t> parse_size(std::string_view text);

/// Parses a duration with its unit: us, ms, s, m, h, d, w. "24h" -> microseconds. Several parts may
/// follow each other: "1d12h". A missing unit is a failure (code units.duration).
Result<int64_t> parse_duration_us(std::string_view text);

/// Parses "99.9%" or "0.1%" to a fraction 0..1, exactly rounded to 1e-9.
Result<double> parse_percent(std::string_view text);

/// Parses an ISO date or timestamp ("2001-06-30", "2001-06-30T12:00:00Z", "2001-06-30 12:00:00",
/// fractions to microseconds, offsets +hh:mm) to microseconds since the epoch, UTC.
/// A date alone is its midnight; `date_only`, if given, says that it was one.
Result<int64_t> parse_timestamp_us(std::string_view text, bool* date_only = nullptr);

/// "1.5 GiB", "13 B": at most four significant characters.
std::string format_size(uint64_t bytes);
/// "1.5 s", "43 min", "2 h 05 min", "3 d 4 h".
std::string format_duration_us(int64_t us);
/// "2001-06-30T12:00:00Z", fraction only when there is one.
std::string format_timestamp_us(int64_t us);
/// "2001-06-30".
std::string format_date_us(int64_t us);
/// 3000000 -> "3,000,000".
std::string format_count(uint64_t count);

}  // namespace tidegate
