#include "contract/contract.h"
#include "contract/diagnostic.h"
#include "targets.h"

namespace tidegate::fuzz {

bool pipeline(std::string_view input) {
  Diagnostics diagnostics;
  const Pipeline parsed =
      parse_pipeline("pipeline.yaml", "/project", std::string(input), diagnostics);
  TG_ASSERT(parsed.text);
  const std::string plain = render_all(diagnostics, *parsed.text, false);
  for (const Diagnostic& one : diagnostics.sorted()) {
    TG_ASSERT(one.span.begin <= one.span.end && one.span.end <= parsed.text->text().size());
    TG_ASSERT(!render(one, *parsed.text, true).empty());
    TG_ASSERT(!render_json(one, *parsed.text).empty());
  }
  TG_ASSERT(!diagnostics.has_errors() || !plain.empty());
  return !diagnostics.has_errors();
}

}  // namespace tidegate::fuzz
