// SPDX-License-Identifier: BSD-2-Clause
// The options a port specification may contain: share, conf, extmem, offset.
#include <cstring>

#include "libnetmap/internal.hh"

namespace {

using libnetmap::fail;
using libnetmap::parse_number;

nmport_d* port_of(const nmreq_parse_ctx* parse) { return static_cast<nmport_d*>(parse->token); }

// Writes the number of a key to *out when the key is given.
template <class Number>
int take_number(const nmreq_parse_ctx* parse, const char* option, const char* key, const char* value, Number* out) {
  if (value == nullptr) return 0;
  constexpr Number kMax = static_cast<Number>(-1);
  uint64_t number = 0;
  if (!parse_number(value, kMax, &number)) {
    return fail(parse->ctx, EINVAL, "option '%s': '%s=%s' is no number from 0 to %llu", option, key, value,
                static_cast<unsigned long long>(kMax));
  }
  *out = static_cast<Number>(number);
  return 0;
}

// ---------------------------------------------------------------- share

int parse_share(nmreq_parse_ctx* parse) {
  nmport_d* port = port_of(parse);
  const char* name = parse->keys[0];
  const int32_t mem_id = nmreq_get_mem_id(&name, parse->ctx);
  if (mem_id < 0) return -1;
  if (*name != '\0') {
    return fail(parse->ctx, EINVAL, "option 'share': '%s' follows the name of the port: leave it out", name);
  }
  if (port->reg.nr_mem_id != 0 && port->reg.nr_mem_id != mem_id) {
    return fail(parse->ctx, EINVAL,
                "option 'share': %s is in memory region %d, and '@%u' asks for another: leave one out", parse->keys[0],
                mem_id, static_cast<unsigned>(port->reg.nr_mem_id));
  }
  port->reg.nr_mem_id = static_cast<uint16_t>(mem_id);
  return 0;
}

// ---------------------------------------------------------------- conf

enum ConfKey {
  kRings,
  kHostRings,
  kSlots,
  kTxRings,
  kRxRings,
  kHostTxRings,
  kHostRxRings,
  kTxSlots,
  kRxSlots,
};

int parse_conf(nmreq_parse_ctx* parse) {
  nmreq_register& reg = port_of(parse)->reg;
  const auto number = [parse](ConfKey key, const char* name, auto* out) {
    return take_number(parse, "conf", name, parse->keys[key], out);
  };
  // Less specific first, so that the more specific one wins.
  const bool ok =
      number(kRings, "rings", &reg.nr_tx_rings) == 0 && number(kRings, "rings", &reg.nr_rx_rings) == 0 &&
      number(kHostRings, "host-rings", &reg.nr_host_tx_rings) == 0 &&
      number(kHostRings, "host-rings", &reg.nr_host_rx_rings) == 0 && number(kSlots, "slots", &reg.nr_tx_slots) == 0 &&
      number(kSlots, "slots", &reg.nr_rx_slots) == 0 && number(kTxRings, "tx-rings", &reg.nr_tx_rings) == 0 &&
      number(kRxRings, "rx-rings", &reg.nr_rx_rings) == 0 &&
      number(kHostTxRings, "host-tx-rings", &reg.nr_host_tx_rings) == 0 &&
      number(kHostRxRings, "host-rx-rings", &reg.nr_host_rx_rings) == 0 &&
      number(kTxSlots, "tx-slots", &reg.nr_tx_slots) == 0 && number(kRxSlots, "rx-slots", &reg.nr_rx_slots) == 0;
  return ok ? 0 : -1;
}

// ---------------------------------------------------------------- extmem

enum ExtmemKey { kFile, kIfNum, kIfSize, kRingNum, kRingSize, kBufNum, kBufSize };

int parse_extmem(nmreq_parse_ctx* parse) {
  nmreq_pools_info pools = {};
  const auto number = [parse](ExtmemKey key, const char* name, uint32_t* out) {
    return take_number(parse, "extmem", name, parse->keys[key], out);
  };
  const bool ok = number(kIfNum, "if-num", &pools.nr_if_pool_objtotal) == 0 &&
                  number(kIfSize, "if-size", &pools.nr_if_pool_objsize) == 0 &&
                  number(kRingNum, "ring-num", &pools.nr_ring_pool_objtotal) == 0 &&
                  number(kRingSize, "ring-size", &pools.nr_ring_pool_objsize) == 0 &&
                  number(kBufNum, "buf-num", &pools.nr_buf_pool_objtotal) == 0 &&
                  number(kBufSize, "buf-size", &pools.nr_buf_pool_objsize) == 0;
  if (!ok) return -1;
  nmport_d* port = port_of(parse);
  if (nmport_extmem_from_file(port, parse->keys[kFile]) < 0) return -1;
  nmreq_pools_info* info = nmport_extmem_getinfo(port);
  pools.nr_memsize = info->nr_memsize;
  *info = pools;
  return 0;
}

// ---------------------------------------------------------------- offset

enum OffsetKey { kInitial, kBits };

int parse_offset(nmreq_parse_ctx* parse) {
  uint64_t initial = 0;
  uint64_t bits = 0;
  if (take_number(parse, "offset", "initial", parse->keys[kInitial], &initial) < 0) return -1;
  if (take_number(parse, "offset", "bits", parse->keys[kBits], &bits) < 0) return -1;
  return nmport_offset(port_of(parse), initial, initial, bits, 0);
}

constexpr unsigned kMain = NMREQ_OPTK_DEFAULT;
constexpr unsigned kMust = NMREQ_OPTK_DEFAULT | NMREQ_OPTK_MUSTSET;

nmreq_opt_parser offset_parser = {
    .prefix = "offset",
    .parse = parse_offset,
    .default_key = kInitial,
    .nr_keys = 2,
    .flags = NMREQ_OPTF_DISABLED,
    .next = nullptr,
    .keys = {{"initial", kInitial, kMust}, {"bits", kBits, 0}},
};

nmreq_opt_parser extmem_parser = {
    .prefix = "extmem",
    .parse = parse_extmem,
    .default_key = kFile,
    .nr_keys = 7,
    .flags = 0,
    .next = &offset_parser,
    .keys = {{"file", kFile, kMust},
             {"if-num", kIfNum, 0},
             {"if-size", kIfSize, 0},
             {"ring-num", kRingNum, 0},
             {"ring-size", kRingSize, 0},
             {"buf-num", kBufNum, 0},
             {"buf-size", kBufSize, 0}},
};

nmreq_opt_parser conf_parser = {
    .prefix = "conf",
    .parse = parse_conf,
    .default_key = kRings,
    .nr_keys = 9,
    .flags = 0,
    .next = &extmem_parser,
    .keys = {{"rings", kRings, kMain},
             {"host-rings", kHostRings, 0},
             {"slots", kSlots, 0},
             {"tx-rings", kTxRings, 0},
             {"rx-rings", kRxRings, 0},
             {"host-tx-rings", kHostTxRings, 0},
             {"host-rx-rings", kHostRxRings, 0},
             {"tx-slots", kTxSlots, 0},
             {"rx-slots", kRxSlots, 0}},
};

nmreq_opt_parser share_parser = {
    .prefix = "share",
    .parse = parse_share,
    .default_key = 0,
    .nr_keys = 1,
    .flags = 0,
    .next = &conf_parser,
    .keys = {{"port", 0, kMust}},
};

nmreq_opt_parser* find_parser(const char* name) {
  nmreq_opt_parser* parser = &share_parser;
  while (parser != nullptr && std::strcmp(parser->prefix, name) != 0) parser = parser->next;
  return parser;
}

}  // namespace

namespace libnetmap {

nmreq_opt_parser* port_option_parsers() noexcept { return &share_parser; }

}  // namespace libnetmap

extern "C" {

int nmport_enable_option(const char* opt) noexcept {
  nmreq_opt_parser* parser = find_parser(opt);
  if (parser == nullptr) {
    errno = EOPNOTSUPP;
    return -1;
  }
  parser->flags &= ~NMREQ_OPTF_DISABLED;
  return 0;
}

void nmport_disable_option(const char* opt) noexcept {
  nmreq_opt_parser* parser = find_parser(opt);
  if (parser != nullptr) parser->flags |= NMREQ_OPTF_DISABLED;
}

}  // extern "C"
