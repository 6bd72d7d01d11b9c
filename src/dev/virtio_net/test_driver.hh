// SPDX-License-Identifier: BSD-2-Clause
// The other side, for tests: guest memory and drivers of both layouts, written from the specification and sharing no
// code with the device side. Tests misbehave by writing to the memory directly.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "dev/virtio_net/vring.hh"
#include "guest/guest_memory.hh"

namespace unetmap::virtio {

inline constexpr uint64_t kUserOffset = 0x7f00'0000'0000;  // front-end addresses are guest addresses plus this

// Two regions that touch each other, so that buffers can lie across, from kBase on; the files lie apart.
class TestGuest {
 public:
  static constexpr uint64_t kBase = 0x10'0000, kRegion = 1 << 20, kEnd = kBase + 2 * kRegion;

  TestGuest() {
    for (int i = 0; i < 2; i++) {
      fd_[i] = UniqueFd(memfd_create("guest", MFD_CLOEXEC));
      if (ftruncate(fd_[i].get(), kRegion) < 0 || !memory.add(region(i), fd_[i].get())) std::abort();
    }
  }
  guest::Region region(int i) const {
    return {kBase + uint64_t(i) * kRegion, kRegion, kUserOffset + kBase + uint64_t(i) * kRegion, 0};
  }
  int fd(int i) const { return fd_[i].get(); }

  void write(uint64_t guest, std::span<const uint8_t> bytes) {
    for (size_t done = 0; done < bytes.size();) {
      auto piece = memory.piece(guest + done, bytes.size() - done);
      if (piece.at == nullptr) std::abort();
      memcpy(piece.at, &bytes[done], piece.bytes);
      done += piece.bytes;
    }
  }
  std::vector<uint8_t> read(uint64_t guest, size_t bytes) {
    std::vector<uint8_t> out(bytes);
    for (size_t done = 0; done < bytes;) {
      auto piece = memory.piece(guest + done, bytes - done);
      if (piece.at == nullptr) std::abort();
      memcpy(&out[done], piece.at, piece.bytes);
      done += piece.bytes;
    }
    return out;
  }
  template <class T>
  T* at(uint64_t guest) {
    return reinterpret_cast<T*>(memory.at(guest, sizeof(T)));
  }

  guest::GuestMemory memory;

 private:
  UniqueFd fd_[2];
};

struct Buffer {
  uint64_t guest;
  uint32_t bytes;
  bool writable;
};

struct Used {
  uint64_t token;
  uint32_t written;
  bool operator==(const Used&) const = default;
};

// What both drivers share: where the parts lie, features, a place for indirect tables.
class TestDriver {
 public:
  TestDriver(TestGuest& guest, uint64_t at, uint32_t size, uint64_t features)
      : guest_(guest), size_(size), features_(features), descriptors_(at) {
    driver_ = descriptors_ + size * 16;
    device_ = (driver_ + 6 + 2 * size + 63) & ~63ull;
    tables_ = (device_ + 6 + 8 * size + 63) & ~63ull;
    memset(guest.memory.at(descriptors_, tables_ - descriptors_), 0, tables_ - descriptors_);
  }
  virtual ~TestDriver() = default;

  RingSetup setup(uint32_t position) const {
    return {.features = features_,
            .size = size_,
            .position = position,
            .descriptors = kUserOffset + descriptors_,
            .driver = kUserOffset + driver_,
            .device = kUserOffset + device_};
  }
  virtual uint32_t first_position() const = 0;
  RingSetup setup() const { return setup(first_position()); }

  // Makes a chain available; false when the ring is full. With `indirect`, the buffers from the `direct`-th on are in a
  // table.
  virtual bool offer(std::span<const Buffer> buffers, uint64_t token, bool indirect, size_t direct = 0) = 0;
  // The next chain that came back.
  virtual std::optional<Used> reap() = 0;
  // Does the device want to know of what was offered since the last time?
  virtual bool kick_wanted() = 0;
  virtual void want_calls(bool on) = 0;
  // With EVENT_IDX: a call when `more` chains have come back from now on.
  virtual void want_call_after(uint32_t more) = 0;

  uint32_t size() const { return size_; }
  uint64_t descriptors_at() const { return descriptors_; }
  uint64_t driver_at() const { return driver_; }
  uint64_t device_at() const { return device_; }
  uint64_t tables_at() const { return tables_; }
  uint64_t end() const { return tables_ + uint64_t(size_) * kTableBytes; }
  bool has(uint64_t feature) const { return (features_ & feature) != 0; }

 protected:
  static constexpr uint64_t kTableBytes = 64 * 16;

  // A descriptor; `last` holds next and flags in the order of the layout.
  void put(uint64_t at, uint64_t address, uint32_t bytes, uint16_t third, uint16_t fourth) {
    memcpy(guest_.memory.at(at, 16), &address, 8);
    memcpy(guest_.memory.at(at + 8, 8), &bytes, 4);
    memcpy(guest_.memory.at(at + 12, 4), &third, 2);
    memcpy(guest_.memory.at(at + 14, 2), &fourth, 2);
  }
  uint16_t load(uint64_t at) { return __atomic_load_n(guest_.at<uint16_t>(at), __ATOMIC_ACQUIRE); }
  void store(uint64_t at, uint16_t value) { __atomic_store_n(guest_.at<uint16_t>(at), value, __ATOMIC_RELEASE); }

  TestGuest& guest_;
  uint32_t size_;
  uint64_t features_;
  uint64_t descriptors_, driver_, device_, tables_;
};

class SplitDriver : public TestDriver {
 public:
  SplitDriver(TestGuest& guest, uint64_t at, uint32_t size, uint64_t features)
      : TestDriver(guest, at, size, features & ~kRingPacked) {
    for (uint32_t i = 0; i < size; i++) free_.push_back(uint16_t(i));
  }
  uint32_t first_position() const override { return 0; }

  bool offer(std::span<const Buffer> buffers, uint64_t token, bool indirect, size_t direct = 0) override {
    if (!indirect) direct = buffers.size();
    size_t needed = direct + (indirect ? 1 : 0);
    if (free_.size() < needed) return false;
    std::vector<uint16_t> own(free_.begin(), free_.begin() + long(needed));
    free_.erase(free_.begin(), free_.begin() + long(needed));
    for (size_t i = 0; i < needed; i++) {
      uint16_t flags = i + 1 < needed ? 1 : 0, next = i + 1 < needed ? own[i + 1] : 0;
      uint64_t address = i < direct ? buffers[i].guest : tables_ + own[i] * kTableBytes;
      uint32_t bytes = i < direct ? buffers[i].bytes : uint32_t(16 * (buffers.size() - direct));
      if (i >= direct) flags |= 4;
      if (i < direct && buffers[i].writable) flags |= 2;
      put(descriptors_ + 16 * own[i], address, bytes, flags, next);
      if (i >= direct) write_table(address, buffers.subspan(direct));
    }
    pending_.push_back({own[0], token, own});
    store(driver_ + 4 + 2 * (next_ % size_), own[0]);
    store(driver_ + 2, ++next_);
    return true;
  }
  std::optional<Used> reap() override {
    if (load(device_ + 2) == seen_) return std::nullopt;
    uint32_t entry[2];
    memcpy(entry, guest_.memory.at(device_ + 4 + 8 * (seen_ % size_), 8), 8);
    if (has(kInOrder)) {
      // The entry may stand for several chains, up to the one that it names; only read ones were left out.
      if (!covered_) {
        covered_ = 1;
        while (pending_[covered_ - 1].head != entry[0]) covered_++;
        written_ = entry[1];
      }
      Pending first = pending_.front();
      pending_.pop_front();
      covered_--;
      seen_++;
      release(first);
      return Used{first.token, covered_ ? 0 : written_};
    }
    for (auto it = pending_.begin(); it != pending_.end(); ++it) {
      if (it->head != entry[0]) continue;
      Pending found = *it;
      pending_.erase(it);
      seen_++;
      release(found);
      return Used{found.token, entry[1]};
    }
    std::abort();  // what never was offered came back
  }
  bool kick_wanted() override {
    uint16_t before = kicked_;
    kicked_ = next_;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!has(kEventIdx)) return !(load(device_) & 1);
    uint16_t wanted = load(device_ + 4 + 8 * size_);
    return uint16_t(next_ - wanted - 1) < uint16_t(next_ - before);
  }
  void want_calls(bool on) override {
    if (has(kEventIdx)) {
      store(driver_ + 4 + 2 * size_, on ? seen_ : uint16_t(seen_ - 1));
    } else {
      store(driver_, on ? 0 : 1);
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  void want_call_after(uint32_t more) override { store(driver_ + 4 + 2 * size_, uint16_t(seen_ + more - 1)); }

 private:
  struct Pending {
    uint16_t head;
    uint64_t token;
    std::vector<uint16_t> own;
  };
  void release(const Pending& chain) { free_.insert(free_.end(), chain.own.begin(), chain.own.end()); }
  // Linked back to front, to see that links are followed.
  void write_table(uint64_t at, std::span<const Buffer> buffers) {
    size_t count = buffers.size();
    auto place = [&](size_t i) { return i == 0 ? 0 : count - i; };
    for (size_t i = 0; i < count; i++) {
      uint16_t flags = uint16_t((i + 1 < count ? 1 : 0) | (buffers[i].writable ? 2 : 0));
      put(at + 16 * place(i), buffers[i].guest, buffers[i].bytes, flags, i + 1 < count ? uint16_t(place(i + 1)) : 0);
    }
  }

  std::deque<uint16_t> free_;
  std::deque<Pending> pending_;
  uint16_t next_ = 0, seen_ = 0, kicked_ = 0;
  size_t covered_ = 0;
  uint32_t written_ = 0;
};

class PackedDriver : public TestDriver {
 public:
  PackedDriver(TestGuest& guest, uint64_t at, uint32_t size, uint64_t features)
      : TestDriver(guest, at, size, features | kRingPacked), free_(size) {
    for (uint32_t i = 0; i < size; i++) ids_.push_back(uint16_t(i));
  }
  uint32_t first_position() const override { return 0x8000; }

  bool offer(std::span<const Buffer> buffers, uint64_t token, bool indirect, size_t = 0) override {
    size_t needed = indirect ? 1 : buffers.size();
    if (free_ < needed) return false;
    uint16_t id = ids_.front();
    ids_.pop_front();
    uint32_t slot = next_;
    bool wrap = wrap_;
    uint16_t head_flags = 0;
    for (size_t i = 0; i < needed; i++) {
      uint16_t flags = wrap ? 1 << 7 : 1 << 15;
      if (i + 1 < needed) flags |= 1;
      if (indirect) flags |= 4;
      if (!indirect && buffers[i].writable) flags |= 2;
      uint64_t address = indirect ? tables_ + slot * kTableBytes : buffers[i].guest;
      uint32_t bytes = indirect ? uint32_t(16 * buffers.size()) : buffers[i].bytes;
      uint64_t at = descriptors_ + 16 * slot;
      if (indirect) {
        for (size_t k = 0; k < buffers.size(); k++)
          put(address + 16 * k, buffers[k].guest, buffers[k].bytes, 0x5555, buffers[k].writable ? 2 : 0);
      }
      if (i == 0) head_flags = flags;
      // The identifier counts in the last one only.
      put(at, address, bytes, i + 1 == needed ? id : uint16_t(0x7777), i == 0 ? load(at + 14) : flags);
      if (++slot == size_) slot = 0, wrap = !wrap;
    }
    store(descriptors_ + 16 * next_ + 14, head_flags);
    next_ = slot;
    wrap_ = wrap;
    free_ -= needed;
    added_ += uint32_t(needed);
    pending_.push_back({id, token, uint32_t(needed)});
    return true;
  }
  std::optional<Used> reap() override {
    if (!covered_) {
      uint64_t at = descriptors_ + 16 * seen_;
      uint16_t flags = load(at + 14);
      bool avail = flags & 1 << 7, used = flags & 1 << 15;
      if (avail != used || used != seen_wrap_) return std::nullopt;
      memcpy(&written_, guest_.memory.at(at + 8, 4), 4);
      id_ = load(at + 12);
      if (!(flags & 2) && written_ != 0) std::abort();
    }
    if (has(kInOrder)) {
      if (!covered_) {
        covered_ = 1;
        while (pending_[covered_ - 1].id != id_) covered_++;
      }
      covered_--;
      return take(pending_.begin(), covered_ ? 0 : written_);
    }
    for (auto it = pending_.begin(); it != pending_.end(); ++it)
      if (it->id == id_) return take(it, written_);
    std::abort();
  }
  bool kick_wanted() override {
    uint32_t added = added_;
    added_ = 0;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    uint16_t position = load(device_), flags = load(device_ + 2) & 3;
    if (flags != 2) return flags == 0;
    // Positions counted back from the next slot, modulo two laps.
    uint32_t laps = 2 * size_;
    uint32_t now = next_ + (wrap_ ? 0 : size_), wanted = (position & 0x7fff) + (position >> 15 ? 0 : size_);
    uint32_t behind = (now + laps - wanted) % laps;
    return behind >= 1 && behind <= added;
  }
  void want_calls(bool on) override {
    store(driver_ + 2, on ? 0 : 1);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  void want_call_after(uint32_t more) override {
    // After so many slots: right for chains of one descriptor.
    uint32_t slot = seen_ + more - 1;
    bool wrap = seen_wrap_;
    if (slot >= size_) slot -= size_, wrap = !wrap;
    store(driver_, uint16_t(slot | (wrap ? 0x8000 : 0)));
    store(driver_ + 2, 2);
  }

 private:
  struct Pending {
    uint16_t id;
    uint64_t token;
    uint32_t slots;
  };
  Used take(std::deque<Pending>::iterator it, uint32_t written) {
    Pending found = *it;
    pending_.erase(it);
    ids_.push_back(found.id);
    free_ += found.slots;
    seen_ += found.slots;
    if (seen_ >= size_) seen_ -= size_, seen_wrap_ = !seen_wrap_;
    return {found.token, written};
  }

  std::deque<uint16_t> ids_;
  std::deque<Pending> pending_;
  size_t free_;
  uint32_t next_ = 0, seen_ = 0, added_ = 0;
  bool wrap_ = true, seen_wrap_ = true;
  size_t covered_ = 0;
  uint32_t written_ = 0;
  uint16_t id_ = 0;
};

inline std::unique_ptr<TestDriver> make_driver(TestGuest& guest, uint64_t at, uint32_t size, uint64_t features) {
  if (features & kRingPacked) return std::make_unique<PackedDriver>(guest, at, size, features);
  return std::make_unique<SplitDriver>(guest, at, size, features);
}

}  // namespace unetmap::virtio
