#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Thrift's compact protocol, as far as Parquet's metadata needs it.
namespace tidegate::thrift {

enum Type : uint8_t {
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

/// Appends `value` as an unsigned LEB128.
inline void put_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

inline uint64_t zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}

/// Writes structs. Fields are written in the order of their ids. A list's elements follow `list`:
/// structs by begin and end.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  void begin() { last_.push_back(0); }
  void end() {
    out_.push_back(0);
    last_.pop_back();
  }
  void begin_field(int id) {
    header(id, kStruct);
    begin();
  }
  void boolean(int id, bool value) { header(id, value ? kTrue : kFalse); }
  void i32(int id, int32_t value) {
    header(id, kI32);
    put_varint(out_, zigzag(value));
  }
  void i64(int id, int64_t value) {
    header(id, kI64);
    put_varint(out_, zigzag(value));
  }
  void binary(int id, std::string_view value) {
    header(id, kBinary);
    element(value);
  }
  void list(int id, Type type, size_t size) {
    header(id, kList);
    if (size < 15) {
      out_.push_back(static_cast<char>(size << 4 | type));
    } else {
      out_.push_back(static_cast<char>(0xf0 | type));
      put_varint(out_, size);
    }
  }
  void element(std::string_view value) {
    put_varint(out_, value.size());
    out_.append(value);
  }
  void element(int32_t value) { put_varint(out_, zigzag(value)); }
  /// An element that was written before.
  void raw(std::string_view bytes) { out_.append(bytes); }

 private:
  void header(int id, Type type) {
    const int delta = id - last_.back();
    if (delta > 0 && delta < 16) {
      out_.push_back(static_cast<char>(delta << 4 | type));
    } else {
      out_.push_back(static_cast<char>(type));
      put_varint(out_, zigzag(id));
    }
    last_.back() = id;
  }

  std::string& out_;
  std::vector<int> last_;  ///< of each open struct, the id of the field before
};

/// Structs, lists and maps within each other.
inline constexpr int kDepthMax = 32;

/// A reader that stops at the first thing that is wrong: from then on it is `broken` and gives
/// zeroes.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  bool broken() const { return broken_; }
  size_t at() const { return at_; }
  std::string_view from(size_t begin) const { return bytes_.substr(begin, at_ - begin); }

  /// Calls `field` with each field's number and type; it must read or skip the value.
  void each_field(const std::function<void(int16_t id, Type type)>& field) {
    if (++depth_ > kDepthMax) return fail();
    int16_t id = 0;
    while (!broken_) {
      const uint8_t head = byte();
      const auto type = static_cast<Type>(head & 0x0F);
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
    if (++depth_ > kDepthMax) return fail();
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

  void skip(Type type) {
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
  std::pair<uint64_t, Type> list_head() {
    const uint8_t head = byte();
    const uint64_t count = (head >> 4) == 15 ? varint() : head >> 4;
    if (count > bytes_.size() - at_) fail();
    return {broken_ ? 0 : count, static_cast<Type>(head & 0x0F)};
  }

  void skip_item(Type type) {
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
        return each_field([this](int16_t, Type of) { skip(of); });
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
    if (count > bytes_.size() - at_ || ++depth_ > kDepthMax) return fail();
    const uint8_t types = byte();
    for (uint64_t i = 0; i < count && !broken_; ++i) {
      skip_item(static_cast<Type>(types >> 4));
      skip_item(static_cast<Type>(types & 0x0F));
    }
    --depth_;
  }

  std::string_view bytes_;
  size_t at_ = 0;
  int depth_ = 0;
  bool broken_ = false;
};

}  // namespace tidegate::thrift
