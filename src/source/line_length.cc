#include "source/line_length.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <vector>

#include "base/units.h"

namespace tidegate {
namespace {

/// DuckDB's default for `max_line_size`; its buffer is 16 times that.
constexpr uint64_t kLineBytesDefault = 2'000'000;
constexpr uint64_t kLinesInBuffer = 16;
constexpr size_t kLookBytes = 64 * 1024;

uint64_t line_bytes_max(const ReadRecipe& recipe) {
  uint64_t bytes = kLineBytesDefault;
  for (const auto& [name, value] : recipe.options)
    if (name == "max_line_size" || name == "maximum_line_size")
      std::from_chars(value.data(), value.data() + value.size(), bytes);
  return std::max<uint64_t>(bytes, 1);
}

/// Whether a line ends in [begin, end) of the file.
Result<bool> line_ends(Effects& effects, int fd, uint64_t begin, uint64_t end,
                       std::vector<std::byte>& buffer) {
  for (uint64_t at = begin; at < end;) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(buffer.size(), end - at));
    TG_ASSIGN(const size_t got, effects.pread(fd, std::span(buffer).first(want), at));
    for (size_t i = 0; i < got; ++i)
      if (buffer[i] == std::byte{'\n'} || buffer[i] == std::byte{'\r'}) return true;
    if (got < want) return true;  // shorter than it was: verify_unchanged tells
    at += got;
  }
  return false;
}

}  // namespace

Status check_line_lengths(Effects& effects, const SourceSnapshot& snapshot,
                          const Partition& partition) {
  if (snapshot.recipe.format != FileFormat::kCsv) return {};
  const uint64_t line = line_bytes_max(snapshot.recipe);
  const uint64_t stride = line * kLinesInBuffer / 2;
  std::set<uint32_t> files;
  for (const FileSlice& slice : partition.slices) files.insert(slice.file);
  std::vector<std::byte> buffer;
  for (const uint32_t index : files) {
    const InputFile& file = snapshot.files[index];
    if (file.stat.size < stride) continue;
    buffer.resize(kLookBytes);
    TG_ASSIGN(const int raw, effects.open(file.path, O_RDONLY));
    const Fd fd(effects, raw);
    // A line longer than the buffer holds a whole stride without an end in it.
    for (uint64_t at = 0; at + stride <= file.stat.size; at += stride) {
      TG_ASSIGN(const bool ends, line_ends(effects, raw, at, at + stride, buffer));
      if (!ends)
        return fail(FailureClass::kData, "source.bad_row",
                    fmt::format("bad row in \"{}\" around byte {}: a line of more than {}, where "
                                "`max_line_size` allows {}",
                                file.name, at, format_size(stride), format_size(line)));
    }
  }
  return {};
}

}  // namespace tidegate
