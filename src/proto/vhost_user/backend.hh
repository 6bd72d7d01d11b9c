// SPDX-License-Identifier: BSD-2-Clause
// The back-end's side of vhost-user: what a front-end has told us of features, memory and rings. Knows nothing of
// sockets (Connection) nor of what is in the rings (src/dev).
//
// A ring runs when all of these hold: it was given a size, addresses and a kick (SET_VRING_KICK starts it), it was not
// stopped since (GET_VRING_BASE, a reset), and it is enabled (a front-end that does not acknowledge PROTOCOL_FEATURES
// enables a ring by starting it). What a ring that is started but not enabled holds is left alone: a packet that is
// queued meanwhile is late rather than lost. While it is not enabled everything of it may be told anew.
//
// Requests are completed in order, so a position is all there is to know of a ring: Vring::base, unless it runs; then
// the device knows. A front-end that lost us reads it off the used index and gives it to SET_VRING_BASE when it has
// found us again.
//
// A request that is refused is answered with 1 where the front-end asked for an answer; else it costs the connection.
#pragma once

#include <optional>
#include <vector>

#include "guest/guest_memory.hh"
#include "proto/vhost_user/connection.hh"

namespace unetmap::vhost_user {

struct Vring {
  uint32_t size = 0;  // entries; 0: not told
  uint64_t desc_user = 0, avail_user = 0, used_user = 0;
  bool has_addresses = false;
  bool log_used = false;
  uint64_t log_guest = 0;  // where writes to the used ring are logged
  uint32_t base = 0;       // where it stands: 16 bits; packed rings have the wrap counter in bit 15
  UniqueFd kick, call, err;
  bool started = false;
  bool enabled = false;

  bool runs() const { return started && enabled && size != 0 && has_addresses; }
  bool polled() const { return started && !kick; }  // nobody will tell that there is something in it
};

// What makes packets of rings. Called from within Backend::handle().
class Device {
 public:
  // Descriptors of this ring are about to be closed: whoever waits for them stops.
  virtual void ring_closing(uint32_t index) = 0;
  // Something of this ring is no longer as it was: size, addresses, descriptors, whether it runs.
  virtual void ring_changed(uint32_t index) = 0;
  // It was given a call descriptor: whoever waits for it may have missed a call.
  virtual void call_changed(uint32_t index) = 0;
  // The guest's memory is elsewhere now: pointers are void.
  virtual void memory_changed() = 0;
  virtual void features_changed() = 0;
  // Where a ring that runs stands, in the form of Vring::base.
  virtual uint32_t position(uint32_t index) = 0;
  // After a migration: the world has to learn where the guest is now.
  virtual void announce(const uint8_t (&mac)[6]) = 0;
  virtual Result<void> set_mtu(uint16_t mtu) = 0;
  // A request was answered with a failure.
  virtual void refused(const std::string& why) = 0;
  // Whether the driver did something that cannot be: it sees DEVICE_NEEDS_RESET.
  virtual bool broken() const = 0;
  // All of the device begins anew; rings have been stopped.
  virtual void reset() = 0;

 protected:
  ~Device() = default;
};

struct Offer {
  uint64_t features = 0;  // virtio's, without vhost's own
  // Those of them whose meaning stands in the configuration space, which is the front-end's to keep. Offered only after
  // SET_PROTOCOL_FEATURES: QEMU asks again then; User Mode Linux, which does not, has no such space, and would find the
  // link down in it.
  uint64_t in_config = 0;
  uint32_t rings = 2;  // two for each pair of queues
};

class Backend {
 public:
  Backend(const Offer& offer, Device& device);

  // Does what a request says. The answer, if there is one. An error means that the front-end does not hold to the
  // protocol, and that the connection has to be closed; the text names message and cause.
  Result<std::optional<Reply>> handle(Request&& request);
  // The connection is gone, and with it everything that came over it.
  void disconnected();

  const Vring& ring(uint32_t index) const { return rings_[index]; }
  uint32_t rings() const { return uint32_t(rings_.size()); }
  uint64_t features() const { return features_; }  // agreed on, vhost's own bits included
  bool has(ProtocolFeature feature) const { return protocol_features_ >> feature & 1; }
  // QEMU enables rings when it has agreed on protocol features, and before the driver agrees on features.
  bool speaks_protocol_features() const { return (features_ & kHasProtocolFeatures) || protocol_features_; }
  bool any_runs() const;
  guest::GuestMemory& memory() { return memory_; }
  uint32_t memory_regions() const { return memory_.regions(); }

 private:
  using Answer = Result<std::optional<Reply>>;
  Answer serve(Request& request);
  Answer serve_ring(Request& request);
  Result<void> set_features(uint64_t features);
  Result<void> set_protocol_features(uint64_t features);
  Result<void> set_mem_table(Request& request);
  Result<void> set_mem_region(Request& request);
  Result<void> set_status(uint64_t status);
  Result<void> set_vring_fd(Request& request);
  Result<void> set_vring_num(const VringState& state);
  Result<void> set_vring_addr(const VringAddr& addr);
  Result<void> enable(const VringState& state);
  // Whether a ring is enabled by being started.
  bool enables_by_start() const {
    return features_told_ ? !(features_ & kHasProtocolFeatures) : !speaks_protocol_features();
  }
  template <class F>
  void change(uint32_t index, F&& what);
  uint32_t stop(uint32_t index);
  void stop_all();

  const Offer offer_;
  Device& device_;
  guest::GuestMemory memory_;
  std::vector<Vring> rings_;
  uint64_t features_ = 0, protocol_features_ = 0, status_ = 0;
  bool protocol_told_ = false;
  bool features_told_ = false;
  // For requests of ours, of which there are none. Offered because Linux's virtio_uml finds its interrupt by it, and
  // held because its end would be seen.
  UniqueFd backend_requests_;
};

}  // namespace unetmap::vhost_user
