// Columns of text and bytes.
#include <algorithm>
#include <bit>

#include "sink/column_writer.h"
#include "sink/dictionary.h"

namespace tidegate::sink {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Meaning;
using batch::Storage;
using batch::StringRef;

constexpr size_t kSampleBytes = size_t{64} << 10;
/// Longer texts are no statistics.
constexpr size_t kStatisticMax = 64;
/// What may be written and read past a text's end.
constexpr size_t kSlack = 32;

/// Copies a text of any length; short ones in moves of a fixed size, that write up to 16 bytes.
inline void copy_text(uint8_t* to, const StringRef& text) {
  if (text.is_inline()) {
    std::memcpy(to, text.prefix, StringRef::kInlineMax);
  } else if (text.size <= 16) {
    std::memcpy(to, text.pointer, 8);
    std::memcpy(to + text.size - 8, text.pointer + text.size - 8, 8);
  } else if (text.size <= 32) {
    std::memcpy(to, text.pointer, 16);
    std::memcpy(to + text.size - 16, text.pointer + text.size - 16, 16);
  } else {
    std::memcpy(to, text.pointer, text.size);
  }
}

/// The least or the greatest text by its first 65 bytes: it is exact up to 64, and known to be
/// longer beyond.
class Extreme {
 public:
  std::string_view text() const { return text_; }
  uint64_t head() const { return head_; }
  void set(std::string_view text) {
    text_.assign(text.substr(0, kStatisticMax + 1));
    head_ = head_of(text_.data(), text_.size());
  }
  /// The first eight bytes, zeros after the end, as a number in the order of bytes.
  static uint64_t head_of(const char* data, size_t size) {
    uint64_t head = 0;
    std::memcpy(&head, data, std::min<size_t>(size, 8));
    return __builtin_bswap64(head);
  }

 private:
  std::string text_;
  uint64_t head_ = 0;
};

class TextColumn final : public ColumnWriter {
 public:
  TextColumn(const ColumnForm& form, const ColumnType& type, Workshop& workshop)
      : ColumnWriter(form, workshop),
        storage_(type.storage),
        sizes_(std::make_unique_for_overwrite<uint32_t[]>(workshop.page_rows)) {
    for (const std::string& text : type.enum_texts) {
      enum_texts_.push_back(text);
      enum_bytes_ += text.capacity() + sizeof(std::string);
    }
  }

  size_t used_bytes() const override {
    return bytes_.size() + bytes_.size() / 2 + sizes_bytes() + enum_bytes_ +
           dictionary_.slot_bytes() + dictionary_.entries.held_bytes();
  }

 protected:
  Result<size_t> stage(const ColumnView& view, size_t begin, size_t count) override {
    switch (storage_) {
      case Storage::kU8:
        return stage_enum<uint8_t>(view, begin, count);
      case Storage::kU16:
        return stage_enum<uint16_t>(view, begin, count);
      case Storage::kU32:
        return stage_enum<uint32_t>(view, begin, count);
      default:
        return stage_texts(view, begin, count);
    }
  }
  size_t staged() const override { return count_; }
  void clear_stage() override {
    count_ = 0;
    bytes_.shrink(workshop_.text_page_bytes * 4);
  }
  size_t sample() const override {
    size_t count = 0;
    for (size_t bytes = 0; count < count_ && (count == 0 || bytes < kSampleBytes); ++count)
      bytes += sizes_[count] + 4;
    return count;
  }
  std::span<const Encoding> encodings() const override {
    static constexpr Encoding kEncodings[] = {Encoding::kPlain, Encoding::kDeltaLength};
    return kEncodings;
  }
  void encode(Encoding encoding, size_t count, Buffer& out) const override {
    size_t total = 0;
    for (size_t i = 0; i < count; ++i) total += sizes_[i];
    if (encoding == Encoding::kDeltaLength) {
      put_delta(sizes_.get(), count, out);
      out.append(bytes_.data(), total);
      return;
    }
    uint8_t* to = out.room(total + count * 4 + kSlack);
    const uint8_t* from = bytes_.data();
    for (size_t i = 0; i < count; ++i) {
      const uint32_t size = sizes_[i];
      std::memcpy(to, &size, 4);
      if (size <= 32) {
        std::memcpy(to + 4, from, 32);  // both have slack
      } else {
        std::memcpy(to + 4, from, size);
      }
      to += 4 + size;
      from += size;
    }
    out.grow(total + count * 4);
  }
  bool map(uint32_t* out) override {
    const char* at = reinterpret_cast<const char*>(bytes_.data());
    return dictionary_.map(
        [&](size_t i) {
          const std::string_view text(at, sizes_[i]);
          at += sizes_[i];
          return text;
        },
        count_, workshop_.dictionary_bytes_max, out);
  }
  size_t dictionary_size() const override { return dictionary_.entries.size(); }
  size_t dictionary_half() const override { return dictionary_.half(); }
  size_t dictionary_bytes() const override { return dictionary_.entries.bytes(); }
  void put_dictionary(Buffer& out) const override {
    out.append(dictionary_.entries.data(), dictionary_.entries.bytes());
  }
  void clear_dictionary(bool keep) override { dictionary_.clear(keep); }
  void note_stage() override {
    const char* at = reinterpret_cast<const char*>(bytes_.data());
    for (size_t i = 0; i < count_; ++i) {
      uint64_t head = 0;
      std::memcpy(&head, at, 8);  // of slack, too
      const uint32_t size = sizes_[i];
      if (size < 8) head = size == 0 ? 0 : head << (64 - 8 * size) >> (64 - 8 * size);
      note({at, size}, __builtin_bswap64(head));
      at += size;
    }
  }
  void note_dictionary() override {
    for (size_t i = 0; i < dictionary_.entries.size(); ++i) {
      const std::string_view text = dictionary_.entries.value(i);
      note(text, Extreme::head_of(text.data(), text.size()));
    }
  }
  void take_statistics(Chunk& chunk) override {
    if (any_ && least_.text().size() <= kStatisticMax && greatest_.text().size() <= kStatisticMax) {
      chunk.least = least_.text();
      chunk.greatest = greatest_.text();
    }
    any_ = false;
  }
  size_t own_bytes() const override {
    return bytes_.capacity() + sizes_bytes() + enum_bytes_ + dictionary_.slot_bytes() +
           dictionary_.entries.held_bytes();
  }

 private:
  size_t sizes_bytes() const { return workshop_.page_rows * sizeof(uint32_t); }

  Result<size_t> stage_texts(const ColumnView& view, size_t begin, size_t count) {
    const auto* const texts = static_cast<const StringRef*>(view.data) + begin;
    const auto is_full = [&] { return bytes_.size() >= workshop_.text_page_bytes; };
    size_t row = 0;
    for (; row < count && !is_full(); ++row) {
      if (!view.is_valid(begin + row)) continue;
      const StringRef& text = texts[row];
      copy_text(bytes_.room(text.size + kSlack), text);
      bytes_.grow(text.size);
      sizes_[count_++] = text.size;
    }
    return row;
  }

  template <typename Code>
  Result<size_t> stage_enum(const ColumnView& view, size_t begin, size_t count) {
    const Code* const codes = static_cast<const Code*>(view.data) + begin;
    size_t row = 0;
    for (; row < count && bytes_.size() < workshop_.text_page_bytes; ++row) {
      if (!view.is_valid(begin + row)) continue;
      const std::string& text = enum_texts_[codes[row]];
      std::memcpy(bytes_.room(text.size() + kSlack), text.data(), text.size());
      bytes_.grow(text.size());
      sizes_[count_++] = static_cast<uint32_t>(text.size());
    }
    return row;
  }

  void note(std::string_view text, uint64_t head) {
    if (any_ && head > least_.head() && head < greatest_.head()) return;
    const std::string_view shortened = text.substr(0, kStatisticMax + 1);
    if (!any_ || shortened < least_.text()) least_.set(text);
    if (!any_ || shortened > greatest_.text()) greatest_.set(text);
    any_ = true;
  }

  Storage storage_;
  std::vector<std::string> enum_texts_;
  size_t enum_bytes_ = 0;
  std::unique_ptr<uint32_t[]> sizes_;
  size_t count_ = 0;
  Buffer bytes_;  ///< the texts one behind the other
  Dictionary<TextEntries> dictionary_;
  bool any_ = false;
  Extreme least_;
  Extreme greatest_;
};

}  // namespace

std::unique_ptr<ColumnWriter> make_text_column(const ColumnForm& form, const ColumnType& type,
                                               Workshop& workshop) {
  const bool text = form.published.meaning == Meaning::kVarchar &&
                    (type.meaning == Meaning::kVarchar || type.meaning == Meaning::kEnum);
  const bool blob = form.published.meaning == Meaning::kBlob && type.meaning == Meaning::kBlob;
  if (!text && !blob) return nullptr;
  return std::make_unique<TextColumn>(form, type, workshop);
}

}  // namespace tidegate::sink
