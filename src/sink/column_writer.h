#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "batch/chunk_view.h"
#include "sink/column_form.h"
#include "sink/compressor.h"
#include "sink/encoding.h"
#include "sink/page_store.h"

namespace tidegate::sink {

/// What the columns of one writer share: the limits, the pages that wait, and room to encode in.
struct Workshop {
  explicit Workshop(Compressor& with) : compressor(with) {}

  Compressor& compressor;
  uint64_t chunk_rows = 0;          ///< rows that a whole row group has
  size_t page_rows = 0;             ///< a page is closed with that many rows,
  size_t text_page_bytes = 0;       ///< or, of text, with that many bytes
  size_t dictionary_bytes_max = 0;  ///< of one column's dictionary page
  PageStore store;
  Buffer raw;     ///< a page before compression
  Buffer packed;  ///< and after
  std::vector<uint32_t> indices;
  std::string head;
  size_t raw_bytes_max = 0;  ///< the largest page yet

  size_t held_bytes() const {
    return compressor.held_bytes() + store.held_bytes() + raw.capacity() + packed.capacity() +
           indices.capacity() * sizeof(uint32_t);
  }
};

/// A finished column chunk: its pages in the workshop's store, in the order of the file.
struct Chunk {
  std::vector<PageStore::Range> pages;
  uint64_t dictionary_bytes = 0;  ///< of the first page, if that is a dictionary; else 0
  std::vector<Encoding> encodings;
  Codec codec = Codec::kNone;
  uint64_t values = 0;  ///< with NULLs
  uint64_t nulls = 0;
  uint64_t raw_bytes = 0;            ///< pages with their heads before compression
  uint64_t bytes = 0;                ///< and as they are
  std::optional<std::string> least;  ///< as statistics have them; nothing where they are left out
  std::optional<std::string> greatest;
};

/// One column: gathers values to pages, chooses how a chunk is encoded by what its first page with
/// values becomes, and keeps the pages until the row group ends. Page cuts and choices depend on
/// the rows alone, not on how they were cut into appends.
class ColumnWriter {
 public:
  /// A column of `type` that is published as `form`. A pair that is not known is a defect failure
  /// "parquet.type". `workshop` outlives it.
  static Result<std::unique_ptr<ColumnWriter>> create(const ColumnForm& form,
                                                      const batch::ColumnType& type,
                                                      Workshop& workshop);
  virtual ~ColumnWriter() = default;

  /// A value that the form cannot hold is a data failure "parquet.value"; nothing may follow it.
  Status append(const batch::ColumnView& view, size_t begin, size_t count);
  /// Ends the chunk; the next append begins another.
  Result<Chunk> finish_chunk();
  /// Bytes held that belong to the chunk, the same however its rows were cut.
  virtual size_t used_bytes() const = 0;
  /// Bytes allocated.
  size_t held_bytes() const { return own_bytes() + levels_.capacity() * sizeof(uint64_t); }

 protected:
  ColumnWriter(const ColumnForm& form, Workshop& workshop) : form_(form), workshop_(workshop) {}

  /// Takes values of up to `count` rows without their NULLs; returns the rows taken, fewer only
  /// when the page is full.
  virtual Result<size_t> stage(const batch::ColumnView& view, size_t begin, size_t count) = 0;
  virtual size_t staged() const = 0;  ///< values
  virtual void clear_stage() = 0;
  /// How many of the staged values a measurement looks at.
  virtual size_t sample() const = 0;
  /// Encodings to choose from besides the dictionary; the first is PLAIN.
  virtual std::span<const Encoding> encodings() const = 0;
  virtual void encode(Encoding encoding, size_t count, Buffer& out) const = 0;
  /// Numbers the staged values by the chunk's dictionary; false if it would grow too large.
  virtual bool map(uint32_t* out) = 0;
  virtual size_t dictionary_size() const = 0;
  virtual size_t dictionary_half() const = 0;  ///< that the first half of the last map added
  virtual size_t dictionary_bytes() const = 0;
  virtual void put_dictionary(Buffer& out) const = 0;
  virtual void clear_dictionary(bool keep) = 0;  ///< `keep`: the room for it
  /// Statistics: counts the staged values in; counts the dictionary in; gives and forgets.
  virtual void note_stage() = 0;
  virtual void note_dictionary() = 0;
  virtual void take_statistics(Chunk& chunk) = 0;
  virtual size_t own_bytes() const = 0;

  const ColumnForm& form_;
  Workshop& workshop_;

 private:
  struct Cost {
    double raw = 0;  ///< bytes a value
    double packed = 0;
    double least() const { return std::min(raw, packed); }
  };
  void add_levels(const uint64_t* validity, size_t begin, size_t count);
  Status close_page(bool last);
  Status choose(bool last);
  Result<Cost> measure(Encoding encoding, size_t count);
  Result<Cost> measure_packed(size_t count);
  Result<Cost> measure_dictionary(const Cost& plain, bool last);
  Status put_page(std::optional<Encoding> encoding, size_t values);

  // The page.
  size_t rows_ = 0;
  std::vector<uint64_t> levels_;  ///< empty while no row is NULL
  // The chunk.
  Chunk chunk_;
  bool chosen_ = false;
  Encoding encoding_ = Encoding::kPlain;
  Encoding fallback_ = Encoding::kPlain;  ///< when the dictionary is full
};

/// Makers of the writers of each kind, null for types they do not know.
std::unique_ptr<ColumnWriter> make_fixed_column(const ColumnForm& form,
                                                const batch::ColumnType& type, Workshop& workshop);
std::unique_ptr<ColumnWriter> make_boolean_column(const ColumnForm& form,
                                                  const batch::ColumnType& type,
                                                  Workshop& workshop);
std::unique_ptr<ColumnWriter> make_text_column(const ColumnForm& form,
                                               const batch::ColumnType& type, Workshop& workshop);

}  // namespace tidegate::sink
