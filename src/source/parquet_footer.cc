#include "source/parquet_footer.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/thrift.h"

namespace tidegate {
namespace {

class FooterParser {
 public:
  explicit FooterParser(std::string_view bytes) : in_(bytes) {}

  Result<ParquetFooter> run() {
    in_.each_field([this](int16_t id, thrift::Type type) {
      if (id == 2 && type == thrift::kList)
        schema();
      else if (id == 4 && type == thrift::kList)
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
    in_.skip(thrift::kList);
    footer_.schema = in_.from(begin);
  }

  void row_group() {
    RowGroup group;
    in_.each_field([&](int16_t id, thrift::Type type) {
      if (id == 1 && type == thrift::kList)
        in_.each_struct([&] { group.bytes += column_bytes(); });
      else if (id == 3 && type == thrift::kI64)
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
    in_.each_field([&](int16_t id, thrift::Type type) {
      if (id != 3 || type != thrift::kStruct) return in_.skip(type);
      in_.each_field([&](int16_t of, thrift::Type kind) {
        if (of == 7 && kind == thrift::kI64)
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

  thrift::Reader in_;
  ParquetFooter footer_;
  uint64_t rows_ = 0;
  bool wrong_ = false;
};

}  // namespace

Result<ParquetFooter> parse_parquet_footer(std::string_view bytes) {
  return FooterParser(bytes).run();
}

}  // namespace tidegate
