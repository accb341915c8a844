#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tidegate {

/// What a failure asks its handler to do. A class exists only if someone reacts to it;
/// docs/errors.md has the reactions.
enum class FailureClass : uint8_t {
  kTransient,   ///< Retry with backoff.
  kLost,        ///< Re-run only the producers that are lost.
  kMemory,      ///< The declared bound was crossed.
  kDisk,        ///< No space, or the device failed.
  kTimeout,     ///< Took longer than allowed.
  kData,        ///< The input is not what the contract says.
  kDependency,  ///< A source or sink is down or missing.
  kDefect,      ///< Wrong SQL, a bug, or the same input and error twice: never retried.
  kUncertain,   ///< A commit's answer was lost: read back before anything else.
};

/// The class's name as it stands in events and messages, e.g. "transient".
std::string_view to_string(FailureClass cls);

/// The class of that name, or nothing.
bool parse_failure_class(std::string_view name, FailureClass& out);

/// Where a failure happened. Empty strings and negative numbers mean "not said".
struct Where {
  std::string stage;
  int64_t partition = -1;
  std::string attempt;
  std::string host;
};

/// An error as a value. `code` is stable and machine-readable ("disk.no_space", "sql.binder");
/// `message` is one sentence for a person, static part first, values last.
struct Failure {
  FailureClass cls = FailureClass::kDefect;
  std::string code;
  std::string message;
  Where where = {};
  std::shared_ptr<const Failure> cause = {};

  /// "message (code, class); caused by: ..." for logs and terminals.
  std::string describe() const;
};

template <typename T>
using Result = std::expected<T, Failure>;
/// A result that carries nothing on success.
using Status = Result<void>;

/// Makes the error side of a Result.
inline std::unexpected<Failure> fail(FailureClass cls, std::string code, std::string message) {
  return std::unexpected(Failure{cls, std::move(code), std::move(message)});
}

/// Wraps `cause` in a failure of the same class that says what was being done.
std::unexpected<Failure> fail_because(Failure cause, std::string code, std::string message);

/// The failure for a failed system call. `what` names the call and its object, e.g.
/// "cannot open \"a/b\"". ENOSPC, EDQUOT, EIO and EROFS are disk; ENOENT, EACCES and EPERM are
/// dependency; EMFILE, ENFILE, EAGAIN, EBUSY are transient; ENOMEM is memory; others defect.
Failure errno_failure(int error, std::string what);

/// Aborts with a message: a state that the program's own logic excludes. Used by TG_ASSERT.
[[noreturn]] void assertion_failed(const char* text, const char* file, int line);

}  // namespace tidegate

#define TG_CONCAT_(a, b) a##b
#define TG_CONCAT(a, b) TG_CONCAT_(a, b)

/// Evaluates a Status or Result expression and returns its failure from the enclosing function.
#define TG_TRY(expr)                                         \
  do {                                                       \
    if (auto tg_status_ = (expr); !tg_status_)               \
      return std::unexpected(std::move(tg_status_).error()); \
  } while (0)

/// TG_ASSIGN(auto x, f()): binds the value of a Result, or returns its failure.
#define TG_ASSIGN(lhs, expr)                                                    \
  auto TG_CONCAT(tg_result_, __LINE__) = (expr);                                \
  if (!TG_CONCAT(tg_result_, __LINE__))                                         \
    return std::unexpected(std::move(TG_CONCAT(tg_result_, __LINE__)).error()); \
  lhs = std::move(*TG_CONCAT(tg_result_, __LINE__))

/// Always on, in Release too.
#define TG_ASSERT(cond) ((cond) ? (void)0 : ::tidegate::assertion_failed(#cond, __FILE__, __LINE__))
