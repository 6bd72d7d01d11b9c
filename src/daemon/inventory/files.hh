// SPDX-License-Identifier: BSD-2-Clause
// All netmap descriptors that programs have, bound to a port or not; and what happens when one of their holders dies.
#pragma once

#include <sys/types.h>

#include <memory>
#include <set>
#include <unordered_map>

#include "base/result.hh"
#include "daemon/inventory/events.hh"
#include "daemon/inventory/ports.hh"
#include "daemon/port/port.hh"
#include "wire/messages.hh"

namespace unetmap::daemon {

class Files {
 public:
  Files(Ports& ports, PortEvents& events) : ports_(ports), events_(events) {}
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  File* open(pid_t pid);
  // The last copy of the descriptor is gone. Without File::goodbye its holder may have died in the middle of a sync.
  void close(File* file);
  // As before it was registered.
  void unbind(File& file);
  // A process that used this descriptor died in the middle of a sync; the descriptor lives on.
  void audit(File& file);
  // Does the rest of close() and audit(), once for many of them: what dead processes could write is put right.
  void settle();
  // The daemon ends.
  void close_all();

  struct Destination {
    wire::DestInfo info;
    int exchange_fd;
  };
  Result<Destination> resolve(File& file, const wire::ResolveRequest& request);
  // The doorbell of another file of the same switch.
  Result<int> doorbell(const File& file, uint32_t file_id) const;
  // Wakes everyone who is bound to that port of the file's switch, and if it is the file's own, who sends there.
  void ring(const File& file, const wire::ResolveRequest& request) const;
  // Rings for all who may wait for room at one of these ports.
  void wake_senders(const std::set<uint64_t>& ports) const;

  bool empty() const { return files_.empty(); }
  size_t size() const { return files_.size(); }

 private:
  void suspect(const File& file);

  Ports& ports_;
  PortEvents& events_;
  std::unordered_map<uint32_t, std::unique_ptr<File>> files_;
  uint32_t last_ = 0;
  std::set<uint64_t> to_reset_;  // ports whose exchanges somebody may have spoiled
  std::set<std::shared_ptr<Switch>> to_restore_;
};

// Rings for everyone who is bound to the port.
void wake_users(const Port& port);

}  // namespace unetmap::daemon
