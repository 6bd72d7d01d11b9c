// SPDX-License-Identifier: BSD-2-Clause
// QEMU's end of a vfio-user socket: shares memory, and reads and writes registers of the device.
#pragma once

#include <algorithm>

#include "messages.hh"
#include "proto/vfio_user/messages.hh"

namespace peer {

class VfioClient {
 public:
  explicit VfioClient(const char* path) : fd_(connect_to(path)) {
    const Version version{unetmap::vfio_user::kMajor, unetmap::vfio_user::kMinor};
    ask(Command::kVersion, &version, sizeof version);
  }
  // All of this file is the device's to touch, from address `guest` on.
  void share(int fd, uint64_t guest, uint64_t bytes) {
    const unetmap::vfio_user::DmaMap map{
        sizeof map, unetmap::vfio_user::kMapReadable | unetmap::vfio_user::kMapWriteable, 0, guest, bytes};
    ask(Command::kDmaMap, &map, sizeof map, fd);
  }
  // Posted, as QEMU's.
  void write(uint32_t region, uint32_t offset, uint32_t value) {
    struct {
      Access access;
      uint32_t value;
    } __attribute__((packed)) const payload{{offset, region, 4}, value};
    send(Command::kRegionWrite, &payload, sizeof payload, unetmap::vfio_user::kNoReply, -1);
  }
  void write(uint32_t reg, uint32_t value) { write(unetmap::vfio_user::kBar0, reg, value); }
  // All that was written before has been done by then.
  uint32_t read(uint32_t reg) {
    const Access access{reg, unetmap::vfio_user::kBar0, 4};
    struct {
      Access access;
      uint32_t value;
    } __attribute__((packed)) answer{};
    ask(Command::kRegionRead, &access, sizeof access, -1, &answer, sizeof answer);
    return answer.value;
  }

 private:
  using Command = unetmap::vfio_user::Command;
  using Version = unetmap::vfio_user::Version;
  using Access = unetmap::vfio_user::RegionAccess;

  // With an answer, of which as much is kept as there is room for.
  void ask(Command command, const void* payload, size_t size, int fd = -1, void* answer = nullptr, size_t room = 0) {
    send(command, payload, size, 0, fd);
    unetmap::vfio_user::Header header{};
    receive_message(fd_, &header, sizeof header);
    uint8_t rest[4096];
    const uint64_t count = uint64_t{header.size} - sizeof header;
    if (header.size < sizeof header || count > sizeof rest) fail("receive", "vfio-user");
    if (count > 0) receive_message(fd_, rest, count);
    if ((header.flags & unetmap::vfio_user::kError) != 0) {
      errno = int(header.error);
      fail("refused", "vfio-user");
    }
    if (answer != nullptr) std::memcpy(answer, rest, std::min(count, room));
  }
  void send(Command command, const void* payload, size_t size, uint32_t flags, int fd) {
    unetmap::vfio_user::Header header{uint16_t(++id_), uint16_t(command), uint32_t(sizeof header + size), flags, 0};
    send_message(fd_, &header, sizeof header, payload, size, fd);
  }
  int fd_;
  uint32_t id_ = 0;
};

}  // namespace peer
