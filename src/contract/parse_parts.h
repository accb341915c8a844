#pragma once

#include <string_view>

#include "contract/contract.h"
#include "contract/fields.h"

namespace tidegate {

/// Why fields of the server are refused.
inline constexpr std::string_view kServerLater = "it comes with the server; remove it for now";

/// The parts of parse_pipeline, one a section of the file. Each reads what it can and reports what
/// it cannot; none looks at other sections.
Source parse_source(const YamlPair& entry, Fields& fields);
Stage parse_stage(const YamlPair& entry, Fields& fields);
Output parse_output(const YamlPair& entry, Fields& fields);
/// One item of `checks`; nothing if its kind is not known.
std::optional<Check> parse_check(const YamlNode& node, Fields& fields);
/// `rollback` of an output, and the file's `notify`.
std::optional<RollbackRule> parse_rollback(const YamlNode& node, Fields& fields);
std::vector<NotifyTarget> parse_notify(const YamlNode& node, Fields& fields);
/// `memory` and `retry` of `defaults` and of stages. `defaults` also has the run's budget and what
/// sources may set aside, which goes to the pipeline if one is given.
std::optional<Spanned<uint64_t>> parse_memory(const YamlNode& node, Fields& fields);
Retry parse_retry(const YamlNode& node, Fields& fields, Pipeline* defaults = nullptr);
/// `data` of a `retry`: `{quarantine: 1%}`.
std::optional<Spanned<double>> parse_quarantine(const YamlNode& data, Fields& fields);
/// Something of that source can be set aside.
bool can_set_aside(const Source& source);
/// `skew`: true for `split`.
std::optional<bool> parse_skew(const YamlNode& node, Fields& fields);

/// Checks between sections: names, references, keys of exchanged inputs, paths. Names that were
/// written in another case become as they were declared.
void check_references(Pipeline& pipeline, Fields& fields);
void check_paths(const Pipeline& pipeline, Fields& fields);
/// Secret references outside of reader options and webhooks, and NUL characters, anywhere in the
/// tree.
void check_scalars(const YamlNode& root, Fields& fields);

/// A URL such as s3://bucket/key: "s3"; else "".
std::string_view url_scheme(std::string_view path);
/// Refuses URLs and what no file can be called.
bool is_local_path(const Spanned<std::string>& path, std::string_view what, Fields& fields,
                   std::string_view instead = "copy the files to this machine, or mount the store");

}  // namespace tidegate
