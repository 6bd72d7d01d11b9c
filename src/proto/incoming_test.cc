// SPDX-License-Identifier: BSD-2-Clause
#include "proto/incoming.hh"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <vector>

#include "base/fd_message.hh"

namespace unetmap::proto {
namespace {

struct Header {
  uint32_t bytes;  // of payload
};
constexpr size_t kMostBytes = 4000, kMostFds = 2;

class IncomingTest : public testing::Test {
 protected:
  IncomingTest() {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    there_ = UniqueFd(pair[0]);
    here_.emplace(UniqueFd(pair[1]), "peer", kMostBytes, kMostFds);
  }
  void send(const std::string& bytes, size_t fds = 0) {
    const FdMessage message(bytes.data(), bytes.size(), std::vector<int>(fds, event_.get()));
    ASSERT_EQ(sendmsg(there_.get(), message.header(), 0), ssize_t(bytes.size()));
  }
  static std::string message(size_t bytes, char with = 'x') {
    const Header header{uint32_t(bytes)};
    return std::string(reinterpret_cast<const char*>(&header), sizeof header) + std::string(bytes, with);
  }
  struct Got {
    std::string payload;
    size_t fds;
    bool operator==(const Got&) const = default;
  };
  // The next message; none is {"none", 0}, an error its text.
  Got next(bool may_read = true) {
    auto got = here_->next<Header>(
        [](const Header& header) -> Result<size_t> {
          if (header.bytes > kMostBytes - sizeof header) return Error{EPROTO, "too long"};
          return sizeof header + header.bytes;
        },
        may_read);
    if (!got) return {got.error().text, 0};
    if (!*got) return {"none", 0};
    return {{reinterpret_cast<const char*>((*got)->payload.data()), (*got)->payload.size()}, (*got)->fds.size()};
  }

  const UniqueFd event_{eventfd(0, EFD_CLOEXEC)};
  UniqueFd there_;
  std::optional<Incoming> here_;
};

TEST_F(IncomingTest, ManyAreReadAtOnce) {
  std::string all;
  for (int i = 0; i < 50; i++) all += message(3, char('a' + i % 26));
  send(all);
  EXPECT_TRUE(here_->more());
  EXPECT_EQ(next(), (Got{"aaa", 0}));
  EXPECT_EQ(recv(here_->fd(), &all[0], 1, MSG_DONTWAIT), -1);  // all the others are ours already
  for (int i = 1; i < 50; i++) {
    EXPECT_TRUE(here_->more());
    EXPECT_EQ(next(false), (Got{std::string(3, char('a' + i % 26)), 0}));
  }
  EXPECT_FALSE(here_->more());
  send(message(1));
  EXPECT_EQ(next(false), (Got{"none", 0}));
  EXPECT_EQ(next(), (Got{"x", 0}));
}

// Also where they come with the first piece of a message that goes on with the next one's.
TEST_F(IncomingTest, DescriptorsStayWithTheirMessage) {
  const std::string first = message(10, 'a'), second = message(10, 'b'), third = message(0);
  send(message(5, 'z') + first.substr(0, 2));
  send(first.substr(2, 4), 1);
  EXPECT_EQ(next(), (Got{"zzzzz", 0}));
  EXPECT_EQ(next(), (Got{"none", 0}));
  send(first.substr(6) + second, 2);
  send(third);
  EXPECT_EQ(next(), (Got{std::string(10, 'a'), 1}));
  EXPECT_EQ(next(), (Got{std::string(10, 'b'), 2}));
  EXPECT_EQ(next(), (Got{"", 0}));
}

TEST_F(IncomingTest, LongOnesComeInPieces) {
  const std::string longest = message(kMostBytes - sizeof(Header), 'l');
  for (int round = 0; round < 3; round++) {
    for (size_t at = 0; at < longest.size(); at += 700) {
      send(longest.substr(at, 700));
      if (at + 700 < longest.size()) {
        EXPECT_EQ(next(), (Got{"none", 0}));
      }
    }
    EXPECT_EQ(next(), (Got{longest.substr(sizeof(Header)), 0}));
  }
}

TEST_F(IncomingTest, EndsAreTold) {
  send(message(10).substr(0, 5));
  there_.reset();
  EXPECT_EQ(next().payload, "peer: gone in the middle of a message");
}

TEST_F(IncomingTest, GoneBetweenMessages) {
  send(message(1));
  there_.reset();
  EXPECT_EQ(next(), (Got{"x", 0}));
  EXPECT_EQ(next().payload, "peer: gone");
}

TEST_F(IncomingTest, MoreDescriptorsThanAnyMessageHas) {
  send(message(1), 3);
  EXPECT_EQ(next().payload, "peer: more descriptors than any message has");
}

// A size is judged before so many bytes are waited for.
TEST_F(IncomingTest, TooLong) {
  send(message(kMostBytes).substr(0, sizeof(Header)));
  EXPECT_EQ(next().payload, "too long");
}

}  // namespace
}  // namespace unetmap::proto
