// SPDX-License-Identifier: BSD-2-Clause
// Requests of a client, checked: known, of the right size, with the right number of descriptors. What is checked
// against the state of the device (regions, interrupts, memory) is checked in server.cc.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "proto/vfio_user/messages.hh"

namespace unetmap::vfio_user {

// A request owns the descriptors that came with it: who does not take them closes them. Its payload is the
// connection's, and valid until the next one is received.
struct Request {
  Command command{};
  uint16_t id = 0;
  bool wants_reply = true;
  std::span<const uint8_t> payload;
  std::vector<UniqueFd> fds;

  // The payload's beginning as a T; parse() has checked that it is there.
  template <class T>
  T as() const {
    T value;
    memcpy(&value, payload.data(), sizeof value);
    return value;
  }
  // What follows a T.
  template <class T>
  std::span<const uint8_t> behind() const {
    return payload.subspan(sizeof(T));
  }
};

// What is known of a request before its payload has come.
struct Expected {
  const char* name;
  uint32_t min_bytes, max_bytes;  // of payload
  uint32_t max_fds;
};

// The rule for a header; an error if its size is none that this request can have. For a command that is not known there
// is a rule, too: it is read, and answered with an error, so that a client newer than we are can do without.
Result<const Expected*> expect(const Header& header);
// The name of a command: "DMA_MAP", or "command 77".
std::string name_of(uint16_t command);

// A request of whole header and payload. The descriptors are gone on error.
Result<Request> parse(const Header& header, std::span<const uint8_t> payload, std::vector<UniqueFd>&& fds);

}  // namespace unetmap::vfio_user
