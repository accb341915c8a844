#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::sink {

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

/// Writes structs in Thrift's compact protocol, as far as Parquet's metadata needs it. Fields are
/// written in the order of their ids. A list's elements follow `list`: structs by begin and end.
class ThriftWriter {
 public:
  enum Type : uint8_t {
    kTrue = 1,
    kFalse = 2,
    kI32 = 5,
    kI64 = 6,
    kBinary = 8,
    kList = 9,
    kStruct = 12
  };

  explicit ThriftWriter(std::string& out) : out_(out) {}
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

}  // namespace tidegate::sink
