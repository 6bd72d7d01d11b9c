// SPDX-License-Identifier: BSD-2-Clause
#include "client/nic/xsk_socket.hh"

#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>

#include "client/link/numbers.hh"

namespace unetmap::client {
namespace {

// How many packets one system call may send in copy mode; kernels before 6.17 know no other number than 32.
constexpr int kTxBudgetOption = 9;  // XDP_MAX_TX_SKB_BUDGET
constexpr uint32_t kLeastBudget = 32;

bool map_ring(XskSocket::Ring& ring, int fd, uint64_t page_offset, const xdp_ring_offset& at, uint32_t size,
              size_t entry_bytes) {
  if (!std::has_single_bit(size)) return false;
  size_t bytes = at.desc + size * entry_bytes;
  long address =
      syscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, off_t(page_offset));
  if (address < 0 && address > -4096) return false;
  auto* base = reinterpret_cast<uint8_t*>(address);
  ring.map = base;
  ring.bytes = bytes;
  ring.producer = reinterpret_cast<std::atomic<uint32_t>*>(base + at.producer);
  ring.consumer = reinterpret_cast<std::atomic<uint32_t>*>(base + at.consumer);
  ring.flags = reinterpret_cast<std::atomic<uint32_t>*>(base + at.flags);
  ring.entries = base + at.desc;
  ring.size = size;
  return true;
}

}  // namespace

bool XskSocket::Ring::needs_wakeup() const { return flags->load(std::memory_order_relaxed) & XDP_RING_NEED_WAKEUP; }

Result<std::shared_ptr<XskSocket>> XskSocket::map(UniqueFd fd, const wire::NicInfo& info) {
  std::shared_ptr<XskSocket> out(new XskSocket(move_high(std::move(fd))));
  int at = out->fd();
  xdp_mmap_offsets offsets{};
  socklen_t bytes = sizeof offsets;
  if (getsockopt(at, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &bytes) < 0 || bytes != sizeof offsets)
    return Error::from_errno(errno ? errno : EPROTO, "AF_XDP socket: its rings");
  if (!map_ring(out->rx, at, XDP_PGOFF_RX_RING, offsets.rx, info.rx_entries, sizeof(xdp_desc)) ||
      !map_ring(out->tx, at, XDP_PGOFF_TX_RING, offsets.tx, info.tx_entries, sizeof(xdp_desc)) ||
      !map_ring(out->fill, at, XDP_UMEM_PGOFF_FILL_RING, offsets.fr, info.fill_entries, sizeof(uint64_t)) ||
      !map_ring(out->completion, at, XDP_UMEM_PGOFF_COMPLETION_RING, offsets.cr, info.completion_entries,
                sizeof(uint64_t)))
    return Error::from_errno(errno ? errno : EPROTO, "AF_XDP socket: its rings cannot be mapped");
  uint32_t budget = std::max(info.tx_entries, kLeastBudget);
  (void)setsockopt(at, SOL_XDP, kTxBudgetOption, &budget, sizeof budget);
  return out;
}

XskSocket::~XskSocket() {
  for (Ring* ring : {&rx, &tx, &fill, &completion})
    if (ring->map) munmap(ring->map, ring->bytes);
  if (fd_) note_internal(fd_.get(), false);
}

int XskSocket::kick_tx() const {
  int saved = errno, error = 0;
  uint32_t before = tx.consumer->load(std::memory_order_relaxed);
  while (tx.producer->load(std::memory_order_relaxed) != before) {
    long n = syscall(SYS_sendto, fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);
    error = n < 0 ? errno : 0;
    if (error && error != EAGAIN && error != EBUSY && error != ENOBUFS) break;
    uint32_t after = tx.consumer->load(std::memory_order_relaxed);
    error = 0;
    if (after == before) break;  // full for now, or done by somebody else meanwhile
    before = after;
  }
  errno = saved;
  return error;
}

void XskSocket::kick_rx() const {
  int saved = errno;
  syscall(SYS_recvfrom, fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
  errno = saved;
}

}  // namespace unetmap::client
