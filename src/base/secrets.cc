#include "base/secrets.h"

#include <map>
#include <mutex>

namespace tidegate {
namespace {

std::mutex mutex;

/// Value -> reference, the longest first: one may hold another.
struct Longest {
  bool operator()(const std::string& a, const std::string& b) const {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  }
};
std::map<std::string, std::string, Longest>& secrets() {
  static std::map<std::string, std::string, Longest> all;
  return all;
}

}  // namespace

void remember_secret(std::string_view value, std::string_view reference) {
  if (value.size() < kSecretBytesMin) return;
  const std::lock_guard lock(mutex);
  secrets().insert_or_assign(std::string(value), std::string(reference));
}

std::string without_secrets(std::string text) {
  const std::lock_guard lock(mutex);
  for (const auto& [value, reference] : secrets()) {
    for (size_t at = text.find(value); at != std::string::npos;
         at = text.find(value, at + reference.size()))
      text.replace(at, value.size(), reference);
  }
  return text;
}

}  // namespace tidegate
