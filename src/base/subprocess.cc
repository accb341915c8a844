#include "base/subprocess.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

extern char** environ;

namespace tidegate {
namespace {

constexpr int kChildSocket = 3;
/// Program files lie above what a child's own descriptors are moved to.
constexpr int kProgramFdMin = 10;

/// The first number in a small file; 0 if there is none ("max", missing).
uint64_t number_in(const std::string& path) {
  std::ifstream in(path);
  uint64_t value = 0;
  in >> value;
  return in ? value : 0;
}

/// The cgroup path of this process for a v1 controller, or for v2 with an empty name.
std::string cgroup_of_self(const std::string& controller) {
  std::ifstream in("/proc/self/cgroup");
  std::string line;
  while (std::getline(in, line)) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    if (names == "," + controller + "," || (controller.empty() && names == ",,") ||
        names.find("," + controller + ",") != std::string::npos)
      return line.substr(second + 1);
  }
  return "";
}

}  // namespace

Result<Program> Program::open(const std::string& path) {
  Program program;
  program.name_ = path.empty() ? self_path() : path;
  const int fd = ::open(path.empty() ? "/proc/self/exe" : path.c_str(), O_PATH | O_CLOEXEC);
  if (fd >= 0) program.fd_ = ::fcntl(fd, F_DUPFD_CLOEXEC, kProgramFdMin);
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (program.fd_ < 0)
    return std::unexpected(errno_failure(error, fmt::format("cannot open \"{}\"", program.name_)));
  return program;
}

Program::Program(Program&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), name_(std::move(other.name_)) {}

Program& Program::operator=(Program&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(name_, other.name_);
  return *this;
}

Program::~Program() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Subprocess> spawn(const Program& program, const std::vector<std::string>& arguments,
                         const std::vector<std::string>& variables) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    return std::unexpected(errno_failure(errno, "cannot make a socket pair"));
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  // dup2 onto itself keeps close-on-exec, so the child's end is moved away first if it is there.
  if (pair[1] == kChildSocket) {
    const int moved = ::fcntl(pair[1], F_DUPFD_CLOEXEC, kChildSocket + 1);
    ::close(pair[1]);
    pair[1] = moved;
  }
  ::posix_spawn_file_actions_adddup2(&files, pair[1], kChildSocket);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  std::vector<char*> argv;
  argv.push_back(const_cast<char*>(program.name().c_str()));
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view set(*entry);
    const auto is_same = [&](const std::string& variable) {
      return set.starts_with(std::string_view(variable).substr(0, variable.find('=') + 1));
    };
    if (std::none_of(variables.begin(), variables.end(), is_same)) environment.push_back(*entry);
  }
  for (const std::string& variable : variables)
    environment.push_back(const_cast<char*>(variable.c_str()));
  environment.push_back(nullptr);
  // By the descriptor, which the child has until it executes: the path may be another file by now.
  const std::string path = fmt::format("/proc/self/fd/{}", program.fd());
  Subprocess process;
  const int error = ::posix_spawn(&process.pid, path.c_str(), &files, &attributes, argv.data(),
                                  environment.data());
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  ::close(pair[1]);
  if (error != 0) {
    ::close(pair[0]);
    return std::unexpected(
        errno_failure(error, fmt::format("cannot start \"{}\"", program.name())));
  }
  process.socket = pair[0];
  process.pidfd = static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0));
  if (process.pidfd < 0) {
    const int pidfd_error = errno;
    kill_group(process);
    reap(process);
    return std::unexpected(errno_failure(pidfd_error, "cannot watch a child process (pidfd_open)"));
  }
  ::fcntl(process.pidfd, F_SETFD, FD_CLOEXEC);
  // Kept open: it is read a hundred times a second.
  process.statm = ::open(fmt::format("/proc/{}/statm", process.pid).c_str(), O_RDONLY | O_CLOEXEC);
  if (process.statm < 0) {
    const int statm_error = errno;
    kill_group(process);
    reap(process);
    return std::unexpected(
        errno_failure(statm_error, "cannot watch the memory of a child process (/proc)"));
  }
  return process;
}

void kill_group(const Subprocess& process) {
  if (process.pid > 0 && ::kill(-process.pid, SIGKILL) < 0) ::kill(process.pid, SIGKILL);
}

ExitStatus reap(Subprocess& process) {
  ExitStatus status;
  int raw = 0;
  if (process.pid > 0) {
    while (::waitpid(process.pid, &raw, 0) < 0 && errno == EINTR) {
    }
    status.signalled = WIFSIGNALED(raw);
    status.code = status.signalled ? WTERMSIG(raw) : WEXITSTATUS(raw);
  }
  if (process.pidfd >= 0) ::close(process.pidfd);
  if (process.socket >= 0) ::close(process.socket);
  if (process.statm >= 0) ::close(process.statm);
  process = Subprocess{};
  return status;
}

uint64_t resident_bytes(const Subprocess& process) {
  if (process.statm < 0) return 0;
  char text[128];
  const ssize_t size = ::pread(process.statm, text, sizeof text - 1, 0);
  if (size <= 0) return 0;
  text[size] = '\0';
  unsigned long long total = 0, resident = 0, shared = 0;
  if (std::sscanf(text, "%llu %llu %llu", &total, &resident, &shared) != 3) return 0;
  return (resident - std::min(resident, shared)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

bool is_stopped(const Subprocess& process) {
  if (process.pid <= 0) return false;
  const std::string path = "/proc/" + std::to_string(process.pid) + "/stat";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[512];
  const ssize_t size = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (size <= 0) return false;
  text[size] = '\0';
  // "PID (NAME) STATE ...": the name may hold anything.
  const char* name_end = std::strrchr(text, ')');
  return name_end != nullptr && (name_end[2] == 'T' || name_end[2] == 't');
}

std::string self_path() {
  char buffer[4096];
  const ssize_t size = ::readlink("/proc/self/exe", buffer, sizeof buffer);
  return size > 0 ? std::string(buffer, static_cast<size_t>(size)) : "tidegate";
}

uint64_t host_memory_bytes() {
  uint64_t bytes = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                   static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::string v1 = cgroup_of_self("memory");
  const std::string v2 = cgroup_of_self("");
  const std::string places[] = {"/sys/fs/cgroup/memory" + v1 + "/memory.limit_in_bytes",
                                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                                "/sys/fs/cgroup" + v2 + "/memory.max", "/sys/fs/cgroup/memory.max"};
  for (const std::string& path : places) {
    const uint64_t limit = number_in(path);
    if (limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

uint32_t host_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<uint32_t>(std::max(1, CPU_COUNT(&set)));
}

}  // namespace tidegate
