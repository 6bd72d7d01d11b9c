// SPDX-License-Identifier: BSD-2-Clause
// Compares our segmentation and checksums with the Linux kernel's, byte for byte.
//
// A child process makes a network namespace of its own with two taps on a bridge. A frame with a virtio-net header
// written into the first tap leaves through the second, which takes no headers and has no offloads, so the kernel has
// to do what we do. After each frame goes a marker frame; what was read when the marker comes out is the answer. The
// namespace, and all in it, is gone with the child. Skips, with the reason, where any of that is not to be had.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "vale/offload.hh"
#include "vale/offload_test_frames.hh"

namespace unetmap::vale {
namespace {

using testing::build_packet;
using testing::Bytes;
using testing::FrameSpec;

constexpr int kPatience_ms = 10000;         // only ever waited for in full when something is broken
constexpr unsigned kMarkerType = 0x88b5;    // IEEE: local experiments
constexpr size_t kLargestPacket = 1 << 18;  // also the largest answer frame

Bytes marker_frame() {
  Bytes frame;
  testing::append(frame, testing::kTestDestinationMac);
  testing::append(frame, testing::kTestSourceMac);
  testing::put16(frame, kMarkerType);
  frame.resize(60);
  return frame;
}

// The kernel's side; runs in the child. Over a SOCK_SEQPACKET pair it takes packets, and answers each with the frames
// that came out and then one byte: 0, or 1 when the marker was lost.
class KernelSide {
 public:
  explicit KernelSide(int control) : control_(control) {}

  // Returns the reason why this machine cannot do it, empty if it can.
  std::string set_up() {
    if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0) return failed("unshare");
    // One CPU: frames then cannot overtake each other on the way through the kernel's backlog.
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) return failed("sched_setaffinity");
    socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0) return failed("socket");
    in_ = open_tap("in", IFF_VNET_HDR);
    if (in_ < 0) return failed("open /dev/net/tun with a virtio-net header");
    out_ = open_tap("out", 0);
    if (out_ < 0) return failed("open /dev/net/tun");
    if (ioctl(socket_, SIOCBRADDBR, "br") != 0) return failed("add a bridge");
    for (const char* name : {"in", "out"}) {
      ifreq request = named("br");
      ifreq port = named(name);
      if (ioctl(socket_, SIOCGIFINDEX, &port) != 0) return failed("interface index");
      request.ifr_ifindex = port.ifr_ifindex;
      if (ioctl(socket_, SIOCBRADDIF, &request) != 0) return failed("add a tap to the bridge");
    }
    for (const char* name : {"in", "out", "br"}) {
      ifreq request = named(name);
      request.ifr_flags = IFF_UP;
      if (ioctl(socket_, SIOCSIFFLAGS, &request) != 0) return failed("bring an interface up");
    }
    // Ports start to forward on an event of the kernel's own making: try until a marker comes through.
    for (int waited_ms = 0; waited_ms < kPatience_ms; waited_ms += 10) {
      write_marker();
      if (std::vector<Bytes> none; read_until_marker(none, 10)) {
        while (read_until_marker(none, 0)) {
        }
        return {};
      }
    }
    return "the bridge does not forward";
  }

  void serve() {
    Bytes packet(kLargestPacket);
    for (;;) {
      const ssize_t bytes = recv(control_, packet.data(), packet.size(), 0);
      if (bytes <= 0) return;
      // A refusal by the kernel is an answer too: no frames.
      [[maybe_unused]] const ssize_t written = write(in_, packet.data(), static_cast<size_t>(bytes));
      write_marker();
      std::vector<Bytes> frames;
      const bool complete = read_until_marker(frames, kPatience_ms);
      for (const Bytes& frame : frames) send(control_, frame.data(), frame.size(), 0);
      const uint8_t end = complete ? 0 : 1;
      send(control_, &end, 1, 0);
    }
  }

 private:
  static std::string failed(const char* what) { return std::string(what) + ": " + strerror(errno); }

  static ifreq named(const char* name) {
    ifreq request{};
    std::strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    return request;
  }

  static int open_tap(const char* name, int flags) {
    const int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap < 0) return -1;
    ifreq request = named(name);
    request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | flags);
    return ioctl(tap, TUNSETIFF, &request) == 0 && ioctl(tap, TUNSETOFFLOAD, 0) == 0 ? tap : -1;
  }

  void write_marker() {
    Bytes packet(10, 0);
    testing::append(packet, marker_frame());
    [[maybe_unused]] const ssize_t written = write(in_, packet.data(), packet.size());
  }

  // Collects what came from the test's address; the kernel's own chatter (IPv6 router solicitations) is passed over.
  bool read_until_marker(std::vector<Bytes>& frames, int patience_ms) {
    Bytes frame(kLargestPacket);
    for (;;) {
      const ssize_t bytes = read(out_, frame.data(), frame.size());
      if (bytes < 0) {
        pollfd waiting{.fd = out_, .events = POLLIN, .revents = 0};
        if (errno != EAGAIN || poll(&waiting, 1, patience_ms) <= 0) return false;
        continue;
      }
      const Bytes got(frame.begin(), frame.begin() + bytes);
      if (got.size() < 14 || !std::equal(testing::kTestSourceMac, testing::kTestSourceMac + 6, got.begin() + 6)) {
        continue;
      }
      if (testing::get16(got, 12) == kMarkerType) return true;
      frames.push_back(got);
    }
  }

  int control_;
  int socket_ = -1;
  int in_ = -1;
  int out_ = -1;
};

class OffloadKernel : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
      missing_ = std::string("socketpair: ") + strerror(errno);
      return;
    }
    const int size = 4 << 20;
    for (const int end : pair) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    child_ = fork();
    if (child_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(pair[0]);
      KernelSide kernel(pair[1]);
      const std::string reason = kernel.set_up();
      const std::string hello = reason.empty() ? "+" : "-" + reason;
      send(pair[1], hello.data(), hello.size(), 0);
      if (reason.empty()) kernel.serve();
      _exit(0);
    }
    close(pair[1]);
    control_ = pair[0];
    char hello[512];
    const ssize_t bytes = child_ > 0 ? recv(control_, hello, sizeof hello, 0) : -1;
    if (bytes <= 0) {
      missing_ = "no child process to ask the kernel";
    } else if (hello[0] != '+') {
      missing_ = std::string(hello + 1, static_cast<size_t>(bytes) - 1);
    }
  }

  static void TearDownTestSuite() {
    if (control_ >= 0) close(control_);  // the child's recv returns 0, it exits
    if (child_ > 0) waitpid(child_, nullptr, 0);
    control_ = -1;
    child_ = -1;
  }

  void SetUp() override {
    if (!missing_.empty()) GTEST_SKIP() << "no kernel to compare with: " << missing_;
  }

  static std::vector<Bytes> ask_kernel(const Bytes& packet) {
    std::vector<Bytes> frames;
    EXPECT_EQ(send(control_, packet.data(), packet.size(), 0), static_cast<ssize_t>(packet.size())) << strerror(errno);
    Bytes answer(kLargestPacket);
    for (;;) {
      const ssize_t bytes = recv(control_, answer.data(), answer.size(), 0);
      if (bytes <= 1) {
        EXPECT_EQ(bytes, 1) << "the kernel's side is gone";
        EXPECT_EQ(answer[0], 0) << "the marker did not come out";
        return frames;
      }
      frames.emplace_back(answer.begin(), answer.begin() + bytes);
    }
  }

  static std::vector<Bytes> ask_ourselves(const Bytes& packet) {
    std::vector<Bytes> frames;
    Segmenter segmenter;
    const Refusal refusal = segmenter.start(packet, 10, {});
    EXPECT_EQ(refusal, Refusal::kNone) << refusal_name(refusal);
    for (size_t i = 0; i < segmenter.packets(); ++i) {
      frames.emplace_back(segmenter.packet_bytes(i));
      EXPECT_EQ(segmenter.next(frames.back()), frames.back().size());
    }
    return frames;
  }

  // Compares, and says where they differ rather than printing whole frames.
  static void compare(const std::vector<Bytes>& ours, const std::vector<Bytes>& kernels, size_t at_least) {
    EXPECT_GE(kernels.size(), at_least) << "the kernel did not forward or cut the frame";
    ASSERT_EQ(ours.size(), kernels.size());
    for (size_t i = 0; i < ours.size(); ++i) {
      ASSERT_EQ(ours[i].size(), kernels[i].size()) << "frame " << i;
      const auto [our, kernel] = std::mismatch(ours[i].begin(), ours[i].end(), kernels[i].begin());
      ASSERT_TRUE(our == ours[i].end()) << "frame " << i << " of " << ours.size() << ", byte " << our - ours[i].begin()
                                        << ": ours " << int{*our} << ", the kernel's " << int{*kernel};
    }
  }

  static inline std::string missing_;
  static inline pid_t child_ = -1;
  static inline int control_ = -1;
};

const Bytes kTimestamps = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
const Bytes kHopByHop = {0, 0, 5, 2, 0, 0, 1, 0};

std::string describe(const FrameSpec& spec) {
  return std::string(spec.ipv6 ? "IPv6 " : "IPv4 ") + (spec.udp ? "UDP" : "TCP") + ", " +
         std::to_string(spec.tags.size()) + " tags, gso_type " + std::to_string(spec.gso_type) + ", gso_size " +
         std::to_string(spec.gso_size) + ", payload " + std::to_string(spec.payload) + ", flags " +
         std::to_string(spec.tcp_flags) + ", options " +
         std::to_string(spec.tcp_options.size() + spec.ip_options.size() + spec.extension_bytes());
}

const std::vector<std::vector<unsigned>> kTagSets = {{}, {0x8100}, {0x88a8}, {0x88a8, 0x8100}};

TEST_F(OffloadKernel, partial_checksums) {
  for (const bool ipv6 : {false, true}) {
    for (const bool udp : {false, true}) {
      for (const auto& tags : kTagSets) {
        for (const size_t payload : {6, 7, 100, 1400}) {
          FrameSpec spec{.ipv6 = ipv6, .udp = udp, .tags = tags, .payload = payload, .gso_type = kGsoNone};
          SCOPED_TRACE(describe(spec));
          const Bytes packet = build_packet(spec);
          compare(ask_ourselves(packet), ask_kernel(packet), 1);
        }
      }
    }
  }
}

TEST_F(OffloadKernel, tcp) {
  for (const bool ipv6 : {false, true}) {
    for (const auto& tags : kTagSets) {
      for (const size_t payload : {1449, 2896, 30001, 64000}) {
        for (const bool options : {false, true}) {
          for (const uint8_t flags : {0x10, 0x18, 0x19, 0xd9}) {
            FrameSpec spec{.ipv6 = ipv6, .tags = tags, .tcp_flags = flags, .payload = payload};
            spec.gso_type = static_cast<uint8_t>((ipv6 ? kGsoTcp6 : kGsoTcp4) | ((flags & 0x80) ? kGsoEcn : 0));
            spec.gso_size = options ? 1400 : 1448;
            if (options) spec.tcp_options = kTimestamps;
            if (options && ipv6) spec.extensions = {kHopByHop};
            if (options && !ipv6) spec.ip_options = {148, 4, 0, 0};
            SCOPED_TRACE(describe(spec));
            const Bytes packet = build_packet(spec);
            compare(ask_ourselves(packet), ask_kernel(packet), 2);
            if (HasFailure()) return;
          }
        }
      }
    }
  }
}

TEST_F(OffloadKernel, tcp_of_random_sizes) {
  std::minstd_rand random(4711);
  for (int round = 0; round < 400; ++round) {
    FrameSpec spec{.ipv6 = random() % 2 == 0, .seed = static_cast<unsigned>(random())};
    spec.tags = kTagSets[random() % kTagSets.size()];
    spec.gso_type = spec.ipv6 ? kGsoTcp6 : kGsoTcp4;
    spec.gso_size = 60 + random() % 1388;
    spec.payload = spec.gso_size + 1 + random() % (spec.gso_size * 40);
    spec.payload = std::min<size_t>(spec.payload, 64000);
    spec.identification = random() % 65536;
    spec.tcp_flags = static_cast<uint8_t>(0x10 | (random() % 256 & 0xe9));
    SCOPED_TRACE(describe(spec));
    const Bytes packet = build_packet(spec);
    compare(ask_ourselves(packet), ask_kernel(packet), 2);
    if (HasFailure()) return;
  }
}

TEST_F(OffloadKernel, uso) {
  FrameSpec probe{.udp = true, .payload = 2900, .gso_type = kGsoUdpSegment, .gso_size = 1448};
  if (ask_kernel(build_packet(probe)).empty()) GTEST_SKIP() << "this kernel does not take gso_type 5 (Linux 6.2)";
  for (const bool ipv6 : {false, true}) {
    for (const auto& tags : kTagSets) {
      for (const size_t payload : {1449, 2896, 30001, 60000}) {
        FrameSpec spec{.ipv6 = ipv6, .udp = true, .tags = tags, .payload = payload, .gso_type = kGsoUdpSegment};
        SCOPED_TRACE(describe(spec));
        const Bytes packet = build_packet(spec);
        compare(ask_ourselves(packet), ask_kernel(packet), 2);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(OffloadKernel, ufo) {
  for (const bool ipv6 : {false, true}) {
    for (const auto& tags : kTagSets) {
      for (const size_t payload : {1473, 2953, 30001, 60000}) {
        FrameSpec spec{.ipv6 = ipv6, .udp = true, .tags = tags, .payload = payload, .gso_type = kGsoUdpFragment};
        spec.gso_size = 1440;
        SCOPED_TRACE(describe(spec));
        const Bytes packet = build_packet(spec);
        std::vector<Bytes> ours = ask_ourselves(packet), kernels = ask_kernel(packet);
        if (ipv6) {
          // Each side chooses the identification of fragments; it only has to be the same in all of them.
          const size_t at = spec.network() + 40 + 4;
          for (std::vector<Bytes>* frames : {&ours, &kernels}) {
            const uint32_t identification = frames->empty() ? 0 : testing::get32(frames->front(), at);
            for (Bytes& frame : *frames) {
              ASSERT_EQ(testing::get32(frame, at), identification);
              testing::set16(frame, at, 0);
              testing::set16(frame, at + 2, 0);
            }
          }
        }
        compare(ours, kernels, 2);
        if (HasFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace unetmap::vale
