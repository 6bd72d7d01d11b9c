// SPDX-License-Identifier: BSD-2-Clause
// A netmap request in one piece: what nmreq_header's pointers lead to, copied behind it, so that the daemon never
// follows an application's pointer and the application's memory is read once.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/result.hh"
#include "net/netmap.h"

namespace unetmap::wire {

struct ControlOption {
  uint32_t type = 0;             // nro_reqtype
  uint32_t status = EOPNOTSUPP;  // nro_status: stays so while nobody has looked at it
  // Bytes of the option after struct nmreq_option; updated by the daemon, same length.
  std::vector<uint8_t> payload;
};

struct ControlRequest {
  uint16_t version = NETMAP_API;
  uint16_t type = 0;  // NETMAP_REQ_*
  std::string name;   // below 64 bytes
  std::vector<uint8_t> body;  // of body_size(type) bytes
  std::vector<ControlOption> options;

  template <class T>
  T body_as() const {
    T out{};
    memcpy(&out, body.data(), body.size() < sizeof out ? body.size() : sizeof out);
    return out;
  }
  template <class T>
  void set_body(const T& value) {
    body.resize(sizeof value);
    memcpy(body.data(), &value, sizeof value);
  }
  ControlOption* option(uint32_t wanted) {
    for (ControlOption& o : options)
      if (o.type == wanted) return &o;
    return nullptr;
  }
};

// Bytes of the body of a request type, 0 for those without one, -1 for an unknown type.
int body_size(uint16_t type);
// Bytes of an option after its struct nmreq_option, -1 for an unknown one; eventfds (variable) give 0.
int option_size(uint32_t type);

// To and from the body of Op::kControl. parse() trusts nothing: EINVAL or EMSGSIZE on anything malformed.
std::vector<uint8_t> flatten(const ControlRequest& request);
Result<ControlRequest> parse(std::span<const uint8_t> bytes);

}  // namespace unetmap::wire
