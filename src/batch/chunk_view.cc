#include "batch/chunk_view.h"

#include <cstring>

#include "batch/value_codec.h"
#include "duckdb.h"

namespace tidegate::batch {

struct ChunkView::Scratch {
  std::vector<StringRef> texts;
  std::vector<int128> wide;
  std::string bytes;
  std::vector<size_t> ends;
  duckdb_logical_type type = nullptr;
  duckdb_vector flat = nullptr;
  duckdb_selection_vector identity = nullptr;

  ~Scratch() {
    if (flat != nullptr) duckdb_destroy_vector(&flat);
    if (type != nullptr) duckdb_destroy_logical_type(&type);
    if (identity != nullptr) duckdb_destroy_selection_vector(identity);
  }
};

ChunkView::ChunkView(std::vector<ColumnType> types)
    : types_(std::move(types)), columns_(types_.size()), scratch_(types_.size()) {}

ChunkView::~ChunkView() = default;

Status ChunkView::load(_duckdb_data_chunk* chunk) {
  if (duckdb_data_chunk_get_column_count(chunk) != types_.size()) {
    return fail(FailureClass::kDefect, "batch.columns", "a chunk has another number of columns");
  }
  rows_ = duckdb_data_chunk_get_size(chunk);
  for (size_t i = 0; i < types_.size(); ++i) {
    duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, i);
    columns_[i].validity = duckdb_vector_get_validity(vector);
    if (types_[i].is_nested()) {
      TG_TRY(load_nested(i, vector));
    } else if (types_[i].storage == Storage::kBytes) {
      load_bytes(i, duckdb_vector_get_data(vector));
    } else {
      load_fixed(i, duckdb_vector_get_data(vector));
    }
  }
  return {};
}

void ChunkView::load_fixed(size_t index, const void* data) {
  columns_[index].data = data;
  const bool wide =
      types_[index].storage == Storage::kI128 || types_[index].storage == Storage::kU128;
  // DuckDB aligns values of 128 bits to 8 bytes, and gives some where they lie.
  if (!wide || reinterpret_cast<uintptr_t>(data) % alignof(int128) == 0) return;
  if (!scratch_[index]) scratch_[index] = std::make_unique<Scratch>();
  std::vector<int128>& values = scratch_[index]->wide;
  values.resize(rows_);
  std::memcpy(values.data(), data, rows_ * sizeof(int128));
  columns_[index].data = values.data();
}

void ChunkView::load_bytes(size_t index, const void* data) {
  ColumnView& column = columns_[index];
  column.data = data;
  if (column.validity == nullptr) return;
  // What lies under a NULL is not initialised: it must not be read as a length.
  bool any_null = false;
  for (size_t row = 0; row < rows_ && !any_null; ++row) any_null = !column.is_valid(row);
  if (!any_null) return;
  if (!scratch_[index]) scratch_[index] = std::make_unique<Scratch>();
  std::vector<StringRef>& texts = scratch_[index]->texts;
  texts.resize(rows_);
  for (size_t row = 0; row < rows_; ++row) {
    texts[row] = column.is_valid(row) ? static_cast<const StringRef*>(data)[row] : StringRef{};
  }
  column.data = texts.data();
}

Status ChunkView::load_nested(size_t index, duckdb_vector vector) {
  if (!scratch_[index]) scratch_[index] = std::make_unique<Scratch>();
  Scratch& scratch = *scratch_[index];
  // DuckDB flattens a result's vectors but not always their children, and the C API cannot tell;
  // a copy is flat all through.
  if (scratch.flat != nullptr) duckdb_destroy_vector(&scratch.flat);
  if (scratch.type == nullptr) scratch.type = duckdb_vector_get_column_type(vector);
  if (scratch.identity == nullptr) {
    const idx_t size = duckdb_vector_size();
    scratch.identity = duckdb_create_selection_vector(size);
    sel_t* entries = duckdb_selection_vector_get_data_ptr(scratch.identity);
    for (idx_t i = 0; i < size; ++i) entries[i] = static_cast<sel_t>(i);
  }
  TG_ASSERT(rows_ <= duckdb_vector_size());
  scratch.flat = duckdb_create_vector(scratch.type, duckdb_vector_size());
  duckdb_vector_copy_sel(vector, scratch.flat, scratch.identity, rows_, 0, 0);

  ColumnView& column = columns_[index];
  const VectorTree tree = VectorTree::of(types_[index], scratch.flat);
  column.validity = tree.validity;
  scratch.bytes.clear();
  scratch.ends.clear();
  for (size_t row = 0; row < rows_; ++row) {
    if (tree.is_valid(row)) encode_value(types_[index], tree, row, scratch.bytes);
    scratch.ends.push_back(scratch.bytes.size());
  }
  scratch.texts.assign(rows_, StringRef{});
  size_t begin = 0;
  for (size_t row = 0; row < rows_; ++row) {
    const size_t size = scratch.ends[row] - begin;
    if (size > UINT32_MAX) {
      return fail(FailureClass::kMemory, "batch.value_too_large",
                  "a nested value takes more than 4 GiB");
    }
    StringRef& text = scratch.texts[row];
    text.size = static_cast<uint32_t>(size);
    if (text.is_inline()) {
      std::memcpy(text.prefix, scratch.bytes.data() + begin, size);
    } else {
      std::memcpy(text.prefix, scratch.bytes.data() + begin, 4);
      text.pointer = scratch.bytes.data() + begin;
    }
    begin = scratch.ends[row];
  }
  column.data = scratch.texts.data();
  return {};
}

size_t ChunkView::held_bytes() const {
  size_t bytes = 0;
  for (const auto& scratch : scratch_) {
    if (!scratch) continue;
    bytes += scratch->bytes.capacity() + scratch->texts.capacity() * sizeof(StringRef) +
             scratch->wide.capacity() * sizeof(int128) + scratch->ends.capacity() * sizeof(size_t);
  }
  return bytes;
}

Result<std::vector<ColumnType>> chunk_types(_duckdb_data_chunk* chunk) {
  std::vector<ColumnType> types;
  const idx_t count = duckdb_data_chunk_get_column_count(chunk);
  for (idx_t i = 0; i < count; ++i) {
    duckdb_logical_type raw = duckdb_vector_get_column_type(duckdb_data_chunk_get_vector(chunk, i));
    auto type = column_type(raw);
    duckdb_destroy_logical_type(&raw);
    if (!type) return std::unexpected(std::move(type).error());
    types.push_back(std::move(*type));
  }
  return types;
}

}  // namespace tidegate::batch
