#include "cli/cli.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/secrets.h"
#include "base/text.h"
#include "store/state_dir.h"
#include "task/spec.h"

namespace tidegate::cli {

void out(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }
void err(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stderr); }

int tell_failure(const Common& common, const Failure& failure, int code) {
  if (common.json) out(fmt::format("{{\"event\":\"error\",\"failure\":{}}}\n", to_json(failure)));
  std::string text =
      fmt::format("{}: {} ({}, {})\n", common.colour_err ? "\x1b[31merror\x1b[0m" : "error",
                  failure.message, failure.code, to_string(failure.cls));
  constexpr int kDepthMax = 8;
  int depth = 0;
  for (const Failure* cause = failure.cause.get(); cause && depth < kDepthMax;
       cause = cause->cause.get(), ++depth)
    text += fmt::format("  because: {} ({})\n", cause->message, cause->code);
  err(without_secrets(std::move(text)));
  return code;
}

std::string working_directory() {
  char buffer[4096];
  return ::getcwd(buffer, sizeof buffer) ? buffer : ".";
}

std::string state_directory(const Common& common, const std::string& beside) {
  const std::string here = working_directory();
  if (!common.state.empty()) return path_absolute(common.state, here);
  if (const char* given = std::getenv("TIDEGATE_STATE"); given && *given)
    return path_absolute(given, here);
  return path_join(path_absolute(beside, here), ".tidegate");
}

Result<Pipeline> load_pipeline(Effects& effects, const std::string& path,
                               Diagnostics& diagnostics) {
  constexpr uint64_t kPipelineBytesMax = uint64_t{16} << 20;
  auto text = read_file(effects, path, kPipelineBytesMax);
  if (!text)
    return fail_because(text.error(), "pipeline.unreadable", "cannot read the pipeline file");
  const std::string directory = path_dirname(path_absolute(path, working_directory()));
  return parse_pipeline(path, directory, std::move(*text), diagnostics);
}

std::optional<Pipeline> read_contract(Effects& effects, const Common& common,
                                      const std::string& path) {
  Diagnostics diagnostics;
  auto contract = load_pipeline(effects, path, diagnostics);
  if (!contract) {
    tell_failure(common, contract.error(), kExitUsage);
    return std::nullopt;
  }
  if (!diagnostics.has_errors()) return std::move(*contract);
  print_diagnostics(common, diagnostics, *contract->text);
  return std::nullopt;
}

void print_diagnostics(const Common& common, const Diagnostics& diagnostics,
                       const SourceText& source) {
  if (common.json) {
    for (const Diagnostic& diagnostic : diagnostics.sorted())
      out(without_secrets(render_json(diagnostic, source)) + "\n");
    return;
  }
  const auto sorted = diagnostics.sorted();
  if (sorted.empty() || (common.quiet && !diagnostics.has_errors())) return;
  err(without_secrets(render_all(diagnostics, source, common.colour_err)));
}

Result<std::unique_ptr<Journal>> open_journal(Effects& effects, const Common& common) {
  const std::string directory = state_directory(common, working_directory());
  TG_ASSIGN(const StateDir state, StateDir::open(effects, directory, StateDir::Mode::kRead));
  return Journal::open(effects, state.path(), Journal::Mode::kRead);
}

}  // namespace tidegate::cli
