// SPDX-License-Identifier: BSD-2-Clause
// A kind of thing that can be plugged into a switch port: the interface between main.cc, which talks with the daemon,
// and what moves packets. To add one: implement Kind in files of its own, and name it in the table in kinds.cc.
//
// A worker is one process and one thread, so that nothing here needs a lock, and serves one port with one Kind; or,
// where the daemon asks for that because they have much to say to each other, several ports on one switch.
// It gets no privileges, and for kinds that parse foreign bytes a system call filter (sandbox.cc) from the return of
// start() on: what has to be opened by name is opened in start(), memory and descriptors that come over sockets may be
// mapped and used later.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "wire/worker.hh"
#include "worker/loop.hh"

namespace unetmap::worker {

// Where a Kind says what happens to it. Never blocks.
class Reporter {
 public:
  // Connected to what it serves or not, with a word on it, such as "connected to /run/vm1.sock". Say it on each change.
  virtual void state(bool connected, const std::string& text) = 0;
  // A line for the daemon's log, about something worth a person's attention: rare.
  virtual void say(const std::string& text) = 0;
  // Packets come after some time without any.
  virtual void awake() = 0;

 protected:
  ~Reporter() = default;
};

class Kind : public Turns {
 public:
  virtual ~Kind() = default;
  // Counters and what else there is to know: {"rx_packets": ..., "tx_packets": ..., "lost_...": ...}; rx is what the
  // switch port received, tx what it sent into the switch.
  virtual Json status() const = 0;
  // Changes what may change while it runs (fences.hh); EINVAL for anything else.
  virtual Result<void> set(const Json& parameters);
  // Unplugged: remove what others can see (sockets' names). Not called when the daemon dies, for the next one will
  // serve the same names.
  virtual void stop() {}
};

// What start() gets. References are valid as long as the Kind.
struct Start {
  std::string port;           // "vale0:01": exists; open it with SwitchPort::open
  Json parameters;            // of the plug; {"resume": true} when a worker served the same here before
  std::vector<UniqueFd> fds;  // given by the daemon
  Loop& loop;                 // call add_port() with the port's descriptor
  Reporter& reporter;
};

using StartKind = Result<std::unique_ptr<Kind>> (*)(Start start);

struct KindEntry {
  const char* name;    // as in unetmap plug --NAME and {"kind": NAME}
  StartKind start;     // returns when the port serves (a client: when it tries to connect)
  bool foreign_bytes;  // parses what a guest or another program wrote: gets the system call filter
  bool in_company;     // leaves nothing behind when it is destroyed: one process may serve several ports of such kinds
};

// nullptr: no such kind.
const KindEntry* find_kind(const std::string& name);

// A string or number of the parameters; EINVAL, naming it, if it is of another type or missing without a default.
Result<std::string> text_parameter(const Json& parameters, const char* key, const char* otherwise = nullptr);
// {"socket": PATH, "mode": "server" or "client"}: of kinds that a connection is made to or made by.
struct Endpoint {
  std::string path;
  bool server;
};
Result<Endpoint> endpoint_parameters(const Json& parameters);
Result<uint64_t> number_parameter(const Json& parameters, const char* key, uint64_t otherwise, uint64_t most);

}  // namespace unetmap::worker
