#include <algorithm>
#include <limits>
#include <string>

#include "base/units.h"
#include "duckdb.h"
#include "reduce/emit.h"
#include "reduce/rows_of_groups.h"
#include "reduce/spilling.h"
#include "reduce/spilling_base.h"
#include "reduce/vector_writer.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::Storage;
using batch::StringRef;

/// Of a text or a list: DuckDB counts the bytes of one and the values of the other in 32 bits.
constexpr uint64_t kResultBytesMax = std::numeric_limits<uint32_t>::max();
/// A list grows by doubling, so half of it or more stands twice for a moment.
constexpr uint64_t kListShare = 2;

/// What makes one value of all that a group has, and how large it may be.
class SpilledWhole : public Spilling {
 public:
  SpilledWhole(const Aggregate& aggregate, GroupedValues::Rules rules, const sql::Schema& schema,
               const std::vector<ColumnType>& input, SpillSpace space, uint64_t share)
      : Spilling(std::move(rules), schema, input, space),
        share_(share),
        bytes_max_(std::min(space.memory_bytes / share, kResultBytesMax)),
        distinct_(aggregate.distinct),
        stage_memory_(std::move(space.stage_memory)) {}
  /// Several groups' values share what one may have.
  uint32_t emit_max(uint32_t begin, uint32_t count) const override {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; ++i) {
      bytes += bytes_of(begin + i);
      if (bytes > bytes_max_) return std::max<uint32_t>(i, 1);
    }
    return count;
  }

 protected:
  /// At most, of a group's value.
  virtual uint64_t bytes_of(uint32_t group) const = 0;
  /// Whether the row that was stepped to is a value of its own.
  bool is_picked() const { return !distinct_ || values_.is_new(); }
  bool fits(uint64_t bytes) const { return bytes <= bytes_max_; }
  std::unexpected<Failure> too_large(const std::string& what, uint64_t bytes) const {
    std::string message = "the " + what + " of one key takes " + format_size(bytes) +
                          ", and there is room for " + format_size(bytes_max_) + " of it";
    uint64_t memory = 0;
    if (stage_memory_ && bytes <= kResultBytesMax) memory = stage_memory_(bytes * share_, bytes);
    if (memory > 0)
      message += "; give the stage `memory: " + std::to_string(memory >> 20) + "MiB`";
    else if (stage_memory_)
      message += "; no bound is enough for it";
    else
      message += "; raise `memory` of the stage";
    return fail(FailureClass::kMemory, "reduce.memory", std::move(message));
  }

 private:
  uint64_t share_, bytes_max_;
  bool distinct_;
  std::function<uint64_t(uint64_t, uint64_t)> stage_memory_;
};

/// string_agg: one text at a time.
class SpilledTexts final : public SpilledWhole {
 public:
  SpilledTexts(const Aggregate& aggregate, GroupedValues::Rules rules, const sql::Schema& schema,
               const std::vector<ColumnType>& input, SpillSpace space)
      : SpilledWhole(aggregate, std::move(rules), schema, input, std::move(space), 1),
        separator_(aggregate.separator) {}
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    uint64_t* validity = nullptr;
    std::string text;
    for (uint32_t i = 0; i < count; ++i) {
      const uint64_t size = values_.size(begin + i);
      if (size == 0) {
        set_null(vector, validity, i);
        continue;
      }
      text.clear();
      uint64_t bytes = 0;  // counted on where the text is too large
      for (uint64_t at = 0; at < size; ++at) {
        TG_TRY(step());
        if (!is_picked()) continue;
        const std::string_view next =
            static_cast<const StringRef*>(values_.column(0).data)[values_.row()].view();
        bytes += (at > 0 ? separator_.size() : 0) + next.size();
        if (!fits(bytes)) continue;
        if (at > 0) text += separator_;
        text += next;
      }
      if (!fits(bytes)) return too_large("text", bytes);
      duckdb_unsafe_vector_assign_string_element_len(vector, i, text.data(), text.size());
    }
    return {};
  }

 protected:
  uint64_t bytes_of(uint32_t group) const override {
    return values_.value_bytes(group) + values_.size(group) * separator_.size();
  }

 private:
  std::string separator_;
};

/// list: written to DuckDB's vector as it is read.
class SpilledLists final : public SpilledWhole {
 public:
  SpilledLists(const Aggregate& aggregate, GroupedValues::Rules rules, const sql::Schema& schema,
               const std::vector<ColumnType>& input, SpillSpace space)
      : SpilledWhole(aggregate, std::move(rules), schema, input, std::move(space), kListShare),
        type_(input[aggregate.arguments[0]]),
        settles_(aggregate.distinct) {}
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    uint64_t* validity = nullptr;
    auto* entries = static_cast<duckdb_list_entry*>(duckdb_vector_get_data(vector));
    size_ = reserved_ = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const uint64_t rows = values_.size(begin + i), first = size_;
      uint64_t bytes = 0;  // counted on where the list is too large
      for (uint64_t row = 0; row < rows; ++row) {
        TG_TRY(step());
        if (is_picked()) {
          picked_.push_back(values_.row());
          bytes += bytes_of_row();
        }
        if (!values_.is_last_of_views() && row + 1 < rows) continue;
        if (fits(bytes)) TG_TRY(append(vector));
        picked_.clear();
      }
      if (!fits(bytes)) return too_large("list", bytes);
      entries[i] = {first, size_ - first};
      if (rows == 0) set_null(vector, validity, i);
    }
    if (duckdb_list_vector_set_size(vector, size_) != DuckDBSuccess) return no_memory();
    // Which of several equal values was picked must not show.
    if (settles_) settle_reals(type_.storage, size_, duckdb_list_vector_get_child(vector));
    return {};
  }

 protected:
  uint64_t bytes_of(uint32_t group) const override { return values_.value_bytes(group); }

 private:
  static std::unexpected<Failure> no_memory() {
    return fail(FailureClass::kMemory, "reduce.memory", "no memory for a kernel's lists");
  }
  uint64_t bytes_of_row() const {
    const uint64_t slot = batch::slot_bytes(type_);
    if (type_.storage != Storage::kBytes || !values_.column(0).is_valid(values_.row())) return slot;
    const auto& text = static_cast<const StringRef*>(values_.column(0).data)[values_.row()];
    return slot + (text.is_inline() ? 0 : text.size);
  }
  Status append(duckdb_vector vector) {
    const uint64_t size = size_ + picked_.size();
    if (size > reserved_) {
      reserved_ = std::max(size, 2 * reserved_);
      if (duckdb_list_vector_reserve(vector, reserved_) != DuckDBSuccess) return no_memory();
    }
    TG_TRY(gather_rows(type_, values_.column(0), picked_.data(),
                       static_cast<uint32_t>(picked_.size()), duckdb_list_vector_get_child(vector),
                       static_cast<uint32_t>(size_)));
    size_ = size;
    return {};
  }

  ColumnType type_;
  bool settles_;
  std::vector<uint32_t> picked_;      ///< rows of the views
  uint64_t size_ = 0, reserved_ = 0;  ///< of all lists of a vector
};

}  // namespace

std::unique_ptr<Accumulator> make_spilling_text(const Aggregate& aggregate,
                                                GroupedValues::Rules rules,
                                                const sql::Schema& schema,
                                                const std::vector<ColumnType>& input,
                                                SpillSpace space) {
  return std::make_unique<SpilledTexts>(aggregate, std::move(rules), schema, input,
                                        std::move(space));
}

std::unique_ptr<Accumulator> make_spilling_list(const Aggregate& aggregate,
                                                GroupedValues::Rules rules,
                                                const sql::Schema& schema,
                                                const std::vector<ColumnType>& input,
                                                SpillSpace space) {
  return std::make_unique<SpilledLists>(aggregate, std::move(rules), schema, input,
                                        std::move(space));
}

}  // namespace tidegate::reduce
