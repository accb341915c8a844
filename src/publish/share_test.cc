#include "publish/share.h"

#include <fcntl.h>

#include "publish/publish_fixture.h"

namespace tidegate {
namespace {

using testing::IsEmpty;
using testing::Not;

class ShareTest : public PublishTest {
 protected:
  void SetUp() override {
    PublishTest::SetUp();
    first_file_is_shared = true;
    open_journal(real_effects());
  }
  static Effects& fx() { return real_effects(); }
  GenerationRecord standing() {
    const auto found = resolve_current(fx(), place().root);
    return found && *found ? (*found)->record : GenerationRecord{};
  }
  GenerationRecord journaled() {
    return *generation_record_from_json(**journal_->output_record("out"));
  }
  FileStat stat_of(const GenerationRecord& record, size_t file) {
    return *fx().stat(path_join(generation_directory(place().root, record.generation),
                                record.files.at(file).name));
  }
  std::string path_of(const GenerationRecord& record, size_t file) {
    return path_join(generation_directory(place().root, record.generation),
                     record.files.at(file).name);
  }
  size_t count_events(const std::string& type) {
    size_t count = 0;
    EXPECT_TRUE(journal_->each_event(0, "", [&](const Event& event) {
      count += event.type == type;
      return true;
    }));
    return count;
  }
};

TEST_F(ShareTest, EqualBytesAreOneFile) {
  must_publish("aa");
  const GenerationRecord before = standing();
  // The result of the next one is a file of its own, and is not needed.
  PublishRequest wanted = request(fx(), "bb");
  ASSERT_TRUE(fx().unlink(wanted.files[0].path));
  auto publication = Publication::begin(fx(), *journal_, options());
  ASSERT_TRUE(publication);
  const auto staged = (*publication)->stage(wanted);
  ASSERT_TRUE(staged) << staged.error().describe();
  EXPECT_EQ(staged->files_shared, 1u);
  ASSERT_TRUE((*publication)->audited("out", passed()));
  ASSERT_TRUE((*publication)->commit());
  ASSERT_TRUE(journal_->commit());
  const GenerationRecord after = standing();
  EXPECT_EQ(stat_of(before, 0).inode, stat_of(after, 0).inode);
  EXPECT_NE(stat_of(before, 1).inode, stat_of(after, 1).inode);
  EXPECT_NE(before.files[0].name, after.files[0].name) << "names carry the generation's token";
  EXPECT_EQ(after.files[0].shared_from, before.generation);
  EXPECT_EQ(after.files[1].shared_from, "");
  EXPECT_EQ(journaled().files[0].shared_from, before.generation);
  EXPECT_EQ(after.hashed_us, before.hashed_us) << "that file was not read again";
  expect_settled(place());
}

TEST_F(ShareTest, WhatWasAlteredIsNotPassedOn) {
  must_publish("aa");
  const GenerationRecord before = standing();
  const std::string path = path_of(before, 0);
  std::string text = *read_file(fx(), path);
  text[3] ^= 1;
  ASSERT_TRUE(fx().chmod(path, 0644));
  const auto fd = fx().open(path, O_WRONLY);
  ASSERT_TRUE(fd);
  ASSERT_TRUE(fx().pwrite(*fd, std::as_bytes(std::span(text)), 0));
  fx().close(*fd);
  ASSERT_TRUE(fx().chmod(path, 0444));
  must_publish("bb");
  EXPECT_EQ(standing().files[0].shared_from, "");
  expect_settled(place());
}

TEST_F(ShareTest, WhatWasOnlyTouchedIsReadAndShared) {
  must_publish("aa");
  const GenerationRecord before = standing();
  ASSERT_TRUE(fx().chmod(path_of(before, 0), 0644));
  ASSERT_TRUE(fx().chmod(path_of(before, 0), 0444));
  must_publish("bb");
  EXPECT_EQ(standing().files[0].shared_from, before.generation);
  EXPECT_GT(standing().hashed_us, before.hashed_us) << "every byte was read";
  expect_settled(place());
}

TEST_F(ShareTest, DroppingAGenerationReadsNothing) {
  must_publish("aa");
  must_publish("bb");
  must_publish("cc");
  const int64_t hashed = journaled().hashed_us;
  const FileStat before = stat_of(standing(), 0);
  const auto dropped = drop_old_generations(fx(), *journal_, place(), 1, {}, "r");
  ASSERT_TRUE(dropped) << dropped.error().describe();
  EXPECT_EQ(dropped->size(), 1u);
  EXPECT_EQ(stat_of(standing(), 0).links, before.links - 1);
  EXPECT_EQ(count_events("output_reaudited"), 1u);
  EXPECT_EQ(journaled().hashed_us, hashed);
  expect_settled(place());
}

TEST_F(ShareTest, AChangeBesideTheLinksIsSeen) {
  must_publish("aa");
  auto links = LinkChange::begin(fx(), *journal_, place());
  ASSERT_TRUE(links);
  const GenerationRecord record = standing();
  ASSERT_TRUE(fx().chmod(path_of(record, 1), 0644));
  ASSERT_TRUE(write_file(fx(), path_of(record, 1), "other", 0444));
  ASSERT_TRUE(links->settle("r"));
  EXPECT_THAT((*journal_->output_head("out"))->broken, Not(IsEmpty()));
}

}  // namespace
}  // namespace tidegate
