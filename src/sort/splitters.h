#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "shuffle/shuffle.h"
#include "sort/sort_key.h"
#include "sql/sql.h"

namespace tidegate::sort {

/// A place in the order of all rows: by key, then by the unit that made the row, so that the rows
/// of one key can lie in several ranges and equal keys still are in the order of their units.
struct Splitter {
  std::string key;
  uint32_t unit = 0;
  bool operator==(const Splitter&) const = default;
};

/// A row of a sample and how many rows it stands for.
struct SampledRow {
  Splitter place;
  uint64_t weight = 1;
};

/// Keys of a sample are cut: a splitter is any place.
inline constexpr size_t kSampleKeyBytesMax = 256;

/// Draws at most about `rows_max` rows of those it is shown, each as likely: a row is taken if the
/// hash of its number ends in enough zero bits, one more whenever there are too many. The same rows
/// give the same sample.
class RowSampler {
 public:
  RowSampler(KeyMaker maker, uint32_t unit, size_t rows_max)
      : maker_(std::move(maker)), unit_(unit), rows_max_(rows_max) {}

  void add(const batch::RowsView& rows);
  std::vector<SampledRow> take();

 private:
  void halve();

  KeyMaker maker_;
  uint32_t unit_;
  size_t rows_max_;
  uint64_t row_ = 0;
  uint32_t bits_ = 0;
  struct Taken {
    uint64_t hash;
    std::string key;
  };
  std::vector<Taken> rows_;
  KeyBatch batch_;
};

/// Samples as map outputs of one bucket.
sql::Schema sample_schema();
Result<MapOutputSummary> write_sample(Effects& effects, const std::string& path,
                                      const std::string& attempt,
                                      const std::vector<SampledRow>& rows);
/// The rows of some samples, in order.
Result<std::vector<SampledRow>> read_samples(Effects& effects,
                                             const std::vector<MapOutputRef>& files);

/// At most `ranges` - 1 places that cut the sampled rows into parts of about one weight. Places
/// that would be the same are one.
std::vector<Splitter> choose_splitters(std::vector<SampledRow> sample, uint32_t ranges);

/// Finds rows' ranges: the number of splitters that do not stand after the row.
class Ranges {
 public:
  explicit Ranges(std::vector<Splitter> splitters);
  void find(const KeyBatch& keys, uint32_t unit, uint32_t* ranges) const;

 private:
  bool starts_as_all(std::string_view key) const;
  void make_cells();
  /// The number of heads that are less.
  uint32_t heads_before(uint64_t head) const;
  uint32_t find_slowly(std::string_view key, uint32_t unit) const;

  std::vector<Splitter> splitters_;
  std::string common_;           ///< that all splitters' keys begin with
  std::vector<uint64_t> heads_;  ///< eight bytes after it
  std::vector<uint32_t> cells_;  ///< of equal parts of the heads' span: how many stand before each
  int cell_shift_ = 0;           ///< of what a head is above the first one, to its cell
  uint64_t start_ = 0, start_mask_ = 0;  ///< the first bytes of common_, as they lie in memory
};

}  // namespace tidegate::sort
