#include "base/failure.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace tidegate {
namespace {

constexpr std::array<std::string_view, 9> kNames = {
    "transient", "lost", "memory", "disk", "timeout", "data", "dependency", "defect", "uncertain"};

struct ErrnoRule {
  int error;
  FailureClass cls;
  const char* code;
};

constexpr ErrnoRule kErrnoRules[] = {
    {ENOSPC, FailureClass::kDisk, "disk.no_space"},
    {EDQUOT, FailureClass::kDisk, "disk.quota"},
    {EFBIG, FailureClass::kDisk, "disk.file_size"},
    {EIO, FailureClass::kDisk, "disk.io"},
    {EROFS, FailureClass::kDisk, "disk.read_only"},
    {ENOENT, FailureClass::kDependency, "file.not_found"},
    {ENOTDIR, FailureClass::kDependency, "file.not_directory"},
    {EISDIR, FailureClass::kDependency, "file.is_directory"},
    {EACCES, FailureClass::kDependency, "file.denied"},
    {EPERM, FailureClass::kDependency, "file.denied"},
    {EEXIST, FailureClass::kDefect, "file.exists"},
    {ENOTEMPTY, FailureClass::kDefect, "file.exists"},
    {EXDEV, FailureClass::kDefect, "file.cross_device"},
    {EMFILE, FailureClass::kTransient, "file.too_many_open"},
    {ENFILE, FailureClass::kTransient, "file.too_many_open"},
    {EAGAIN, FailureClass::kTransient, "system.busy"},
    {EBUSY, FailureClass::kTransient, "system.busy"},
    {ENOMEM, FailureClass::kMemory, "memory.system"},
    {ETIMEDOUT, FailureClass::kTimeout, "system.timeout"},
};

}  // namespace

std::string_view to_string(FailureClass cls) { return kNames[static_cast<size_t>(cls)]; }

bool parse_failure_class(std::string_view name, FailureClass& out) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) {
      out = static_cast<FailureClass>(i);
      return true;
    }
  }
  return false;
}

std::string Failure::describe() const {
  std::string text = fmt::format("{} ({}, {})", message, code, to_string(cls));
  constexpr int kDepthMax = 8;
  int depth = 0;
  for (const Failure* next = cause.get(); next && depth < kDepthMax;
       next = next->cause.get(), ++depth)
    text += fmt::format("; caused by: {} ({})", next->message, next->code);
  return text;
}

std::unexpected<Failure> fail_because(Failure cause, std::string code, std::string message) {
  Failure failure{cause.cls, std::move(code), std::move(message), cause.where};
  failure.cause = std::make_shared<const Failure>(std::move(cause));
  return std::unexpected(std::move(failure));
}

Failure errno_failure(int error, std::string what) {
  FailureClass cls = FailureClass::kDefect;
  std::string code = fmt::format("system.errno_{}", error);
  for (const ErrnoRule& rule : kErrnoRules) {
    if (rule.error == error) {
      cls = rule.cls;
      code = rule.code;
    }
  }
  return Failure{cls, std::move(code), fmt::format("{}: {}", what, std::strerror(error))};
}

void assertion_failed(const char* text, const char* file, int line) {
  std::fprintf(stderr, "tidegate: internal error: %s does not hold (%s:%d). Please report it.\n",
               text, file, line);
  std::abort();
}

}  // namespace tidegate
