#pragma once

#include <string>
#include <string_view>

namespace tidegate {

/// Secrets that this process has read. What others say of it (an error of the reader that was given
/// one as an option, say) goes through without_secrets before it is told, journaled or sent on.

/// Values shorter than this stay in texts: they are delimiters and the like, and no secrets.
inline constexpr size_t kSecretBytesMin = 4;

/// `reference` is how the pipeline file names it: "${env:NAME}". Thread-safe.
void remember_secret(std::string_view value, std::string_view reference);

/// The text with each remembered value replaced by its reference. Thread-safe.
std::string without_secrets(std::string text);

}  // namespace tidegate
