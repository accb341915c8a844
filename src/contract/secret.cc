#include "contract/secret.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace tidegate {
namespace {

constexpr std::string_view kEnv = "${env:";
constexpr std::string_view kFile = "${file:";

bool is_variable_name(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

std::vector<SecretReference> find_secret_references(std::string_view text) {
  std::vector<SecretReference> out;
  for (size_t at = text.find("${"); at != std::string_view::npos; at = text.find("${", at)) {
    const std::string_view rest = text.substr(at);
    const bool env = rest.starts_with(kEnv);
    const bool file = rest.starts_with(kFile);
    if (!env && !file) {
      at += 2;
      continue;
    }
    SecretReference reference;
    reference.begin = at;
    const size_t name_at = env ? kEnv.size() : kFile.size();
    const size_t close = rest.find('}');
    reference.end = close == std::string_view::npos ? text.size() : at + close + 1;
    if (close != std::string_view::npos) {
      reference.name = rest.substr(name_at, close - name_at);
      if (env && is_variable_name(reference.name)) reference.kind = SecretReference::Kind::kEnv;
      if (file && !reference.name.empty() && reference.name.find('$') == std::string::npos) {
        reference.kind = SecretReference::Kind::kFile;
      }
    }
    at = reference.end;
    out.push_back(std::move(reference));
  }
  return out;
}

bool names_credential(std::string_view key) {
  constexpr std::array<std::string_view, 9> kWords = {"password", "passwd",     "secret",
                                                      "token",    "credential", "apikey",
                                                      "api_key",  "access_key", "private_key"};
  const std::string lower = to_lower_ascii(key);
  return std::any_of(kWords.begin(), kWords.end(),
                     [&](std::string_view word) { return lower.find(word) != std::string::npos; });
}

}  // namespace tidegate
