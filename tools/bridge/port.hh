// SPDX-License-Identifier: BSD-2-Clause
// An open netmap port with views of the rings it is bound to.
#pragma once

#include <libnetmap.h>

#include <string>
#include <vector>

#include "ring_view.hh"

namespace bridge {

class Port {
 public:
  Port() = default;
  ~Port() { nmport_close(desc_); }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  /// False on failure; the library's error callback has the reason then.
  bool open(const std::string& spec);

  int fd() const { return desc_->fd; }
  const std::string& name() const { return name_; }
  /// Whether buffers of the two may be exchanged.
  bool same_region(const Port& other) const { return desc_->mem == other.desc_->mem; }

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

}  // namespace bridge
