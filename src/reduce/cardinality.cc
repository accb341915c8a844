#include <array>
#include <cmath>
#include <limits>

#include "duckdb.h"
#include "reduce/accumulator.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnView;
using batch::StringRef;

// approx_count_distinct is a HyperLogLog sketch: a value's hash chooses one of 64 registers by its
// lowest six bits, and the register keeps the greatest rank of the hashes that chose it: one more
// than the number of zeros that the other 58 bits end in. The count is estimated from how many
// registers have which rank, by algorithm 6 of O. Ertl, "New cardinality estimation algorithms for
// HyperLogLog sketches" (2017). DuckDB does the same over the same hashes, so that both give the
// same number: also where it leaves the paper, which has the greatest rank where we have the one
// below (that shows beyond thousands of millions of values only).
constexpr int kIndexBits = 6;
constexpr int kRankBits = 64 - kIndexBits;
constexpr size_t kRegisters = size_t{1} << kIndexBits;
constexpr uint8_t kRankMax = kRankBits + 1;  ///< of bits that are all zero

using Registers = std::array<uint8_t, kRegisters>;

void raise(uint8_t& rank, uint8_t seen) {
  if (rank < seen) rank = seen;
}

void add_hash(Registers& registers, uint64_t hash) {
  // The bit above the others ends the zeros.
  const uint64_t rest = hash >> kIndexBits | uint64_t{1} << kRankBits;
  raise(registers[hash % kRegisters], static_cast<uint8_t>(__builtin_ctzll(rest) + 1));
}

/// Ertl's sigma: what registers that no hash chose stand for, `share` of them all.
double of_empty(double share) {
  if (share == 1) return std::numeric_limits<double>::infinity();
  double sum = share, weight = 1, before = 0;
  do {
    share *= share;
    before = sum;
    sum += share * weight;
    weight += weight;
  } while (sum != before);
  return sum;
}

/// Ertl's tau: what full registers stand for, all but `share` of them.
double of_full(double share) {
  if (share == 0 || share == 1) return 0;
  double sum = 1 - share, weight = 1, before = 0;
  do {
    share = std::sqrt(share);
    before = sum;
    weight *= 0.5;
    sum -= (1 - share) * (1 - share) * weight;
  } while (sum != before);
  return sum / 3;
}

int64_t estimate(const Registers& registers) {
  std::array<uint32_t, kRankMax + 1> with_rank{};
  for (const uint8_t rank : registers) ++with_rank[rank];
  constexpr double kAll = kRegisters;
  double sum = kAll * of_full((kAll - with_rank[kRankBits]) / kAll);
  for (int rank = kRankBits; rank >= 1; --rank) sum = 0.5 * (sum + with_rank[rank]);
  sum += kAll * of_empty(with_rank[0] / kAll);
  constexpr double kAlpha = 0.72134752044448170368;  // 1 / (2 ln 2)
  return std::llround(kAlpha * kAll * kAll / sum);
}

// A state is what merges registers: the number and the rank of each that is not empty while those
// are fewer than half, else all ranks.
std::string_view to_state(const Registers& registers, Registers& buffer) {
  size_t size = 0;
  for (uint8_t i = 0; i < kRegisters; ++i) {
    if (registers[i] == 0) continue;
    if (size + 2 >= kRegisters)
      return {reinterpret_cast<const char*>(registers.data()), kRegisters};
    buffer[size++] = i;
    buffer[size++] = registers[i];
  }
  return {reinterpret_cast<const char*>(buffer.data()), size};
}

/// False if it is no state.
bool add_state(Registers& registers, std::string_view state) {
  if (state.size() > kRegisters || state.size() % 2 != 0) return false;
  const bool all = state.size() == kRegisters;
  const size_t step = all ? 1 : 2;
  for (size_t i = 0; i < state.size(); i += step) {
    const size_t at = all ? i : static_cast<uint8_t>(state[i]);
    const auto rank = static_cast<uint8_t>(state[i + step - 1]);
    if (at >= kRegisters || rank > kRankMax) return false;
    raise(registers[at], rank);
  }
  return true;
}

class ApproxCount final : public Accumulator {
 public:
  ApproxCount(const Aggregate& aggregate, const batch::ColumnType& type, StateRows& states)
      : column_(aggregate.arguments[0]),
        merges_(type.storage == batch::Storage::kBytes),
        gives_state_(aggregate.kind == AggregateKind::kSketchState),
        registers_(states) {}
  void grow(uint32_t) override {}
  Status update(const GroupedRows& in) override {
    const ColumnView& column = in.rows.column(column_);
    const auto registers = registers_.view();
    if (!merges_) {
      const uint64_t* hashes = static_cast<const uint64_t*>(column.data);
      each_valid(
          in, column, [&](size_t row, uint32_t group) { add_hash(registers[group], hashes[row]); },
          [] {});
      return {};
    }
    const StringRef* parts = static_cast<const StringRef*>(column.data);
    bool good = true;
    each_valid(
        in, column,
        [&](size_t row, uint32_t group) { good &= add_state(registers[group], parts[row].view()); },
        [] {});
    if (!good) return fail(FailureClass::kLost, "reduce.state", "a partial count is malformed");
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    const auto registers = registers_.view();
    if (gives_state_) {
      Registers buffer;
      for (uint32_t i = 0; i < count; ++i) {
        const std::string_view state = to_state(registers[begin + i], buffer);
        duckdb_unsafe_vector_assign_string_element_len(vector, i, state.data(), state.size());
      }
      return {};
    }
    auto* out = static_cast<int64_t*>(duckdb_vector_get_data(vector));
    for (uint32_t i = 0; i < count; ++i) out[i] = estimate(registers[begin + i]);
    return {};
  }
  uint64_t bytes() const override { return 0; }
  uint64_t bytes_after(size_t, uint64_t) const override { return 0; }
  void clear() override {}

 private:
  uint32_t column_;
  bool merges_;
  bool gives_state_;
  State<Registers> registers_;
};

}  // namespace

std::unique_ptr<Accumulator> make_approx_count(const Aggregate& aggregate,
                                               const batch::ColumnType& type, StateRows& states) {
  return std::make_unique<ApproxCount>(aggregate, type, states);
}

}  // namespace tidegate::reduce
