// SPDX-License-Identifier: BSD-2-Clause
#include "requests.hh"

#include <fcntl.h>
#include <libnetmap.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace valectl {

Control::~Control() {
  if (fd_ >= 0) close(fd_);
}

int Control::open() {
  fd_ = ::open("/dev/netmap", O_RDWR | O_CLOEXEC);
  return fd_ >= 0 ? 0 : errno;
}

int Control::request(uint16_t type, const std::string& name, void* body, std::string* name_out) {
  nmreq_header header;
  nmreq_header_init(&header, type, body);
  if (name.size() >= sizeof header.nr_name) return ENAMETOOLONG;
  memcpy(header.nr_name, name.data(), name.size());
  if (ioctl(fd_, NIOCCTRL, &header) != 0) return errno;
  if (name_out) name_out->assign(header.nr_name, strnlen(header.nr_name, sizeof header.nr_name));
  return 0;
}

int Control::port_info(const std::string& name, nmreq_port_info_get& info) {
  info = {};
  return request(NETMAP_REQ_PORT_INFO_GET, name, &info);
}

int Control::attach(const std::string& name, bool with_host, const RingSpec& rings, uint16_t mem_id,
                    uint32_t& port_index) {
  nmreq_vale_attach body{};
  body.reg.nr_mode = with_host ? NR_REG_NIC_SW : NR_REG_ALL_NIC;
  body.reg.nr_tx_slots = rings.tx_slots;
  body.reg.nr_rx_slots = rings.rx_slots;
  body.reg.nr_tx_rings = rings.tx_rings;
  body.reg.nr_rx_rings = rings.rx_rings;
  body.reg.nr_mem_id = mem_id;
  const int error = request(NETMAP_REQ_VALE_ATTACH, name, &body);
  port_index = body.port_index;
  return error;
}

int Control::detach(const std::string& name, uint32_t& port_index) {
  nmreq_vale_detach body{};
  const int error = request(NETMAP_REQ_VALE_DETACH, name, &body);
  port_index = body.port_index;
  return error;
}

int Control::create(const std::string& name, const RingSpec& rings, uint16_t mem_id, nmreq_vale_newif& body) {
  body = {};
  body.nr_tx_slots = rings.tx_slots;
  body.nr_rx_slots = rings.rx_slots;
  body.nr_tx_rings = rings.tx_rings;
  body.nr_rx_rings = rings.rx_rings;
  body.nr_mem_id = mem_id;
  return request(NETMAP_REQ_VALE_NEWIF, name, &body);
}

int Control::remove(const std::string& name) { return request(NETMAP_REQ_VALE_DELIF, name, nullptr); }

int Control::polling(const std::string& name, bool on, const PollingSpec& spec) {
  nmreq_vale_polling body{};
  body.nr_mode = spec.cpu_per_ring ? NETMAP_POLLING_MODE_MULTI_CPU : NETMAP_POLLING_MODE_SINGLE_CPU;
  body.nr_first_cpu_id = spec.first_cpu;
  body.nr_num_polling_cpus = spec.cpus;
  return request(on ? NETMAP_REQ_VALE_POLLING_ENABLE : NETMAP_REQ_VALE_POLLING_DISABLE, name, &body);
}

int Control::find_port(const std::string& name, ListedPort& port) {
  nmreq_vale_list body{};
  if (int error = request(NETMAP_REQ_VALE_LIST, name, &body)) return error;
  port = {body.nr_bridge_idx, body.nr_port_idx, name};
  return 0;
}

int Control::list_ports(std::vector<ListedPort>& ports) {
  // An empty name asks for the first port at or after the given indices, so the walk survives ports that come and go.
  nmreq_vale_list body{};
  while (true) {
    std::string name;
    const int error = request(NETMAP_REQ_VALE_LIST, "", &body, &name);
    if (error == ENOENT) return 0;
    if (error) return error;
    ports.push_back({body.nr_bridge_idx, body.nr_port_idx, name});
    ++body.nr_port_idx;
  }
}

}  // namespace valectl
