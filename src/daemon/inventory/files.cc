// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inventory/files.hh"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <string>

#include "base/lock_holder.hh"
#include "daemon/port/memory.hh"

namespace unetmap::daemon {
namespace {

// Has the receive rings of the port audited. Their wait lists are emptied: whoever is on them has to be woken.
void reset_exchanges(Port& port) {
  if (!port.info.exchange_stride) return;
  struct {
    uint32_t readers[sizeof(WaitList) / 4] = {}, writers[sizeof(WaitList) / 4] = {}, reset_wanted = 0;
  } fresh;
  static_assert(offsetof(RxExchange, reset_wanted) - offsetof(RxExchange, readers) ==
                offsetof(decltype(fresh), reset_wanted));
  fresh.reset_wanted = port.resets = unguessable(port.resets);
  for (uint16_t i = 0; i < port.info.rx_rings; i++) {
    uint64_t at = port.info.exchange_ofs + i * port.info.exchange_stride + offsetof(RxExchange, readers);
    (void)port.region->write_exchange(at, &fresh, sizeof fresh).has_value();
  }
}

// Sequence words that say "in the middle of a sync" though nobody is, as the lock of the ring tells, which only its
// owners can write: whoever resets a ring would wait for them. The lock of one who was killed stays until the ring's next
// sync, and there may be none: others that have the port open need not send.
void settle_sequences(Switch& sw) {
  auto settle_one = [](std::atomic<uint32_t>& seq, const Port& port, uint64_t lock_at) {
    // Who holds the lock may really be in the middle, and then soon is not; or has it for a moment, for nothing.
    for (int look = 0; look < 20; look++) {
      uint32_t seen = seq.load(std::memory_order_acquire);
      uint64_t lock = 0;
      if (!(seen & 1)) return;
      port.region->read_private(lock_at, &lock, sizeof lock);
      const bool nobody_inside = lock == 0 || holder_has_ended(lock);
      if (nobody_inside && seq.compare_exchange_strong(seen, seen + 1, std::memory_order_release)) return;
      timespec moment{0, 20'000};
      nanosleep(&moment, nullptr);
    }
  };
  for (uint32_t index = 0; index < sw.limit(); index++) {
    const Switch::Record* record = sw.find(index);
    if (!record) continue;
    const Port& port = *record->port;
    PortEntry& entry = sw.entry(index);
    bool monitored =
        std::any_of(std::begin(record->monitors), std::end(record->monitors), [](uint16_t m) { return m; });
    for (uint32_t i = 0; i < kMaxRings; i++)
      if (i < port.info.tx_rings)
        settle_one(entry.tx_seq[i], port, port.info.tx_kring_ofs + i * sizeof(TxKring));
      else if (entry.tx_seq[i].load(std::memory_order_relaxed))
        entry.tx_seq[i].store(0, std::memory_order_relaxed);
    for (uint32_t i = 0; i < kRxSeqs; i++)
      if (i < port.info.rx_rings && monitored)
        settle_one(entry.tx_seq[kMaxRings + i], port, port.info.rx_kring_ofs + i * sizeof(RxKring));
      else if (entry.tx_seq[kMaxRings + i].load(std::memory_order_relaxed))
        entry.tx_seq[kMaxRings + i].store(0, std::memory_order_relaxed);
  }
}

}  // namespace

void wake_users(const Port& port) {
  for (const File* user : port.users) (void)eventfd_write(user->doorbell.get(), 1);
}

void Files::wake_senders(const std::set<uint64_t>& ports) const {
  auto sends_there = [&](uint64_t unique) { return ports.count(unique) != 0; };
  for (auto& [id, file] : files_)
    if (file->doorbell && std::any_of(file->resolved.begin(), file->resolved.end(), sends_there))
      (void)eventfd_write(file->doorbell.get(), 1);
}

File* Files::open(pid_t pid) {
  do last_++;
  while (last_ == 0 || files_.count(last_));
  auto file = std::make_unique<File>();
  file->id = last_;
  file->pid = pid;
  return (files_[file->id] = std::move(file)).get();
}

void Files::close(File* file) {
  std::unique_ptr<File> hold = std::move(files_.find(file->id)->second);
  files_.erase(file->id);
  if (!file->port) return;
  if (!file->goodbye) suspect(*file);
  unbind(*file);
}

void Files::unbind(File& file) {
  Port* port = file.port;
  if (!port) return;
  file.port = nullptr;
  file.doorbell.reset();
  std::erase(port->users, &file);
  // Where nobody else is in the region it goes as a whole.
  const bool region_stays =
      port->region.use_count() > 1 || !port->users.empty() || port->dependents != 0 || port->attached;
  if (region_stays)
    remove_if(*port->region, file.if_offset, file.if_bytes, ports_.in_region_of(*port), file.extra_runs);
  events_.users_changed(*port);
  ports_.drop_if_unused(port);
}

void Files::audit(File& file) {
  if (file.port) suspect(file);
}

void Files::suspect(const File& file) {
  to_reset_.insert(file.resolved.begin(), file.resolved.end());
  to_reset_.insert(file.port->unique);
  // Of a pipe: what it showed or gave back without having told the other end.
  if (file.port->peer) to_reset_.insert(file.port->peer->unique);
  for (uint16_t monitor : file.port->record()->monitors)
    if (monitor != 0)
      if (auto* record = file.port->sw->find(monitor - 1u)) to_reset_.insert(record->port->unique);
  to_restore_.insert(file.port->sw);
}

void Files::settle() {
  for (const std::shared_ptr<Switch>& sw : to_restore_) {
    if (sw.use_count() <= 1) continue;
    bool differed = sw->restore();
    settle_sequences(*sw);
    // Anybody may have gone to sleep over what stood there.
    for (uint32_t index = 0; differed && index < sw->limit(); index++)
      if (const Switch::Record* record = sw->find(index)) wake_users(*record->port);
  }
  if (!to_restore_.empty()) events_.restored();
  to_restore_.clear();
  if (to_reset_.empty()) return;
  for (uint64_t unique : to_reset_) {
    Port* port = ports_.find(unique);
    if (!port) continue;
    reset_exchanges(*port);
    wake_users(*port);
  }
  wake_senders(to_reset_);
  to_reset_.clear();
}

Result<Files::Destination> Files::resolve(File& file, const wire::ResolveRequest& request) {
  if (!file.port)
    return Error{EACCES,
                 "port " + std::to_string(request.port) + ": this descriptor is not registered; register it first"};
  const Switch::Record* record = file.port->sw->find(request.port);
  if (!record || record->generation != request.generation)
    return Error{ESTALE, file.port->sw->name() + ": port " + std::to_string(request.port) +
                             " is gone or another one by now; read the port table again"};
  Port& to = *record->port;
  if (to.info.exchange_stride == 0)
    return Error{ENXIO, to.name + ": takes packets from its other end alone; send to a port of the switch"};
  if (std::find(file.resolved.begin(), file.resolved.end(), to.unique) == file.resolved.end()) {
    // Those that are gone make room before the list grows.
    if (file.resolved.size() == file.resolved.capacity())
      std::erase_if(file.resolved, [&](uint64_t unique) { return !ports_.find(unique); });
    file.resolved.push_back(to.unique);
  }
  Destination out{};
  out.info.port = to.info;
  out.info.port.header_len = record->header_len;
  out.info.port.flags = record->flags;
  out.info.region = to.region->info();
  out.exchange_fd = to.region->exchange_fd();
  return out;
}

Result<int> Files::doorbell(const File& file, uint32_t file_id) const {
  auto found = files_.find(file_id);
  if (!file.port || found == files_.end() || !found->second->port || found->second->port->sw != file.port->sw)
    return Error{ESTALE,
                 "descriptor " + std::to_string(file_id) + ": is not on this switch; it was closed, or never was"};
  return found->second->doorbell.get();
}

// A port that asks for itself has room for those who wait for that.
void Files::ring(const File& file, const wire::ResolveRequest& request) const {
  if (!file.port) return;
  const Switch::Record* record = file.port->sw->find(request.port);
  if (!record || record->generation != request.generation) return;
  wake_users(*record->port);
  if (record->port != file.port) return;
  wake_senders({record->port->unique});
  if (record->port->peer) wake_users(*record->port->peer);
}

void Files::close_all() {
  while (!files_.empty()) {
    files_.begin()->second->goodbye = true;
    close(files_.begin()->second.get());
  }
}

}  // namespace unetmap::daemon
