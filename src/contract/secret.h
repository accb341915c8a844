#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate {

/// `${env:NAME}` or `${file:PATH}` inside a text.
struct SecretReference {
  enum class Kind : uint8_t { kEnv, kFile, kBroken };
  Kind kind = Kind::kBroken;
  std::string name;  ///< NAME or PATH
  size_t begin = 0;  ///< bytes of the whole reference in the text
  size_t end = 0;
};

/// All references of a text in order. `${env:` or `${file:` without a name or a closing brace, or a
/// NAME that no environment variable can have, is kBroken.
std::vector<SecretReference> find_secret_references(std::string_view text);

/// True for a key that names a credential: password, secret, token, access_key, ...
bool names_credential(std::string_view key);

}  // namespace tidegate
