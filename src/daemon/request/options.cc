// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/request/options.hh"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "daemon/port/memory.hh"

namespace unetmap::daemon {
namespace {

// The bytes of an option's structure behind its struct nmreq_option, as that structure.
template <class T>
T load(const wire::ControlOption& option) {
  T out{};
  memcpy(reinterpret_cast<uint8_t*>(&out) + sizeof(nmreq_option), option.payload.data(),
         std::min(option.payload.size(), sizeof out - sizeof(nmreq_option)));
  return out;
}
template <class T>
void store(wire::ControlOption& option, const T& value) {
  memcpy(option.payload.data(), reinterpret_cast<const uint8_t*>(&value) + sizeof(nmreq_option),
         std::min(option.payload.size(), sizeof value - sizeof(nmreq_option)));
}

Error refuse(wire::ControlOption& option, int code, std::string text) {
  option.status = uint32_t(code);
  return {code, std::move(text)};
}

}  // namespace

Result<void> check_options(wire::ControlRequest& request) {
  for (auto& option : request.options) option.status = EOPNOTSUPP;
  Result<void> out;
  for (auto& option : request.options) {
    std::string which = "request option " + std::to_string(option.type);
    int bytes = wire::option_size(option.type);
    wire::ControlOption* first = request.option(option.type);
    if (option.type == 0) {
      out = refuse(option, EINVAL, which + ": there is none of this type; see NETMAP_REQ_OPT_* in net/netmap.h");
    } else if (bytes < 0) {
      out = Error{EOPNOTSUPP, which + ": unknown; leave it out"};
    } else if (first != &option) {
      first->status = EINVAL;
      out = refuse(option, EINVAL, which + ": is given twice; give it once");
    } else if (bytes > 0 && option.payload.size() != size_t(bytes)) {
      out = refuse(option, EINVAL, which + ": its structure has another size; compile against this net/netmap.h");
    }
  }
  return out;
}

Result<void> all_looked_at(const wire::ControlRequest& request) {
  for (const auto& option : request.options)
    if (option.status == EOPNOTSUPP)
      return Error{EOPNOTSUPP, request.name + ": option " + std::to_string(option.type) +
                                   " is not one of registering; leave it out"};
  return {};
}

Result<void> apply_offsets(wire::ControlRequest& request, PortShape& shape, uint32_t buf_size, bool existing) {
  wire::ControlOption* option = request.option(NETMAP_REQ_OPT_OFFSETS);
  if (!option) return {};
  auto want = load<nmreq_opt_offsets>(*option);
  const std::string where = request.name + ": offsets: ";
  if (want.nro_offset_bits > 64) return refuse(*option, EINVAL, where + "more than 64 bits; ask for 64 at most, 0 for all");
  uint32_t bits = want.nro_offset_bits ? want.nro_offset_bits : 64;
  uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  if (want.nro_max_offset > buf_size)
    return refuse(*option, EINVAL,
                  where + "the largest, " + std::to_string(want.nro_max_offset) + ", is beyond a buffer of " +
                      std::to_string(buf_size) + " bytes; ask for less");
  if ((want.nro_max_offset & mask) != want.nro_max_offset)
    return refuse(*option, EINVAL, where + "the largest does not fit in " + std::to_string(bits) + " bits; ask for more bits");
  if (want.nro_initial_offset > want.nro_max_offset)
    return refuse(*option, EINVAL, where + "the first one is above the largest; make it smaller");
  if (want.nro_tx_align & (want.nro_tx_align - 1))
    return refuse(*option, EINVAL, where + "the alignment is no power of two; ask for one that is");
  if (existing) {
    if ((shape.offset_mask & mask) != mask)
      return refuse(*option, EBUSY,
                    where + "the port is open without, or with fewer bits; close its other users first");
    if (shape.max_offset < want.nro_max_offset)
      return refuse(*option, EBUSY,
                    where + "the port is open with at most " + std::to_string(shape.max_offset) +
                        "; ask for no more, or close its other users first");
  } else {
    shape.offset_mask = mask;
    shape.max_offset = want.nro_max_offset;
    shape.initial_offset = want.nro_initial_offset;
    shape.buf_align = want.nro_tx_align;
  }
  want.nro_max_offset = shape.max_offset;
  store(*option, want);
  option->status = 0;
  return {};
}

Result<RegionShape> extmem_shape(nmreq_pools_info& info) {
  auto otherwise = [](uint32_t& field, uint32_t value) {
    if (field == 0) field = value;
  };
  otherwise(info.nr_if_pool_objtotal, 2);
  otherwise(info.nr_if_pool_objsize, 1024);
  otherwise(info.nr_ring_pool_objtotal, 4);
  otherwise(info.nr_ring_pool_objsize, 5 * kPageBytes);
  otherwise(info.nr_buf_pool_objtotal, 4098);
  otherwise(info.nr_buf_pool_objsize, kDefaultBufSize);
  constexpr uint32_t kMaxObject = 16 << 20;
  auto sane = [](uint32_t total, uint32_t size) { return total < (1u << 24) && size >= 64 && size <= kMaxObject; };
  if (!sane(info.nr_if_pool_objtotal, info.nr_if_pool_objsize) ||
      !sane(info.nr_ring_pool_objtotal, info.nr_ring_pool_objsize) || info.nr_buf_pool_objsize % 64 != 0 ||
      info.nr_buf_pool_objsize < 64 || info.nr_buf_pool_objsize > 32768)
    return Error{EINVAL, "external memory: pools with impossible sizes; give buffers of 64 to 32768 bytes in steps of 64, or "
                         "0 for the defaults"};
  RegionShape shape;
  shape.if_objsize = info.nr_if_pool_objsize;
  shape.if_objtotal = info.nr_if_pool_objtotal;
  shape.ring_objsize = info.nr_ring_pool_objsize;
  shape.ring_objtotal = info.nr_ring_pool_objtotal;
  shape.buf_size = info.nr_buf_pool_objsize;
  uint64_t limit = std::min<uint64_t>(info.nr_memsize / kPageBytes * kPageBytes, kMaxMemsize);
  uint64_t before = shape.app_bytes();
  uint64_t room = limit > before ? (limit - before) / shape.buf_size : 0;
  shape.nbufs = uint32_t(std::min<uint64_t>(info.nr_buf_pool_objtotal, room));
  if (shape.nbufs <= 2)
    return Error{ENOMEM, "external memory: " + std::to_string(info.nr_memsize) +
                             " bytes are too few for its pools; give more memory, or ask for fewer rings"};
  uint32_t slots = shape.ring_objsize > sizeof(netmap_ring)
                       ? uint32_t((shape.ring_objsize - sizeof(netmap_ring)) / sizeof(netmap_slot))
                       : 2;
  add_ring_state(shape, shape.ring_objtotal, std::min(std::max(slots, 2u), kMaxSlots));
  return shape;
}

}  // namespace unetmap::daemon
