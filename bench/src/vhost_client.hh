// SPDX-License-Identifier: BSD-2-Clause
// A vhost-user front-end for memory of this process' own: what a driver here needs of one, and no answers.
#pragma once

#include <sys/eventfd.h>

#include "messages.hh"
#include "proto/vhost_user/messages.hh"

namespace peer {

class VhostClient {
 public:
  // `bytes` of `fd`, mapped at `at`, are what the device finds at `guest`.
  VhostClient(const char* path, uint64_t features, int fd, const void* at, uint64_t bytes, uint64_t guest)
      : socket_(connect_to(path)) {
    send(Id::kSetFeatures, &features, sizeof features);
    send(Id::kSetOwner, nullptr, 0);
    unetmap::vhost_user::MemTable table{};
    table.count = 1;
    table.region[0] = {guest, bytes, uint64_t(at), 0};
    send(Id::kSetMemTable, &table, 8 + sizeof table.region[0], fd);
  }

  // The parts of a split ring, in that memory.
  void start_ring(uint32_t number, uint32_t descriptors, const void* table, const void* driver, const void* device) {
    const unetmap::vhost_user::VringState size{number, descriptors}, begin{number, 0};
    const unetmap::vhost_user::VringAddr addresses{number, 0, uint64_t(table), uint64_t(device), uint64_t(driver), 0};
    send(Id::kSetVringNum, &size, sizeof size);
    send(Id::kSetVringBase, &begin, sizeof begin);
    send(Id::kSetVringAddr, &addresses, sizeof addresses);
    const int call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    kicks_[number] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    const uint64_t index = number;
    send(Id::kSetVringCall, &index, sizeof index, call);
    send(Id::kSetVringKick, &index, sizeof index, kicks_[number]);
  }
  void notify(uint32_t number) const { (void)eventfd_write(kicks_[number], 1); }

 private:
  using Id = unetmap::vhost_user::Id;
  void send(Id id, const void* payload, uint32_t size, int fd = -1) const {
    unetmap::vhost_user::Header header{uint32_t(id), unetmap::vhost_user::kVersion, size};
    send_message(socket_, &header, sizeof header, payload, size, fd);
  }

  int socket_;
  int kicks_[2] = {-1, -1};
};

}  // namespace peer
