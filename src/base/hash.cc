#include "base/hash.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <array>
#include <cstring>
#include <span>

#include "base/failure.h"

namespace tidegate {
namespace {
constexpr char kHexDigits[] = "0123456789abcdef";

/// Looked up once: a look-up costs more than a short hash.
const EVP_MD* sha256() {
  static EVP_MD* const found = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  TG_ASSERT(found != nullptr);
  return found;
}

std::string hex_of(std::span<const unsigned char> digest) {
  std::string text(2 * digest.size(), '0');
  for (size_t i = 0; i < digest.size(); ++i) {
    text[2 * i] = kHexDigits[digest[i] >> 4];
    text[2 * i + 1] = kHexDigits[digest[i] & 15];
  }
  return text;
}

}  // namespace

uint64_t xxh3_64(const void* data, size_t size, uint64_t seed) {
  return XXH3_64bits_withSeed(data, size, seed);
}

struct Xxh3Stream::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

Xxh3Stream::Xxh3Stream() : state_(std::make_unique<State>()) {
  TG_ASSERT(state_->xxh && XXH3_64bits_reset(state_->xxh) == XXH_OK);
}
Xxh3Stream::~Xxh3Stream() = default;
void Xxh3Stream::update(const void* data, size_t size) {
  TG_ASSERT(XXH3_64bits_update(state_->xxh, data, size) == XXH_OK);
}
uint64_t Xxh3Stream::digest() const { return XXH3_64bits_digest(state_->xxh); }

struct IdentityHash::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  std::array<char, 512> gathered;  ///< a call for each short part would cost more than its hash
  size_t gathered_bytes = 0;
  ~State() { EVP_MD_CTX_free(context); }
  void raw(const void* data, size_t size) {
    if (size > gathered.size() - gathered_bytes) flush();
    if (size > gathered.size()) {
      TG_ASSERT(EVP_DigestUpdate(context, data, size) == 1);
      return;
    }
    if (size > 0) std::memcpy(gathered.data() + gathered_bytes, data, size);
    gathered_bytes += size;
  }
  void flush() {
    TG_ASSERT(EVP_DigestUpdate(context, gathered.data(), gathered_bytes) == 1);
    gathered_bytes = 0;
  }
  std::array<unsigned char, 32> finish() {
    flush();
    std::array<unsigned char, 32> digest;
    unsigned size = 0;
    TG_ASSERT(EVP_DigestFinal_ex(context, digest.data(), &size) == 1 && size == digest.size());
    return digest;
  }
};

IdentityHash::IdentityHash() : state_(std::make_unique<State>()) {
  TG_ASSERT(state_->context && EVP_DigestInit_ex2(state_->context, sha256(), nullptr) == 1);
}
IdentityHash::~IdentityHash() = default;

IdentityHash& IdentityHash::add(std::string_view text) {
  const uint64_t size = text.size();
  state_->raw("s", 1);
  state_->raw(&size, sizeof size);
  state_->raw(text.data(), text.size());
  return *this;
}

IdentityHash& IdentityHash::add(uint64_t value) {
  state_->raw("u", 1);
  state_->raw(&value, sizeof value);
  return *this;
}

std::string IdentityHash::hex() { return hex_of(state_->finish()); }

std::string IdentityHash::bytes() {
  const auto digest = state_->finish();
  return {digest.begin(), digest.end()};
}

std::string sha256_hex(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  TG_ASSERT(EVP_Digest(bytes.data(), bytes.size(), digest, &size, sha256(), nullptr) == 1);
  return hex_of({digest, size});
}

std::string hex64(uint64_t value) {
  std::string text(16, '0');
  for (int i = 15; i >= 0; --i, value >>= 4) text[static_cast<size_t>(i)] = kHexDigits[value & 15];
  return text;
}

bool parse_hex64(std::string_view text, uint64_t& out) {
  if (text.size() != 16) return false;
  uint64_t value = 0;
  for (char c : text) {
    uint64_t digit;
    if (c >= '0' && c <= '9')
      digit = static_cast<uint64_t>(c - '0');
    else if (c >= 'a' && c <= 'f')
      digit = static_cast<uint64_t>(c - 'a' + 10);
    else
      return false;
    value = value << 4 | digit;
  }
  out = value;
  return true;
}

}  // namespace tidegate
