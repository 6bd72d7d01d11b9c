// SPDX-License-Identifier: BSD-2-Clause
// QEMU's own e1000 as a target: a machine without a processor, which qtest commands reach; frames over a socket of
// datagrams. Its clock stands still but when told. Interrupts are never nearer to each other than 128 us there, so each
// write and each frame is followed by a little time.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "base/fd.hh"
#include "script.hh"

namespace oracle {

// Gone with its owner, also where that could not be made.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/unetmap-oracle-XXXXXX";
    if (!mkdtemp(name)) throw std::runtime_error(name);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class Qemu final : public Target {
 public:
  // `program` is a path. Throws where it does not run, or cannot do without a processor.
  Qemu(const std::string& program, const std::string& mac) {
    listener_ = bound(SOCK_STREAM, "/qtest");
    wire_ = bound(SOCK_DGRAM, "/ours");
    if (listen(listener_.get(), 1) < 0) throw std::runtime_error("listen");
    start(program, mac);
    pollfd entry{listener_.get(), POLLIN, 0};
    while (poll(&entry, 1, 100) == 0)
      if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
        pid_ = -1;
        throw std::runtime_error("QEMU ended at once");
      }
    qtest_ = unetmap::UniqueFd(accept(listener_.get(), nullptr, nullptr));
    config(0x10, kBar);
    config(0x04, 7);
  }
  ~Qemu() override {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  Qemu(const Qemu&) = delete;

  void write(uint32_t offset, uint32_t value) override {
    ask("writel", kBar + offset, value);
    pass(kBetween_ns);
  }
  uint32_t read(uint32_t offset) override { return uint32_t(std::stoull(ask("readl", kBar + offset), nullptr, 0)); }
  void put(uint64_t address, const Bytes& bytes) override {
    if (!bytes.empty())
      ask("write " + std::to_string(address) + " " + std::to_string(bytes.size()) + " 0x" + hex(bytes));
  }
  Bytes get(uint64_t address, size_t bytes) override {
    return unhex(ask("read " + std::to_string(address) + " " + std::to_string(bytes)).substr(2));
  }
  void frame(const Bytes& bytes) override {
    sockaddr_un to = address("/qemu");
    if (sendto(wire_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to) < 0)
      throw std::runtime_error("a frame for QEMU");
    // Its loop serves sockets in turn: after two commands more it has been there.
    for (int i = 0; i < 3; i++) (void)read(0);
    pass(kBetween_ns);
  }
  // QEMU 11.1 has lost what its property extra_mac_registers brought before: most statistics, wake-up, packet memory.
  bool serves(uint32_t offset) {
    if (extra_ < 0) {
      const uint32_t before = read(kProbe);
      write(kProbe, 0x1234);
      extra_ = read(kProbe) == 0x1234;
      write(kProbe, before);
    }
    if (extra_ == 1) return true;
    const bool counted = (offset >= 0x4040 && offset < 0x4074) || (offset > 0x4074 && offset < 0x4080) ||
                         (offset > 0x4080 && offset < 0x40c0) || offset >= 0x40d8;
    return !(offset >= 0x4000 && offset < 0x4100 && counted) && offset < 0x1'0000 &&
           !(offset >= 0x5800 && offset < 0x6000 && offset != 0x5808);
  }
  std::vector<Bytes> sent() override {
    std::vector<Bytes> out;
    Bytes buffer(0x1'0000);
    // The socket holds few: QEMU goes on sending when some are taken.
    for (size_t before = SIZE_MAX; before != out.size();) {
      before = out.size();
      ssize_t bytes;
      while ((bytes = recv(wire_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT)) >= 0)
        out.emplace_back(buffer.begin(), buffer.begin() + bytes);
      for (int i = 0; i < 2; i++) (void)read(0);
    }
    return out;
  }
  void pass(uint64_t ns) override { ask("clock_step " + std::to_string(ns)); }
  // What the bus sees of it: the status register of the function.
  bool line() override {
    ask("outl", 0xcf8, kFunction | 4);
    return (std::stoull(ask("inl 0xcfc"), nullptr, 0) >> 19 & 1) != 0;
  }

 private:
  static constexpr uint32_t kProbe = 0x5840;  // IP4AT
  static constexpr uint32_t kBar = 0xfe00'0000, kFunction = 0x8000'0000 | 4 << 11;

  sockaddr_un address(const char* name) const {
    sockaddr_un out{};
    out.sun_family = AF_UNIX;
    strncpy(out.sun_path, (folder_.path() + name).c_str(), sizeof out.sun_path - 1);
    return out;
  }
  unetmap::UniqueFd bound(int type, const char* name) const {
    unetmap::UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    const sockaddr_un at = address(name);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) < 0) throw std::runtime_error("bind");
    return fd;
  }
  void start(const std::string& program, const std::string& mac) {
    const std::vector<std::string> words{program,
                                         "-nodefaults",
                                         "-display",
                                         "none",
                                         "-machine",
                                         "pc,accel=qtest",
                                         "-m",
                                         "32",
                                         "-qtest",
                                         "unix:" + folder_.path() + "/qtest",
                                         "-qtest-log",
                                         "/dev/null",
                                         "-netdev",
                                         "dgram,id=wire,local.type=unix,local.path=" + folder_.path() +
                                             "/qemu,remote.type=unix,remote.path=" + folder_.path() + "/ours",
                                         "-device",
                                         "e1000,netdev=wire,addr=04.0,romfile=,mac=" + mac};
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_ = fork();
    if (pid_ != 0) return;
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  void config(uint32_t offset, uint32_t value) {
    ask("outl", 0xcf8, kFunction | offset);
    ask("outl", 0xcfc, value);
  }
  std::string ask(const char* verb, uint64_t at) { return ask(std::string(verb) + " " + std::to_string(at)); }
  std::string ask(const char* verb, uint64_t at, uint64_t value) {
    return ask(std::string(verb) + " " + std::to_string(at) + " " + std::to_string(value));
  }
  // What follows "OK ".
  std::string ask(const std::string& command) {
    const std::string line = command + "\n";
    for (size_t done = 0; done < line.size();) {
      const ssize_t bytes = send(qtest_.get(), line.data() + done, line.size() - done, MSG_NOSIGNAL);
      if (bytes <= 0) throw std::runtime_error("QEMU is gone");
      done += size_t(bytes);
    }
    size_t end;
    while ((end = input_.find('\n')) == std::string::npos) {
      char buffer[65536];
      const ssize_t bytes = recv(qtest_.get(), buffer, sizeof buffer, 0);
      if (bytes <= 0) throw std::runtime_error("QEMU is gone");
      input_.append(buffer, size_t(bytes));
    }
    const std::string answer = input_.substr(0, end);
    input_.erase(0, end + 1);
    if (answer.rfind("OK", 0) != 0) throw std::runtime_error(command.substr(0, 100) + ": " + answer);
    return answer.size() > 3 ? answer.substr(3) : "";
  }

  const Folder folder_;
  unetmap::UniqueFd listener_, wire_, qtest_;
  std::string input_;
  pid_t pid_ = -1;
  int extra_ = -1;  // not known yet
};

}  // namespace oracle
