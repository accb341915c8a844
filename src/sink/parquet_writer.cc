// A Parquet file is a magic, row groups, a footer in Thrift, the footer's length and the magic
// again. A row group is a column chunk for each column, a chunk its pages: the dictionary if it has
// one, then data. Chunks lie one behind the other while rows come with all their columns, so the
// encoded pages of a row group wait in memory (PageStore) and are written when it ends.
#include "sink/parquet_writer.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/hash.h"
#include "base/write_behind.h"
#include "sink/column_writer.h"
#include "sql/parquet_type.h"

namespace tidegate::sink {
namespace {

using batch::ColumnType;
using batch::RowsView;
using batch::Storage;
using batch::StringRef;

constexpr std::string_view kMagic = "PAR1";
constexpr size_t kTextPageBytesMax = size_t{512} << 10;
constexpr size_t kTextPageBytesMin = size_t{16} << 10;
constexpr size_t kDictionaryBytesMax = size_t{2} << 20;
constexpr size_t kDictionaryBytesMin = size_t{16} << 10;
/// Between two looks at the memory are that many rows,
constexpr uint64_t kLookRows = 1024;
/// or that many bytes of text and the row that reaches them.
constexpr uint64_t kLookTextBytesMax = uint64_t{4} << 20;
constexpr size_t kOutBytesMax = size_t{1} << 20;
constexpr size_t kOutBytesMin = size_t{64} << 10;
/// What a dictionary that is tried on a page takes for each of its values.
constexpr size_t kTrialBytes = 40;

/// True if rows of `type` can be written as `published`, by their texts.
bool is_pair(const std::string& type, const std::string& published) {
  if (type == published) return true;
  return type == "HUGEINT" || type == "UHUGEINT" || type == "TIMESTAMP_S" ||
         type == "TIMESTAMP_MS" || type.starts_with("ENUM(");
}

}  // namespace

/// Writes a file from front to back, and hashes what it writes.
class OutputFile {
 public:
  OutputFile(Effects& effects, size_t held_max)
      : effects_(effects), behind_(effects), held_max_(held_max) {
    held_.reserve(held_max);
  }
  Status create(const std::string& path) {
    TG_ASSIGN(const int fd, effects_.open(path, O_WRONLY | O_CREAT | O_EXCL, 0644));
    fd_ = Fd(effects_, fd);
    return write(kMagic);
  }

  Status write(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      const size_t size = std::min(bytes.size(), held_max_ - held_.size());
      held_.append(bytes.data(), size);
      bytes = bytes.subspan(size);
      if (held_.size() == held_max_) TG_TRY(flush());
    }
    return {};
  }
  Status write(std::string_view bytes) {
    return write({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  }
  Status flush() {
    if (held_.size() == 0) return {};
    hash_.update(held_.data(), held_.size());
    TG_TRY(
        effects_.pwrite(fd_.get(), std::as_bytes(std::span(held_.data(), held_.size())), written_));
    written_ += held_.size();
    held_.clear();
    return behind_.written(fd_.get(), written_);
  }
  void close() { fd_.reset(); }
  size_t held_bytes() const { return held_max_; }
  uint64_t bytes() const { return written_ + held_.size(); }
  std::string xxh3() const { return hex64(hash_.digest()); }

 private:
  Effects& effects_;
  WriteBehind behind_;
  Fd fd_;
  const size_t held_max_;
  Buffer held_;
  uint64_t written_ = 0;
  Xxh3Stream hash_;
};

namespace {

void put_chunk(thrift::Writer& out, const ColumnForm& form, const Chunk& chunk, uint64_t begin) {
  out.begin();
  out.i64(2, static_cast<int64_t>(begin));
  out.begin_field(3);
  out.i32(1, static_cast<int32_t>(form.physical));
  out.list(2, thrift::kI32, chunk.encodings.size());
  for (const Encoding encoding : chunk.encodings) out.element(static_cast<int32_t>(encoding));
  out.list(3, thrift::kBinary, 1);
  out.element(form.name);
  out.i32(4, static_cast<int32_t>(chunk.codec));
  out.i64(5, static_cast<int64_t>(chunk.values));
  out.i64(6, static_cast<int64_t>(chunk.raw_bytes));
  out.i64(7, static_cast<int64_t>(chunk.bytes));
  out.i64(9, static_cast<int64_t>(begin + chunk.dictionary_bytes));
  if (chunk.dictionary_bytes > 0) out.i64(11, static_cast<int64_t>(begin));
  out.begin_field(12);
  out.i64(3, static_cast<int64_t>(chunk.nulls));
  if (chunk.least) {
    out.binary(5, *chunk.greatest);
    out.binary(6, *chunk.least);
    out.boolean(7, true);
    out.boolean(8, true);
  }
  out.end();
  out.end();
  out.end();
}

}  // namespace

bool can_write(const sql::Schema& schema) {
  return std::all_of(schema.begin(), schema.end(), [](const sql::Column& column) {
    const std::string published = sql::parquet_type(column.type);
    return is_pair(column.type, published) && column_form(column.name, published).has_value();
  });
}

struct ParquetWriter::State {
  State(Effects& effects, ParquetOptions given, std::unique_ptr<Compressor> with)
      : options(std::move(given)),
        output(effects,
               std::clamp<uint64_t>(options.memory_bytes / 16, kOutBytesMin, kOutBytesMax)),
        compressor(std::move(with)),
        workshop(*compressor) {}

  ParquetOptions options;
  OutputFile output;
  std::unique_ptr<Compressor> compressor;
  Workshop workshop;
  std::vector<ColumnForm> forms;
  std::vector<std::unique_ptr<ColumnWriter>> columns;
  std::vector<size_t> texts;  ///< the columns that hold StringRefs

  uint64_t raw_bytes = 0;  ///< that an ordinary page has at most
  uint64_t look_text_bytes = 0;
  uint64_t reserve_bytes = 0;  ///< what may be added until the next look

  uint64_t rows = 0;                ///< in finished row groups
  uint64_t group_rows = 0;          ///< in the open one
  uint64_t text_bytes = 0;          ///< since the last look
  std::vector<std::string> groups;  ///< the footer's entries
  uint64_t groups_bytes = 0;
  uint64_t peak_bytes = 0;
  std::optional<Failure> failure;

  Status make_columns(const std::vector<ColumnType>& types);
  void share_memory(const std::vector<ColumnType>& types);
  uint64_t rows_until_look(const RowsView& view, uint64_t begin);
  Status append(const RowsView& view);
  Status end_group();
  Status put_footer();
  uint64_t used_bytes() const;
  uint64_t held_bytes() const;
};

void ParquetWriter::State::share_memory(const std::vector<ColumnType>& types) {
  const uint64_t memory = options.memory_bytes;
  uint64_t row_bytes = 0;
  uint64_t widest = 0;
  for (const ColumnType& type : types) {
    row_bytes += std::max<uint64_t>(type.width, 4);
    widest = std::max<uint64_t>(widest, type.width);
  }
  const uint64_t count = std::max<uint64_t>(types.size(), 1);
  workshop.chunk_rows = options.row_group_rows_max;
  const uint64_t affordable = memory / 16 / std::max<uint64_t>(row_bytes, 1);
  workshop.page_rows = std::min(options.page_rows_max, std::max(kLookRows, affordable));
  workshop.text_page_bytes =
      std::clamp<uint64_t>(memory / 16 / count, kTextPageBytesMin, kTextPageBytesMax);
  workshop.dictionary_bytes_max =
      std::clamp<uint64_t>(memory / 8 / count, kDictionaryBytesMin, kDictionaryBytesMax);
  workshop.indices.resize(workshop.page_rows);
  const uint64_t ordinary =
      std::max<uint64_t>(workshop.text_page_bytes, widest * workshop.page_rows);
  raw_bytes = ordinary + ordinary / 8 + 5 * workshop.page_rows;
  workshop.raw.reserve(raw_bytes);
  workshop.packed.reserve(compressor->bound(raw_bytes));
  look_text_bytes = std::clamp<uint64_t>(memory / 16, 1, kLookTextBytesMax);
  reserve_bytes = 2 * look_text_bytes + kLookRows * row_bytes + 2 * PageStore::kSlabBytes +
                  kTrialBytes * workshop.page_rows;
}

Status ParquetWriter::State::make_columns(const std::vector<ColumnType>& types) {
  TG_ASSERT(types.size() == options.schema.size());
  TG_ASSERT(options.row_group_rows_max > 0 && options.page_rows_max > 0);
  share_memory(types);
  forms.reserve(types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    const sql::Column& column = options.schema[i];
    auto form = column_form(column.name, sql::parquet_type(column.type));
    if (!form)
      return fail(FailureClass::kDefect, "parquet.type",
                  fmt::format("column {} has a type that is not written here: {}", column.name,
                              column.type));
    forms.push_back(std::move(*form));
    TG_ASSIGN(auto writer, ColumnWriter::create(forms.back(), types[i], workshop));
    columns.push_back(std::move(writer));
    if (types[i].storage == Storage::kBytes) texts.push_back(i);
  }
  return {};
}

/// Rows from `begin` on, at least one, up to the next look at the memory. Where that is follows
/// from the rows alone.
uint64_t ParquetWriter::State::rows_until_look(const RowsView& view, uint64_t begin) {
  const uint64_t most = std::min({view.rows - begin, kLookRows - group_rows % kLookRows,
                                  options.row_group_rows_max - group_rows});
  const auto text_size = [&](size_t column, uint64_t row) -> uint64_t {
    const auto& texts_of = view.column(column);
    return texts_of.is_valid(row) ? static_cast<const StringRef*>(texts_of.data)[row].size : 0;
  };
  uint64_t bytes = 0;
  for (const size_t column : texts) {
    for (uint64_t row = begin; row < begin + most; ++row) bytes += text_size(column, row);
  }
  if (text_bytes + bytes < look_text_bytes) {
    text_bytes += bytes;
    return most;
  }
  for (uint64_t row = begin; row < begin + most; ++row) {
    for (const size_t column : texts) text_bytes += text_size(column, row);
    if (text_bytes >= look_text_bytes) return row - begin + 1;
  }
  return most;
}

Status ParquetWriter::State::append(const RowsView& view) {
  for (uint64_t begin = 0; begin < view.rows;) {
    const uint64_t count = rows_until_look(view, begin);
    for (size_t i = 0; i < columns.size(); ++i)
      TG_TRY(columns[i]->append(view.column(i), begin, count));
    begin += count;
    group_rows += count;
    if (group_rows % kLookRows != 0 && text_bytes < look_text_bytes &&
        group_rows < options.row_group_rows_max)
      continue;
    text_bytes = 0;
    // Slabs of a row group before are no use if dictionaries need their place.
    if (held_bytes() + reserve_bytes > options.memory_bytes) workshop.store.trim();
    peak_bytes = std::max(peak_bytes, held_bytes());
    if (group_rows == options.row_group_rows_max ||
        used_bytes() + reserve_bytes > options.memory_bytes)
      TG_TRY(end_group());
  }
  peak_bytes = std::max(peak_bytes, held_bytes());
  return {};
}

Status ParquetWriter::State::end_group() {
  if (group_rows == 0) return {};
  const uint64_t begin = output.bytes();
  std::string entries;
  thrift::Writer entries_out(entries);
  uint64_t chunks_bytes = 0;
  for (size_t i = 0; i < columns.size(); ++i) {
    TG_ASSIGN(const Chunk chunk, columns[i]->finish_chunk());
    peak_bytes = std::max(peak_bytes, held_bytes());
    const uint64_t chunk_begin = output.bytes();
    for (const PageStore::Range& page : chunk.pages)
      TG_TRY(workshop.store.each_piece(
          page, [&](std::span<const uint8_t> piece) { return output.write(piece); }));
    put_chunk(entries_out, forms[i], chunk, chunk_begin);
    chunks_bytes += chunk.raw_bytes;
  }
  std::string& group = groups.emplace_back();
  thrift::Writer out(group);
  out.begin();
  out.list(1, thrift::kStruct, columns.size());
  out.raw(entries);
  out.i64(2, static_cast<int64_t>(chunks_bytes));
  out.i64(3, static_cast<int64_t>(group_rows));
  out.i64(5, static_cast<int64_t>(begin));
  out.i64(6, static_cast<int64_t>(output.bytes() - begin));
  out.end();
  group.shrink_to_fit();
  groups_bytes += group.capacity() + sizeof(std::string);
  rows += group_rows;
  group_rows = 0;
  text_bytes = 0;
  workshop.store.clear();
  workshop.raw.shrink(4 * raw_bytes);
  workshop.packed.shrink(4 * raw_bytes);
  return {};
}

Status ParquetWriter::State::put_footer() {
  std::string footer;
  thrift::Writer out(footer);
  constexpr int kRequired = 0;
  out.begin();
  out.i32(1, 2);
  out.list(2, thrift::kStruct, forms.size() + 1);
  out.begin();
  out.i32(3, kRequired);
  out.binary(4, "schema");
  out.i32(5, static_cast<int32_t>(forms.size()));
  out.end();
  for (const ColumnForm& form : forms) form.put_schema_element(out);
  out.i64(3, static_cast<int64_t>(rows));
  out.list(4, thrift::kStruct, groups.size());
  for (const std::string& group : groups) out.raw(group);
  out.binary(6, "tidegate");
  // Every column has the order of its type.
  out.list(7, thrift::kStruct, forms.size());
  for (size_t i = 0; i < forms.size(); ++i) {
    out.begin();
    out.begin_field(1);
    out.end();
    out.end();
  }
  out.end();
  if (footer.size() > INT32_MAX)
    return fail(FailureClass::kDefect, "parquet.footer", "too many row groups for a Parquet file");
  const auto size = static_cast<uint32_t>(footer.size());
  TG_TRY(output.write(footer));
  TG_TRY(output.write({reinterpret_cast<const uint8_t*>(&size), 4}));
  return output.write(kMagic);
}

/// What the rows decide: it says when a row group ends, so it must not depend on how they came.
uint64_t ParquetWriter::State::used_bytes() const {
  // Columns close their pages in an order that follows the appends, so that what the workshop has
  // grown to may not count: the largest page stands for it.
  const uint64_t largest = std::max<uint64_t>(raw_bytes, workshop.raw_bytes_max);
  uint64_t bytes = output.held_bytes() + groups_bytes + compressor->held_bytes_max() +
                   workshop.page_rows * sizeof(uint32_t) + 3 * largest - raw_bytes +
                   workshop.store.used_bytes();
  for (const auto& column : columns) bytes += column->used_bytes();
  return bytes;
}

uint64_t ParquetWriter::State::held_bytes() const {
  uint64_t bytes = output.held_bytes() + groups_bytes + workshop.held_bytes();
  for (const auto& column : columns) bytes += column->held_bytes();
  return bytes;
}

ParquetWriter::ParquetWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}

ParquetWriter::~ParquetWriter() = default;

Result<std::unique_ptr<ParquetWriter>> ParquetWriter::create(Effects& effects,
                                                             const std::string& path,
                                                             ParquetOptions options,
                                                             const std::vector<ColumnType>& types) {
  TG_ASSIGN(auto compressor, Compressor::create(options.compression));
  auto state = std::make_unique<State>(effects, std::move(options), std::move(compressor));
  TG_TRY(state->make_columns(types));
  TG_TRY(state->output.create(path));
  return std::unique_ptr<ParquetWriter>(new ParquetWriter(std::move(state)));
}

Status ParquetWriter::append(const RowsView& rows) {
  if (state_->failure) return std::unexpected(*state_->failure);
  Status status = state_->append(rows);
  if (!status) state_->failure = status.error();
  return status;
}

Result<ParquetSummary> ParquetWriter::finish() {
  State& state = *state_;
  if (state.failure) return std::unexpected(*state.failure);
  TG_TRY(state.end_group());
  TG_TRY(state.put_footer());
  TG_TRY(state.output.flush());
  state.output.close();
  return ParquetSummary{state.rows, state.output.bytes(), state.output.xxh3(), state.groups.size(),
                        std::max(state.peak_bytes, state.held_bytes())};
}

uint64_t ParquetWriter::held_bytes() const { return state_->held_bytes(); }

}  // namespace tidegate::sink
