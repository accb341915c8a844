#include "base/run_command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

extern char** environ;

namespace tidegate {
namespace {

/// A descriptor that is closed.
class Held {
 public:
  explicit Held(int fd = -1) : fd_(fd) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { close(); }
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

int64_t ticks_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000;
}

/// A file in memory that holds the text, to be read from its beginning: nobody waits for a reader.
Result<int> file_of(const std::string& text) {
  const int fd = ::memfd_create("tidegate-input", MFD_CLOEXEC);
  if (fd < 0) return std::unexpected(errno_failure(errno, "cannot make a file in memory"));
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote =
        ::pwrite(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (wrote <= 0) {
      const int error = errno;
      ::close(fd);
      return std::unexpected(errno_failure(error, "cannot write to a file in memory"));
    }
    done += static_cast<size_t>(wrote);
  }
  return fd;
}

Result<pid_t> spawn_command(const Command& command, int input, int output) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&files, input, 0);
  ::posix_spawn_file_actions_adddup2(&files, output, 1);
  ::posix_spawn_file_actions_adddup2(&files, output, 2);
  if (!command.directory.empty())
    ::posix_spawn_file_actions_addchdir_np(&files, command.directory.c_str());
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none, stops;
  ::sigemptyset(&none);
  ::sigemptyset(&stops);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) ::sigaddset(&stops, signal);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &stops);
  std::vector<char*> argv;
  for (const std::string& argument : command.arguments)
    argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, argv[0], &files, &attributes, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0)
    return std::unexpected(
        errno_failure(error, fmt::format("cannot start \"{}\"", command.arguments.front())));
  return pid;
}

/// Takes what there is to read; false at the end. What is above the bound is read and dropped.
bool take_output(int fd, std::string& output) {
  char buffer[4096];
  const ssize_t got = ::read(fd, buffer, sizeof buffer);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  const size_t room = kCommandOutputMax - output.size();
  output.append(buffer, std::min(static_cast<size_t>(got), room));
  return got > 0;
}

}  // namespace

Result<CommandEnd> run_command(const Command& command) {
  TG_ASSERT(!command.arguments.empty() && command.time_us_max > 0);
  TG_ASSIGN(const int made, file_of(command.input));
  const Held input(made);
  int pair[2];
  if (::pipe2(pair, O_CLOEXEC) != 0)
    return std::unexpected(errno_failure(errno, "cannot make a pipe"));
  const Held from(pair[0]);
  Held to(pair[1]);
  ::fcntl(from.get(), F_SETFL, O_NONBLOCK);
  const int64_t end_us = ticks_us() + command.time_us_max;
  TG_ASSIGN(const pid_t pid, spawn_command(command, input.get(), to.get()));
  to.close();
  const Held watched(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  CommandEnd end;
  bool open = true, ended = watched.get() < 0;
  while (!ended) {
    const int64_t left_us = end_us - ticks_us();
    if (left_us <= 0) break;
    pollfd both[2] = {{watched.get(), POLLIN, 0}, {from.get(), POLLIN, 0}};
    const int ready = ::poll(both, open ? 2 : 1, static_cast<int>(left_us / 1'000 + 1));
    if (ready < 0 && errno != EINTR) break;
    if (ready <= 0) continue;
    if (open && both[1].revents != 0) open = take_output(from.get(), end.output);
    ended = both[0].revents != 0;
  }
  // What it left running goes with it.
  end.timed_out = !ended;
  ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  while (open && end.output.size() < kCommandOutputMax) {
    const size_t before = end.output.size();
    open = take_output(from.get(), end.output) && end.output.size() > before;
  }
  end.status.signalled = WIFSIGNALED(status);
  end.status.code = end.status.signalled ? WTERMSIG(status) : WEXITSTATUS(status);
  return end;
}

}  // namespace tidegate
