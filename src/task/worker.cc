#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <optional>

#include "base/text.h"
#include "base/units.h"
#include "task/heap.h"
#include "task/held_tables.h"
#include "task/limits.h"
#include "task/task.h"

namespace tidegate {
namespace {

Status socket_failure(const char* verb) {
  return std::unexpected(
      errno_failure(errno, fmt::format("cannot {} on the worker's socket", verb)));
}

/// Reads exactly `size` bytes; false at an orderly end before the first.
Result<bool> read_all(int socket, char* out, size_t size) {
  size_t got = 0;
  while (got < size) {
    const ssize_t n = ::recv(socket, out + got, size - got, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::unexpected(socket_failure("receive").error());
    if (n == 0) {
      if (got == 0) return false;
      return fail(FailureClass::kLost, "worker.hung_up", "the other side hung up within a message");
    }
    got += static_cast<size_t>(n);
  }
  return true;
}

Failure unexpected_exception(const char* what) {
  return Failure{FailureClass::kDefect, "task.exception",
                 fmt::format("unexpected exception: {}", what)};
}

/// DuckDB may run out of memory in a destructor or a noexcept function: that is the task's bound,
/// no crash. Nothing may be allocated here.
[[noreturn]] void on_terminate() {
  if (const std::exception_ptr current = std::current_exception()) {
    try {
      std::rethrow_exception(current);
    } catch (const std::bad_alloc&) {
      ::_exit(kExitOutOfMemory);
    } catch (const std::exception& error) {
      for (const char* words :
           {"Out of Memory", "Allocation failure", "bad_alloc", "bad allocation"})
        if (std::strstr(error.what(), words)) ::_exit(kExitOutOfMemory);
    } catch (...) {
      std::abort();
    }
  }
  std::abort();
}

std::string outcome_frame(Effects& effects, const std::string& payload, int socket,
                          std::unique_ptr<sql::Database> opened) {
  auto spec = task_spec_from_json(payload);
  if (!spec)
    return fmt::format("{{\"kind\":\"failed\",\"attempt\":\"\"}}\n{}", to_json(spec.error()));
  const std::string attempt = quote_json(spec->attempt);
  Result<TaskReport> report = std::unexpected(Failure{});
  reset_peak_rss(effects);
  // A table that stays from the task before is part of this one's bound.
  drop_other_tables(*spec);
  set_address_space_wall(effects,
                         spec->memory_bytes - std::min(spec->memory_bytes, held_table_bytes()));
  try {
    const auto tell = [&](const TaskProgress& progress) {
      (void)send_frame(
          socket, fmt::format(R"({{"kind":"progress","attempt":{},"rows":{},"bytes":{}}})", attempt,
                              progress.rows, progress.bytes));
    };
    report = run_task(effects, *spec, tell, std::move(opened));
  } catch (const std::bad_alloc&) {
    report = std::unexpected(
        Failure{FailureClass::kMemory, "memory.bound",
                fmt::format("{} crossed its bound of {}: {}", spec->label,
                            format_size(spec->memory_bytes), way_out_of_memory(*spec))});
  } catch (const std::exception& error) {
    report = std::unexpected(unexpected_exception(error.what()));
  }
  lift_address_space_wall();
  if (rss_bytes(effects) > spec->memory_bytes / kIdleShare) return_freed_memory();
  if (!report)
    return fmt::format("{{\"kind\":\"failed\",\"attempt\":{}}}\n{}", attempt,
                       to_json(report.error()));
  return fmt::format("{{\"kind\":\"done\",\"attempt\":{}}}\n{}", attempt, to_json(*report));
}

}  // namespace

Status send_frame(int socket, std::string_view payload) {
  if (payload.size() > kFrameBytesMax)
    return fail(
        FailureClass::kDefect, "worker.frame_too_long",
        fmt::format("a message of {} bytes is longer than {}", payload.size(), kFrameBytesMax));
  const uint32_t size = static_cast<uint32_t>(payload.size());
  std::string frame(4, '\0');
  for (int i = 0; i < 4; ++i)
    frame[static_cast<size_t>(i)] = static_cast<char>(size >> (8 * i) & 0xff);
  frame += payload;
  size_t put = 0;
  while (put < frame.size()) {
    const ssize_t n = ::send(socket, frame.data() + put, frame.size() - put, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return socket_failure("send");
    put += static_cast<size_t>(n);
  }
  return {};
}

Result<std::optional<std::string>> receive_frame(int socket) {
  unsigned char head[4];
  TG_ASSIGN(const bool more, read_all(socket, reinterpret_cast<char*>(head), 4));
  if (!more) return std::nullopt;
  uint32_t size = 0;
  for (int i = 0; i < 4; ++i) size |= static_cast<uint32_t>(head[i]) << (8 * i);
  if (size > kFrameBytesMax)
    return fail(FailureClass::kDefect, "worker.frame_too_long", "a message is longer than allowed");
  std::string payload(size, '\0');
  if (size > 0) {
    TG_ASSIGN(const bool whole, read_all(socket, payload.data(), size));
    if (!whole)
      return fail(FailureClass::kLost, "worker.hung_up", "the other side hung up within a message");
  }
  return payload;
}

int worker_main(Effects& effects, int socket) {
  // The conductor may be killed before or after this line; the socket's hang-up covers before.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "tidegate-worker");
  // Ctrl-C is the conductor's to handle; workers are in a group of their own, but be sure.
  ::signal(SIGINT, SIG_IGN);
  std::set_terminate(on_terminate);
  keep_freed_memory();
  // DuckDB is loaded before the first task comes, while the conductor still plans.
  const Status loaded = sql::load_library();
  if (!send_frame(socket, R"({"kind":"hello"})")) return 1;
  for (;;) {
    // Opened ahead of the next task, while the conductor plans, journals and publishes; where that
    // fails the task tries it again and says why.
    auto opened = loaded ? sql::Database::open({}) : std::unexpected(loaded.error());
    const auto frame = receive_frame(socket);
    if (!frame || !*frame) return 0;
    const std::string answer =
        loaded
            ? outcome_frame(effects, **frame, socket, opened ? std::move(*opened) : nullptr)
            : fmt::format("{{\"kind\":\"failed\",\"attempt\":\"\"}}\n{}", to_json(loaded.error()));
    if (!send_frame(socket, answer)) return 0;
  }
}

}  // namespace tidegate
