#pragma once

#include <atomic>
#include <functional>

#include "base/effects.h"
#include "base/failure.h"
#include "task/spec.h"

namespace tidegate {

/// Versions that stand in every task's identity: what changes bytes changes one of these.
inline constexpr uint64_t kTaskFormatVersion = 3;
/// The least bound of a task: an idle worker with DuckDB loaded takes about 60 MiB.
inline constexpr uint64_t kTaskMemoryMin = uint64_t{128} << 20;
/// How a worker ends that ran out of memory where C++ may not throw.
inline constexpr int kExitOutOfMemory = 71;

struct TaskProgress {
  uint64_t rows = 0;
  uint64_t bytes = 0;
};

/// Runs one attempt in this process: a fresh DuckDB, the inputs as relations, the steps as views,
/// the last step's rows into the sinks, then the finished result into STATE/results. Holds to
/// spec.memory_bytes as far as a process can by itself (DuckDB's share, accounted buffers);
/// the engine holds the process to it from outside. `progress` is called now and then.
/// Failures carry class and code; nothing is left in results/ by a failed attempt. `opened` is a
/// DuckDB that was opened without options for this task; if null, one is opened.
Result<TaskReport> run_task(Effects& effects, const TaskSpec& spec,
                            const std::function<void(const TaskProgress&)>& progress,
                            std::unique_ptr<sql::Database> opened = nullptr);

/// The worker's loop over a socket: frames (u32 little-endian length, JSON) in, frames out:
/// {"kind":"hello"}, {"kind":"progress",...}, {"kind":"done",...} or {"kind":"failed",...}, these
/// two with the report or the failure on a second line. Ends when the peer hangs up. Returns the
/// exit code.
int worker_main(Effects& effects, int socket);

/// A frame may be at most this long.
inline constexpr uint32_t kFrameBytesMax = uint32_t{256} << 20;

/// Sends one frame, all of it. Blocks.
Status send_frame(int socket, std::string_view payload);
/// Receives one frame; an orderly hang-up before a frame is nullopt. Blocks.
Result<std::optional<std::string>> receive_frame(int socket);

}  // namespace tidegate
