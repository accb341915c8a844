#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/failure.h"

namespace tidegate {

/// A child process in a group of its own, connected by a socket pair.
struct Subprocess {
  pid_t pid = -1;
  int pidfd = -1;   ///< readable when it has ended
  int socket = -1;  ///< our end; non-blocking reads are the owner's business
  int statm = -1;   ///< for resident_bytes
};

/// How a child ended.
struct ExitStatus {
  bool signalled = false;
  int code = 0;  ///< exit code, or the signal's number
};

/// A program file that can be started again and again, also when another file has taken its place
/// meanwhile. Move-only; closes its descriptor.
class Program {
 public:
  /// Opens the file at `path`; "" is the file that this process runs.
  static Result<Program> open(const std::string& path);
  Program() = default;
  Program(Program&& other) noexcept;
  Program& operator=(Program&& other) noexcept;
  ~Program();
  int fd() const { return fd_; }
  const std::string& name() const { return name_; }  ///< for argv[0] and messages

 private:
  int fd_ = -1;
  std::string name_;
};

/// Starts `program` with `arguments` (argv[0] excluded) by posix_spawn. Its end of the socket pair
/// is descriptor 3, stdin and stdout are /dev/null, stderr is ours. Nothing else is inherited but
/// the environment, with `variables` ("NAME=value") in it.
Result<Subprocess> spawn(const Program& program, const std::vector<std::string>& arguments,
                         const std::vector<std::string>& variables = {});

/// SIGKILL to the child's whole group. Fine if it has ended already.
void kill_group(const Subprocess& process);

/// Waits for the end (blocks) and closes both descriptors.
ExitStatus reap(Subprocess& process);

/// Bytes of memory that are resident in that process; 0 if it has gone. Pages shared with the page
/// cache (mapped files) are not counted.
uint64_t resident_bytes(const Subprocess& process);

/// True if the process has been stopped (SIGSTOP, a debugger): it lives and does nothing.
bool is_stopped(const Subprocess& process);

/// The path of this program, " (deleted)" behind it if another file has taken its place.
std::string self_path();

/// What the machine, or the cgroup this process is in (v1 or v2), allows in bytes.
uint64_t host_memory_bytes();
uint32_t host_cpus();

}  // namespace tidegate
