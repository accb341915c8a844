#include "prove/types.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace tidegate::prove {
namespace {

/// An integer type's bits and sign. DECIMALs never reach HUGEINT's range.
struct Integer {
  int bits = 0;
  bool is_signed = true;
};

std::optional<Integer> integer(std::string_view type) {
  struct Named {
    std::string_view name;
    Integer type;
  };
  static constexpr std::array kTypes = {
      Named{"TINYINT", {8, true}},     Named{"SMALLINT", {16, true}},
      Named{"INTEGER", {32, true}},    Named{"BIGINT", {64, true}},
      Named{"HUGEINT", {128, true}},   Named{"UTINYINT", {8, false}},
      Named{"USMALLINT", {16, false}}, Named{"UINTEGER", {32, false}},
      Named{"UBIGINT", {64, false}},   Named{"UHUGEINT", {128, false}}};
  for (const Named& named : kTypes) {
    if (named.name == type) return named.type;
  }
  return std::nullopt;
}

std::string integer_name(Integer type) {
  const char* base = type.bits == 8    ? "TINYINT"
                     : type.bits == 16 ? "SMALLINT"
                     : type.bits == 32 ? "INTEGER"
                     : type.bits == 64 ? "BIGINT"
                                       : "HUGEINT";
  return type.is_signed ? base : fmt::format("U{}", base);
}

struct Decimal {
  int width = 0;
  int scale = 0;
};

std::optional<Decimal> decimal(std::string_view type) {
  if (!type.starts_with("DECIMAL(") || !type.ends_with(")")) return std::nullopt;
  Decimal out;
  const char* end = type.data() + type.size() - 1;
  auto [comma, error] = std::from_chars(type.data() + 8, end, out.width);
  if (error != std::errc() || comma == end) return std::nullopt;
  auto [close, error2] = std::from_chars(comma + 1, end, out.scale);
  if (error2 != std::errc() || close != end) return std::nullopt;
  return out;
}

bool is_enum(std::string_view type) { return type.starts_with("ENUM"); }

/// Digits that hold every value of an integer type; none beyond BIGINT fits a DECIMAL with room.
std::optional<int> digits(Integer type) {
  if (type.bits > 64) return std::nullopt;
  return type.bits == 8 ? 3 : type.bits == 16 ? 5 : type.bits == 32 ? 10 : type.is_signed ? 19 : 20;
}

std::optional<std::string> common_decimal(Decimal a, Decimal b) {
  int scale = std::max(a.scale, b.scale);
  int width = std::max(a.width - a.scale, b.width - b.scale) + scale;
  if (width > 38) return std::nullopt;
  return fmt::format("DECIMAL({},{})", width, scale);
}

}  // namespace

bool is_floating(std::string_view type) { return type == "DOUBLE" || type == "FLOAT"; }

std::optional<std::string> hash_type_of(std::string_view type) {
  static constexpr std::array<std::string_view, 16> kPlain = {
      "VARCHAR",   "BLOB",        "BOOLEAN",      "DATE",         "TIME",
      "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE",
      "INTERVAL",  "UUID",        "DOUBLE",       "FLOAT",        "TIMESTAMPTZ",
      "BIGINT"};
  if (integer(type) || decimal(type)) return std::string(type);
  if (is_enum(type)) return "VARCHAR";
  if (type == "TIMESTAMPTZ") return "TIMESTAMP WITH TIME ZONE";
  if (std::find(kPlain.begin(), kPlain.end(), type) != kPlain.end()) return std::string(type);
  return std::nullopt;
}

std::optional<std::string> common_hash_type(std::string_view a, std::string_view b) {
  auto plain_a = hash_type_of(a), plain_b = hash_type_of(b);
  if (!plain_a || !plain_b) return std::nullopt;
  if (*plain_a == *plain_b) return plain_a;
  auto int_a = integer(a), int_b = integer(b);
  if (int_a && int_b) {
    if (int_a->is_signed == int_b->is_signed) {
      return integer_name({std::max(int_a->bits, int_b->bits), int_a->is_signed});
    }
    Integer signed_one = int_a->is_signed ? *int_a : *int_b;
    Integer unsigned_one = int_a->is_signed ? *int_b : *int_a;
    int bits = std::max(signed_one.bits, unsigned_one.bits * 2);
    if (bits > 128) return std::nullopt;
    return integer_name({bits, true});
  }
  auto dec_a = decimal(a), dec_b = decimal(b);
  if (dec_a && dec_b) return common_decimal(*dec_a, *dec_b);
  if ((dec_a && int_b) || (dec_b && int_a)) {
    auto wide = digits(int_a ? *int_a : *int_b);
    if (!wide) return std::nullopt;
    return common_decimal(dec_a ? *dec_a : *dec_b, {*wide, 0});
  }
  if (is_floating(a) && is_floating(b)) return "DOUBLE";
  auto either = [&](std::string_view x, std::string_view y) {
    return (*plain_a == x && *plain_b == y) || (*plain_a == y && *plain_b == x);
  };
  if (either("DATE", "TIMESTAMP")) return "TIMESTAMP";
  if (either("TIMESTAMP", "TIMESTAMP WITH TIME ZONE") ||
      either("DATE", "TIMESTAMP WITH TIME ZONE")) {
    return "TIMESTAMP WITH TIME ZONE";
  }
  return std::nullopt;
}

bool cast_keeps_hash(std::string_view from, std::string_view to, std::string_view hash) {
  if (from == to || to == hash) return true;
  auto int_from = integer(from), int_to = integer(to), int_hash = integer(hash);
  if (int_from && int_to && int_hash) return true;  // a value that does not fit fails the cast
  auto dec_from = decimal(from), dec_to = decimal(to), dec_hash = decimal(hash);
  if (dec_from && dec_to && dec_hash) {
    return dec_to->scale >= dec_from->scale && dec_hash->scale >= dec_from->scale;
  }
  if (int_from && dec_to && (int_hash || dec_hash)) return true;
  if (from == "FLOAT" && to == "DOUBLE") return hash == "FLOAT";
  if (from == "DATE" && to == "TIMESTAMP") {
    return hash == "DATE" || hash == "TIMESTAMP WITH TIME ZONE";
  }
  if (from == "TIMESTAMP" && to == "TIMESTAMP WITH TIME ZONE") return hash == "TIMESTAMP";
  return false;
}

}  // namespace tidegate::prove
