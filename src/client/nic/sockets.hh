// SPDX-License-Identifier: BSD-2-Clause
// The kernel's side of an interface's port, as the keeper handed it over: sockets, or a device, and the host stack's
// tap.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "client/nic/live_frames.hh"
#include "client/nic/rings.hh"
#include "client/nic/xsk_socket.hh"
#include "vale/forward.hh"
#include "wire/messages.hh"

namespace unetmap::client {

class DrivenDevice;

// The sockets of one bound descriptor.
class NicSockets {
 public:
  static Result<std::unique_ptr<NicSockets>> make(const wire::BindInfo& info, std::span<UniqueFd> fds, int doorbell);
  ~NicSockets();
  NicSockets(const NicSockets&) = delete;
  NicSockets& operator=(const NicSockets&) = delete;

  // The sender and the receiver of a ring of the port, host rings included in the numbering; nullptr without socket.
  std::unique_ptr<NicTx> tx(uint32_t ring, const vale::TxView& view, NicState* state) const;
  std::unique_ptr<NicRx> rx(uint32_t ring, const NicRxView& view, NicState* state) const;

  // An epoll instance that is readable when the doorbell rings or a socket of the bound rings may have news.
  int bell() const { return bell_.get(); }
  // The next news of receive rings, or of transmit rings too, are to ring the bell.
  void arm(bool in, bool out);
  // Frames that the kernel had no buffer or no room for.
  uint64_t missed() const;
  // Lets go of the sockets. No ring uses them any more.
  void close();
  // The interface is not ours any more: of a device that was driven from here nothing is kept, rings or not.
  void abandon();
  // Towards the host stack; for NS_FORWARD. False if it would not take it.
  bool to_host(const uint8_t* frame, uint32_t len) const;

 private:
  NicSockets() = default;
  struct Watched {
    int fd;
    bool in, out;    // of interest
    uint32_t armed;  // as registered
  };
  bool is_host(uint32_t ring, bool rx) const;

  wire::NicInfo info_{};
  uint16_t nic_tx_ = 0, nic_rx_ = 0;
  uint32_t first_pair_ = 0, end_pair_ = 0;  // of those bound, in mode driver
  std::vector<std::shared_ptr<XskSocket>> xsk_;  // of queues from first_queue on
  std::shared_ptr<DrivenDevice> driven_;         // in mode driver
  UniqueFd packet_, tap_, bell_;
  std::shared_ptr<LiveFrames> live_;
  std::vector<Watched> watched_;
  std::mutex mutex_;  // of what is armed
};

}  // namespace unetmap::client
