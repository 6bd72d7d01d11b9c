// SPDX-License-Identifier: BSD-2-Clause
// /dev/netmap and its parameters as programs see them, and the calls that the library stands in front of.
#include <dlfcn.h>
#include <net/if.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <fstream>
#include <sstream>

#include "descriptors_port.hh"

namespace descriptors {
namespace {

// Every name on the list of exports is exported, and a program's call of it comes to this library.
TEST(Interposition, EachListedNameResolvesToTheLibrary) {
  const char* source = getenv("SOURCE_DIR");
  if (!source) GTEST_SKIP() << "SOURCE_DIR is not set: run by ctest to compare with the list of exports";
  std::ifstream file(std::string(source) + "/src/libunetmap.map");
  ASSERT_TRUE(file) << "no list of exports";
  std::stringstream text;
  text << file.rdbuf();
  std::string list = text.str();
  list = list.substr(list.find("global:") + 7);
  list = list.substr(0, list.find("local:"));
  Dl_info ours;
  ASSERT_NE(dladdr(dlsym(RTLD_DEFAULT, "nmport_open"), &ours), 0);
  int names = 0;
  std::stringstream words(list);
  for (std::string name; std::getline(words, name, ';');) {
    name.erase(0, name.find_first_not_of(" \n\t"));
    if (name.empty() || name.find('*') != std::string::npos) continue;
    names++;
    void* found = dlsym(RTLD_DEFAULT, name.c_str());
    Dl_info info{};
    ASSERT_TRUE(found && dladdr(found, &info)) << name << " is not exported";
    EXPECT_STREQ(info.dli_fname, ours.dli_fname) << name;
  }
  EXPECT_GT(names, 50);
}

// Programs that know nothing of the library: what they link names versions of the C library's functions.
TEST(Interposition, WorksForUnmodifiedPrograms) {
  Dl_info ours;
  ASSERT_NE(dladdr(dlsym(RTLD_DEFAULT, "nmport_open"), &ours), 0);
  std::string preload = std::string("LD_PRELOAD=") + ours.dli_fname + " ";
  EXPECT_EQ(system((preload + "/usr/bin/test -c /dev/netmap").c_str()), 0);
  EXPECT_EQ(system((preload + "/usr/bin/test -w /dev/netmap").c_str()), 0);
  EXPECT_EQ(system((preload + "/bin/ls -l /dev/netmap >/dev/null").c_str()), 0);
  EXPECT_EQ(system((preload + "/usr/bin/grep -qx 2048 /sys/module/netmap/parameters/buf_size").c_str()), 0);
  EXPECT_NE(system("/usr/bin/test -c /dev/netmap"), 0) << "this machine has the kernel module: the above says nothing";
}

TEST(Device, LooksLikeACharacterDeviceThatOneMayUse) {
  struct stat info;
  for (auto* look : {stat, lstat}) {
    ASSERT_EQ(look("/dev/netmap", &info), 0);
    EXPECT_TRUE(S_ISCHR(info.st_mode));
  }
  ASSERT_EQ(fstatat(AT_FDCWD, "/dev/netmap", &info, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  struct statx extended;
  ASSERT_EQ(statx(AT_FDCWD, "/dev/netmap", 0, STATX_BASIC_STATS, &extended), 0);
  EXPECT_TRUE(S_ISCHR(extended.stx_mode));
  EXPECT_EQ(access("/dev/netmap", R_OK | W_OK), 0);
  EXPECT_EQ(faccessat(AT_FDCWD, "/dev/netmap", R_OK | W_OK, AT_EACCESS), 0);
  EXPECT_LT(access("/dev/netmap", X_OK), 0);
  EXPECT_EQ(errno, EACCES);
  int fd = open_device();
  ASSERT_EQ(fstat(fd, &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  EXPECT_EQ(info.st_rdev, makedev(extended.stx_rdev_major, extended.stx_rdev_minor));
  ASSERT_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &extended), 0);
  EXPECT_TRUE(S_ISCHR(extended.stx_mode));
  close(fd);
}

TEST(Device, EachOpenIsSeen) {
  auto registers = [](int fd) {
    ASSERT_GE(fd, 0) << strerror(errno);
    EXPECT_EQ(register_port(fd, switch_name() + ":p"), 0) << strerror(errno);
    EXPECT_EQ(close(fd), 0);
  };
  registers(open("/dev/netmap", O_RDWR));
  registers(open64("/dev/netmap", O_RDWR | O_CLOEXEC));
  registers(openat(AT_FDCWD, "/dev/netmap", O_RDWR));
  registers(openat64(3, "//dev//netmap", O_RDWR));
  auto fortified = reinterpret_cast<int (*)(const char*, int)>(dlsym(RTLD_DEFAULT, "__open_2"));
  registers(fortified("/dev/netmap", O_RDWR));
  FILE* stream = fopen("/dev/netmap", "r+e");
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(fcntl(fileno(stream), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(register_port(fileno(stream), switch_name() + ":p"), 0);
  EXPECT_EQ(fclose(stream), 0);
  EXPECT_LT(open("/dev/netmap", O_RDWR | O_DIRECTORY), 0);
  EXPECT_EQ(errno, ENOTDIR);
  EXPECT_LT(open("/dev/netmap", O_RDWR | O_CREAT | O_EXCL, 0600), 0);
  EXPECT_EQ(errno, EEXIST);
}

TEST(Device, ParametersCanBeReadAndNotWritten) {
  const std::string path = "/sys/module/netmap/parameters/";
  int size = 0;
  std::ifstream stream(path + "buf_size");
  EXPECT_TRUE(stream >> size);
  EXPECT_EQ(size, 2048);
  FILE* file = fopen((path + "buf_num").c_str(), "r");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(fscanf(file, "%d", &size), 1);
  EXPECT_GT(size, 0);
  fclose(file);
  int fd = open((path + "verbose").c_str(), O_RDONLY);
  ASSERT_GE(fd, 0);
  EXPECT_LT(write(fd, "1", 1), 0);
  close(fd);
  EXPECT_LT(open((path + "verbose").c_str(), O_RDWR), 0);
  EXPECT_EQ(errno, EACCES);
  EXPECT_LT(open((path + "no_such").c_str(), O_RDONLY), 0);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(access((path + "buf_size").c_str(), R_OK), 0);
  struct stat info;
  ASSERT_EQ(stat("/sys/module/netmap", &info), 0);
  EXPECT_TRUE(S_ISDIR(info.st_mode));
}

TEST(Device, RequestsThatAreNotNetmaps) {
  int fd = open_device(), on = 1;
  errno = 7;
  EXPECT_EQ(ioctl(fd, FIONBIO, &on), 0);
  EXPECT_EQ(errno, 7) << "errno is kept on success";
  EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
  EXPECT_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
  EXPECT_FALSE(fcntl(fd, F_GETFL) & O_NONBLOCK);
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
  int bytes;
  EXPECT_LT(ioctl(fd, FIONREAD, &bytes), 0);
  EXPECT_EQ(errno, EOPNOTSUPP);
  EXPECT_LT(ioctl(fd, 0x1234, nullptr), 0);
  EXPECT_EQ(errno, EOPNOTSUPP);
  int other = open("/dev/null", O_RDWR);
  EXPECT_LT(ioctl(other, NIOCTXSYNC, nullptr), 0);
  EXPECT_EQ(errno, ENOTTY);
  close(other);
  close(fd);
}

// The device moves no bytes by itself, and is no socket: neither blocks, nor reaches the daemon, whatever is called.
TEST(Device, IsNeitherReadNorWrittenAndNoSocket) {
  Pair pair;
  int fd = pair.a.fd(), other = open("/dev/zero", O_RDWR), pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  char bytes[64] = {};
  iovec part{bytes, sizeof bytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  mmsghdr messages{message, 0};
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  auto* name = reinterpret_cast<sockaddr*>(&address);
  auto fortified = [](const char* symbol) { return dlsym(RTLD_DEFAULT, symbol); };
  using Read = ssize_t(int, void*, size_t, size_t);
  using Receive = ssize_t(int, void*, size_t, size_t, int);
  const std::pair<const char*, std::function<ssize_t()>> transfers[] = {
      {"read", [&] { return read(fd, bytes, sizeof bytes); }},
      {"__read_chk", [&] { return reinterpret_cast<Read*>(fortified("__read_chk"))(fd, bytes, 64, 64); }},
      {"pread", [&] { return pread(fd, bytes, sizeof bytes, 0); }},
      {"readv", [&] { return readv(fd, &part, 1); }},
      {"preadv", [&] { return preadv(fd, &part, 1, 0); }},
      {"preadv2", [&] { return preadv2(fd, &part, 1, -1, 0); }},
      {"write", [&] { return write(fd, bytes, sizeof bytes); }},
      {"pwrite", [&] { return pwrite(fd, bytes, sizeof bytes, 0); }},
      {"writev", [&] { return writev(fd, &part, 1); }},
      {"pwritev", [&] { return pwritev(fd, &part, 1, 0); }},
      {"pwritev2", [&] { return pwritev2(fd, &part, 1, -1, 0); }},
      {"recv", [&] { return recv(fd, bytes, sizeof bytes, 0); }},
      {"__recv_chk", [&] { return reinterpret_cast<Receive*>(fortified("__recv_chk"))(fd, bytes, 64, 64, 0); }},
      {"recvfrom", [&] { return recvfrom(fd, bytes, sizeof bytes, 0, name, &length); }},
      {"recvmsg", [&] { return recvmsg(fd, &message, 0); }},
      {"recvmmsg", [&] { return recvmmsg(fd, &messages, 1, 0, nullptr); }},
      {"send", [&] { return send(fd, bytes, sizeof bytes, 0); }},
      {"sendto", [&] { return sendto(fd, bytes, sizeof bytes, 0, nullptr, 0); }},
      {"sendmsg", [&] { return sendmsg(fd, &message, 0); }},
      {"sendmmsg", [&] { return sendmmsg(fd, &messages, 1, 0); }},
      {"sendfile to", [&] { return sendfile(fd, other, nullptr, 64); }},
      {"sendfile from", [&] { return sendfile(other, fd, nullptr, 64); }},
      {"splice to", [&] { return splice(pipes[0], nullptr, fd, nullptr, 64, 0); }},
      {"splice from", [&] { return splice(fd, nullptr, pipes[1], nullptr, 64, 0); }},
      {"tee", [&] { return tee(fd, pipes[1], 64, 0); }},
      {"vmsplice", [&] { return vmsplice(fd, &part, 1, 0); }},
      {"copy_file_range", [&] { return copy_file_range(other, nullptr, fd, nullptr, 64, 0); }},
      {"shutdown", [&] { return shutdown(fd, SHUT_RDWR); }},
  };
  for (auto& [call, make] : transfers) {
    errno = 0;
    EXPECT_EQ(make(), -1) << call;
    EXPECT_EQ(errno, EINVAL) << call;
  }
  int value = 0;
  const std::pair<const char*, std::function<int()>> of_sockets[] = {
      {"bind", [&] { return bind(fd, name, sizeof address); }},
      {"connect", [&] { return connect(fd, name, sizeof address); }},
      {"listen", [&] { return listen(fd, 1); }},
      {"accept", [&] { return accept(fd, nullptr, nullptr); }},
      {"accept4", [&] { return accept4(fd, nullptr, nullptr, 0); }},
      {"getsockname", [&] { return getsockname(fd, name, &length); }},
      {"getpeername", [&] { return getpeername(fd, name, &length); }},
      {"getsockopt", [&] { return getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length); }},
      {"setsockopt", [&] { return setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof value); }},
  };
  for (auto& [call, make] : of_sockets) {
    errno = 0;
    EXPECT_EQ(make(), -1) << call;
    EXPECT_EQ(errno, ENOTSOCK) << call;
  }
  // Duplicates are the same device, and none of it was in the way of packets.
  int again = dup(fd);
  EXPECT_EQ(write(again, bytes, 1), -1);
  close(again);
  EXPECT_TRUE(pair.b.send(5));
  EXPECT_EQ(pair.a.receive(), Numbers{5});
  // Other descriptors go on as ever.
  EXPECT_EQ(write(pipes[1], "x", 1), 1);
  EXPECT_EQ(read(pipes[0], bytes, sizeof bytes), 1);
  for (int each : {other, pipes[0], pipes[1]}) close(each);
}

// One that this process has not opened, and does not know yet, neither.
TEST(Device, IsNotReadWhereItWasInherited) {
  int fd = open_device(O_RDWR);
  std::string text = "0<&" + std::to_string(fd);
  Dl_info ours;
  ASSERT_NE(dladdr(dlsym(RTLD_DEFAULT, "nmport_open"), &ours), 0);
  // dd reads its standard input at once, and says what came of it.
  std::string line =
      std::string("LD_PRELOAD=") + ours.dli_fname + " timeout 20 dd bs=16 count=1 " + text + " 2>&1 >/dev/null";
  FILE* said = popen(line.c_str(), "r");
  char words[256] = {};
  ASSERT_NE(fgets(words, sizeof words, said), nullptr);
  while (fgetc(said) != EOF) {
  }
  EXPECT_EQ(WEXITSTATUS(pclose(said)), 1) << words;
  EXPECT_NE(strstr(words, "Invalid argument"), nullptr) << words;
  close(fd);
}

TEST(Device, NonBlockingFromTheStart) {
  int fd = open_device(O_RDWR | O_NONBLOCK);
  EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
  std::string name = switch_name();
  Port port, other(name + ":b");
  port.bind(fd, name + ":a");
  EXPECT_EQ(ioctl(fd, NIOCRXSYNC, nullptr), 0);
  EXPECT_TRUE(other.send(1));
  EXPECT_EQ(port.receive(), Numbers{1});
}

TEST(Device, InterfaceFlagsOfAValePort) {
  int socket_fd = socket(AF_INET, SOCK_DGRAM, 0);
  ifreq request{};
  strcpy(request.ifr_name, "vale0:1");
  ASSERT_EQ(ioctl(socket_fd, SIOCGIFFLAGS, &request), 0) << strerror(errno);
  EXPECT_TRUE(request.ifr_flags & IFF_RUNNING);
  request.ifr_flags |= IFF_PROMISC;
  EXPECT_EQ(ioctl(socket_fd, SIOCSIFFLAGS, &request), 0);
  strcpy(request.ifr_name, "nosuchinterface");
  EXPECT_LT(ioctl(socket_fd, SIOCGIFFLAGS, &request), 0);
  EXPECT_EQ(errno, ENODEV);
  close(socket_fd);
}

}  // namespace
}  // namespace descriptors
