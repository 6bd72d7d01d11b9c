// SPDX-License-Identifier: BSD-2-Clause
// Requests of a front-end, checked: known, of the right size, with the right number of descriptors. What is checked
// against the state of the device (indexes of rings, addresses) is checked in backend.cc.
#pragma once

#include <array>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "proto/vhost_user/messages.hh"

namespace unetmap::vhost_user {

// A request owns the descriptors that came with it: who does not take them closes them.
struct Request {
  Id id{};
  bool need_reply = false;
  uint32_t size = 0;
  alignas(8) std::array<uint8_t, kMaxPayload> payload{};
  std::vector<UniqueFd> fds;

  // The payload as a T; parse() has checked that it is one.
  template <class T>
  T as() const {
    static_assert(sizeof(T) <= kMaxPayload);
    T value;
    memcpy(&value, payload.data(), sizeof value);
    return value;
  }
};

// What is known of a request before its payload has come.
struct Expected {
  const char* name;
  uint32_t min_size, max_size;
  uint32_t min_fds, max_fds;
  int feature;   // ProtocolFeature that has to be agreed on, -1 for none
  bool answers;  // has a reply of its own
};

// The rule for a header; an error if it is no request that we know, or its size is none that this request can have.
Result<const Expected*> expect(const Header& header);
// The name of a request: "SET_MEM_TABLE", or "request 77".
std::string name_of(uint32_t request);

// A request of whole header and payload, to be looked at with check(). The descriptors are gone on error.
Result<Request> parse(const Header& header, std::span<const uint8_t> payload, std::vector<UniqueFd>&& fds);
// Whether payload and descriptors fit each other: as many of them as the request has, no unknown bits. What comes after
// a request that is wrong here can be read all the same.
Result<void> check(const Request& request);

}  // namespace unetmap::vhost_user
