// SPDX-License-Identifier: BSD-2-Clause
// A port's part of a region: rings, krings, receive state, exchanges and buffers, laid out, initialised and taken back.
#pragma once

#include "daemon/port/port.hh"

namespace unetmap::daemon {

uint64_t ring_bytes(uint32_t slots);
// Memory of a region that holds one such port, `pipe_pairs` pipes like it (fewer if that is too much for a region),
// and `extra_bufs` (likewise).
RegionShape region_shape_for(const PortShape& port, uint32_t extra_bufs, uint32_t buf_size = kPrivateBufSize);
// The one that everybody may share, with id kGlobalRegion: buffers for AF_XDP.
RegionShape global_region_shape(uint32_t buffers);
// One for so many ports of a switch that exchange buffers, of the usual size.
RegionShape exchanging_region_shape(uint32_t ports);
// Adds what rings of `slots` slots, `rings` of them, need beside the application's memory.
void add_ring_state(RegionShape& region, uint32_t rings, uint32_t slots);

// Takes memory and writes the initial state of all rings; fills in the places and sizes of `info`. On error nothing
// stays taken.
Result<void> place_port(Region& region, const PortShape& shape, const std::string& name, wire::PortInfo& info);
// Of a pipe just made, once for each direction: the slots of the receive rings at its one end are those of the other's
// transmit rings, with the same buffers.
Result<void> join_pipe_rings(Region& region, const wire::PortInfo& from, const wire::PortInfo& to);
// Gives the port's memory back, and those buffers found in its rings that no port in `others` has in its own.
void remove_port(Region& region, const wire::PortInfo& info, const std::vector<const wire::PortInfo*>& others);

// A netmap_if for a descriptor that is bound to `tx` and `rx` of the port. Returns its offset, and its size in `bytes`.
Result<uint64_t> place_if(Region& region, const Port& port, const RingRange& tx, const RingRange& rx, uint64_t& bytes);
// Up to `count` buffers: ni_bufs_head names the first of `runs`, as ring/extra_run.hh says. Returns how many there
// were.
uint32_t place_extra_buffers(Region& region, uint64_t if_offset, uint32_t count, std::vector<BufferRun>& runs);
// Frees the list of buffers found at ni_bufs_head (unless a port in `others` has them in a ring) and the netmap_if.
// `runs`: the buffers that were given out with it.
void remove_if(Region& region, uint64_t if_offset, uint64_t bytes, const std::vector<const wire::PortInfo*>& others,
               const std::vector<BufferRun>& runs);

}  // namespace unetmap::daemon
