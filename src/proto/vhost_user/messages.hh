// SPDX-License-Identifier: BSD-2-Clause
// vhost-user on the wire: the layouts of its specification (QEMU's documentation, "Vhost-user Protocol"), host byte
// order. A message is a Header, then `size` bytes of one of the payloads; descriptors travel beside its first byte.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unetmap::vhost_user {

enum class Id : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kResetOwner = 4,
  kSetMemTable = 5,
  kSetLogBase = 6,
  kSetLogFd = 7,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kSetVringErr = 14,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
  kSendRarp = 19,
  kNetSetMtu = 20,
  kSetBackendReqFd = 21,
  kResetDevice = 34,
  kGetMaxMemSlots = 36,
  kAddMemReg = 37,
  kRemMemReg = 38,
  kSetStatus = 39,
  kGetStatus = 40,
};

// Bits of GET_FEATURES that are vhost's and not the device's.
constexpr uint64_t kLogAll = 1ull << 26;
constexpr uint64_t kHasProtocolFeatures = 1ull << 30;

enum ProtocolFeature : uint32_t {
  kMq = 0,
  kLogShmfd = 1,
  kRarp = 2,
  kReplyAck = 3,
  kMtu = 4,
  kBackendReq = 5,
  kResetsDevice = 13,
  kConfigureMemSlots = 15,
  kStatus = 16,
};

struct Header {
  uint32_t request;
  uint32_t flags;
  uint32_t size;  // bytes of payload
};
static_assert(sizeof(Header) == 12);

constexpr uint32_t kVersionMask = 3, kVersion = 1;
constexpr uint32_t kReply = 4;      // this is an answer
constexpr uint32_t kNeedReply = 8;  // REPLY_ACK: an answer is wanted, whatever the request

// kSetVringNum, -Base, -Enable, kGetVringBase
struct VringState {
  uint32_t index;
  uint32_t num;
};
static_assert(sizeof(VringState) == 8);

// Addresses are the front-end's own; log_guest is the guest's.
struct VringAddr {
  uint32_t index;
  uint32_t flags;
  uint64_t desc;
  uint64_t used;
  uint64_t avail;
  uint64_t log_guest;
};
static_assert(sizeof(VringAddr) == 40 && offsetof(VringAddr, used) == 16);
constexpr uint32_t kVringLog = 1;  // VringAddr::flags: writes to the used ring are logged at log_guest

struct MemRegion {
  uint64_t guest;
  uint64_t bytes;
  uint64_t user;
  uint64_t offset;  // in the file
};
static_assert(sizeof(MemRegion) == 32);

constexpr uint32_t kMaxTableRegions = 8;
struct MemTable {
  uint32_t count;
  uint32_t padding;
  MemRegion region[kMaxTableRegions];  // `count` of them are sent
};
static_assert(sizeof(MemTable) == 8 + 32 * kMaxTableRegions);

// kAddMemReg, kRemMemReg
struct SingleRegion {
  uint64_t padding;
  MemRegion region;
};
static_assert(sizeof(SingleRegion) == 40);

struct LogArea {
  uint64_t bytes;
  uint64_t offset;
};
static_assert(sizeof(LogArea) == 16);

// The u64 of kSetVringKick, -Call and -Err
constexpr uint64_t kVringIndexMask = 0xff;
constexpr uint64_t kVringNoFd = 0x100;

// The largest payload there is.
constexpr uint32_t kMaxPayload = sizeof(MemTable);
constexpr uint32_t kMaxFds = kMaxTableRegions;

}  // namespace unetmap::vhost_user
