#include <cmath>
#include <cstring>
#include <limits>

#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/emit.h"
#include "reduce/exact_product.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnView;
using batch::StringRef;

/// Variances, covariances and correlations of DOUBLEs, from exact sums of values and of products:
/// the same whatever the order and the parts. Where DuckDB raises an out-of-range error, because
/// values are infinite or NaN or squares too great, that is a failure here too.
class Moments final : public Accumulator {
 public:
  /// `states`: the argument is what kMomentState made.
  Moments(const Aggregate& aggregate, bool states)
      : kind_(aggregate.kind),
        name_(to_string(aggregate.kind)),
        x_column_(aggregate.arguments[0]),
        states_(states) {
    const bool pair = kind_ == AggregateKind::kCovarSamp || kind_ == AggregateKind::kCovarPop ||
                      kind_ == AggregateKind::kCorr || aggregate.arguments.size() == 2;
    if (pair && !states) y_column_ = aggregate.arguments[1];
    x_.used = true;
    y_.used = xy_.used = pair;
    xx_.used = !pair || kind_ == AggregateKind::kCorr || kind_ == AggregateKind::kMomentState;
    yy_.used = xx_.used && pair;
  }

  void grow(uint32_t groups) override {
    counts_.grow(groups);
    each_sum([&](auto& sum) { sum.sums.grow(groups); });
  }
  Status update(const GroupedRows& in) override {
    const ColumnView& column = in.rows.column(x_column_);
    if (states_) return merge(in, column);
    const double* x = static_cast<const double*>(column.data);
    if (!y_.used) {
      each_valid(
          in, column,
          [&](size_t row, uint32_t group) {
            ++counts_[group];
            x_.sums.add(group, x[row]);
            xx_.sums.add(group, x[row], x[row]);
          },
          [] {});
      return {};
    }
    const ColumnView& other = in.rows.column(y_column_);
    const double* y = static_cast<const double*>(other.data);
    each_valid(
        in, column,
        [&](size_t row, uint32_t group) {
          if (!other.is_valid(row)) return;
          ++counts_[group];
          x_.sums.add(group, x[row]);
          y_.sums.add(group, y[row]);
          xy_.sums.add(group, x[row], y[row]);
          if (!xx_.used) return;
          xx_.sums.add(group, x[row], x[row]);
          yy_.sums.add(group, y[row], y[row]);
        },
        [] {});
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    uint64_t* validity = nullptr;
    double* out = static_cast<double*>(duckdb_vector_get_data(vector));
    const bool sample = kind_ == AggregateKind::kVarSamp || kind_ == AggregateKind::kStddevSamp ||
                        kind_ == AggregateKind::kCovarSamp;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t group = begin + i;
      if (counts_[group] < (sample ? 2 : 1)) {
        set_null(vector, validity, i);
      } else if (kind_ == AggregateKind::kMomentState) {
        const std::string bytes = state(group);
        duckdb_unsafe_vector_assign_string_element_len(vector, i, bytes.data(), bytes.size());
      } else {
        TG_ASSIGN(out[i], value(group, sample));
      }
    }
    return {};
  }
  uint64_t bytes() const override {
    uint64_t bytes = counts_.bytes();
    each_sum([&](const auto& sum) { bytes += sum.sums.bytes(); });
    return bytes;
  }
  uint64_t bytes_after(size_t rows, uint64_t) const override {
    uint64_t bytes = counts_.bytes_after(rows);
    each_sum([&](const auto& sum) { bytes += sum.sums.bytes_after(rows); });
    return bytes;
  }
  void clear() override {
    counts_.clear();
    each_sum([](auto& sum) { sum.sums.clear(); });
  }

 private:
  template <typename Sums>
  struct Sum {
    bool used = false;
    Sums sums = {};
  };

  /// In the order of a state's parts.
  template <typename Self, typename Do>
  static void each_sum_of(Self& self, Do act) {
    if (self.x_.used) act(self.x_);
    if (self.xx_.used) act(self.xx_);
    if (self.y_.used) act(self.y_);
    if (self.yy_.used) act(self.yy_);
    if (self.xy_.used) act(self.xy_);
  }
  template <typename Do>
  void each_sum(Do act) {
    each_sum_of(*this, act);
  }
  template <typename Do>
  void each_sum(Do act) const {
    each_sum_of(*this, act);
  }

  /// The count; then each sum's length and bytes, all five of them if there are two arguments.
  std::string state(uint32_t group) const {
    std::string out(reinterpret_cast<const char*>(&counts_[group]), 8);
    each_sum([&](const auto& sum) {
      const std::string part = sum.sums.state(group);
      const auto size = static_cast<uint32_t>(part.size());
      out.append(reinterpret_cast<const char*>(&size), 4);
      out += part;
    });
    return out;
  }
  Status merge(const GroupedRows& in, const ColumnView& column) {
    const StringRef* from = static_cast<const StringRef*>(column.data);
    bool good = true;
    each_valid(
        in, column, [&](size_t row, uint32_t group) { good &= add_state(group, from[row].view()); },
        [] {});
    if (!good) return fail(FailureClass::kLost, "reduce.state", "a partial sum is malformed");
    return {};
  }
  bool add_state(uint32_t group, std::string_view state) {
    if (state.size() < 8) return false;
    int64_t count;
    std::memcpy(&count, state.data(), 8);
    state.remove_prefix(8);
    counts_[group] += count;
    const auto part = [&](auto& sum) {
      uint32_t size = 0;
      if (state.size() < 4) return false;
      std::memcpy(&size, state.data(), 4);
      state.remove_prefix(4);
      if (state.size() < size) return false;
      const bool good = !sum.used || sum.sums.add_state(group, state.substr(0, size));
      state.remove_prefix(size);
      return good;
    };
    if (!part(x_) || !part(xx_)) return false;
    return (!y_.used || (part(y_) && part(yy_) && part(xy_))) && state.empty();
  }

  std::unexpected<Failure> out_of_range() const {
    return fail(FailureClass::kData, "reduce.out_of_range",
                name_ +
                    " is out of the range of DOUBLE: of values that are infinite or NaN, or "
                    "too great to be squared");
  }
  /// The mean product of deviations, or 1 / (count - 1) of their sum.
  static double mean(const Scaled& spread, int64_t count, bool sample) {
    const auto all = static_cast<double>(count);
    return std::ldexp(spread.fraction / (all * (sample ? all - 1 : all)), spread.exponent);
  }
  Result<double> variance(uint32_t group, bool sample, const ExactSums& sums,
                          const ExactProducts& squares) const {
    const int64_t count = counts_[group];
    if (count == 1) return 0.0;
    if (!sums.is_finite(group)) return out_of_range();
    const Scaled spread = squares.spread(group, static_cast<uint64_t>(count), sums, sums);
    const double variance = mean(spread, count, sample);
    if (!std::isfinite(variance)) return out_of_range();
    return variance;
  }
  double covariance(uint32_t group, bool sample) const {
    if (!x_.sums.is_finite(group) || !y_.sums.is_finite(group))
      return std::numeric_limits<double>::quiet_NaN();
    const int64_t count = counts_[group];
    return mean(xy_.sums.spread(group, static_cast<uint64_t>(count), x_.sums, y_.sums), count,
                sample);
  }
  Result<double> value(uint32_t group, bool sample) const {
    switch (kind_) {
      case AggregateKind::kCovarSamp:
      case AggregateKind::kCovarPop:
        return covariance(group, sample);
      case AggregateKind::kCorr: {
        TG_ASSIGN(const double x, variance(group, false, x_.sums, xx_.sums));
        TG_ASSIGN(const double y, variance(group, false, y_.sums, yy_.sums));
        const double scale = std::sqrt(x) * std::sqrt(y);
        if (scale == 0) return std::numeric_limits<double>::quiet_NaN();
        return covariance(group, false) / scale;
      }
      default: {
        TG_ASSIGN(const double spread, variance(group, sample, x_.sums, xx_.sums));
        const bool root = kind_ == AggregateKind::kStddevSamp || kind_ == AggregateKind::kStddevPop;
        return root ? std::sqrt(spread) : spread;
      }
    }
  }

  AggregateKind kind_;
  std::string name_;
  uint32_t x_column_;
  uint32_t y_column_ = 0;
  bool states_;
  PerGroup<int64_t> counts_;
  Sum<ExactSums> x_, y_;
  Sum<ExactProducts> xx_, yy_, xy_;
};

}  // namespace

std::unique_ptr<Accumulator> make_moments(const Aggregate& aggregate,
                                          const batch::ColumnType& type) {
  return std::make_unique<Moments>(aggregate, type.storage == batch::Storage::kBytes);
}

}  // namespace tidegate::reduce
