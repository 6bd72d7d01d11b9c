// SPDX-License-Identifier: BSD-2-Clause
#include "proto/vhost_user/backend.hh"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bell.hh"

namespace unetmap::vhost_user {
namespace {

constexpr uint64_t kProtocolFeatures = 1ull << kMq | 1ull << kLogShmfd | 1ull << kRarp | 1ull << kReplyAck |
                                       1ull << kMtu | 1ull << kBackendReq | 1ull << kResetsDevice |
                                       1ull << kConfigureMemSlots | 1ull << kStatus;
constexpr uint32_t kMaxRingSize = 32768;  // virtio's
constexpr uint64_t kNeedsReset = 64;      // bit of the device status
constexpr uint64_t kMinMtu = 68, kMaxMtu = 65535;

Error wrong(Id id, const std::string& cause) { return {EPROTO, name_of(uint32_t(id)) + ": " + cause}; }
Error wrong(Id id, const Error& error) { return {error.code, name_of(uint32_t(id)) + ": " + error.text}; }

int socket_option(int fd, int option) {
  int value = -1;
  socklen_t bytes = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &bytes) == 0 ? value : -1;
}

// What may be written to: eventfds, and pipes; those that User Mode Linux gives as call descriptors are pairs of Unix
// stream sockets. No file or other socket, to which a write could have any effect. Kicks are waited for by edges and
// never read, so a pipe would fill up.
Result<void> check_bell(int fd, bool pipe_is_good) {
  if (is_eventfd(fd)) return {};
  if (!pipe_is_good) return Error{EPROTO, "not an eventfd"};
  struct stat st;
  if (fstat(fd, &st) < 0) return Error::from_errno(errno, "descriptor");
  if (S_ISSOCK(st.st_mode) && socket_option(fd, SO_DOMAIN) == AF_UNIX && socket_option(fd, SO_TYPE) == SOCK_STREAM)
    return {};
  if (!S_ISFIFO(st.st_mode)) return Error{EPROTO, "neither an eventfd nor a pipe"};
  if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) return Error{EPROTO, "the end of a pipe that only reads"};
  return {};
}

}  // namespace

Backend::Backend(const Offer& offer, Device& device) : offer_(offer), device_(device), rings_(offer.rings) {}

Result<std::optional<Reply>> Backend::handle(Request&& request) {
  Id id = request.id;
  const Expected& expected = **expect({uint32_t(id), kVersion, request.size});
  auto answer = [&]() -> Answer {
    if (expected.feature >= 0 && !has(ProtocolFeature(expected.feature)))
      return wrong(id, "belongs to protocol feature " + std::to_string(expected.feature) + ", which was not agreed on");
    if (auto good = check(request); !good) return good.error();
    return serve(request);
  }();
  // Afterwards: User Mode Linux wants an answer to the very request that agrees on answers.
  if (!request.need_reply || !has(kReplyAck)) return answer;
  if (!answer) {
    // An answer of its own has no room for a failure, but for that of SET_LOG_BASE.
    if (expected.answers && id != Id::kSetLogBase) return answer;
    device_.refused(answer.error().text);
    return std::optional(Reply::of(id, uint64_t{1}));
  }
  if (*answer) return answer;
  return std::optional(Reply::of(id, uint64_t{0}));
}

bool Backend::any_runs() const {
  for (const Vring& ring : rings_)
    if (ring.runs()) return true;
  return false;
}

// All that may start or stop a ring goes through here: where it stands is known to the device only while it runs.
template <class F>
void Backend::change(uint32_t index, F&& what) {
  Vring& ring = rings_[index];
  const bool ran = ring.runs();
  const uint32_t at = ran ? device_.position(index) : 0;
  what(ring);
  if (ran && !ring.runs()) ring.base = at;
  device_.ring_changed(index);
}

Result<std::optional<Reply>> Backend::serve(Request& request) {
  Id id = request.id;
  auto done = [](const Result<void>& result) -> Answer {
    if (!result) return result.error();
    return std::optional<Reply>();
  };
  switch (id) {
    case Id::kGetFeatures:
      return std::optional(
          Reply::of(id, (offer_.features & ~(protocol_told_ ? 0 : offer_.in_config)) | kLogAll | kHasProtocolFeatures));
    case Id::kSetFeatures:
      return done(set_features(request.as<uint64_t>()));
    case Id::kGetProtocolFeatures:
      return std::optional(Reply::of(id, kProtocolFeatures));
    case Id::kSetProtocolFeatures:
      return done(set_protocol_features(request.as<uint64_t>()));
    case Id::kGetQueueNum:
      return std::optional(Reply::of(id, uint64_t{offer_.rings / 2}));
    case Id::kGetMaxMemSlots:
      return std::optional(Reply::of(id, uint64_t{guest::GuestMemory::kMaxRegions}));
    case Id::kSetMemTable:
      return done(set_mem_table(request));
    case Id::kAddMemReg:
    case Id::kRemMemReg:
      return done(set_mem_region(request));
    case Id::kSetLogBase: {
      auto area = request.as<LogArea>();
      if (auto set = memory_.set_log(request.fds[0].get(), area.bytes, area.offset); !set)
        return wrong(id, set.error());
      return std::optional(Reply::of(id, uint64_t{0}));
    }
    case Id::kGetStatus:
      return std::optional(Reply::of(id, status_ | (device_.broken() ? kNeedsReset : 0)));
    case Id::kSetStatus:
      return done(set_status(request.as<uint64_t>()));
    case Id::kSendRarp: {
      uint8_t mac[6];
      memcpy(mac, request.payload.data(), sizeof mac);
      device_.announce(mac);
      return done({});
    }
    case Id::kNetSetMtu: {
      auto mtu = request.as<uint64_t>();
      if (mtu < kMinMtu || mtu > kMaxMtu) return wrong(id, std::to_string(mtu) + " bytes cannot be");
      return done(device_.set_mtu(uint16_t(mtu)));
    }
    case Id::kResetOwner:
    case Id::kResetDevice:
      stop_all();
      status_ = 0;
      device_.reset();
      return done({});
    case Id::kSetOwner:
      return done({});
    case Id::kSetBackendReqFd:
      backend_requests_ = std::move(request.fds[0]);
      return done({});
    case Id::kSetLogFd:
      return done({});  // the log is looked at without being told
    default:
      return serve_ring(request);
  }
}

Result<std::optional<Reply>> Backend::serve_ring(Request& request) {
  Id id = request.id;
  uint32_t index = id == Id::kSetVringKick || id == Id::kSetVringCall || id == Id::kSetVringErr
                       ? uint32_t(request.as<uint64_t>() & kVringIndexMask)
                       : request.as<VringState>().index;
  if (index >= rings_.size())
    return wrong(id, "ring " + std::to_string(index) + ", of " + std::to_string(rings_.size()));
  Result<void> done;
  switch (id) {
    case Id::kSetVringNum:
      done = set_vring_num(request.as<VringState>());
      break;
    case Id::kSetVringAddr:
      done = set_vring_addr(request.as<VringAddr>());
      break;
    case Id::kSetVringEnable:
      done = enable(request.as<VringState>());
      break;
    case Id::kSetVringBase:
      // A ring that runs is set up anew without having been stopped: User Mode Linux does so when its driver is bound
      // again. It starts with its kick.
      if (rings_[index].runs()) change(index, [](Vring& ring) { ring.started = false; });
      rings_[index].base = request.as<VringState>().num;
      break;
    case Id::kGetVringBase:
      return std::optional(Reply::of(id, VringState{index, stop(index)}));
    default:
      done = set_vring_fd(request);
      break;
  }
  if (!done) return done.error();
  return std::optional<Reply>();
}

Result<void> Backend::set_features(uint64_t features) {
  if (features & ~(offer_.features | kLogAll | kHasProtocolFeatures)) {
    char bits[24];
    snprintf(bits, sizeof bits, "%#llx", static_cast<unsigned long long>(features & ~offer_.features));
    return wrong(Id::kSetFeatures, std::string("bits that were not offered: ") + bits);
  }
  // While rings run, logging is switched on and off; drivers do not change their mind about the rest.
  if (any_runs() && ((features ^ features_) & ~kLogAll)) return wrong(Id::kSetFeatures, "while rings are running");
  bool same = features == features_;
  features_ = features;
  features_told_ = true;
  memory_.set_logging(features & kLogAll);
  for (uint32_t i = 0; i < rings_.size(); i++)
    if (enables_by_start() && rings_[i].started && !rings_[i].enabled)
      change(i, [](Vring& ring) { ring.enabled = true; });
  if (!same) device_.features_changed();
  return {};
}

Result<void> Backend::set_protocol_features(uint64_t features) {
  if (features & ~kProtocolFeatures) return wrong(Id::kSetProtocolFeatures, "bits that were not offered");
  protocol_features_ = features;
  protocol_told_ = true;
  return {};
}

Result<void> Backend::set_mem_table(Request& request) {
  auto table = request.as<MemTable>();
  guest::Region regions[kMaxTableRegions];
  for (uint32_t i = 0; i < table.count; i++) {
    const MemRegion& from = table.region[i];
    regions[i] = {from.guest, from.bytes, from.user, from.offset};
  }
  auto set = memory_.replace({regions, table.count}, request.fds);
  if (!set) return wrong(request.id, set.error());
  device_.memory_changed();
  return {};
}

Result<void> Backend::set_mem_region(Request& request) {
  MemRegion from = request.as<SingleRegion>().region;
  guest::Region region{from.guest, from.bytes, from.user, from.offset};
  auto set = request.id == Id::kAddMemReg ? memory_.add(region, request.fds[0].get()) : memory_.remove(region);
  if (!set) return wrong(request.id, set.error());
  device_.memory_changed();
  return {};
}

Result<void> Backend::set_status(uint64_t status) {
  if (status > 0xff) return wrong(Id::kSetStatus, std::to_string(status) + " is no device status");
  status_ = status & ~kNeedsReset;
  if (status == 0) {
    stop_all();
    device_.reset();
  }
  return {};
}

Result<void> Backend::set_vring_num(const VringState& state) {
  const Vring& ring = rings_[state.index];
  if (state.num == 0 || state.num > kMaxRingSize)
    return wrong(Id::kSetVringNum, std::to_string(state.num) + " entries, 1 to 32768 can be");
  if (ring.runs() && ring.size != state.num)
    return wrong(Id::kSetVringNum, "ring " + std::to_string(state.index) + " is running");
  change(state.index, [&](Vring& to) { to.size = state.num; });
  return {};
}

// Whether they lead into the guest's memory is seen when the ring is used: memory may come later, and go.
Result<void> Backend::set_vring_addr(const VringAddr& addr) {
  if (addr.flags & ~kVringLog) return wrong(Id::kSetVringAddr, "unknown flags");
  change(addr.index, [&](Vring& ring) {
    ring.desc_user = addr.desc;
    ring.avail_user = addr.avail;
    ring.used_user = addr.used;
    ring.log_used = addr.flags & kVringLog;
    ring.log_guest = addr.log_guest;
    ring.has_addresses = true;
  });
  return {};
}

Result<void> Backend::set_vring_fd(Request& request) {
  auto value = request.as<uint64_t>();
  uint32_t index = uint32_t(value & kVringIndexMask);
  UniqueFd fd;
  if (!request.fds.empty()) {
    fd = std::move(request.fds[0]);
    if (auto good = check_bell(fd.get(), request.id != Id::kSetVringKick); !good)
      return wrong(request.id, good.error());
  }
  if (request.id == Id::kSetVringKick) {
    device_.ring_closing(index);
    change(index, [&](Vring& ring) {
      ring.kick = std::move(fd);
      ring.started = true;
      if (enables_by_start()) ring.enabled = true;
    });
  } else if (request.id == Id::kSetVringCall) {
    rings_[index].call = std::move(fd);
    device_.call_changed(index);
  } else {
    rings_[index].err = std::move(fd);
  }
  return {};
}

Result<void> Backend::enable(const VringState& state) {
  if (!speaks_protocol_features()) return wrong(Id::kSetVringEnable, "protocol features were not agreed on");
  if (state.num > 1) return wrong(Id::kSetVringEnable, std::to_string(state.num) + " is neither 0 nor 1");
  change(state.index, [&](Vring& ring) { ring.enabled = state.num; });
  return {};
}

uint32_t Backend::stop(uint32_t index) {
  change(index, [&](Vring& ring) {
    ring.started = false;
    device_.ring_closing(index);
    ring.kick.reset();
    ring.call.reset();
    if (enables_by_start()) ring.enabled = false;
  });
  return rings_[index].base;
}

void Backend::stop_all() {
  for (uint32_t i = 0; i < rings_.size(); i++) {
    stop(i);
    rings_[i].enabled = false;
  }
}

void Backend::disconnected() {
  stop_all();
  for (uint32_t i = 0; i < rings_.size(); i++) {
    rings_[i] = Vring();
    device_.ring_changed(i);
  }
  features_ = protocol_features_ = status_ = 0;
  features_told_ = protocol_told_ = false;
  backend_requests_.reset();
  memory_.set_logging(false);
  (void)memory_.set_log(-1, 0, 0);
  memory_.clear();
  device_.memory_changed();
}

}  // namespace unetmap::vhost_user
