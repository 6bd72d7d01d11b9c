// SPDX-License-Identifier: BSD-2-Clause
// The server's side of vfio-user: what a client (QEMU) has told us of memory and interrupts, and its accesses to the
// regions of a PCI device. Knows nothing of sockets (Connection) nor of what the device is (src/dev).
//
// What no client may say (sizes, descriptors, no VERSION first) ends the connection. What cannot be done is answered
// with an errno, as the specification has it, and the client goes on.
//
// INTx is a level on the device's side and an eventfd on the client's: each time the line is asserted while it is not
// masked the eventfd is written once, and the interrupt masks itself. An UNMASK (the guest has been in the device's
// registers) with the line still asserted writes it again. Under KVM the unmasking comes by an eventfd of the client's.
// A line that falls before the client has looked was never asserted: what was written is taken back. Else a client that looks
// late asserts it for the guest after the guest was in the registers, and nothing would end that.
//
// Memory that comes without a descriptor is kept in mind and cannot be reached: DMA over the socket would stop this
// thread for each access. The largest client with such memory is a QEMU whose RAM is not shared (memory_is_shared).
#pragma once

#include <array>
#include <vector>

#include "guest/guest_memory.hh"
#include "proto/vfio_user/connection.hh"

namespace unetmap::vfio_user {

// What is behind the regions. Called from within Server::handle().
class Device {
 public:
  // Bytes of the region with this RegionIndex; 0: there is none.
  virtual uint64_t region_bytes(uint32_t region) const = 0;
  // Interrupts with this IrqIndex, at most kMaxIrqs.
  virtual uint32_t irqs(uint32_t index) const = 0;
  // Within the region, 1 to kMaxTransfer bytes.
  virtual void region_read(uint32_t region, uint64_t offset, std::span<uint8_t> to) = 0;
  virtual void region_write(uint32_t region, uint64_t offset, std::span<const uint8_t> from) = 0;
  virtual void reset() = 0;
  // The guest's memory is elsewhere now: pointers are void.
  virtual void memory_changed() = 0;
  // The descriptor with which the client unmasks INTx is about to go, or is there: Server::unmask_fd().
  virtual void unmask_fd_closing() = 0;
  virtual void unmask_fd_changed() = 0;

 protected:
  ~Device() = default;
};

class Server {
 public:
  struct Counters {
    uint64_t messages = 0, reads = 0, writes = 0;  // accesses to regions but the configuration space
    uint64_t refused = 0;                          // answered with an error, or not at all
    uint64_t interrupts = 0, unmasks = 0;
  };

  explicit Server(Device& device) : device_(device) {}

  // Does what a request says; true: `reply` is to be sent. An error means that the client does not hold to the
  // protocol, and that the connection has to be closed; the text names message and cause.
  Result<bool> handle(Request&& request, Reply& reply);
  // The connection is gone, and with it everything that came over it.
  void disconnected();

  guest::GuestMemory& memory() { return memory_; }
  uint32_t maps() const { return uint32_t(maps_.size()); }
  // False: what the guest has at address 0 cannot be reached from here, so nothing of what drivers do can work.
  bool memory_is_shared() const;

  // The device's INTx line. Cheap where nothing changes.
  void set_intx(bool asserted) {
    intx_ = asserted;
    if (asserted && !intx_masked_)
      trigger_intx();
    else if (!asserted && told_)
      untell_intx();
  }
  // The client wrote unmask_fd().
  void unmask_intx();
  int unmask_fd() const { return unmask_.get(); }
  // MSI-X; what the client listens to. False: not to this one.
  bool signal(uint32_t vector);
  bool msix_enabled() const { return msix_enabled_ > 0; }

  const Counters& counters() const { return counters_; }

 private:
  struct Map {
    uint64_t address, size;
    bool reachable;
  };
  using Done = Result<void>;  // errors: for the client

  Done serve(Request& request, Reply& reply);
  Result<void> version(const Request& request, Reply& reply);
  Done dma_map(Request& request);
  Done dma_unmap(const DmaUnmap& asked);
  void drop(const Map& map);
  Done region_info(const Request& request, Reply& reply);
  Done irq_info(const Request& request, Reply& reply);
  Done set_irqs(Request& request);
  Done set_intx_irq(const SetIrqs& asked, UniqueFd fd, bool concerned);
  Done set_trigger(const SetIrqs& asked, std::vector<UniqueFd>& fds);
  Done check_access(const RegionAccess& access) const;
  Done read(const RegionAccess& access, Reply& reply);
  Done write(const RegionAccess& access, std::span<const uint8_t> data);
  Done write_multiple(const Request& request);
  // For another reason than that the client was told.
  void mask_intx(bool masked) {
    intx_masked_ = masked;
    told_ = false;
  }
  void trigger_intx();
  void untell_intx();
  void ring(uint32_t index, uint32_t number);
  void clear_irqs(uint32_t index);

  Device& device_;
  guest::GuestMemory memory_;
  std::vector<Map> maps_;
  bool agreed_ = false;  // on a version
  std::array<std::array<UniqueFd, kMaxIrqs>, kIrqs> triggers_;
  uint32_t msix_enabled_ = 0;
  UniqueFd unmask_;
  bool intx_ = false, intx_masked_ = true;
  bool told_ = false;  // of INTx, and masked for that alone: the client may not have looked yet
  Counters counters_;
};

}  // namespace unetmap::vfio_user
