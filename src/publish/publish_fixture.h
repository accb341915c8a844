#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <string>
#include <vector>

#include "base/hash.h"
#include "journal/journal.h"
#include "publish/audit.h"
#include "publish/keep.h"
#include "publish/publication.h"
#include "publish/recover.h"
#include "publish/rollback.h"
#include "publish/standing.h"

namespace tidegate {

/// A scratch project: a journal, finished results, and outputs under published/.
class PublishTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tidegate-publish-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    make_world(base_);
  }
  void TearDown() override {
    first_file_is_shared = false;
    journal_.reset();
    (void)remove_tree(real_effects(), base_);
  }

  void make_world(const std::string& base) {
    dir_ = base + "/w";
    ASSERT_TRUE(make_directories(real_effects(), dir_ + "/state"));
    ASSERT_TRUE(make_directories(real_effects(), dir_ + "/results"));
    ASSERT_TRUE(make_directories(real_effects(), dir_ + "/published"));
  }
  void open_journal(Effects& effects, const std::string& state = "state") {
    journal_.reset();
    auto opened = Journal::open(effects, dir_ + "/" + state, Journal::Mode::kWrite);
    ASSERT_TRUE(opened) << opened.error().describe();
    journal_ = std::move(*opened);
  }

  OutputPlace place(const std::string& output = "out") const {
    return {output, dir_ + "/published/" + output};
  }
  Publication::Options options(uint64_t fence = 1, bool together = false,
                               std::vector<OutputPlace> places = {}) const {
    if (places.empty()) places = {place()};
    return {.state_id = "5ca1ab1e5ca1ab1e",
            .pipeline = "pipe",
            .pipeline_file = dir_ + "/p.yaml",
            .run = "run-" + std::to_string(fence),
            .fence = fence,
            .together = together,
            .places = std::move(places)};
  }
  /// The first file of every identity has one content: generations share it.
  static inline bool first_file_is_shared = false;
  static std::string content(const std::string& identity, int part) {
    const std::string of = part == 0 && first_file_is_shared ? "any" : identity;
    std::string text;
    for (int i = 0; i < 50; ++i) text += of + "/" + std::to_string(part) + ";";
    return text;
  }
  /// Two finished files whose bytes follow from the identity.
  PublishRequest request(Effects& effects, const std::string& identity,
                         const std::string& output = "out") {
    PublishRequest request{
        .output = output, .identity = identity, .contract_hash = "c1", .schema = {{"a", "BIGINT"}}};
    for (int part = 0; part < 2; ++part) {
      const std::string path = dir_ + "/results/" + identity + "-" + std::to_string(part);
      const std::string text = content(identity, part);
      if (!exists(effects, path)) (void)write_file(effects, path, text);
      request.files.push_back({path, 10, text.size(), hex64(xxh3_64(text))});
    }
    request.sources.push_back(SourceArrival{.source = "src", .known_by = "manifest", .arrived = 3});
    return request;
  }
  static std::vector<CheckOutcome> passed() {
    return {CheckOutcome{.name = "rows", .kind = "rows", .status = "pass", .message = "fine"}};
  }

  /// The whole way for one output; the journal is committed.
  Status publish(Effects& effects, const std::string& identity, uint64_t fence = 1,
                 bool force = false) {
    TG_ASSIGN(auto publication, Publication::begin(effects, *journal_, options(fence)));
    PublishRequest wanted = request(effects, identity);
    wanted.force = force;
    TG_ASSIGN(const auto staged, publication->stage(wanted));
    EXPECT_EQ(staged.paths.size(), 2u);
    TG_TRY(publication->audited("out", passed()));
    TG_TRY(publication->commit());
    return journal_->commit();
  }
  void must_publish(const std::string& identity, uint64_t fence = 1) {
    const Status done = publish(real_effects(), identity, fence);
    ASSERT_TRUE(done) << done.error().describe();
  }

  static std::string standing_identity(const OutputPlace& where) {
    const auto standing = resolve_current(real_effects(), where.root);
    EXPECT_TRUE(standing) << standing.error().describe();
    return standing && *standing ? (*standing)->record.identity : "";
  }
  std::string standing_identity() const { return standing_identity(place()); }
  static std::string standing_generation(const OutputPlace& where) {
    const auto standing = resolve_current(real_effects(), where.root);
    return standing && *standing ? (*standing)->record.generation : "";
  }

  /// What a plain reader sees is whole: every file's bytes are those of the identity.
  static void expect_whole(const OutputPlace& where) {
    const auto standing = resolve_current(real_effects(), where.root);
    ASSERT_TRUE(standing) << standing.error().describe();
    if (!*standing) return;
    const auto broken = find_damage(real_effects(), (*standing)->record);
    ASSERT_TRUE(broken) << broken.error().describe();
    EXPECT_THAT(*broken, testing::IsEmpty());
    for (size_t i = 0; i < (*standing)->record.files.size(); ++i)
      EXPECT_EQ(read_file(real_effects(),
                          path_join((*standing)->directory, (*standing)->record.files[i].name))
                    .value_or("?"),
                content((*standing)->record.identity, static_cast<int>(i)));
  }

  /// Disk, `current` and journal tell the same, and nothing is left over.
  void expect_settled(const OutputPlace& where) {
    expect_whole(where);
    const auto standing = resolve_current(real_effects(), where.root);
    ASSERT_TRUE(standing);
    const auto record_text = journal_->output_record(where.output);
    ASSERT_TRUE(record_text) << record_text.error().describe();
    ASSERT_EQ(standing->has_value(), record_text->has_value());
    if (standing->has_value()) {
      const auto record = generation_record_from_json(**record_text);
      ASSERT_TRUE(record);
      EXPECT_EQ(record->generation, (*standing)->record.generation);
      EXPECT_EQ(record->identity, (*standing)->record.identity);
      EXPECT_EQ(record->checks.size(), 1u);
      for (const GenerationFile& file : record->files) {
        const auto stat = real_effects().stat(path_join((*standing)->directory, file.name));
        ASSERT_TRUE(stat);
        EXPECT_TRUE(same_stat(file.stat, *stat)) << file.name;
        const auto through = real_effects().stat(where.root + "/current/" + file.name);
        ASSERT_TRUE(through) << through.error().describe();
        EXPECT_EQ(through->inode, stat->inode);
      }
    }
    CommitLog log(real_effects(), (*standing) ? (*standing)->site.log() : where.root + "/log");
    const auto pending = uncommitted_generations(real_effects(), log, where);
    ASSERT_TRUE(pending) << pending.error().describe();
    EXPECT_THAT(*pending, testing::IsEmpty());
    for (const std::string& directory : {where.root + "/gen", where.root, log.directory()})
      for (const std::string& name :
           real_effects().list(directory).value_or(std::vector<std::string>{})) {
        EXPECT_TRUE(!name.starts_with('.') || name == ".owner.json") << directory << " " << name;
      }
  }

  std::string base_, dir_;
  std::unique_ptr<Journal> journal_;
  static constexpr const char* kStateId = "5ca1ab1e5ca1ab1e";
};

}  // namespace tidegate
