#include "sink/column_form.h"

namespace tidegate::sink {
namespace {

using batch::Meaning;
using batch::Storage;

bool set_integer(ColumnForm& form) {
  switch (form.published.storage) {
    case Storage::kI8:
      form.converted = Converted::kInt8;
      break;
    case Storage::kI16:
      form.converted = Converted::kInt16;
      break;
    case Storage::kI32:
      form.converted = Converted::kInt32;
      break;
    case Storage::kI64:
      form.converted = Converted::kInt64;
      break;
    case Storage::kU8:
      form.converted = Converted::kUint8;
      break;
    case Storage::kU16:
      form.converted = Converted::kUint16;
      break;
    case Storage::kU32:
      form.converted = Converted::kUint32;
      break;
    case Storage::kU64:
      form.converted = Converted::kUint64;
      break;
    default:
      return false;
  }
  form.physical = form.published.width == 8 ? Physical::kInt64 : Physical::kInt32;
  return true;
}

void set_fixed(ColumnForm& form, uint8_t bytes) {
  form.physical = Physical::kFixed;
  form.fixed_bytes = bytes;
}

void set_decimal(ColumnForm& form) {
  form.converted = Converted::kDecimal;
  form.logical = Logical::kDecimal;
  if (form.published.decimal_width <= 9) {
    form.physical = Physical::kInt32;
  } else if (form.published.decimal_width <= 18) {
    form.physical = Physical::kInt64;
  } else {
    set_fixed(form, 16);
  }
}

void set_time(ColumnForm& form, Logical logical, Converted converted, int unit, bool utc) {
  form.physical = Physical::kInt64;
  form.logical = logical;
  form.converted = converted;
  form.time_unit = unit;
  form.utc = utc;
}

bool set_physical(ColumnForm& form, bool json) {
  switch (form.published.meaning) {
    case Meaning::kBoolean:
      form.physical = Physical::kBoolean;
      return true;
    case Meaning::kInteger:
      return set_integer(form);
    case Meaning::kDecimal:
      set_decimal(form);
      return true;
    case Meaning::kFloat:
      form.physical = Physical::kFloat;
      return true;
    case Meaning::kDouble:
      form.physical = Physical::kDouble;
      return true;
    case Meaning::kDate:
      form.physical = Physical::kInt32;
      form.converted = Converted::kDate;
      return true;
    case Meaning::kTime:
      set_time(form, Logical::kTime, Converted::kTimeMicros, 2, false);
      return true;
    case Meaning::kTimestampUs:
      set_time(form, Logical::kTimestamp, Converted::kTimestampMicros, 2, false);
      return true;
    case Meaning::kTimestampTz:
      set_time(form, Logical::kTimestamp, Converted::kTimestampMicros, 2, true);
      return true;
    case Meaning::kTimestampNs:
      set_time(form, Logical::kTimestamp, Converted::kNone, 3, false);
      return true;
    case Meaning::kInterval:
      set_fixed(form, 12);
      form.converted = Converted::kInterval;
      return true;
    case Meaning::kUuid:
      set_fixed(form, 16);
      form.logical = Logical::kUuid;
      return true;
    case Meaning::kVarchar:
      form.physical = Physical::kByteArray;
      form.converted = json ? Converted::kJson : Converted::kUtf8;
      if (json) form.logical = Logical::kJson;
      return true;
    case Meaning::kBlob:
      form.physical = Physical::kByteArray;
      return true;
    default:
      return false;
  }
}

}  // namespace

std::optional<ColumnForm> column_form(const std::string& name, const std::string& published_type) {
  auto type = batch::parse_scalar_type(published_type);
  if (!type) return std::nullopt;
  ColumnForm form{.name = name, .published = std::move(*type)};
  if (!set_physical(form, published_type == "JSON")) return std::nullopt;
  return form;
}

void ColumnForm::put_schema_element(thrift::Writer& out) const {
  constexpr int kOptional = 1;
  out.begin();
  out.i32(1, static_cast<int>(physical));
  if (physical == Physical::kFixed) out.i32(2, fixed_bytes);
  out.i32(3, kOptional);
  out.binary(4, name);
  if (converted != Converted::kNone) out.i32(6, static_cast<int>(converted));
  if (converted == Converted::kDecimal) {
    out.i32(7, published.decimal_scale);
    out.i32(8, published.decimal_width);
  }
  if (logical != Logical::kNone) {
    out.begin_field(10);
    out.begin_field(static_cast<int>(logical));
    if (logical == Logical::kDecimal) {
      out.i32(1, published.decimal_scale);
      out.i32(2, published.decimal_width);
    } else if (time_unit != 0) {
      out.boolean(1, utc);
      out.begin_field(2);
      out.begin_field(time_unit);
      out.end();
      out.end();
    }
    out.end();
    out.end();
  }
  out.end();
}

}  // namespace tidegate::sink
