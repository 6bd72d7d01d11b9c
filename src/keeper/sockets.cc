// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/sockets.hh"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace unetmap::keeper {
namespace {

constexpr uint16_t kUseSg = 1 << 4;  // XDP_USE_SG, Linux 6.6; not in Debian 12's headers
constexpr int kBusyTries = 100, kBusyPause_us = 10000;
constexpr int kIgnoreOutgoing = 23;           // PACKET_IGNORE_OUTGOING
constexpr uint32_t kPacketFrameBytes = 4096;  // what a received frame counts against the socket's buffer, about

class Mapping {
 public:
  Mapping(int memfd, const wire::UmemPlace& place) : bytes_(place.bytes) {
    at_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, off_t(place.offset));
  }
  ~Mapping() {
    if (at_ != MAP_FAILED) munmap(at_, bytes_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  void* at() const { return at_ == MAP_FAILED ? nullptr : at_; }

 private:
  void* at_;
  size_t bytes_;
};

Error umem_error(int code, uint64_t bytes) {
  Error out = Error::from_errno(code, "UMEM of " + std::to_string(bytes >> 20) + " MiB");
  if (code == ENOBUFS || code == ENOMEM)
    out.text +=
        "; more memory must be allowed to be locked: ulimit -l unlimited, LimitMEMLOCK=infinity, or CAP_SYS_RESOURCE "
        "at start";
  if (code == EPERM) out.text += "; it takes CAP_NET_RAW in this network namespace";
  return out;
}

}  // namespace

struct XdpSockets::Rings {
  struct Queue {
    xsk_ring_cons rx{}, completion{};
    xsk_ring_prod tx{}, fill{};
  };
  explicit Rings(size_t count) : queues(count) {}
  std::vector<Queue> queues;
};

void XdpSockets::DeleteRings::operator()(Rings* rings) const { delete rings; }

Result<XdpSockets> XdpSockets::open(const Interface& interface, const XdpSocketSettings& settings) {
  struct stat file;
  if (fstat(settings.memfd, &file) < 0) return Error::from_errno(errno, "UMEM");
  if (uint64_t(file.st_size) < settings.umem.offset ||
      uint64_t(file.st_size) - settings.umem.offset < settings.umem.bytes)
    return Error{EINVAL, "UMEM: not inside its memory file"};
  Mapping memory(settings.memfd, settings.umem);
  if (!memory.at()) return Error::from_errno(errno, "UMEM");

  XdpSockets out;
  out.rings_.reset(new Rings(settings.queues.size()));
  auto& rings = out.rings_->queues;
  xsk_umem_config umem_config{settings.rx_ring, settings.tx_ring, settings.umem.chunk, 0, 0};
  xsk_umem* umem = nullptr;
  if (int failed =
          xsk_umem__create(&umem, memory.at(), settings.umem.bytes, &rings[0].fill, &rings[0].completion, &umem_config))
    return umem_error(-failed, settings.umem.bytes);
  out.umem_.reset(umem);
  xsk_socket_config config{};
  config.rx_size = settings.rx_ring;
  config.tx_size = settings.tx_ring;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = uint16_t(XDP_USE_NEED_WAKEUP | (settings.zero_copy ? XDP_ZEROCOPY : XDP_COPY) |
                               (settings.multi_buffer ? kUseSg : 0));
  for (size_t i = 0; i < settings.queues.size(); i++) {
    xsk_socket* socket = nullptr;
    auto& [rx, completion, tx, fill] = rings[i];
    int failed;
    // The kernel lets go of a closed socket's queue a little later: a port that is closed and opened again finds it
    // busy.
    for (int tries = 0; tries < kBusyTries; tries++) {
      failed = xsk_socket__create_shared(&socket, interface.name.c_str(), settings.queues[i], umem, &rx, &tx, &fill,
                                         &completion, &config);
      if (failed != -EBUSY) break;
      usleep(kBusyPause_us);
    }
    if (failed) return Error::from_errno(-failed, "queue " + std::to_string(settings.queues[i]));
    out.sockets_.emplace_back(socket);
    // In copy mode each frame under way counts against it: there is to be room for a whole ring of them.
    int bytes = int(std::min<uint64_t>(uint64_t{settings.tx_ring} * kPacketFrameBytes, 1 << 26));
    (void)setsockopt(xsk_socket__fd(socket), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  }
  return out;
}

std::vector<int> XdpSockets::descriptors() const {
  std::vector<int> out;
  for (const auto& socket : sockets_) out.push_back(xsk_socket__fd(socket.get()));
  return out;
}

Result<UniqueFd> open_packet_socket(const Interface& interface, uint32_t not_marked, uint32_t slots) {
  // Protocol 0: receives nothing before everything is set.
  UniqueFd out(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!out) return Error::from_errno(errno, "AF_PACKET socket");
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, uint32_t(SKF_AD_OFF + SKF_AD_MARK)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, not_marked, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
  };
  sock_fprog filter{std::size(code), code};
  int on = 1, bytes = int(std::min<uint64_t>(uint64_t(slots) * kPacketFrameBytes, 1 << 26));
  if (setsockopt(out.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0 ||
      setsockopt(out.get(), SOL_PACKET, kIgnoreOutgoing, &on, sizeof on) < 0 ||
      setsockopt(out.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) < 0 ||
      setsockopt(out.get(), SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) < 0)
    return Error::from_errno(errno, "AF_PACKET socket: options");
  (void)setsockopt(out.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  (void)setsockopt(out.get(), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = int(interface.index);
  if (bind(out.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    return Error::from_errno(errno, "AF_PACKET socket: bind");
  return out;
}

}  // namespace unetmap::keeper
