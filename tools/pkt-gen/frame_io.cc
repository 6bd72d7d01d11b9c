// SPDX-License-Identifier: BSD-2-Clause
#include "frame_io.hh"

#include <fmt/core.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.hh"
#include "log.hh"
#include "parts/system.hh"

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
void bring_up(const std::string& name) {
  UniqueFd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (control.get() < 0 || ioctl(control.get(), SIOCGIFFLAGS, &request) < 0 || request.ifr_flags & IFF_UP) return;
  request.ifr_flags |= IFF_UP;
  if (ioctl(control.get(), SIOCSIFFLAGS, &request) < 0) {
    say(fmt::format("tap {}: it is down and cannot be brought up: {}; run 'ip link set {} up'", name, strerror(errno),
                    name));
  }
}

Result<std::unique_ptr<FrameIo>> open_tap(const Options& options) {
  Result<UniqueFd> fd = parts::open_tap(options.device);
  if (!fd) return fd.error();
  bring_up(options.device);
  return std::unique_ptr<FrameIo>(new TapIo(std::move(*fd)));
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
