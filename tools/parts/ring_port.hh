// SPDX-License-Identifier: BSD-2-Clause
// An open netmap port with views of the rings it is bound to.
#pragma once

#include <libnetmap.h>

#include <string>
#include <vector>

#include "parts/ring_view.hh"

namespace unetmap::parts {

class RingPort {
 public:
  RingPort() = default;
  ~RingPort() { nmport_close(desc_); }
  RingPort(const RingPort&) = delete;
  RingPort& operator=(const RingPort&) = delete;

  /// False on failure; the library's error callback has the reason then.
  bool open(const std::string& spec, uint32_t extra_buffers = 0);

  int fd() const { return desc_->fd; }
  const std::string& name() const { return name_; }
  /// Whether buffers of the two may be exchanged.
  bool same_region(const RingPort& other) const { return desc_->mem == other.desc_->mem; }

  uint16_t memory_id() const { return desc_->reg.nr_mem_id; }
  /// Buffers besides the rings', as granted; each is ours until put back. Indexes are checked: a list that is not sound
  /// ends early.
  std::vector<uint32_t> take_extra_buffers();
  void put_extra_buffers(const std::vector<uint32_t>& buffers);

  /// 0 or an errno value.
  int sync_tx();
  int sync_rx();
  /// Takes the rings up where the library set them after an error.
  void reload();

  std::vector<RingView> rx;
  std::vector<RingView> tx;

 private:
  nmport_d* desc_ = nullptr;
  std::string name_;
};

}  // namespace unetmap::parts
