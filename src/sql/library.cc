#include <dlfcn.h>
#include <duckdb.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "sql/sql.h"

extern "C" {
extern void* duckdb_shim_table[];
// The name is the assembler's (cmake/duckdb_shim.cmake).
extern const char* const duckdb_shim_names[];  // NOLINT(readability-identifier-naming)

/// Where every trampoline leads until the library is loaded.
[[noreturn]] void duckdb_shim_unloaded() {
  std::fputs("tidegate: internal error: DuckDB was called before sql::load_library\n", stderr);
  std::abort();
}
}

namespace tidegate::sql {
namespace {

std::string executable_directory() {
  char buffer[4096];
  const ssize_t size = ::readlink("/proc/self/exe", buffer, sizeof buffer);
  const std::string path(buffer, size > 0 ? static_cast<size_t>(size) : 0);
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

Status load_once() {
  std::vector<std::string> places;
  if (const char* given = std::getenv("TIDEGATE_DUCKDB")) {
    places = {given};
  } else {
    const std::string here = executable_directory();
    places = {here + "/libduckdb.so", here + "/../lib/tidegate/libduckdb.so", "libduckdb.so"};
  }
  void* library = nullptr;
  std::string errors;
  for (const std::string& place : places) {
    // Lazily: of its 20,000 calls a process makes few, and looking all up takes 10 ms.
    library = ::dlopen(place.c_str(), RTLD_LAZY | RTLD_LOCAL);
    if (library) break;
    errors += fmt::format("\n  {}", ::dlerror());
  }
  if (!library)
    return fail(
        FailureClass::kDependency, "sql.no_library",
        "cannot load libduckdb.so; run ./quickstart, or set TIDEGATE_DUCKDB to its path:" + errors);
  const auto version =
      reinterpret_cast<const char* (*)()>(::dlsym(library, "duckdb_library_version"));
  if (!version || std::string(version()) != kDuckdbVersion)
    return fail(FailureClass::kDependency, "sql.wrong_version",
                fmt::format("libduckdb is version {}, but tidegate is built for {}",
                            version ? version() : "unknown", kDuckdbVersion));
  for (size_t i = 0; duckdb_shim_names[i]; ++i) {
    void* symbol = ::dlsym(library, duckdb_shim_names[i]);
    if (!symbol)
      return fail(FailureClass::kDependency, "sql.wrong_version",
                  fmt::format("libduckdb lacks the function {}", duckdb_shim_names[i]));
    duckdb_shim_table[i] = symbol;
  }
  return {};
}

}  // namespace

Status load_library() {
  static std::once_flag once;
  static Status status;
  std::call_once(once, [] { status = load_once(); });
  return status;
}

}  // namespace tidegate::sql
