#include "source/files.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "base/units.h"
#include "contract/codes.h"

namespace tidegate {
namespace {

constexpr int kLinksMax = 40;
constexpr size_t kNamesShown = 5;

bool has_wildcard(std::string_view text) {
  return text.find_first_of("*?[") != std::string_view::npos;
}

bool is_skipped(std::string_view component, std::string_view name) {
  const char first = name.front();
  return (first == '.' || first == '_') && (component.empty() || component.front() != first);
}

std::vector<std::string> components_of(std::string_view path) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < path.size();) {
    const size_t slash = std::min(path.find('/', at), path.size());
    if (slash > at) parts.emplace_back(path.substr(at, slash - at));
    at = slash + 1;
  }
  return parts;
}

class Finder {
 public:
  Finder(Effects& effects, const std::string& directory, Diagnostics& diagnostics)
      : effects_(effects), directory_(directory), diagnostics_(diagnostics) {}

  Status find(const Spanned<std::string>& pattern, OnEmpty on_empty) {
    span_ = pattern.span;
    found_before_ = files_.size();
    stopped_ = false;
    bad_pattern_ = false;
    const std::string absolute = path_absolute(pattern.value, directory_);
    const auto parts = components_of(absolute);
    if (!has_wildcard(absolute)) return take_literal(absolute);
    TG_TRY(walk("/", parts, 0, 0));
    if (files_.size() == found_before_ && !bad_pattern_) {
      // A name that holds wildcard characters itself.
      if (effects_.stat(absolute)) return take_literal(absolute);
      if (on_empty != OnEmpty::kAllow) report_no_match(pattern.value, parts, on_empty);
    }
    return {};
  }

  std::vector<FoundFile> take() {
    std::sort(files_.begin(), files_.end(),
              [](const FoundFile& a, const FoundFile& b) { return a.name < b.name; });
    std::map<std::string, const FoundFile*> by_path;
    std::vector<FoundFile> once;
    for (const FoundFile& file : files_) {
      const auto [place, added] = by_path.try_emplace(file.path, &file);
      if (added) {
        once.push_back(file);
      } else if (place->second->name != file.name) {
        report(codes::kFileTwice, Severity::kWarning, file.span,
               fmt::format("\"{}\" and \"{}\" are the same file: it is read once",
                           place->second->name, file.name),
               "reaches a file again through a link", "");
      }
    }
    return once;
  }

 private:
  void report(const char* code, Severity severity, Span span, std::string message,
              std::string label, std::string help) {
    diagnostics_.add(
        {code, severity, span, std::move(message), std::move(label), {}, std::move(help)});
  }

  std::string shown(const std::string& path) const {
    const std::string prefix = directory_ == "/" ? "/" : directory_ + "/";
    return path.starts_with(prefix) ? path.substr(prefix.size()) : path;
  }

  Status take_literal(const std::string& path) {
    const auto stat = effects_.stat(path);
    if (!stat) {
      if (is_not_found(stat.error()))
        report_missing(path);
      else
        report(codes::kFileUnreadable, Severity::kError, span_,
               fmt::format("cannot look at \"{}\"", shown(path)), stat.error().message, "");
      return {};
    }
    if (stat->is_dir) {
      report(codes::kFileIsDirectory, Severity::kError, span_,
             fmt::format("\"{}\" is a directory", shown(path)), "files are expected here",
             fmt::format("name the files in it: {}", path_join(shown(path), "*.parquet")));
      return {};
    }
    return take_file(path, *stat);
  }

  Status take_file(const std::string& path, const FileStat& stat) {
    if (!stat.is_regular) {
      report(codes::kFileNotRegular, Severity::kError, span_,
             fmt::format("\"{}\" is not a regular file", shown(path)),
             "pipes, sockets and devices cannot be read again", "");
      return {};
    }
    if (files_.size() >= kInputFilesMax) {
      if (!stopped_)
        report(codes::kTooManyFiles, Severity::kError, span_,
               fmt::format("more than {} files", format_count(kInputFilesMax)), "matches too many",
               "narrow the pattern, or write fewer and larger files");
      stopped_ = true;
      return {};
    }
    TG_ASSIGN(std::string real, real_path(path));
    files_.push_back({shown(path), std::move(real), stat, span_});
    return {};
  }

  /// Directories repeat, so each is resolved once.
  Result<std::string> real_path(const std::string& path) {
    const std::string parent = path_dirname(path);
    auto known = real_directories_.find(parent);
    if (known == real_directories_.end()) {
      TG_ASSIGN(std::string real, resolve_links(effects_, parent));
      known = real_directories_.emplace(parent, std::move(real)).first;
    }
    const std::string here = path_join(known->second, path_basename(path));
    TG_ASSIGN(const FileStat stat, effects_.lstat(here));
    return stat.is_symlink ? resolve_links(effects_, here) : Result<std::string>(here);
  }

  Status walk(const std::string& base, const std::vector<std::string>& parts, size_t at,
              size_t depth) {
    if (stopped_) return {};
    const std::string& part = parts[at];
    const bool last = at + 1 == parts.size();
    if (!has_wildcard(part)) {
      const std::string path = path_join(base, part);
      const auto stat = effects_.stat(path);
      if (!stat) return is_not_found(stat.error()) ? Status{} : cannot_list(path, stat.error());
      if (!last) return stat->is_dir ? walk(path, parts, at + 1, depth) : Status{};
      return stat->is_dir ? Status{} : take_file(path, *stat);
    }
    if (part.find("**") != std::string::npos && part != "**") {
      bad_pattern_ = stopped_ = true;
      report(codes::kBadGlob, Severity::kError, span_,
             fmt::format("`**` must stand alone between slashes, not in \"{}\"", part),
             "not a pattern that can be followed", "write `**/*.parquet`, or `*` within one name");
      return {};
    }
    const bool descend = part == "**";
    if (descend && depth > kGlobDepthMax) return {};
    // `**` stands for no directory as well; at the end of a pattern for any file below.
    if (descend && !last) TG_TRY(walk(base, parts, at + 1, depth));
    const auto names = effects_.list(base);
    if (!names) return cannot_list(base, names.error());
    for (const std::string& name : *names) {
      if (stopped_) return {};
      if (++seen_ > kEntriesSeenMax) {
        stopped_ = true;
        report(
            codes::kTooManyFiles, Severity::kError, span_,
            fmt::format("more than {} directory entries to look at", format_count(kEntriesSeenMax)),
            "looks at too many", "start the pattern with a longer fixed directory");
        return {};
      }
      if (is_skipped(part, name)) continue;
      if (!descend && !glob_match(part, name)) continue;
      TG_TRY(visit(path_join(base, name), parts, at, depth, descend, last));
    }
    return {};
  }

  Status visit(const std::string& path, const std::vector<std::string>& parts, size_t at,
               size_t depth, bool descend, bool last) {
    TG_ASSIGN(FileStat stat, effects_.lstat(path));
    const bool linked = stat.is_symlink;
    if (linked) {
      const auto target = effects_.stat(path);
      if (!target && !last) return {};
      if (!target) {
        report(codes::kFileUnreadable, Severity::kError, span_,
               fmt::format("the link \"{}\" leads nowhere", shown(path)), "matches a broken link",
               "remove the link, or restore what it points to");
        return {};
      }
      stat = *target;
    }
    if (stat.is_dir) {
      if (descend) return linked ? Status{} : walk(path, parts, at, depth + 1);
      return last ? Status{} : walk(path, parts, at + 1, depth + 1);
    }
    return last ? take_file(path, stat) : Status{};
  }

  Status cannot_list(const std::string& path, const Failure& failure) {
    if (is_not_found(failure)) return {};
    report(codes::kFileUnreadable, Severity::kError, span_,
           fmt::format("cannot look into \"{}\"", shown(path)), failure.message,
           "give this user the right to read it");
    return {};
  }

  /// The first component that is not there, and what is there beside it.
  void report_missing(const std::string& path) {
    std::string base = "/";
    for (const std::string& part : components_of(path)) {
      const std::string next = path_join(base, part);
      if (effects_.stat(next)) {
        base = next;
        continue;
      }
      const auto names = effects_.list(base);
      const std::string near = names ? did_you_mean(part, *names) : "";
      report(codes::kNoFiles, Severity::kError, span_,
             fmt::format("no such file: \"{}\"", shown(path)),
             fmt::format("there is no \"{}\" in \"{}\"", part, base),
             near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
      return;
    }
    report(codes::kNoFiles, Severity::kError, span_,
           fmt::format("no such file: \"{}\"", shown(path)), "it vanished while it was looked at",
           "");
  }

  void report_no_match(const std::string& pattern, const std::vector<std::string>& parts,
                       OnEmpty on_empty) {
    std::string base = "/";
    size_t at = 0;
    for (; at < parts.size() && !has_wildcard(parts[at]); ++at) {
      const std::string next = path_join(base, parts[at]);
      if (!effects_.stat(next)) break;
      base = next;
    }
    Diagnostic diagnostic{codes::kNoFiles,
                          on_empty == OnEmpty::kFail ? Severity::kError : Severity::kWarning,
                          span_,
                          fmt::format("no file matches \"{}\"", pattern),
                          "",
                          {},
                          ""};
    const auto names = effects_.list(base);
    if (at < parts.size() && !has_wildcard(parts[at])) {
      diagnostic.label = fmt::format("there is no \"{}\" in \"{}\"", parts[at], base);
      const std::string near = names ? did_you_mean(parts[at], *names) : "";
      if (!near.empty()) diagnostic.help = fmt::format("did you mean \"{}\"?", near);
    } else if (names) {
      std::vector<std::string> seen(names->begin(),
                                    names->begin() + std::min(names->size(), kNamesShown));
      diagnostic.label = names->empty()
                             ? fmt::format("\"{}\" is empty", base)
                             : fmt::format("\"{}\" holds {} other entries", base, names->size());
      if (!seen.empty()) diagnostic.notes.push_back("there are: " + join(seen, ", "));
      const size_t hidden = std::count_if(names->begin(), names->end(), [&](const auto& name) {
        return is_skipped(parts[at], name) && glob_match(parts[at], name);
      });
      if (hidden > 0)
        diagnostic.notes.push_back(
            fmt::format("{} names that start with `.` or `_` are skipped", hidden));
    }
    diagnostics_.add(std::move(diagnostic));
  }

  Effects& effects_;
  const std::string& directory_;
  Diagnostics& diagnostics_;
  Span span_;
  std::vector<FoundFile> files_;
  std::map<std::string, std::string> real_directories_;
  size_t seen_ = 0;
  size_t found_before_ = 0;
  bool stopped_ = false;
  bool bad_pattern_ = false;
};

}  // namespace

Result<std::string> resolve_links(Effects& effects, const std::string& path) {
  std::vector<std::string> rest = components_of(path_absolute(path, "/"));
  std::reverse(rest.begin(), rest.end());  // the next component is the last
  std::string done = "/";
  int links = 0;
  while (!rest.empty()) {
    const std::string part = std::move(rest.back());
    rest.pop_back();
    if (part == ".") continue;
    if (part == "..") {
      done = path_dirname(done);
      continue;
    }
    const std::string next = path_join(done, part);
    TG_ASSIGN(const FileStat stat, effects.lstat(next));
    if (!stat.is_symlink) {
      done = next;
      continue;
    }
    if (++links > kLinksMax)
      return fail(FailureClass::kDependency, "source.links",
                  fmt::format("more than {} symbolic links on the way to \"{}\"", kLinksMax, path));
    TG_ASSIGN(const std::string target, effects.readlink(next));
    if (target.starts_with('/')) done = "/";
    std::vector<std::string> more = components_of(target);
    rest.insert(rest.end(), more.rbegin(), more.rend());
  }
  return done;
}

Result<std::vector<FoundFile>> find_files(Effects& effects, const std::string& directory,
                                          const std::vector<Spanned<std::string>>& patterns,
                                          OnEmpty on_empty, Diagnostics& diagnostics) {
  Finder finder(effects, directory, diagnostics);
  for (const auto& pattern : patterns) TG_TRY(finder.find(pattern, on_empty));
  return finder.take();
}

}  // namespace tidegate
