// SPDX-License-Identifier: BSD-2-Clause
// A virtual machine without a machine: guest memory, a driver of either ring layout, and a vhost-user front-end that
// connects to the socket of a plugged port. Everything is done in the calling thread, when asked.
#pragma once

#include <sys/un.h>

#include <deque>
#include <memory>

#include "dev/virtio_net/test_driver.hh"
#include "flows.hh"
#include "proto/vhost_user/test_front_end.hh"
#include "vale/vnet_hdr.hh"

namespace vm {

using namespace unetmap;
using namespace unetmap::virtio;
using vhost_user::Id;

struct Frame {
  vale::VnetHdr hdr{};
  std::vector<uint8_t> bytes;
};

constexpr uint64_t kBasic = kVersion1 | kMrgRxbuf;
constexpr uint64_t kOffloads = kCsum | kGuestCsum | kHostTso4 | kHostTso6 | kGuestTso4 | kGuestTso6;

class Vm {
 public:
  static constexpr uint32_t kSize = 128, kRxBytes = 2048, kTxSlots = 16, kTxBytes = 0x11000;
  static constexpr uint64_t kRxRing = TestGuest::kBase, kTxRing = kRxRing + 0x30000, kRxBuffers = kRxRing + 0x60000,
                            kTxBuffers = kRxBuffers + kSize * kRxBytes;
  static_assert(kTxBuffers + kTxSlots * kTxBytes <= TestGuest::kEnd);

  // ring 0: receive, ring 1: transmit
  struct Ring {
    std::unique_ptr<TestDriver> driver;
    UniqueFd kick{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)}, call{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)},
        err{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    uint32_t position = 0;  // where the device is told to begin
  };

  // How this front-end does things: other than QEMU, where they differ.
  struct Ways {
    uint32_t protocol = 1u << vhost_user::kReplyAck | 1u << vhost_user::kLogShmfd | 1u << vhost_user::kMq;
    bool acknowledges = true;  // PROTOCOL_FEATURES in SET_FEATURES, and enables rings
    bool by_regions = false;   // memory region by region
    bool kicks = true;         // gives a kick descriptor
    int call = -1;             // both rings' call descriptor, when it is not `Ring::call`
  } ways;

  explicit Vm(std::string path, uint64_t features = kBasic) : path_(std::move(path)), features_(features) { boot(); }

  // A guest that starts anew: its drivers know nothing of what was before.
  void boot() {
    for (int i = 0; i < 2; i++) {
      ring[i].driver = make_driver(guest, i ? kTxRing : kRxRing, kSize, features_);
      ring[i].position = ring[i].driver->first_position();
    }
    sent_ = returned_ = rx_token_ = rx_next_ = 0;
    slots_in_use_.clear();
    free_slots_.clear();
    for (uint32_t i = 0; i < kTxSlots; i++) free_slots_.push_back(i);
    arriving_ = {};
    parts_left_ = 0;
    for (uint32_t i = 0; i < kSize; i++) post(i);
  }

  // Connects and starts both rings; false when nobody serves the socket. Twice over after disconnect(): goes on where
  // the rings are.
  bool connect(uint64_t extra = 0) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    strncpy(name.sun_path, path_.c_str(), sizeof name.sun_path - 1);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) < 0) {
      close(fd);
      return false;
    }
    front = std::make_unique<vhost_user::TestFrontEnd>(fd);
    send_features(extra);
    front->send_u64(Id::kSetProtocolFeatures, ways.protocol);
    front->send(Id::kSetOwner);
    if (ways.by_regions) {
      for (int i = 0; i < 2; i++) send_region(Id::kAddMemReg, i);
    } else {
      send_memory();
    }
    for (uint32_t i = 0; i < 2; i++) {
      start_ring(i);
      if (ways.acknowledges) enable(i, true);
    }
    return settled();
  }
  void send_features(uint64_t extra = 0) {
    front->send_u64(Id::kSetFeatures, features_ | (ways.acknowledges ? vhost_user::kHasProtocolFeatures : 0) | extra);
  }
  void enable(uint32_t i, bool on) { front->send_value(Id::kSetVringEnable, vhost_user::VringState{i, on}); }
  void send_region(Id id, int i) {
    const guest::Region region = guest.region(i);
    const vhost_user::SingleRegion message{0, {region.guest, region.bytes, region.user, region.offset}};
    front->send_value(id, message, id == Id::kAddMemReg ? std::vector<int>{guest.fd(i)} : std::vector<int>{});
  }
  // GET_VRING_BASE: stops a ring.
  uint32_t stop(uint32_t i) {
    front->send_value(Id::kGetVringBase, vhost_user::VringState{i, 0});
    return front->answer<vhost_user::VringState>(Id::kGetVringBase).num;
  }
  void send_memory() {
    vhost_user::MemTable table{2, 0, {}};
    for (int i = 0; i < 2; i++) {
      const guest::Region region = guest.region(i);
      table.region[i] = {region.guest, region.bytes, region.user + user_shift, region.offset};
    }
    const auto file = [&](int i) { return told_memory[i] ? told_memory[i].get() : guest.fd(i); };
    front->send(Id::kSetMemTable, &table, 8 + 2 * sizeof(vhost_user::MemRegion), {file(0), file(1)});
  }
  void send_addresses(uint32_t i, bool log = false) {
    const RingSetup at = ring[i].driver->setup();
    front->send_value(Id::kSetVringAddr,
                      vhost_user::VringAddr{i, log ? vhost_user::kVringLog : 0, at.descriptors + user_shift,
                                            at.device + user_shift, at.driver + user_shift, at.device - kUserOffset});
  }
  void start_ring(uint32_t i) {
    front->send_value(Id::kSetVringNum, vhost_user::VringState{i, kSize});
    front->send_value(Id::kSetVringBase, vhost_user::VringState{i, ring[i].position});
    send_addresses(i);
    front->send_u64(Id::kSetVringErr, i, {ring[i].err.get()});
    front->send_u64(Id::kSetVringCall, i, {ways.call >= 0 ? ways.call : ring[i].call.get()});
    if (ways.kicks)
      front->send_u64(Id::kSetVringKick, i, {ring[i].kick.get()});
    else
      front->send_u64(Id::kSetVringKick, i | vhost_user::kVringNoFd);
  }
  // Everything said before has been heard. False: the connection is gone.
  bool settled() {
    front->send(Id::kGetFeatures);
    if (!front->has_answer(20000)) return false;
    char peeked;
    if (recv(front->fd(), &peeked, 1, MSG_PEEK) <= 0) return false;
    offered = front->answer<uint64_t>(Id::kGetFeatures);
    return true;
  }
  bool hung_up(int timeout_ms = 0) {
    pollfd entry{front->fd(), POLLIN, 0};
    char peeked;
    return poll(&entry, 1, timeout_ms) == 1 && recv(front->fd(), &peeked, 1, MSG_PEEK) <= 0;
  }
  // The front-end closes. A packed ring's position is known to the device alone, so it is asked for first.
  void disconnect(bool politely) {
    if (politely) {
      for (uint32_t i = 0; i < 2; i++) ring[i].position = stop(i);
    }
    front.reset();
  }

  // Queues a frame; false when the driver has no room before chains come back.
  bool send(const std::vector<uint8_t>& bytes, const vale::VnetHdr& hdr = {}, bool in_pieces = false) {
    collect();
    if (free_slots_.empty()) return false;
    const uint64_t at = kTxBuffers + uint64_t(free_slots_.front()) * kTxBytes;
    std::vector<uint8_t> whole(12);
    memcpy(whole.data(), &hdr, sizeof hdr);
    whole.insert(whole.end(), bytes.begin(), bytes.end());
    guest.write(at, whole);
    std::vector<Buffer> buffers{{at, 12, false}};
    const auto rest = uint32_t(bytes.size());
    if (in_pieces) {
      for (uint32_t done = 0; done < rest; done += 4096)
        buffers.push_back({at + 12 + done, std::min(rest - done, 4096u), false});
    } else {
      buffers[0].bytes += rest;
    }
    if (!ring[1].driver->offer(buffers, sent_, false)) return false;
    slots_in_use_.push_back(free_slots_.front());
    free_slots_.pop_front();
    sent_++;
    kick(1);
    return true;
  }
  // Takes back transmit chains, which come in order.
  void collect() {
    while (auto used = ring[1].driver->reap()) {
      EXPECT_EQ(used->token, returned_) << "a transmit chain came back out of order, or twice";
      returned_++;
      free_slots_.push_back(slots_in_use_.front());
      slots_in_use_.pop_front();
    }
  }
  bool all_returned() {
    collect();
    return returned_ == sent_;
  }
  uint64_t sent() const { return sent_; }

  // The frames that have come; their buffers go back to the device unless `keep`.
  std::vector<Frame> receive(bool keep = false) {
    std::vector<Frame> out;
    bool any = false;
    while (auto used = ring[0].driver->reap()) {
      const uint64_t slot = used->token % kSize;
      EXPECT_EQ(used->token, rx_next_++) << "a receive buffer came back out of order, or twice";
      EXPECT_LE(used->written, kRxBytes);
      auto part = guest.read(kRxBuffers + slot * kRxBytes, used->written);
      if (parts_left_ == 0) {
        EXPECT_GE(part.size(), 12u + 14u);
        parts_left_ = uint32_t(part[10] | part[11] << 8);
        memcpy(&arriving_.hdr, part.data(), sizeof arriving_.hdr);
        part.erase(part.begin(), part.begin() + 12);
      }
      arriving_.bytes.insert(arriving_.bytes.end(), part.begin(), part.end());
      if (!keep) post(slot);
      any = true;
      if (--parts_left_ > 0) continue;
      out.push_back(std::move(arriving_));
      arriving_ = {};
    }
    if (any && !keep) kick(0);
    return out;
  }
  void kick(int i) {
    if (ring[i].driver->kick_wanted()) force_kick(i);
  }
  void force_kick(int i) {
    const uint64_t one = 1;
    (void)!write(ring[i].kick.get(), &one, sizeof one);
  }
  // Something was signalled on the descriptor.
  static bool signalled(const UniqueFd& fd, int timeout_ms) {
    pollfd entry{fd.get(), POLLIN, 0};
    return poll(&entry, 1, timeout_ms) == 1;
  }

  TestGuest guest;
  Ring ring[2];
  std::unique_ptr<vhost_user::TestFrontEnd> front;
  uint64_t offered = 0;
  uint64_t user_shift = 0;  // of the front-end's addresses
  UniqueFd told_memory[2];  // instead of the guest's

 private:
  void post(uint64_t slot) {
    const Buffer buffer{kRxBuffers + slot * kRxBytes, kRxBytes, true};
    EXPECT_TRUE(ring[0].driver->offer({&buffer, 1}, rx_token_++, false));
  }

  const std::string path_;
  const uint64_t features_;
  uint64_t sent_ = 0, returned_ = 0, rx_token_ = 0, rx_next_ = 0;
  std::deque<uint32_t> free_slots_, slots_in_use_;
  Frame arriving_;
  uint32_t parts_left_ = 0;
};

// Ethernet addresses of virtual machine `n`.
inline std::vector<uint8_t> frame_from_to(uint8_t from, uint8_t to, uint64_t number, size_t bytes = 60) {
  std::vector<uint8_t> out(bytes);
  const uint8_t head[14] = {2, 0x56, 0, 0, 0, to, 2, 0x56, 0, 0, 0, from, 0x88, 0xb5};
  memcpy(out.data(), head, sizeof head);
  memcpy(&out[14], &number, sizeof number);
  for (size_t i = 22; i < bytes; i++) out[i] = uint8_t(number * 31 + i * 7);
  return out;
}
inline uint64_t number_of(const std::vector<uint8_t>& frame) {
  uint64_t number = 0;
  memcpy(&number, &frame[14], sizeof number);
  return number;
}

inline std::string folder() {
  std::string socket = getenv("UNETMAP_SOCKET");
  return socket.substr(0, socket.rfind('/'));
}
inline std::string path_of(const std::string& name) { return folder() + "/" + name; }

inline int run(const std::string& command) { return system((command + " >&2").c_str()); }

// A plugged port, unplugged at the end.
struct Plug {
  std::string port, path;
  explicit Plug(const std::string& name) : port("valeV:" + name), path(path_of(name)) {
    EXPECT_EQ(run("unetmap plug " + port + " --vhost-user " + path), 0);
  }
  ~Plug() { EXPECT_EQ(run("unetmap unplug " + port), 0); }
};

// So many frames from one to the other, whole and in order, a window at a time so that none may be lost.
inline void exchange(Vm& a, Vm& b, uint8_t from, uint8_t to, uint64_t count, uint64_t first = 0) {
  uint64_t next = first, expected = first;
  bool good = true;
  ASSERT_TRUE(flows::eventually([&] {
    while (next < first + count && next - expected < 16 &&
           a.send(frame_from_to(from, to, next, 60 + next % 1400), {}, next % 3 == 0))
      next++;
    for (const Frame& frame : b.receive()) {
      // What was for others came by while their addresses were not known.
      if (frame.bytes[5] != to || frame.bytes[11] != from) continue;
      good = good && frame.bytes == frame_from_to(from, to, expected, 60 + expected % 1400);
      expected++;
    }
    if (!good) return true;
    return expected == first + count;
  })) << expected - first
      << " of " << count << " frames arrived";
  ASSERT_TRUE(good) << "frame " << expected - 1 << " is not what was sent, or not in its place";
  EXPECT_TRUE(flows::eventually([&] { return a.all_returned(); }));
}

}  // namespace vm
