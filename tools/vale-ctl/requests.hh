// SPDX-License-Identifier: BSD-2-Clause
// The NIOCCTRL requests vale-ctl sends, one function each.
#pragma once

#include <net/netmap.h>

#include <cstdint>
#include <string>
#include <vector>

#include "config_spec.hh"

namespace valectl {

struct ListedPort {
  uint32_t bridge = 0;
  uint32_t port = 0;
  std::string name;
};

/// A descriptor of /dev/netmap for control requests. Every call returns 0 or an errno value.
class Control {
 public:
  Control() = default;
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  int open();
  int port_info(const std::string& name, nmreq_port_info_get& info);
  int attach(const std::string& name, bool with_host, const RingSpec& rings, uint16_t mem_id, uint32_t& port_index);
  int detach(const std::string& name, uint32_t& port_index);
  int create(const std::string& name, const RingSpec& rings, uint16_t mem_id, nmreq_vale_newif& made);
  int remove(const std::string& name);
  int polling(const std::string& name, bool on, const PollingSpec& spec);
  int find_port(const std::string& name, ListedPort& port);
  int list_ports(std::vector<ListedPort>& ports);

 private:
  int request(uint16_t type, const std::string& name, void* body, std::string* name_out = nullptr);

  int fd_ = -1;
};

}  // namespace valectl
