// SPDX-License-Identifier: BSD-2-Clause
#include "client/nic/live_frames.hh"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client/link/numbers.hh"
#include "wire/tx_stage.h"

namespace unetmap::client {
namespace {

// Frames that are under way between sender and receiver at a time: a quarter of the veth driver's ring.
constexpr uint32_t kBatch = 64;
static_assert(LiveFrames::kMost == TX_STAGE_PACKETS);

}  // namespace

Result<std::shared_ptr<LiveFrames>> LiveFrames::map(UniqueFd program, UniqueFd stage) {
  std::shared_ptr<LiveFrames> out(new LiveFrames);
  out->program_ = move_high(std::move(program));
  out->map_ = move_high(std::move(stage));
  long at = syscall(SYS_mmap, nullptr, sizeof(tx_stage), PROT_READ | PROT_WRITE, MAP_SHARED, out->map_.get(), 0);
  if (at < 0 && at > -4096) return Error::from_errno(errno, "packets for the other end of the cable: memory");
  out->stage_ = reinterpret_cast<tx_stage*>(at);
  return out;
}

LiveFrames::~LiveFrames() {
  if (stage_) munmap(stage_, sizeof(tx_stage));
  for (const UniqueFd* fd : {&program_, &map_})
    if (*fd) note_internal(fd->get(), false);
}

void LiveFrames::put(uint32_t at, const uint8_t* from, uint32_t len) {
  tx_stage_packet& to = stage_->packet[at & (TX_STAGE_PACKETS - 1)];
  to.len = std::min<uint32_t>(len, TX_STAGE_BYTES);
  memcpy(to.bytes, from, to.len);
}

void LiveFrames::begin() { __atomic_store_n(&stage_->next, 0, __ATOMIC_RELEASE); }

uint32_t LiveFrames::sent() const { return __atomic_load_n(&stage_->next, __ATOMIC_ACQUIRE); }

uint32_t LiveFrames::send(uint32_t n) {
  int saved = errno;
  uint32_t done = 0;
  while (done < n) {
    // The frame to begin with; the program gives each its own length and bytes.
    const tx_stage_packet& first = stage_->packet[done];
    uint32_t len = first.len;
    bpf_attr attr{};
    attr.test.prog_fd = uint32_t(program_.get());
    attr.test.data_in = reinterpret_cast<uint64_t>(first.bytes);
    attr.test.data_size_in = std::min<uint32_t>(len, TX_STAGE_BYTES);
    attr.test.repeat = n - done;
    attr.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    attr.test.batch_size = kBatch;
    bool good = syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof attr) == 0;
    uint32_t now = std::min(sent(), n);
    // A signal ends a call early.
    usable_ = (good || errno == EINTR) && now >= done;
    bool moved = now > done;
    done = std::max(done, now);
    if (!usable_ || (good && !moved)) {
      usable_ = false;
      break;
    }
  }
  errno = saved;
  return done;
}

}  // namespace unetmap::client
