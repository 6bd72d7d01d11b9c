// SPDX-License-Identifier: BSD-2-Clause
#include "port.hh"

#include <fmt/core.h>
#include <libnetmap.h>
#include <net/netmap.h>
#include <net/netmap_user.h>
#include <sys/ioctl.h>
#include <unetmap/unetmap.h>

#include <string_view>

namespace unetmap::pktgen {
namespace {

// libnetmap explains failures through this callback. Ports are opened by the main thread only.
std::string& library_words() {
  static std::string words;
  return words;
}

void keep_words(nmctx*, const char* text) {
  std::string_view line = text;
  while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  library_words() = line;
}

void capture_library_words() {
  nmctx* context = nmctx_get();
  context->error = keep_words;
  context->verbose = 1;
  library_words().clear();
}

// The library names the cause and the remedy; should it have said nothing, errno must do.
Error open_error(const std::string& name, int code) {
  if (code == 0) code = ENXIO;
  std::string cause = library_words();
  if (cause.empty()) {
    cause = fmt::format("{}; use a VALE port (vale0:1), a pipe, or an interface that netmap supports", strerror(code));
  }
  return Error{code, fmt::format("unable to register the interface {}: {}", name, cause)};
}

// Rings from first to last; none when they are the other way round.
uint32_t interval(uint16_t first, uint16_t last) { return first > last ? 0 : uint32_t(last) - first + 1; }

// Runs a port-header request on a bound descriptor.
Result<uint32_t> header_request(const nmport_d* port, uint16_t type, uint32_t bytes) {
  nmreq_header request = port->hdr;
  nmreq_port_hdr body{};
  body.nr_hdr_len = bytes;
  request.nr_reqtype = type;
  request.nr_options = 0;
  request.nr_body = reinterpret_cast<uintptr_t>(&body);
  if (ioctl(port->fd, NIOCCTRL, &request) < 0) {
    return Error::from_errno(errno, fmt::format("virtio-net header of {}", port->hdr.nr_name));
  }
  return body.nr_hdr_len;
}

}  // namespace

void Port::Close::operator()(nmport_d* port) const { nmport_close(port); }

Result<Port> Port::open(const Options& options) {
  capture_library_words();
  Port port;
  port.name_ = options.interface;
  nmport_enable_option("offset");  // all our loops find data by NETMAP_BUF_OFFSET
  errno = 0;
  port.port_.reset(nmport_prepare(options.device.c_str()));
  if (!port.port_) return open_error(options.interface, errno);
  nmreq_register& request = port.port_->reg;
  if (options.rings) {
    request.nr_tx_slots = options.rings->tx_slots;
    request.nr_rx_slots = options.rings->rx_slots;
    request.nr_tx_rings = options.rings->tx_rings;
    request.nr_rx_rings = options.rings->rx_rings;
  }
  request.nr_extra_bufs = options.extra_buffers;
  request.nr_flags |= NR_ACCEPT_VNET_HDR;
  port.asked_mode_ = request.nr_mode;
  if (options.threads > 1) {
    if (request.nr_mode == NR_REG_ALL_NIC || request.nr_mode == NR_REG_NIC_SW) {
      request.nr_mode = NR_REG_ONE_NIC;
    } else if (request.nr_mode == NR_REG_SW) {
      request.nr_mode = NR_REG_ONE_SW;
    }
    request.nr_ringid = 0;
  }
  if (nmport_open_desc(port.port_.get()) < 0) return open_error(options.interface, errno);
  port.missed_before_ = unetmap_missed(port.fd());
  uint32_t queues = port.queues(options.sends());
  if (options.threads > queues) {
    return Error{EINVAL,
                 fmt::format("{} threads need as many rings, but {} has {}; lower -p, or make the port with more by -C",
                             options.threads, options.interface, queues)};
  }
  return port;
}

Result<Port> Port::open_ring(unsigned index, const Options& options) const {
  capture_library_words();
  Port port;
  port.name_ = name_;
  port.asked_mode_ = asked_mode_;
  errno = 0;
  port.port_.reset(nmport_clone(port_.get()));
  if (!port.port_) return open_error(name_, errno);
  nmreq_register& request = port.port_->reg;
  unsigned nic_rings = options.receives() ? port_->reg.nr_rx_rings : port_->reg.nr_tx_rings;
  if (asked_mode_ == NR_REG_NIC_SW && index >= nic_rings) {
    request.nr_mode = NR_REG_ONE_SW;
    index -= nic_rings;
  }
  request.nr_ringid = uint16_t(index);
  request.nr_extra_bufs = 0;
  // A receiver's polls have no business with the tx rings of the others.
  if (options.receives()) request.nr_flags |= NR_NO_TX_POLL;
  if (nmport_open_desc(port.port_.get()) < 0) {
    return open_error(fmt::format("{} (ring {})", name_, index), errno);
  }
  port.missed_before_ = unetmap_missed(port.fd());
  return port;
}

int Port::fd() const { return port_->fd; }
uint32_t Port::tx_rings() const { return interval(port_->first_tx_ring, port_->last_tx_ring); }
uint32_t Port::rx_rings() const { return interval(port_->first_rx_ring, port_->last_rx_ring); }
netmap_ring* Port::tx_ring(uint32_t i) const { return NETMAP_TXRING(port_->nifp, port_->first_tx_ring + i); }
netmap_ring* Port::rx_ring(uint32_t i) const { return NETMAP_RXRING(port_->nifp, port_->first_rx_ring + i); }

uint32_t Port::queues(bool sending) const {
  const nmreq_register& reg = port_->reg;
  return sending ? uint32_t(reg.nr_tx_rings) + reg.nr_host_tx_rings : uint32_t(reg.nr_rx_rings) + reg.nr_host_rx_rings;
}

uint64_t Port::region_bytes() const { return port_->reg.nr_memsize; }
uint32_t Port::extra_buffers() const { return port_->reg.nr_extra_bufs; }

bool Port::is_software() const {
  std::string_view name = port_->hdr.nr_name;
  return name.starts_with(NM_BDG_NAME) || name.find_first_of("{}") != name.npos;
}

std::string Port::describe() const {
  const nmreq_register& reg = port_->reg;
  std::string text = fmt::format(
      "{}: region {} of {} KiB, interface at offset {}, {} tx and {} rx rings, {} extra buffers", name_, reg.nr_mem_id,
      reg.nr_memsize >> 10, reg.nr_offset, reg.nr_tx_rings, reg.nr_rx_rings, reg.nr_extra_bufs);
  auto add = [&](const char* kind, uint32_t i, const netmap_ring* ring) {
    text += fmt::format("\n  {}{}: {} slots, buffers of {} bytes", kind, i, ring->num_slots, ring->nr_buf_size);
  };
  for (uint32_t i = 0; i < tx_rings(); i++) add("TX", port_->first_tx_ring + i, tx_ring(i));
  for (uint32_t i = 0; i < rx_rings(); i++) add("RX", port_->first_rx_ring + i, rx_ring(i));
  return text;
}

Result<uint32_t> Port::vnet_header() const { return header_request(port_.get(), NETMAP_REQ_PORT_HDR_GET, 0); }

Result<void> Port::set_vnet_header(uint32_t bytes) const {
  Result<uint32_t> set = header_request(port_.get(), NETMAP_REQ_PORT_HDR_SET, bytes);
  if (!set) return Error{set.error().code, set.error().text + "; this kind of port has none that can be set"};
  return {};
}

uint64_t Port::missed() const {
  const int64_t now = unetmap_missed(fd());
  return now > missed_before_ ? uint64_t(now - missed_before_) : 0;
}

std::string Port::failure() const {
  int code = 0;
  if (ioctl(fd(), NIOCTXSYNC, nullptr) < 0 || ioctl(fd(), NIOCRXSYNC, nullptr) < 0) code = errno;
  if (code == ENXIO || code == ENODEV || code == EPIPE || code == ECONNRESET || code == EBADF) {
    return fmt::format(
        "{}: the port is gone ({}): its daemon ended or the port was removed; run pkt-gen again, which starts a "
        "new daemon",
        name_, strerror(code));
  }
  if (code) return fmt::format("{}: sync failed: {}; the ring was reset, run pkt-gen again", name_, strerror(code));
  return fmt::format("{}: poll reported an error: the ring was reset or the other side went away; run pkt-gen again",
                     name_);
}

}  // namespace unetmap::pktgen
