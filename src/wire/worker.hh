// SPDX-License-Identifier: BSD-2-Clause
// What the daemon and a worker (src/worker: the process of a port that has no program of its own) say to each other:
// one JSON object a datagram over a SOCK_SEQPACKET pair, the worker's end being its descriptor 3.
//
//   daemon -> worker  {"op": "start", "kind": K, "port": "vale0:01", "parameters": {...}}  once; descriptors come along
//                     {"op": "status", "id": N}
//                     {"op": "set", "parameters": {...}}  what may change while it runs: fences
//                     {"op": "adopt"}                     serve one port more: another channel comes along, and on it its orders
//                     {"op": "stop"}                      unplugged: remove what others can see, and end
//   worker -> daemon  {"event": "ready"} or {"event": "failed", "errno": E, "text": "..."}, once
//                     {"event": "state", "connected": B, "text": "..."}  whenever that changes
//                     {"event": "status", "id": N, "status": {...}}
//                     {"event": "said", "text": "..."}  a line for the log
// The end of the channel is the end of the worker, or of its part in a process that serves several ports. A worker handles foreign bytes: the daemon believes none of its
// words more than a program's.
#pragma once

#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/json.hh"
#include "base/result.hh"

namespace unetmap::wire {

constexpr size_t kMaxWorkerMessage = 32768;  // bytes
constexpr int kWorkerChannel = 3;            // the worker's descriptor

struct WorkerOrder {
  enum class Op { kStart, kStatus, kSet, kAdopt, kStop };
  Op op = Op::kStop;
  std::string kind, port;            // kStart
  Json parameters = Json::object();  // kStart, kSet
  uint64_t id = 0;                   // kStatus
  std::vector<UniqueFd> fds;         // kStart, kAdopt, as received
};

struct WorkerReport {
  enum class Event { kReady, kFailed, kState, kStatus, kSaid, kAwake };
  Event event = Event::kSaid;
  Error error{EIO, ""};          // kFailed
  bool connected = false;        // kState
  std::string text;              // kState, kSaid
  uint64_t id = 0;               // kStatus
  Json status = Json::object();  // kStatus
};

Result<void> send_order(int channel, const WorkerOrder& order, std::span<const int> fds = {});
Result<void> send_report(int channel, const WorkerReport& report);
// Without waiting. EAGAIN: nothing there now. ENOTCONN: the other side is gone. EPROTO: not in this language.
Result<WorkerOrder> receive_order(int channel);
Result<WorkerReport> receive_report(int channel);

// What Op::kPlug asks for: {"port": "vale0:01", "kind": "stream", ...}; all else are parameters of that kind, and
// checked by it.
struct Plug {
  std::string port, kind;
  Json parameters = Json::object();
};
Result<Plug> parse_plug(const std::string& json);

}  // namespace unetmap::wire
