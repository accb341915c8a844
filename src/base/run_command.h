#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/failure.h"
#include "base/subprocess.h"

namespace tidegate {

/// A command that is run to its end.
struct Command {
  std::vector<std::string>
      arguments;            ///< the program first: looked for in PATH, unless it has a '/'
  std::string directory;    ///< to run in; "": this one
  std::string input;        ///< its standard input; kept out of the process list
  int64_t time_us_max = 0;  ///< then its whole process group is killed
};

/// How a command ended.
struct CommandEnd {
  ExitStatus status;
  bool timed_out = false;
  std::string output;  ///< what it said, standard output and error, at most kCommandOutputMax bytes
};
inline constexpr size_t kCommandOutputMax = 4096;

/// Runs a command and waits for it: in a process group of its own, without a terminal, with this
/// process's environment. No shell. Failures: file.not_found, file.denied and the like if it cannot
/// be started; that it failed or took too long is no failure here.
Result<CommandEnd> run_command(const Command& command);

}  // namespace tidegate
