// Runs the cases of tests/bad/source/*.case. A case is a text file of sections that begin with
// "=== ":
//   === file PATH      the lines below are the file (none: a file of no bytes)
//   === bytes PATH     the same, with \xNN, \r, \n and \t taken as escapes and no line end added
//   === sql            a statement run by DuckDB beforehand; DIR is the case's directory
//   === cut PATH N     cuts the file to N bytes
//   === directory PATH
//   === source         the source's fields, as they stand below its name in a pipeline file
//   === expect         all that is said: diagnostics as `check` shows them, then what the run says
// With TIDEGATE_UPDATE_CASES=1 the expect sections are written anew, to be read before they are
// committed.
#include <filesystem>
#include <map>
#include <sstream>

#include "source/rejects.h"
#include "source/source_fixture.h"

namespace tidegate {
namespace {

struct Section {
  std::string head;
  std::string body;
};

std::vector<Section> sections_of(const std::string& text) {
  std::vector<Section> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("=== "))
      out.push_back({line.substr(4), ""});
    else if (!out.empty())
      out.back().body += line + "\n";
  }
  return out;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') continue;
    if (text[i] != '\\' || i + 1 >= text.size()) {
      out += text[i];
      continue;
    }
    const char kind = text[++i];
    if (kind == 'x' && i + 2 < text.size()) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += kind == 'n' ? '\n' : kind == 'r' ? '\r' : kind == 't' ? '\t' : kind;
    }
  }
  return out;
}

class BadInput : public SourceFixture, public ::testing::WithParamInterface<std::string> {
 protected:
  void prepare(const Section& section) {
    std::istringstream words(section.head);
    std::string kind, name;
    words >> kind >> name;
    if (kind == "file") write(name, section.body);
    if (kind == "bytes") write(name, unescaped(section.body));
    if (kind == "directory") ASSERT_TRUE(make_directories(effects_, path(name)));
    if (kind == "sql") {
      const Status done = connection_->execute(replaced(section.body, "DIR", dir_));
      ASSERT_TRUE(done.has_value()) << done.error().describe();
    }
    if (kind == "cut") {
      uint64_t size = 0;
      words >> size;
      ASSERT_EQ(::truncate(path(name).c_str(), static_cast<off_t>(size)), 0);
    }
  }

  std::string run(const std::string& source_fields) {
    std::string yaml = "version: 1\npipeline: p\nsources:\n  s:\n";
    std::istringstream lines(source_fields);
    for (std::string line; std::getline(lines, line);) yaml += "    " + line + "\n";
    yaml +=
        "stages:\n  a:\n    sql: SELECT * FROM s\noutputs:\n  o:\n    from: a\n    publish:\n"
        "      - parquet: out\n";
    Diagnostics found;
    const Pipeline pipeline = parse_pipeline("pipeline.yaml", dir_, yaml, found);
    std::string out;
    options_.now_us = 1'767'225'600'000'000;  // 2026-01-01: what is said must not change with time
    if (!found.has_errors() && !pipeline.sources.empty()) {
      const auto snapshot = snapshot_source(effects_, pipeline, pipeline.sources[0],
                                            connection_.get(), found, options_);
      if (snapshot) out = scan(*snapshot);
    }
    for (const Diagnostic& d : found.sorted()) said_ += render(d, *pipeline.text, false) + "\n";
    return replaced(said_ + out, dir_, "DIR");
  }

  std::string scan(const SourceSnapshot& snapshot) {
    std::string out;
    uint64_t rows = 0;
    for (const Partition& partition : snapshot.partitions) {
      const auto table = connection_->query(*scan_sql(effects_, snapshot, partition));
      if (!table) {
        const Failure failure =
            explain_scan_failure(effects_, *connection_, snapshot, partition, table.error());
        return out + "run: " + failure.message + " (" + failure.code + ", " +
               std::string(to_string(failure.cls)) + ")\n";
      }
      rows += table->rows.size();
      if (!snapshot.recipe.set_aside_bad_rows) continue;
      const auto rejects = read_rejects(effects_, *connection_, snapshot, partition);
      if (!rejects) return out + "run: " + rejects.error().message + "\n";
      for (const RejectedRow& row : rejects->first)
        out += "set aside: " + row.file + " line " + std::to_string(row.line) +
               (row.column.empty() ? "" : " column " + row.column) + ": " +
               row.reason.substr(0, row.reason.find('\n')) + "\n";
    }
    return out + "run: " + std::to_string(rows) + " rows\n";
  }

  std::string said_;
};

std::vector<std::string> case_files() {
  std::vector<std::string> out;
  for (const auto& entry :
       std::filesystem::directory_iterator(TIDEGATE_SOURCE_DIR "/tests/bad/source"))
    if (entry.path().extension() == ".case") out.push_back(entry.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

TEST_P(BadInput, SaysWhatTheCaseSays) {
  const std::string text = *read_file(effects_, GetParam());
  std::string fields, expected;
  for (const Section& section : sections_of(text)) {
    if (section.head == "source")
      fields = section.body;
    else if (section.head == "expect")
      expected = section.body;
    else
      prepare(section);
  }
  const std::string got = trimmed(run(fields));
  if (getenv("TIDEGATE_UPDATE_CASES")) {
    const std::string kept = text.substr(0, text.find("=== expect"));
    std::ofstream(GetParam(), std::ios::binary) << kept << "=== expect\n" << got << "\n";
    return;
  }
  EXPECT_EQ(got, trimmed(expected)) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(Cases, BadInput, ::testing::ValuesIn(case_files()), [](const auto& info) {
  std::string name = path_basename(info.param);
  name = name.substr(0, name.find('.'));
  for (char& c : name)
    if (!isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

}  // namespace
}  // namespace tidegate
