#include "prove/functions.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/text.h"

namespace tidegate::prove {
namespace {

#include "prove/allowed_functions.inc"

using Names = std::unordered_set<std::string_view>;

Names split(std::initializer_list<std::string_view> lists) {
  Names out;
  for (std::string_view list : lists) {
    size_t begin = 0;
    while ((begin = list.find_first_not_of(' ', begin)) != std::string_view::npos) {
      size_t end = std::min(list.find(' ', begin), list.size());
      out.insert(list.substr(begin, end - begin));
      begin = end;
    }
  }
  return out;
}

bool has(const Names& names, std::string_view name) { return names.contains(name); }

}  // namespace

FunctionKind function_kind(std::string_view given) {
  static const Names allowed = split({kScalars, kMacros, kAggregates, kWindows});
  static const Names clock = split({kClock}), chance = split({kVolatile}),
                     session = split({kSession});
  std::string name = to_lower_ascii(given);
  bool letters = std::any_of(name.begin(), name.end(),
                             [](unsigned char c) { return std::isalpha(c) || c >= 0x80; });
  if (!letters) return FunctionKind::kAllowed;
  if (name == "run_time" || has(allowed, name)) return FunctionKind::kAllowed;
  // COLLATE de and the like: a key to sort by, made from the text alone.
  if (name.starts_with("icu_collate_")) return FunctionKind::kAllowed;
  if (has(clock, name)) return FunctionKind::kClock;
  if (has(chance, name)) return FunctionKind::kVolatile;
  if (has(session, name)) return FunctionKind::kSession;
  return FunctionKind::kUnknown;
}

std::string nearest_function(std::string_view given) {
  static const std::vector<std::string> names = [] {
    const Names allowed = split({kScalars, kMacros, kAggregates, kWindows});
    std::vector<std::string> out(allowed.begin(), allowed.end());
    std::sort(out.begin(), out.end());
    return out;
  }();
  return did_you_mean(to_lower_ascii(given), names);
}

bool is_allowed_table_function(std::string_view name) {
  static const Names names = split({kTableFunctions});
  return has(names, to_lower_ascii(name));
}

bool is_aggregate(std::string_view name) {
  static const Names names = split({kAggregates});
  return has(names, to_lower_ascii(name));
}

bool is_order_dependent(std::string_view name) {
  static const Names names = split({kOrderDependent});
  return has(names, to_lower_ascii(name));
}

bool is_float_summing(std::string_view name) {
  static const Names names = split(
      {"sum avg mean fsum kahan_sum sumkahan favg product stddev stddev_pop stddev_samp var_pop "
       "var_samp variance sem skewness kurtosis kurtosis_pop corr covar_pop covar_samp regr_avgx "
       "regr_avgy regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy entropy"});
  return has(names, to_lower_ascii(name));
}

}  // namespace tidegate::prove
