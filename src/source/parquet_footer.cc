#include "source/parquet_footer.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>

namespace tidegate {
namespace {

/// Types of Thrift's compact protocol.
enum ThriftType : uint8_t {
  kStop = 0,
  kTrue = 1,
  kFalse = 2,
  kByte = 3,
  kI16 = 4,
  kI32 = 5,
  kI64 = 6,
  kDouble = 7,
  kBinary = 8,
  kList = 9,
  kSet = 10,
  kMap = 11,
  kStruct = 12,
  kUuid = 13,
};

/// Structs, lists and maps within each other.
constexpr int kThriftDepthMax = 32;

/// A reader that stops at the first thing that is wrong: from then on it is `broken` and gives
/// zeroes.
class ThriftReader {
 public:
  explicit ThriftReader(std::string_view bytes) : bytes_(bytes) {}

  bool broken() const { return broken_; }
  size_t at() const { return at_; }
  std::string_view from(size_t begin) const { return bytes_.substr(begin, at_ - begin); }

  /// Calls `field` with each field's number and type; it must read or skip the value.
  void each_field(const std::function<void(int16_t id, ThriftType type)>& field) {
    if (++depth_ > kThriftDepthMax) return fail();
    int16_t id = 0;
    while (!broken_) {
      const uint8_t head = byte();
      const auto type = static_cast<ThriftType>(head & 0x0F);
      if (type == kStop) break;
      const int64_t next = (head >> 4) != 0 ? id + (head >> 4) : number();
      if (next < 0 || next > std::numeric_limits<int16_t>::max()) return fail();
      id = static_cast<int16_t>(next);
      field(id, type);
    }
    --depth_;
  }

  /// Calls `item` for each of a list of structs; skips a list of anything else.
  void each_struct(const std::function<void()>& item) {
    const auto [count, type] = list_head();
    if (++depth_ > kThriftDepthMax) return fail();
    for (uint64_t i = 0; i < count && !broken_; ++i)
      if (type == kStruct)
        item();
      else
        skip_item(type);
    --depth_;
  }

  /// A number of any width.
  int64_t number() {
    const uint64_t value = varint();
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
  }

  void skip(ThriftType type) {
    if (type == kTrue || type == kFalse) return;  // the value is in the field's head
    skip_item(type);
  }

 private:
  void fail() { broken_ = true; }

  uint8_t byte() {
    if (at_ >= bytes_.size()) fail();
    return broken_ ? uint8_t{0} : static_cast<uint8_t>(bytes_[at_++]);
  }

  void pass(uint64_t count) {
    if (count > bytes_.size() - at_) return fail();
    at_ += count;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t next = byte();
      value |= static_cast<uint64_t>(next & 0x7F) << shift;
      if ((next & 0x80) == 0) return value;
    }
    fail();
    return 0;
  }

  /// What has not a byte for each of its items is not believed.
  std::pair<uint64_t, ThriftType> list_head() {
    const uint8_t head = byte();
    const uint64_t count = (head >> 4) == 15 ? varint() : head >> 4;
    if (count > bytes_.size() - at_) fail();
    return {broken_ ? 0 : count, static_cast<ThriftType>(head & 0x0F)};
  }

  void skip_item(ThriftType type) {
    switch (type) {
      case kTrue:
      case kFalse:
      case kByte:
        return pass(1);
      case kI16:
      case kI32:
      case kI64:
        varint();
        return;
      case kDouble:
        return pass(8);
      case kUuid:
        return pass(16);
      case kBinary:
        return pass(varint());
      case kStruct:
        return each_field([this](int16_t, ThriftType of) { skip(of); });
      case kList:
      case kSet:
        return each_struct([this] { skip_item(kStruct); });
      case kMap:
        return skip_map();
      case kStop:
        break;
    }
    fail();
  }

  void skip_map() {
    const uint64_t count = varint();
    if (count == 0 || broken_) return;
    if (count > bytes_.size() - at_ || ++depth_ > kThriftDepthMax) return fail();
    const uint8_t types = byte();
    for (uint64_t i = 0; i < count && !broken_; ++i) {
      skip_item(static_cast<ThriftType>(types >> 4));
      skip_item(static_cast<ThriftType>(types & 0x0F));
    }
    --depth_;
  }

  std::string_view bytes_;
  size_t at_ = 0;
  int depth_ = 0;
  bool broken_ = false;
};

class FooterParser {
 public:
  explicit FooterParser(std::string_view bytes) : in_(bytes) {}

  Result<ParquetFooter> run() {
    in_.each_field([this](int16_t id, ThriftType type) {
      if (id == 2 && type == kList)
        schema();
      else if (id == 4 && type == kList)
        in_.each_struct([this] { row_group(); });
      else
        in_.skip(type);
    });
    if (in_.broken() || wrong_ || footer_.schema.empty())
      return fail(FailureClass::kData, "source.bad_file", "its footer is not Parquet metadata");
    return std::move(footer_);
  }

 private:
  void schema() {
    const size_t begin = in_.at();
    in_.skip(kList);
    footer_.schema = in_.from(begin);
  }

  void row_group() {
    RowGroup group;
    in_.each_field([&](int16_t id, ThriftType type) {
      if (id == 1 && type == kList)
        in_.each_struct([&] { group.bytes += column_bytes(); });
      else if (id == 3 && type == kI64)
        group.rows = count();
      else
        in_.skip(type);
    });
    group.row_begin = rows_;
    wrong_ = wrong_ || __builtin_add_overflow(rows_, group.rows, &rows_);
    footer_.row_groups.push_back(group);
  }

  /// Compressed, of a ColumnChunk.
  uint64_t column_bytes() {
    uint64_t bytes = 0;
    in_.each_field([&](int16_t id, ThriftType type) {
      if (id != 3 || type != kStruct) return in_.skip(type);
      in_.each_field([&](int16_t of, ThriftType kind) {
        if (of == 7 && kind == kI64)
          bytes = count();
        else
          in_.skip(kind);
      });
    });
    return bytes;
  }

  uint64_t count() {
    const int64_t value = in_.number();
    wrong_ = wrong_ || value < 0;
    return static_cast<uint64_t>(std::max<int64_t>(value, 0));
  }

  ThriftReader in_;
  ParquetFooter footer_;
  uint64_t rows_ = 0;
  bool wrong_ = false;
};

}  // namespace

Result<ParquetFooter> parse_parquet_footer(std::string_view bytes) {
  return FooterParser(bytes).run();
}

}  // namespace tidegate
