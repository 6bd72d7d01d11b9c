// SPDX-License-Identifier: BSD-2-Clause
// A request of netmap's control interface, to be broken in any way; asked by root and by an ordinary user alike.
#pragma once

#include <grp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "descriptors_port.hh"

namespace descriptors {

// Memory whose second page is none.
class Edge {
 public:
  Edge() {
    base_ = static_cast<char*>(mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + kPage, kPage, PROT_NONE);
  }
  ~Edge() { munmap(base_, 2 * kPage); }
  Edge(const Edge&) = delete;
  Edge& operator=(const Edge&) = delete;
  // A T of which only the first `bytes` are in memory.
  template <class T>
  T* cut(size_t bytes) const {
    return reinterpret_cast<T*>(base_ + kPage - bytes);
  }
  char* none() const { return base_ + kPage; }
  void make_read_only() const { mprotect(base_, kPage, PROT_READ); }

 private:
  static constexpr size_t kPage = 4096;
  char* base_;
};

struct Kind {
  uint16_t type;
  const char* name;
  size_t body;   // bytes
  bool answers;  // on a fresh descriptor and the port below it succeeds
};
// In netmap's order, with bodies that ask for nothing special about vale..:a, which is open.
inline constexpr Kind kKinds[] = {
    {NETMAP_REQ_REGISTER, "REGISTER", sizeof(nmreq_register), true},
    {NETMAP_REQ_PORT_INFO_GET, "PORT_INFO_GET", sizeof(nmreq_port_info_get), true},
    {NETMAP_REQ_VALE_ATTACH, "VALE_ATTACH", sizeof(nmreq_vale_attach), false},
    {NETMAP_REQ_VALE_DETACH, "VALE_DETACH", sizeof(nmreq_vale_detach), true},
    {NETMAP_REQ_VALE_LIST, "VALE_LIST", sizeof(nmreq_vale_list), true},
    {NETMAP_REQ_PORT_HDR_SET, "PORT_HDR_SET", sizeof(nmreq_port_hdr), true},
    {NETMAP_REQ_PORT_HDR_GET, "PORT_HDR_GET", sizeof(nmreq_port_hdr), true},
    {NETMAP_REQ_VALE_NEWIF, "VALE_NEWIF", sizeof(nmreq_vale_newif), false},
    {NETMAP_REQ_VALE_DELIF, "VALE_DELIF", 0, false},
    {NETMAP_REQ_VALE_POLLING_ENABLE, "VALE_POLLING_ENABLE", sizeof(nmreq_vale_polling), false},
    {NETMAP_REQ_VALE_POLLING_DISABLE, "VALE_POLLING_DISABLE", sizeof(nmreq_vale_polling), false},
    {NETMAP_REQ_POOLS_INFO_GET, "POOLS_INFO_GET", sizeof(nmreq_pools_info), true},
    {NETMAP_REQ_SYNC_KLOOP_START, "SYNC_KLOOP_START", sizeof(nmreq_sync_kloop_start), false},
    {NETMAP_REQ_SYNC_KLOOP_STOP, "SYNC_KLOOP_STOP", 0, false},
    {NETMAP_REQ_CSB_ENABLE, "CSB_ENABLE", 0, false},
};

// A request under construction, on a descriptor of its own.
struct Request {
  explicit Request(const Kind& of, const std::string& name) : kind(of) {
    header.nr_version = NETMAP_API;
    header.nr_reqtype = kind.type;
    strncpy(header.nr_name, name.c_str(), sizeof header.nr_name - 1);
    if (kind.body) header.nr_body = uintptr_t(body.data());
    if (kind.type == NETMAP_REQ_REGISTER) as<nmreq_register>().nr_mode = NR_REG_ALL_NIC;
    if (kind.type == NETMAP_REQ_VALE_ATTACH) as<nmreq_vale_attach>().reg.nr_mode = NR_REG_ALL_NIC;
  }
  template <class T>
  T& as() {
    return *reinterpret_cast<T*>(body.data());
  }
  // The errno value of the answer, 0 for none.
  int ask() {
    int fd = open_device();
    int result = ioctl(fd, NIOCCTRL, &header), error = result < 0 ? errno : 0;
    close(fd);
    return error;
  }

  const Kind& kind;
  nmreq_header header{};
  alignas(8) std::array<char, 128> body{};
};

class Requests : public testing::Test {
 protected:
  void SetUp() override { port_ = std::make_unique<Port>(switch_ + ":a"); }
  std::string name() const { return "vale" + switch_ + ":a"; }
  int baseline(const Kind& kind) const { return Request(kind, name()).ask(); }

  // Short, for the requests of old.
  const std::string switch_ = "q" + std::to_string(count_++);
  std::unique_ptr<Port> port_;

 private:
  static inline int count_ = 0;
};

// The tests of this program once more for somebody without privileges, with a daemon of his own.
inline void ask_as_an_ordinary_user() {
  if (geteuid() != 0) GTEST_SKIP() << "run as an ordinary user already";
  char folder[] = "/tmp/unetmap-requests-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  constexpr uid_t kNobody = 65534;
  ASSERT_EQ(chown(folder, kNobody, kNobody), 0);
  pid_t child = fork();
  if (child == 0) {
    setenv("UNETMAP_SOCKET", (std::string(folder) + "/socket").c_str(), 1);
    if (setgroups(0, nullptr) < 0 || setgid(kNobody) < 0 || setuid(kNobody) < 0) _exit(70);
    const char* daemon = getenv("UNETMAPD");
    if (access("/proc/self/exe", X_OK) < 0 || (daemon && access(daemon, X_OK) < 0)) _exit(77);
    execl("/proc/self/exe", "requests", "--gtest_filter=Requests.*", nullptr);
    _exit(71);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  // Its daemon ends by itself, and takes its socket along.
  std::string remove = std::string("rm -rf ") + folder;
  EXPECT_EQ(system(remove.c_str()), 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
    GTEST_SKIP() << "the programs are in a folder that others cannot enter";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

}  // namespace descriptors
