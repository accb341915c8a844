#include "base/secrets.h"

#include <gtest/gtest.h>

namespace tidegate {
namespace {

TEST(Secrets, AreReplacedByTheirReference) {
  remember_secret("hunter2", "${env:PASSWORD}");
  remember_secret("hunter2-long", "${file:secret}");
  remember_secret(";", "${env:DELIM}");
  EXPECT_EQ(without_secrets("a hunter2; and hunter2-long, hunter2hunter2"),
            "a ${env:PASSWORD}; and ${file:secret}, ${env:PASSWORD}${env:PASSWORD}");
  EXPECT_EQ(without_secrets("nothing"), "nothing");
}

TEST(Secrets, AReferenceThatHoldsTheValueEnds) {
  remember_secret("TOKEN", "${env:TOKEN}");
  EXPECT_EQ(without_secrets("TOKEN TOKEN"), "${env:TOKEN} ${env:TOKEN}");
}

}  // namespace
}  // namespace tidegate
