// SPDX-License-Identifier: BSD-2-Clause
// What exists at runtime: ports, and the netmap descriptors (files) bound to them. Owned by inventory/;
// everything else points.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "daemon/interface/interfaces.hh"
#include "daemon/memory/region.hh"
#include "daemon/switch/switch.hh"
#include "wire/messages.hh"

namespace unetmap::daemon {

struct Port;

// Rings of one direction: [first, end).
struct RingRange {
  uint16_t first = 0, end = 0;
  bool overlaps(const RingRange& other) const { return first < other.end && other.first < end; }
  bool empty() const { return first >= end; }
};

// Packet buffers in a row.
struct BufferRun {
  uint32_t first, count;
  bool operator==(const BufferRun&) const = default;
};

// One netmap descriptor, however many copies of it processes hold.
struct File {
  uint32_t id = 0;
  pid_t pid = 0;                   // of who opened it
  bool goodbye = false;            // its last holder said that it closes in good order
  std::vector<uint64_t> resolved;  // Port::unique of the ports whose exchange memory it was given

  // From registration on:
  Port* port = nullptr;
  UniqueFd doorbell;
  RingRange tx, rx;
  bool exclusive = false;
  uint32_t mode = 0;
  uint64_t reg_flags = 0;
  uint64_t if_offset = 0, if_bytes = 0;
  std::vector<BufferRun> extra_runs;  // the extra buffers that it got
};

// What a port is to look like.
struct PortShape {
  uint32_t tx_slots = 1024, rx_slots = 1024;
  uint16_t tx_rings = 1, rx_rings = 1;  // host rings included
  uint16_t host_tx_rings = 0, host_rx_rings = 0;
  bool nic = false;
  bool hidden = false;   // numbered behind the others of its switch, and in no list of netmap's
  bool exchange = true;  // receive rings take from anyone; false: from the pipe's other end alone
  // With NETMAP_REQ_OPT_OFFSETS
  uint64_t offset_mask = 0, max_offset = 0, initial_offset = 0, buf_align = 0;
};

// What is plugged into a port, for people to see.
struct PlugView {
  std::string kind;
  std::string state;       // "starting", "ready", or what its worker last said
  bool connected = false;  // to whatever is to be served
  pid_t pid = -1;          // of its worker
};

// Lives while somebody needs it: a bound file, a pipe or monitor that hangs on it, or a switch it is attached to.
struct Port {
  uint64_t unique = 0;
  std::string name;
  std::shared_ptr<Region> region;
  std::shared_ptr<Switch> sw;
  wire::PortInfo info{};  // header_len and flags: in the switch's record; of these kPortExchanges here, too
  PortShape shape;
  std::vector<File*> users;
  uint32_t dependents = 0;  // pipes and monitors
  bool attached = false;    // lives on without users: by NETMAP_REQ_VALE_ATTACH, or because something is plugged in
  std::optional<PlugView> plug;
  Interfaces::Held* nic = nullptr;  // of a port on an interface
  Port* parent = nullptr;           // of pipes and monitors
  Port* peer = nullptr;             // of a pipe: its other end, which comes and goes with it
  uint32_t resets = 0;              // value of reset_wanted of its rings
  uint32_t monitors_made = 0;       // for their names
  bool takes_headers = false;       // of a monitor: shows its port's virtio-net headers, whatever their length is

  wire::PortKind kind() const { return wire::PortKind(info.kind); }
  const Switch::Record* record() const { return sw ? sw->find(info.index) : nullptr; }
};

}  // namespace unetmap::daemon
