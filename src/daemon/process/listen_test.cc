// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/process/listen.hh"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace unetmap::daemon {
namespace {

class ListenTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/unetmap-listen-XXXXXX";
    ASSERT_TRUE(mkdtemp(pattern));
    dir_ = pattern;
    path_ = dir_ + "/run/s";
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  bool connects() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  int refusal() const {
    auto listener = Listener::open(path_);
    return listener ? 0 : listener.error().code;
  }
  // Takes the path and listens there while the test lasts.
  Listener open() {
    auto listener = Listener::open(path_);
    EXPECT_TRUE(listener.has_value()) << listener.error().text;
    auto socket = listener->listen();
    EXPECT_TRUE(socket.has_value()) << socket.error().text;
    socket_ = std::move(*socket);
    return std::move(*listener);
  }
  UniqueFd socket_;
  std::string dir_, path_;
};

TEST_F(ListenTest, MakesAPrivateDirectoryAndSocket) {
  Listener listener = open();
  struct stat info;
  ASSERT_EQ(stat((dir_ + "/run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_TRUE(connects());
  EXPECT_EQ(refusal(), EADDRINUSE);
  listener.remove();
  EXPECT_NE(stat(path_.c_str(), &info), 0);
}

TEST_F(ListenTest, ReplacesTheSocketOfOneThatWasKilled) {
  open();
  socket_.reset();
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);  // left behind
  EXPECT_FALSE(connects());
  Listener listener = open();
  EXPECT_TRUE(connects());
}

TEST_F(ListenTest, LeavesOthersThingsAlone) {
  mkdir((dir_ + "/run").c_str(), 0700);
  std::ofstream(path_) << "precious";
  EXPECT_EQ(refusal(), EEXIST);
  std::filesystem::remove(path_);
  chmod((dir_ + "/run").c_str(), 0777);
  EXPECT_EQ(refusal(), EPERM);
  path_ = dir_ + "/" + std::string(200, 'x');
  EXPECT_EQ(refusal(), ENAMETOOLONG);
  path_ = dir_ + "/no/such/s";
  EXPECT_EQ(refusal(), ENOENT);
}

TEST_F(ListenTest, HiddenItIsNotFoundUntilShown) {
  Listener listener = open();
  listener.hide();
  EXPECT_FALSE(connects());
  listener.show();
  EXPECT_TRUE(connects());
  listener.hide();
  listener.remove();
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".closing"));
}

}  // namespace
}  // namespace unetmap::daemon
