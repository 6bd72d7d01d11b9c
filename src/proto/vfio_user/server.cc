// SPDX-License-Identifier: BSD-2-Clause
#include "proto/vfio_user/server.hh"

#include <algorithm>

#include "base/bell.hh"
#include "base/json.hh"

namespace unetmap::vfio_user {
namespace {

constexpr uint32_t kMaxMaps = 1024;  // with those that cannot be reached

Error wrong(Command command, const std::string& cause) { return {EPROTO, name_of(uint16_t(command)) + ": " + cause}; }

bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes) { return a < b + b_bytes && b < a + a_bytes; }

// Whether bytes of so many follow that a kDataBool's `count` is told, and says so of number `i`.
bool concerned(const Request& request, const SetIrqs& asked, uint32_t i) {
  if (!(asked.flags & kDataBool)) return true;
  return request.behind<SetIrqs>()[i] != 0;
}

}  // namespace

Result<bool> Server::handle(Request&& request, Reply& reply) {
  counters_.messages++;
  reply.begin(request);
  if (request.command == Command::kVersion) {
    if (auto good = version(request, reply); !good) return good.error();
    return request.wants_reply;
  }
  if (!agreed_) return wrong(request.command, "comes before a VERSION");
  if (auto done = serve(request, reply); !done) {
    counters_.refused++;
    reply.fail(request, done.error().code);
  }
  return request.wants_reply;
}

Result<void> Server::version(const Request& request, Reply& reply) {
  auto asked = request.as<Version>();
  if (agreed_) return wrong(request.command, "comes once more");
  if (asked.major != kMajor)
    return wrong(request.command, std::to_string(asked.major) + "." + std::to_string(asked.minor) +
                                      " is spoken there, " + std::to_string(kMajor) + "." + std::to_string(kMinor) +
                                      " here");
  // What we can, as far as the client knows of it.
  const Json ours{{"max_msg_fds", kMaxFds},
                  {"max_data_xfer_size", kMaxTransfer},
                  {"max_dma_maps", guest::GuestMemory::kMaxRegions},
                  {"pgsizes", 4096},
                  {"write_multiple", true}};
  Json agreed = Json::object();
  auto text = request.behind<Version>();
  if (!text.empty()) {
    auto* from = reinterpret_cast<const char*>(text.data());
    Json theirs = parse_json({from, text.size() - 1});
    if (!theirs.is_object()) return wrong(request.command, "its text is no JSON object");
    auto found = theirs.find("capabilities");
    if (found != theirs.end() && found->is_object())
      for (auto& [name, value] : ours.items())
        if (found->contains(name)) agreed[name] = value;
  }
  const std::string answer = json_text(Json{{"capabilities", agreed}});
  reply.add(Version{kMajor, std::min(asked.minor, kMinor)});
  memcpy(reply.room(answer.size() + 1).data(), answer.c_str(), answer.size() + 1);
  agreed_ = true;
  return {};
}

Result<void> Server::serve(Request& request, Reply& reply) {
  switch (request.command) {
    case Command::kDmaMap:
      return dma_map(request);
    case Command::kDmaUnmap: {
      auto asked = request.as<DmaUnmap>();
      reply.add(asked);
      return dma_unmap(asked);
    }
    case Command::kGetInfo:
      if (request.as<DeviceInfo>().argsz < sizeof(DeviceInfo)) return Error{EINVAL, "argsz"};
      reply.add(DeviceInfo{sizeof(DeviceInfo), kCanReset | kPci, kRegions, kIrqs});
      return {};
    case Command::kGetRegionInfo:
      return region_info(request, reply);
    case Command::kGetIrqInfo:
      return irq_info(request, reply);
    case Command::kSetIrqs:
      return set_irqs(request);
    case Command::kRegionRead:
      return read(request.as<RegionAccess>(), reply);
    case Command::kRegionWrite: {
      auto access = request.as<RegionAccess>();
      if (auto done = write(access, request.behind<RegionAccess>()); !done) return done;
      reply.add(access);
      return {};
    }
    case Command::kRegionWriteMulti:
      reply.add(request.as<uint64_t>());
      return write_multiple(request);
    case Command::kReset:
      device_.reset();
      return {};
    default:
      return Error{ENOTSUP, "unknown command"};
  }
}

Result<void> Server::dma_map(Request& request) {
  auto asked = request.as<DmaMap>();
  uint64_t end;
  if (asked.size == 0 || __builtin_add_overflow(asked.address, asked.size, &end)) return Error{EINVAL, "range"};
  if ((asked.flags & ~(kMapReadable | kMapWriteable)) || asked.flags == 0) return Error{EINVAL, "flags"};
  if (maps_.size() >= kMaxMaps) return Error{ENOSPC, "maps"};
  for (const Map& map : maps_)
    if (overlap(map.address, map.size, asked.address, asked.size)) return Error{EEXIST, "range"};
  const bool reachable = !request.fds.empty();
  if (reachable) {
    guest::Region region{asked.address, asked.size, asked.address, asked.offset, (asked.flags & kMapWriteable) != 0};
    if (auto added = memory_.add(region, request.fds[0].get()); !added) return added;
    device_.memory_changed();
  }
  maps_.push_back({asked.address, asked.size, reachable});
  return {};
}

void Server::drop(const Map& map) {
  if (map.reachable) (void)memory_.remove({map.address, map.size, map.address, 0}).has_value();
}

// By the specification a range that was mapped; as VFIO itself has it, one that covers several.
Result<void> Server::dma_unmap(const DmaUnmap& asked) {
  if (asked.flags & ~kUnmapAll) return Error{EINVAL, "flags"};
  const bool all = asked.flags & kUnmapAll;
  uint64_t end = 0;
  if (!all && (asked.size == 0 || __builtin_add_overflow(asked.address, asked.size - 1, &end)))
    return Error{EINVAL, "range"};
  auto inside = [&](const Map& map) {
    return all || (map.address >= asked.address && map.address + (map.size - 1) <= end);
  };
  for (const Map& map : maps_)
    if (!inside(map) && map.address <= end && asked.address <= map.address + (map.size - 1))
      return Error{EINVAL, "a part of a map"};
  bool found = false;
  for (const Map& map : maps_) {
    if (!inside(map)) continue;
    drop(map);
    found = true;
  }
  if (!found && !all) return Error{ENOENT, "range"};
  std::erase_if(maps_, inside);
  device_.memory_changed();
  return {};
}

bool Server::memory_is_shared() const {
  for (const Map& map : maps_)
    if (map.address == 0) return map.reachable;
  return true;
}

Result<void> Server::region_info(const Request& request, Reply& reply) {
  auto asked = request.as<RegionInfo>();
  if (asked.argsz < sizeof asked || asked.index >= kRegions) return Error{EINVAL, "region"};
  const uint64_t bytes = device_.region_bytes(asked.index);
  reply.add(RegionInfo{sizeof(RegionInfo), bytes ? kRegionReadable | kRegionWriteable : 0, asked.index, 0, bytes, 0});
  return {};
}

Result<void> Server::irq_info(const Request& request, Reply& reply) {
  auto asked = request.as<IrqInfo>();
  if (asked.argsz < sizeof asked || asked.index >= kIrqs) return Error{EINVAL, "interrupt"};
  const uint32_t flags = kIrqEventfd | (asked.index == kIntx ? kIrqMaskable | kIrqAutomasked : kIrqNoResize);
  reply.add(IrqInfo{sizeof(IrqInfo), flags, asked.index, device_.irqs(asked.index)});
  return {};
}

Result<void> Server::set_irqs(Request& request) {
  auto asked = request.as<SetIrqs>();
  const uint32_t data = asked.flags & kDataMask, action = asked.flags & kActions;
  uint32_t end;
  if ((asked.flags & ~(kDataMask | kActions)) || std::popcount(data) != 1 || std::popcount(action) != 1)
    return Error{EINVAL, "flags"};
  if (asked.index >= kIrqs || __builtin_add_overflow(asked.start, asked.count, &end) || end > device_.irqs(asked.index))
    return Error{EINVAL, "interrupts"};
  if (data == kDataBool && request.behind<SetIrqs>().size() < asked.count) return Error{EINVAL, "no data"};
  // One for each, or none, which lets go of what was there.
  if (!request.fds.empty() && (data != kDataEventfd || request.fds.size() != asked.count))
    return Error{EINVAL, "descriptors"};
  for (const UniqueFd& fd : request.fds)
    if (!is_eventfd(fd.get())) return Error{EINVAL, "not an eventfd"};
  if (asked.count == 0) {
    if (data != kDataNone || action != kActionTrigger) return Error{EINVAL, "count"};
    clear_irqs(asked.index);
    return {};
  }
  if (action == kActionTrigger && data == kDataEventfd) return set_trigger(asked, request.fds);
  if (asked.index == kIntx)
    return set_intx_irq(asked, request.fds.empty() ? UniqueFd() : std::move(request.fds[0]),
                        concerned(request, asked, 0));
  // Others are events: there is nothing to mask on this side. A client may try them out.
  if (action != kActionTrigger || data == kDataEventfd) return Error{ENOTSUP, "masks"};
  for (uint32_t i = 0; i < asked.count; i++)
    if (concerned(request, asked, i)) ring(asked.index, asked.start + i);
  return {};
}

Result<void> Server::set_trigger(const SetIrqs& asked, std::vector<UniqueFd>& fds) {
  for (uint32_t i = 0; i < asked.count; i++) {
    UniqueFd& trigger = triggers_[asked.index][asked.start + i];
    const bool had = bool(trigger);
    trigger = fds.empty() ? UniqueFd() : std::move(fds[i]);
    if (asked.index == kMsix) msix_enabled_ += uint32_t(bool(trigger)) - uint32_t(had);
  }
  if (asked.index != kIntx) return {};
  mask_intx(fds.empty());
  set_intx(intx_);
  return {};
}

// What is left for INTx: its mask, and trials.
Result<void> Server::set_intx_irq(const SetIrqs& asked, UniqueFd fd, bool concerned) {
  const uint32_t action = asked.flags & kActions;
  if (asked.flags & kDataEventfd) {
    if (action != kActionUnmask) return Error{ENOTSUP, "an eventfd for masking"};
    device_.unmask_fd_closing();
    unmask_ = std::move(fd);
    device_.unmask_fd_changed();
    return {};
  }
  if (!concerned) return {};
  if (action == kActionMask)
    mask_intx(true);
  else if (action == kActionUnmask)
    unmask_intx();
  else
    ring(kIntx, 0);
  return {};
}

void Server::unmask_intx() {
  counters_.unmasks++;
  mask_intx(!triggers_[kIntx][0]);
  set_intx(intx_);
}

void Server::trigger_intx() {
  intx_masked_ = told_ = true;
  counters_.interrupts++;
  ring(kIntx, 0);
}

void Server::untell_intx() {
  const UniqueFd& trigger = triggers_[kIntx][0];
  const bool unread = trigger && take_back(trigger.get());
  mask_intx(!unread);
  counters_.interrupts -= unread;
}

bool Server::signal(uint32_t vector) {
  if (vector >= kMaxIrqs || !triggers_[kMsix][vector]) return false;
  counters_.interrupts++;
  ring(kMsix, vector);
  return true;
}

// One that is full and blocks would hold us up each time: it is let go of.
void Server::ring(uint32_t index, uint32_t number) {
  UniqueFd& trigger = triggers_[index][number];
  if (!trigger || ring_bell(trigger.get()) != Rung::kBlocked) return;
  trigger.reset();
  if (index == kMsix) msix_enabled_--;
}

void Server::clear_irqs(uint32_t index) {
  for (UniqueFd& trigger : triggers_[index]) trigger.reset();
  if (index == kMsix) msix_enabled_ = 0;
  if (index != kIntx) return;
  mask_intx(true);
  if (!unmask_) return;
  device_.unmask_fd_closing();
  unmask_.reset();
  device_.unmask_fd_changed();
}

Result<void> Server::check_access(const RegionAccess& access) const {
  if (access.region >= kRegions) return Error{EINVAL, "region"};
  const uint64_t bytes = device_.region_bytes(access.region);
  if (access.count == 0 || access.count > kMaxTransfer || access.offset >= bytes ||
      access.count > bytes - access.offset)
    return Error{EINVAL, "range"};
  return {};
}

Result<void> Server::read(const RegionAccess& access, Reply& reply) {
  if (auto good = check_access(access); !good) return good;
  if (access.region != kConfig) counters_.reads++;
  reply.add(access);
  device_.region_read(access.region, access.offset, reply.room(access.count));
  return {};
}

Result<void> Server::write(const RegionAccess& access, std::span<const uint8_t> data) {
  if (auto good = check_access(access); !good) return good;
  if (access.region != kConfig) counters_.writes++;
  device_.region_write(access.region, access.offset, data);
  return {};
}

// One after the other, up to the first that cannot be.
Result<void> Server::write_multiple(const Request& request) {
  auto rest = request.behind<uint64_t>();
  for (uint64_t left = request.as<uint64_t>(); left > 0; left--) {
    SmallWrite each;
    memcpy(&each, rest.data(), sizeof each);
    rest = rest.subspan(sizeof each);
    if (each.count > sizeof each.data) return Error{EINVAL, "count"};
    if (auto done = write({each.offset, each.region, each.count}, {each.data, each.count}); !done) return done;
  }
  return {};
}

void Server::disconnected() {
  for (uint32_t index = 0; index < kIrqs; index++) clear_irqs(index);
  maps_.clear();
  memory_.clear();
  agreed_ = false;
  device_.memory_changed();
}

}  // namespace unetmap::vfio_user
