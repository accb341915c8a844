#include "source/compressed.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "base/memory_file.h"

namespace tidegate {
namespace {

std::string text_of(size_t rows) {
  std::string text = "id,amount\n";
  for (size_t i = 0; i < rows; ++i) text += std::to_string(i) + "," + std::to_string(i * i) + "\n";
  return text;
}

std::string gzipped(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(::deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(::deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string zstandard(const std::string& text) {
  ZSTD_CCtx* context = ::ZSTD_createCCtx();
  ::ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string out(::ZSTD_compressBound(text.size()), '\0');
  const size_t size = ::ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size());
  EXPECT_EQ(::ZSTD_isError(size), 0U);
  out.resize(size);
  ::ZSTD_freeCCtx(context);
  return out;
}

/// "" if it is whole, else why not.
std::string checked(const std::string& bytes, Packing packing) {
  MemoryFile file;
  file.bytes = bytes;
  const Status whole = check_packed_file(file, "/a", packing);
  if (whole) return "";
  EXPECT_EQ(whole.error().cls, FailureClass::kData);
  EXPECT_EQ(whole.error().code, "source.not_whole");
  return whole.error().message;
}

class Packed : public testing::TestWithParam<Packing> {
 protected:
  std::string packed(const std::string& text) {
    return GetParam() == Packing::kGzip ? gzipped(text) : zstandard(text);
  }
};

TEST_P(Packed, WholeFilesAreWhole) {
  for (const size_t rows : {0, 1, 1'000, 200'000})
    EXPECT_EQ(checked(packed(text_of(rows)), GetParam()), "") << rows;
  EXPECT_EQ(checked(packed("") + packed(text_of(3)) + packed(text_of(100'000)), GetParam()), "")
      << "one after the other";
  // Long runs become more than a buffer's worth of text at once.
  EXPECT_EQ(checked(packed(std::string(5'000'000, 'a')), GetParam()), "");
}

TEST_P(Packed, AFileThatEndsEarlyIsNot) {
  const std::string whole = packed(text_of(2'000)), large = packed(text_of(200'000));
  for (size_t size = 0; size < whole.size(); size += size < 40 || whole.size() - size < 40 ? 1 : 97)
    EXPECT_NE(checked(whole.substr(0, size), GetParam()), "") << size;
  EXPECT_NE(checked(large.substr(0, size_t{256} << 10), GetParam()), "") << "at a piece's end";
  EXPECT_NE(checked(whole + whole.substr(0, whole.size() - 1), GetParam()), "");
  EXPECT_NE(checked(whole + "and more", GetParam()), "");
}

TEST_P(Packed, AChangedByteIsFound) {
  const std::string whole = packed(text_of(2'000));
  // Behind the header, whose names and times change no row.
  for (size_t at = 12; at < whole.size(); at += 61) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    EXPECT_NE(checked(changed, GetParam()), "") << at;
  }
  EXPECT_NE(checked(text_of(10), GetParam()), "") << "not packed at all";
}

INSTANTIATE_TEST_SUITE_P(Kinds, Packed, testing::Values(Packing::kGzip, Packing::kZstd),
                         [](const auto& info) {
                           return info.param == Packing::kGzip ? "Gzip" : "Zstd";
                         });

TEST(Packing, PaddingOfZerosBelongsToAGzipFile) {
  EXPECT_EQ(checked(gzipped("a\n1\n") + std::string(512, '\0'), Packing::kGzip), "");
}

TEST(Packing, IsWhatTheContractSaysElseWhatTheEndingSays) {
  ReadRecipe recipe;
  recipe.format = FileFormat::kCsv;
  EXPECT_EQ(packing_of(recipe, "/a.csv"), Packing::kNone);
  EXPECT_EQ(packing_of(recipe, "/a.CSV.GZ"), Packing::kGzip);
  EXPECT_EQ(packing_of(recipe, "/a.json.zst"), Packing::kZstd);
  recipe.options = {{"compression", "'gzip'"}};
  EXPECT_EQ(packing_of(recipe, "/a.csv"), Packing::kGzip);
  recipe.options = {{"compression", "'NONE'"}};
  EXPECT_EQ(packing_of(recipe, "/a.gz"), Packing::kNone);
  recipe.options = {{"compression", "'auto'"}};
  EXPECT_EQ(packing_of(recipe, "/a.gz"), Packing::kGzip);
  recipe.format = FileFormat::kParquet;
  EXPECT_EQ(packing_of(recipe, "/a.gz"), Packing::kNone);
}

}  // namespace
}  // namespace tidegate
