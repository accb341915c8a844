#include <cstring>
#include <memory>
#include <vector>

#include "duckdb.h"
#include "reduce/combine_sql.h"
#include "reduce/exact_sum.h"

namespace tidegate::reduce {
namespace {

/// The long sums of all states of one database, which DuckDB may move and spill as they are.
using LongSums = std::vector<std::unique_ptr<LongSum>>;

/// A state, as bytes: DuckDB aligns it to eight of them.
struct ExactState {
  uint64_t fixed[2] = {};    ///< the fixed-point number
  uint32_t seen = 0;         ///< some value was not NULL
  uint32_t long_number = 0;  ///< of its long sum, plus one; 0: it has none

  batch::int128 sum() const { return __builtin_bit_cast(batch::int128, fixed); }
  void set(batch::int128 sum) { std::memcpy(fixed, &sum, sizeof fixed); }
  LongSum& long_sum(LongSums& sums) {
    if (long_number == 0) {
      sums.push_back(std::make_unique<LongSum>());
      long_number = static_cast<uint32_t>(sums.size());
    }
    return *sums[long_number - 1];
  }
};
static_assert(std::is_trivially_copyable_v<ExactState> && alignof(ExactState) == 8);

ExactState* state_of(duckdb_aggregate_state state) { return reinterpret_cast<ExactState*>(state); }
LongSums& long_sums(duckdb_function_info info) {
  return *static_cast<LongSums*>(duckdb_aggregate_function_get_extra_info(info));
}

idx_t state_size(duckdb_function_info) { return sizeof(ExactState); }
void init(duckdb_function_info, duckdb_aggregate_state state) { new (state) ExactState(); }

void update(duckdb_function_info info, duckdb_data_chunk rows, duckdb_aggregate_state* states) {
  duckdb_vector vector = duckdb_data_chunk_get_vector(rows, 0);
  const auto* values = static_cast<const double*>(duckdb_vector_get_data(vector));
  const uint64_t* valid = duckdb_vector_get_validity(vector);
  const idx_t count = duckdb_data_chunk_get_size(rows);
  for (idx_t row = 0; row < count; ++row) {
    if (valid != nullptr && ((valid[row / 64] >> (row % 64)) & 1) == 0) continue;
    ExactState& state = *state_of(states[row]);
    state.seen = 1;
    batch::int128 sum = state.sum();
    if (add_fixed(sum, values[row])) [[likely]] {
      state.set(sum);
    } else {
      state.long_sum(long_sums(info)).add(values[row]);
    }
  }
}

void combine(duckdb_function_info info, duckdb_aggregate_state* sources,
             duckdb_aggregate_state* targets, idx_t count) {
  for (idx_t i = 0; i < count; ++i) {
    ExactState& source = *state_of(sources[i]);
    ExactState& target = *state_of(targets[i]);
    target.seen |= source.seen;
    batch::int128 sum;
    if (__builtin_add_overflow(target.sum(), source.sum(), &sum)) {
      target.long_sum(long_sums(info)).add_fixed(source.sum(), -kExactFractionBits);
    } else {
      target.set(sum);
    }
    if (source.long_number == 0) continue;
    std::string bytes(LongSum::kStateBytes, '\0');
    source.long_sum(long_sums(info)).write(bytes.data());
    target.long_sum(long_sums(info)).add_state(bytes.data());
  }
}

void finalize(duckdb_function_info info, duckdb_aggregate_state* states, duckdb_vector out,
              idx_t count, idx_t offset) {
  uint64_t* validity = nullptr;
  for (idx_t i = 0; i < count; ++i) {
    ExactState& state = *state_of(states[i]);
    if (state.seen == 0) {
      if (validity == nullptr) {
        duckdb_vector_ensure_validity_writable(out);
        validity = duckdb_vector_get_validity(out);
      }
      duckdb_validity_set_row_invalid(validity, offset + i);
      continue;
    }
    std::string bytes(sizeof state.fixed, '\0');
    std::memcpy(bytes.data(), state.fixed, sizeof state.fixed);
    if (state.long_number != 0) {
      bytes.resize(sizeof state.fixed + LongSum::kStateBytes);
      state.long_sum(long_sums(info)).write(bytes.data() + sizeof state.fixed);
    }
    duckdb_vector_assign_string_element_len(out, offset + i, bytes.data(), bytes.size());
  }
}

}  // namespace

Status register_exact_sum(sql::Connection& connection) {
  duckdb_aggregate_function made = duckdb_create_aggregate_function();
  duckdb_logical_type argument = duckdb_create_logical_type(DUCKDB_TYPE_DOUBLE);
  duckdb_logical_type result = duckdb_create_logical_type(DUCKDB_TYPE_BLOB);
  duckdb_aggregate_function_set_name(made, kExactSumFunction);
  duckdb_aggregate_function_add_parameter(made, argument);
  duckdb_aggregate_function_set_return_type(made, result);
  duckdb_aggregate_function_set_special_handling(made);
  duckdb_aggregate_function_set_functions(made, state_size, init, update, combine, finalize);
  duckdb_aggregate_function_set_extra_info(made, new LongSums(),
                                           [](void* sums) { delete static_cast<LongSums*>(sums); });
  const auto state = duckdb_register_aggregate_function(
      reinterpret_cast<duckdb_connection>(connection.raw()), made);
  duckdb_destroy_logical_type(&argument);
  duckdb_destroy_logical_type(&result);
  duckdb_destroy_aggregate_function(&made);
  if (state != DuckDBSuccess)
    return fail(FailureClass::kDefect, "reduce.register", "DuckDB refused to register a sum");
  return {};
}

}  // namespace tidegate::reduce
