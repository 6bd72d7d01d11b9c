// SPDX-License-Identifier: BSD-2-Clause
// An AF_XDP socket's UMEM pins its pages for good: they are neither swapped out nor moved, as locked ones may be.
// Nothing is ever sent by that socket.
#include "keeper/pinned.hh"

#include <fcntl.h>
#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace unetmap::keeper {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kPresent = uint64_t{1} << 63, kFrame = (uint64_t{1} << 55) - 1;  // of a word of pagemap

Result<std::vector<uint64_t>> addresses_of(const uint8_t* at, uint64_t bytes) {
  UniqueFd pagemap(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!pagemap) return Error::from_errno(errno, "/proc/self/pagemap");
  std::vector<uint64_t> out(bytes / kPage);
  const auto from = off_t(reinterpret_cast<uintptr_t>(at) / kPage * sizeof(uint64_t));
  for (size_t done = 0; done < out.size() * sizeof(uint64_t);) {
    ssize_t n = pread(pagemap.get(), reinterpret_cast<uint8_t*>(out.data()) + done,
                      out.size() * sizeof(uint64_t) - done, from + off_t(done));
    if (n <= 0) return Error::from_errno(n < 0 ? errno : EIO, "/proc/self/pagemap");
    done += size_t(n);
  }
  for (uint64_t& word : out) {
    if (!(word & kPresent) || (word & kFrame) == 0)
      return Error{EPERM,
                   "/proc/self/pagemap: does not tell where pages are; it takes CAP_SYS_ADMIN in the machine's own "
                   "user namespace: run unetmapd as root, outside of containers"};
    word = (word & kFrame) * kPage;
  }
  return out;
}

}  // namespace

Result<Pinned> pin(int memfd, uint64_t offset, uint64_t bytes) {
  if (sysconf(_SC_PAGESIZE) != long(kPage)) return Error{ENOTSUP, "pages of this machine: not of 4096 bytes"};
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, off_t(offset));
  if (at == MAP_FAILED) return Error::from_errno(errno, "memory for the device");
  Pinned out;
  auto work = [&]() -> Result<void> {
    out.hold = UniqueFd(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!out.hold) return Error::from_errno(errno, "AF_XDP socket, which keeps memory in its place");
    xdp_umem_reg umem{.addr = reinterpret_cast<uintptr_t>(at), .len = bytes, .chunk_size = uint32_t(kPage)};
    if (setsockopt(out.hold.get(), SOL_XDP, XDP_UMEM_REG, &umem, sizeof umem) < 0) {
      Error error = Error::from_errno(errno, "memory for the device");
      if (error.code == ENOBUFS || error.code == ENOMEM)
        error.text += "; more must be allowed to be locked (ulimit -l), or fewer buffers taken (--nic-buffers)";
      return error;
    }
    auto addresses = addresses_of(static_cast<uint8_t*>(at), bytes);
    if (!addresses) return addresses.error();
    out.addresses = std::move(*addresses);
    return {};
  };
  Result<void> done = work();
  munmap(at, bytes);
  if (!done) return done.error();
  return out;
}

}  // namespace unetmap::keeper
