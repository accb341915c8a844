// How a chunk is encoded. Its first page with values is encoded in each way that its type has, a
// sample of it compressed, and the least bytes a value win, with a small price on compression:
//
//   dictionary   values that come back, by the distinct ones to be expected in the whole chunk; a
//                page that would make the dictionary too large and all after it fall back
//   deltas       integers: near each other, or in a narrow range
//   split        floating point: bytes of one significance together, where that compresses
//   lengths      texts: lengths apart from the bytes
//   plain        everything else
//
// The chunk is compressed only if the sample shrinks by more than a twentieth. All that FIXED_LEN_-
// BYTE_ARRAY may be is plain or a dictionary: DuckDB and Polars read no other encoding of it.
#include "sink/column_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "sink/dictionary.h"

namespace tidegate::sink {
namespace {

/// A chunk is compressed only if that makes it this much smaller.
constexpr double kWorthPacking = 0.95;
/// What it costs to compress, as if the chunk were that much larger.
constexpr double kPackingPrice = 1.05;
constexpr size_t kPageBytesMax = size_t{1} << 30;

void use(std::vector<Encoding>& encodings, Encoding encoding) {
  if (std::find(encodings.begin(), encodings.end(), encoding) == encodings.end())
    encodings.push_back(encoding);
}

/// Sets `count` bits of `to`, from bit `at` on, to those of `from` from `begin` on.
void copy_bits(uint64_t* to, size_t at, const uint64_t* from, size_t begin, size_t count) {
  while (count > 0) {
    const size_t take = std::min({count, 64 - at % 64, 64 - begin % 64});
    const uint64_t mask = take == 64 ? ~uint64_t{0} : (uint64_t{1} << take) - 1;
    const uint64_t bits = from == nullptr ? mask : from[begin / 64] >> (begin % 64) & mask;
    to[at / 64] |= bits << (at % 64);
    at += take;
    begin += take;
    count -= take;
  }
}

}  // namespace

Result<std::unique_ptr<ColumnWriter>> ColumnWriter::create(const ColumnForm& form,
                                                           const batch::ColumnType& type,
                                                           Workshop& workshop) {
  for (const auto make : {make_fixed_column, make_boolean_column, make_text_column}) {
    if (auto column = make(form, type, workshop)) return column;
  }
  return fail(FailureClass::kDefect, "parquet.type",
              fmt::format("column {} is {}, which is not written as {}", form.name, type.text,
                          form.published.text));
}

Status ColumnWriter::append(const batch::ColumnView& view, size_t begin, size_t count) {
  while (count > 0) {
    const size_t wanted = std::min(count, workshop_.page_rows - rows_);
    TG_ASSIGN(const size_t taken, stage(view, begin, wanted));
    add_levels(view.validity, begin, taken);
    if (taken < wanted || rows_ == workshop_.page_rows) TG_TRY(close_page(false));
    begin += taken;
    count -= taken;
  }
  return {};
}

void ColumnWriter::add_levels(const uint64_t* validity, size_t begin, size_t count) {
  if (levels_.empty()) {
    bool valid = true;
    if (validity != nullptr) {
      for (size_t row = begin; row < begin + count && valid; ++row)
        valid = (validity[row / 64] >> (row % 64) & 1) != 0;
    }
    if (!valid) {
      levels_.assign((workshop_.page_rows + 63) / 64, 0);
      copy_bits(levels_.data(), 0, nullptr, 0, rows_);
    }
  }
  if (!levels_.empty()) copy_bits(levels_.data(), rows_, validity, begin, count);
  rows_ += count;
}

Status ColumnWriter::close_page(bool last) {
  if (rows_ == 0) return {};
  const size_t values = staged();
  if (!chosen_ && values > 0) TG_TRY(choose(last));
  Encoding encoding = encoding_;
  if (encoding == Encoding::kDictionary && values > 0 && !map(workshop_.indices.data()))
    encoding = encoding_ = fallback_;
  Buffer& raw = workshop_.raw;
  raw.clear();
  put_levels(values == 0 || levels_.empty() ? nullptr : levels_.data(), values > 0, rows_, raw);
  if (encoding == Encoding::kDictionary) {
    put_indices(workshop_.indices.data(), values, std::max(1, bits_for(dictionary_size() - 1)),
                raw);
  } else {
    encode(encoding, values, raw);
    note_stage();
  }
  TG_TRY(put_page(encoding, rows_));
  chunk_.values += rows_;
  chunk_.nulls += rows_ - values;
  rows_ = 0;
  levels_.clear();
  clear_stage();
  return {};
}

/// The page in `raw` goes to the store; without an encoding it is the dictionary.
Status ColumnWriter::put_page(std::optional<Encoding> encoding, size_t values) {
  Buffer& raw = workshop_.raw;
  // An all-NULL page may come before any choice: it has its chunk compressed.
  if (chunk_.pages.empty() && !chosen_) chunk_.codec = workshop_.compressor.codec();
  workshop_.raw_bytes_max = std::max(workshop_.raw_bytes_max, raw.size());
  std::span<const uint8_t> body(raw.data(), raw.size());
  if (raw.size() > kPageBytesMax)
    return fail(FailureClass::kData, "parquet.value",
                "a value is too large for a Parquet file, in column " + form_.name);
  if (chunk_.codec != Codec::kNone) {
    uint8_t* const to = workshop_.packed.room(workshop_.compressor.bound(raw.size()));
    TG_ASSIGN(const size_t packed, workshop_.compressor.compress(raw.data(), raw.size(), to));
    body = {to, packed};
  }
  std::string& head = workshop_.head;
  head.clear();
  thrift::Writer out(head);
  out.begin();
  out.i32(1, encoding ? 0 : 2);
  out.i32(2, static_cast<int32_t>(raw.size()));
  out.i32(3, static_cast<int32_t>(body.size()));
  out.begin_field(encoding ? 5 : 7);
  out.i32(1, static_cast<int32_t>(values));
  out.i32(2, static_cast<int32_t>(encoding.value_or(Encoding::kPlain)));
  if (encoding) {
    out.i32(3, static_cast<int32_t>(Encoding::kRle));
    out.i32(4, static_cast<int32_t>(Encoding::kRle));
  }
  out.end();
  out.end();
  const PageStore::Range range =
      workshop_.store.append({reinterpret_cast<const uint8_t*>(head.data()), head.size()}, body);
  chunk_.raw_bytes += head.size() + raw.size();
  chunk_.bytes += range.size;
  use(chunk_.encodings, encoding.value_or(Encoding::kPlain));
  if (encoding) {
    use(chunk_.encodings, Encoding::kRle);
    chunk_.pages.push_back(range);
  } else {
    chunk_.pages.insert(chunk_.pages.begin(), range);
    chunk_.dictionary_bytes = range.size;
  }
  return {};
}

Result<Chunk> ColumnWriter::finish_chunk() {
  TG_TRY(close_page(true));
  if (dictionary_size() > 0) {
    workshop_.raw.clear();
    put_dictionary(workshop_.raw);
    TG_TRY(put_page(std::nullopt, dictionary_size()));
    note_dictionary();
    clear_dictionary(true);
  }
  take_statistics(chunk_);
  chosen_ = false;
  encoding_ = fallback_ = Encoding::kPlain;
  return std::exchange(chunk_, {});
}

/// Sets the encoding and, if no page has, the codec by the page that is staged.
Status ColumnWriter::choose(bool last) {
  const Codec codec = workshop_.compressor.codec();
  const size_t count = sample();
  Cost best;
  Cost plain;
  const auto price = [](const Cost& cost) {
    return std::min(
        cost.raw, cost.packed < cost.raw * kWorthPacking ? cost.packed * kPackingPrice : cost.raw);
  };
  for (const Encoding encoding : encodings()) {
    TG_ASSIGN(const Cost cost, measure(encoding, count));
    if (encoding == Encoding::kPlain) plain = cost;
    if (encoding == Encoding::kPlain || price(cost) < price(best)) {
      best = cost;
      encoding_ = encoding;
    }
  }
  fallback_ = encoding_;
  if (map(workshop_.indices.data())) {
    TG_ASSIGN(const Cost cost, measure_dictionary(plain, last && chunk_.pages.empty()));
    if (cost.raw > 0 && price(cost) < price(best)) {
      best = cost;
      encoding_ = Encoding::kDictionary;
    }
  }
  if (encoding_ != Encoding::kDictionary) clear_dictionary(false);
  if (chunk_.pages.empty())
    chunk_.codec = best.packed < best.raw * kWorthPacking ? codec : Codec::kNone;
  chosen_ = true;
  return {};
}

Result<ColumnWriter::Cost> ColumnWriter::measure(Encoding encoding, size_t count) {
  workshop_.raw.clear();
  encode(encoding, count, workshop_.raw);
  return measure_packed(count);
}

Result<ColumnWriter::Cost> ColumnWriter::measure_packed(size_t count) {
  const Buffer& raw = workshop_.raw;
  Cost cost{static_cast<double>(raw.size()), static_cast<double>(raw.size())};
  if (workshop_.compressor.codec() != Codec::kNone) {
    uint8_t* const to = workshop_.packed.room(workshop_.compressor.bound(raw.size()));
    TG_ASSIGN(const size_t packed, workshop_.compressor.compress(raw.data(), raw.size(), to));
    cost.packed = static_cast<double>(packed);
  }
  cost.raw /= static_cast<double>(count);
  cost.packed /= static_cast<double>(count);
  return cost;
}

/// What a value costs with a dictionary, by the distinct values to be expected in the whole chunk;
/// 0 if there would be too many. `workshop_.indices` has the page's.
Result<ColumnWriter::Cost> ColumnWriter::measure_dictionary(const Cost& plain, bool last) {
  const auto values = static_cast<double>(staged());
  const auto distinct = static_cast<double>(dictionary_size());
  if (distinct >= values && values > 1) return Cost{};
  const double pages = std::max(1.0, static_cast<double>(workshop_.chunk_rows) /
                                         static_cast<double>(std::max<size_t>(rows_, 1)));
  const double expected = last ? values : values * pages;
  const double entries =
      last ? distinct
           : expected_distinct(static_cast<double>(dictionary_half()), distinct, values, expected);
  const double bytes = entries * static_cast<double>(dictionary_bytes()) / distinct;
  if (bytes > static_cast<double>(workshop_.dictionary_bytes_max)) return Cost{};
  const size_t count = sample();
  const int bits = std::max(1, bits_for(dictionary_size() - 1));
  workshop_.raw.clear();
  put_indices(workshop_.indices.data(), count, bits, workshop_.raw);
  TG_ASSIGN(Cost cost, measure_packed(count));
  const double wider =
      std::max(1, bits_for(static_cast<uint64_t>(entries))) / static_cast<double>(bits);
  cost.raw = cost.raw * wider + bytes / expected;
  cost.packed = cost.packed * wider + bytes / expected * (plain.packed / plain.raw);
  return cost;
}

}  // namespace tidegate::sink
