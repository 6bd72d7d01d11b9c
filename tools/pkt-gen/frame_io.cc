// SPDX-License-Identifier: BSD-2-Clause
#include "frame_io.hh"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <pcap/pcap.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.hh"
#include "log.hh"

namespace unetmap::pktgen {
namespace {

class NullIo final : public FrameIo {
 public:
  int fd() const override { return -1; }
  int send(const uint8_t*, uint32_t) override { return 0; }
  int64_t receive(uint8_t*, uint32_t) override { return -EOPNOTSUPP; }
};

class TapIo final : public FrameIo {
 public:
  explicit TapIo(UniqueFd fd) : fd_(std::move(fd)) {}
  int fd() const override { return fd_.get(); }
  int send(const uint8_t* data, uint32_t bytes) override { return write(fd_.get(), data, bytes) < 0 ? errno : 0; }
  int64_t receive(uint8_t* to, uint32_t room) override {
    ssize_t got = read(fd_.get(), to, room);
    if (got >= 0) return got;
    return errno == EAGAIN ? 0 : -errno;
  }

 private:
  UniqueFd fd_;
};

class PcapIo final : public FrameIo {
 public:
  explicit PcapIo(pcap_t* device) : device_(device, pcap_close) {}
  int fd() const override { return pcap_get_selectable_fd(device_.get()); }
  int send(const uint8_t* data, uint32_t bytes) override {
    errno = 0;
    if (pcap_inject(device_.get(), data, bytes) >= 0) return 0;
    return errno == ENOBUFS ? EAGAIN : errno ? errno : EIO;
  }
  int64_t receive(uint8_t* to, uint32_t room) override {
    pcap_pkthdr* header;
    const u_char* data;
    int got = pcap_next_ex(device_.get(), &header, &data);
    if (got == 0) return 0;
    if (got < 0) return -EIO;
    std::copy_n(data, std::min(room, header->caplen), to);
    return header->len;
  }

 private:
  std::unique_ptr<pcap_t, decltype(&pcap_close)> device_;
};

// A tap that is down swallows nothing and refuses writes; a fresh one always is.
void bring_up(const char* name) {
  UniqueFd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::copy_n(name, strnlen(name, IFNAMSIZ - 1), request.ifr_name);
  if (control.get() < 0 || ioctl(control.get(), SIOCGIFFLAGS, &request) < 0 || request.ifr_flags & IFF_UP) return;
  request.ifr_flags |= IFF_UP;
  if (ioctl(control.get(), SIOCSIFFLAGS, &request) < 0) {
    say(fmt::format("tap {}: it is down and cannot be brought up: {}; run 'ip link set {} up'", name, strerror(errno),
                    name));
  }
}

Result<std::unique_ptr<FrameIo>> open_tap(const Options& options) {
  auto failed = [&](int code, const char* what) {
    const char* remedy = code == EPERM || code == EACCES ? "run as root or with CAP_NET_ADMIN"
                         : code == EBUSY                 ? "another program holds this tap; end it or use another tap"
                         : code == ENOENT                ? "the kernel has no tun driver; run 'modprobe tun'"
                                                         : "check that the name is that of a tap device";
    return Error{code, fmt::format("unable to open tap {}: {}: {}; {}", options.device, what, strerror(code), remedy)};
  };
  if (options.device.size() >= IFNAMSIZ) return failed(ENAMETOOLONG, "its name");
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (fd.get() < 0) return failed(errno, "/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::copy(options.device.begin(), options.device.end(), request.ifr_name);
  if (ioctl(fd.get(), TUNSETIFF, &request) < 0) return failed(errno, "TUNSETIFF");
  bring_up(request.ifr_name);
  return std::unique_ptr<FrameIo>(new TapIo(std::move(fd)));
}

Result<std::unique_ptr<FrameIo>> open_pcap(const Options& options) {
  char reason[PCAP_ERRBUF_SIZE] = "";
  constexpr int kSnapBytes = 65535, kPromiscuous = 1, kTimeoutMs = 1;
  pcap_t* device = pcap_open_live(options.device.c_str(), kSnapBytes, kPromiscuous, kTimeoutMs, reason);
  if (!device) {
    return Error{ENXIO,
                 fmt::format("unable to open {} through libpcap: {}; check the name with 'ip link', and run as root",
                             options.device, reason)};
  }
  auto io = std::make_unique<PcapIo>(device);
  if (pcap_setnonblock(device, 1, reason) < 0) {
    return Error{EIO, fmt::format("{}: libpcap cannot read without blocking: {}", options.device, reason)};
  }
  return std::unique_ptr<FrameIo>(std::move(io));
}

}  // namespace

Result<std::unique_ptr<FrameIo>> open_frame_io(const Options& options) {
  switch (options.backend) {
    case Backend::tap:
      return open_tap(options);
    case Backend::pcap:
      return open_pcap(options);
    default:
      return std::unique_ptr<FrameIo>(new NullIo);
  }
}

}  // namespace unetmap::pktgen
