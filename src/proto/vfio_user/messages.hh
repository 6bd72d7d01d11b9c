// SPDX-License-Identifier: BSD-2-Clause
// vfio-user on the wire: the layouts of its specification (QEMU's documentation, "vfio-user Protocol Specification"),
// host byte order. A message is a Header and `size` - 16 bytes of payload; descriptors travel beside its first byte.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unetmap::vfio_user {

enum class Command : uint16_t {
  kVersion = 1,
  kDmaMap = 2,
  kDmaUnmap = 3,
  kGetInfo = 4,
  kGetRegionInfo = 5,
  kGetRegionIoFds = 6,
  kGetIrqInfo = 7,
  kSetIrqs = 8,
  kRegionRead = 9,
  kRegionWrite = 10,
  kReset = 13,
  kRegionWriteMulti = 15,
};

struct Header {
  uint16_t id;  // the sender's; an answer has the same
  uint16_t command;
  uint32_t size;  // header included
  uint32_t flags;
  uint32_t error;  // of an answer with kError: errno
};
static_assert(sizeof(Header) == 16 && offsetof(Header, flags) == 8);

constexpr uint32_t kTypeMask = 0xf, kReply = 1;  // Header::flags
constexpr uint32_t kNoReply = 0x10, kError = 0x20;

constexpr uint16_t kMajor = 0, kMinor = 0;
struct Version {
  uint16_t major;
  uint16_t minor;
  // JSON and a NUL may follow
};
static_assert(sizeof(Version) == 4);

constexpr uint32_t kMapReadable = 1, kMapWriteable = 2;  // DmaMap::flags
struct DmaMap {
  uint32_t argsz;
  uint32_t flags;
  uint64_t offset;  // in the file
  uint64_t address;
  uint64_t size;
};
static_assert(sizeof(DmaMap) == 32);

constexpr uint32_t kUnmapAll = 2;  // DmaUnmap::flags
struct DmaUnmap {
  uint32_t argsz;
  uint32_t flags;
  uint64_t address;
  uint64_t size;
};
static_assert(sizeof(DmaUnmap) == 24);

constexpr uint32_t kCanReset = 1, kPci = 2;  // DeviceInfo::flags
struct DeviceInfo {
  uint32_t argsz;
  uint32_t flags;
  uint32_t regions;
  uint32_t irqs;
};
static_assert(sizeof(DeviceInfo) == 16);

constexpr uint32_t kRegionReadable = 1, kRegionWriteable = 2;  // RegionInfo::flags
struct RegionInfo {
  uint32_t argsz;
  uint32_t flags;
  uint32_t index;
  uint32_t cap_offset;
  uint64_t size;
  uint64_t offset;
};
static_assert(sizeof(RegionInfo) == 32);

// What VFIO calls the regions of a PCI device.
enum RegionIndex : uint32_t { kBar0 = 0, kBar1 = 1, kBar5 = 5, kRom = 6, kConfig = 7, kVga = 8, kRegions = 9 };

constexpr uint32_t kIrqEventfd = 1, kIrqMaskable = 2, kIrqAutomasked = 4, kIrqNoResize = 8;  // IrqInfo::flags
struct IrqInfo {
  uint32_t argsz;
  uint32_t flags;
  uint32_t index;
  uint32_t count;
};
static_assert(sizeof(IrqInfo) == 16);

enum IrqIndex : uint32_t { kIntx = 0, kMsi = 1, kMsix = 2, kErr = 3, kReq = 4, kIrqs = 5 };

// SetIrqs::flags: one of the data, one of the actions
constexpr uint32_t kDataNone = 1, kDataBool = 2, kDataEventfd = 4, kDataMask = 7;
constexpr uint32_t kActionMask = 8, kActionUnmask = 16, kActionTrigger = 32, kActions = 56;
struct SetIrqs {
  uint32_t argsz;
  uint32_t flags;
  uint32_t index;
  uint32_t start;
  uint32_t count;
  // kDataBool: as many bytes follow
};
static_assert(sizeof(SetIrqs) == 20);

// kRegionRead, kRegionWrite and their answers; the data follow
struct RegionAccess {
  uint64_t offset;
  uint32_t region;
  uint32_t count;
};
static_assert(sizeof(RegionAccess) == 16);

// kRegionWriteMulti: a uint64_t with their number comes first
struct SmallWrite {
  uint64_t offset;
  uint32_t region;
  uint32_t count;
  uint8_t data[8];
};
static_assert(sizeof(SmallWrite) == 24);
constexpr uint32_t kMaxSmallWrites = 200;

// Of one region access: more than any guest's instruction or QEMU's reading of the configuration space moves.
constexpr uint32_t kMaxTransfer = 4096;
constexpr uint32_t kMaxVersion = 4096;  // bytes of a version's JSON
constexpr uint32_t kMaxIrqs = 16;       // of one index
constexpr uint32_t kMaxFds = kMaxIrqs;  // of one message

// The largest payload there is.
constexpr uint32_t kMaxPayload = 8 + kMaxSmallWrites * sizeof(SmallWrite);
static_assert(kMaxPayload >= sizeof(RegionAccess) + kMaxTransfer && kMaxPayload >= sizeof(Version) + kMaxVersion);

}  // namespace unetmap::vfio_user
