// SPDX-License-Identifier: BSD-2-Clause
// ioctl, mmap and mremap.
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/netmap.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <cstring>

#include "base/port_address.hh"
#include "client/descriptor/calls.hh"
#include "client/memory/user_memory.hh"
#include "shim/epoll_sets.hh"
#include "shim/interface_name.hh"
#include "shim/next.hh"

namespace unetmap::shim {
namespace {

constinit Next<int(int, unsigned long, ...)> next_ioctl{"ioctl"};

// A region is one piece to who mapped it, and two mappings to the kernel, which makes no larger one of several. Behind
// the end of what is larger nothing is.
void* enlarge_region(void* old, size_t old_bytes, size_t bytes, int flags, void* to) {
  auto rounded = [](size_t n) { return (n + 4095) & ~size_t{4095}; };
  const auto from = uint64_t(reinterpret_cast<uintptr_t>(old));
  old_bytes = rounded(old_bytes), bytes = rounded(bytes);
  if (!(flags & MREMAP_MAYMOVE) || bytes <= old_bytes || !client::maps_region(from, old_bytes)) return MAP_FAILED;
  const int fixed = flags & MREMAP_FIXED ? MAP_FIXED : 0;
  const long at = syscall(SYS_mmap, fixed ? to : nullptr, bytes, PROT_NONE,
                          fixed | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == -1) return MAP_FAILED;
  if (int error = client::move_mappings(from, old_bytes, uint64_t(at))) {
    syscall(SYS_munmap, at, bytes);
    errno = error;
    return MAP_FAILED;
  }
  return reinterpret_cast<void*>(at);
}

int device_request(int fd, client::Descriptor& seen, unsigned long request, void* argument) {
  int saved_errno = errno;
  if (request == NIOCTXSYNC || request == NIOCRXSYNC) {
    int result = client::control(seen, request, argument);
    if (result >= 0) errno = saved_errno;
    return result;
  }
  switch (request) {
    case FIONBIO:
    case FIOASYNC:
    case FIOCLEX:
    case FIONCLEX:
      return next_ioctl(fd, request, argument);  // of any descriptor
    default:
      break;
  }
  // These may take long, and another thread may close the descriptor meanwhile.
  client::DescriptorRef d = client::find(fd);
  if (!d) return next_ioctl(fd, request, argument);
  int result = client::control(*d, request, argument);
  if (result < 0) return result;
  if (request == NIOCREGIF || request == NIOCCTRL) note_registered(*d);
  errno = saved_errno;
  return result;
}

// Programs that open a VALE port by name ask the stack whether the interface runs, and to make it promiscuous
// (libpcap, tcpreplay), and generators for its address. The stack does not know it: it is always up, and sees what the
// switch sends it.
int interface_request(int socket, unsigned long request, void* argument) {
  int saved_errno = errno;
  int result = next_ioctl(socket, request, argument);
  auto* interface = static_cast<ifreq*>(argument);
  if (result >= 0 || errno != ENODEV || !interface || !names_vale_port(interface->ifr_name, IFNAMSIZ)) return result;
  if (request == SIOCGIFFLAGS) {
    interface->ifr_flags = IFF_UP | IFF_RUNNING | IFF_BROADCAST | IFF_MULTICAST | IFF_PROMISC;
  } else if (request == SIOCGIFHWADDR) {
    const auto address = port_address({interface->ifr_name, strnlen(interface->ifr_name, IFNAMSIZ)});
    interface->ifr_hwaddr = {};
    interface->ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(interface->ifr_hwaddr.sa_data, address.data(), address.size());
  } else if (request == SIOCETHTOOL) {
    // Offloads: there are none to switch.
    const auto at = uint64_t(reinterpret_cast<uintptr_t>(interface->ifr_data));
    ethtool_value value;
    if (client::load_user(at, value) != 0) {
      errno = EFAULT;
      return result;
    }
    switch (value.cmd) {
      case ETHTOOL_GGSO:
      case ETHTOOL_GTSO:
      case ETHTOOL_GGRO:
      case ETHTOOL_GRXCSUM:
      case ETHTOOL_GTXCSUM:
        value.data = 0;
        if (client::store_user(at, value) == 0) break;
        errno = EFAULT;
        return result;
      case ETHTOOL_SGSO:
      case ETHTOOL_STSO:
      case ETHTOOL_SGRO:
      case ETHTOOL_SRXCSUM:
      case ETHTOOL_STXCSUM:
        if (value.data == 0) break;
        errno = EOPNOTSUPP;
        return result;
      default:
        return result;
    }
  }
  errno = saved_errno;
  return 0;
}

}  // namespace

extern "C" {

int shim_ioctl(int fd, unsigned long request, ...) UNETMAP_INTERPOSE(ioctl);
int shim_ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  // Only 32 bits of a request count; some programs pass them sign-extended.
  request = uint32_t(request);
  if (client::Descriptor* d = client::peek(fd)) return device_request(fd, *d, request, argument);
  if (client::unknown_for_want_of_memory(fd)) return -1;
  if (request == SIOCGIFFLAGS || request == SIOCSIFFLAGS || request == SIOCGIFHWADDR || request == SIOCETHTOOL)
    return interface_request(fd, request, argument);
  return next_ioctl(fd, request, argument);
}

// The raw system call: libc's mmap adds nothing to it here, and programs' allocators call this very early.
void* shim_mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) UNETMAP_INTERPOSE(mmap);
void* shim_mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  if (fd >= 0 && !(flags & MAP_ANONYMOUS) && client::maybe_netmap(fd)) {
    if (client::DescriptorRef d = client::find(fd)) {
      int saved_errno = errno;
      void* at = client::map(*d, address, length, protection, flags, offset);
      if (at != MAP_FAILED) errno = saved_errno;
      return at;
    }
    if (client::unknown_for_want_of_memory(fd)) return MAP_FAILED;
  }
  return reinterpret_cast<void*>(syscall(SYS_mmap, address, length, protection, flags, fd, offset));
}

void* shim_mremap(void* old, size_t old_bytes, size_t bytes, int flags, ...) UNETMAP_INTERPOSE(mremap);
void* shim_mremap(void* old, size_t old_bytes, size_t bytes, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  void* to = flags & MREMAP_FIXED ? va_arg(arguments, void*) : nullptr;
  va_end(arguments);
  const int saved_errno = errno;
  void* at = reinterpret_cast<void*>(syscall(SYS_mremap, old, old_bytes, bytes, flags, to));
  if (at != MAP_FAILED || errno != EFAULT) return at;
  at = enlarge_region(old, old_bytes, bytes, flags, to);
  errno = at == MAP_FAILED ? EFAULT : saved_errno;
  return at;
}

void* shim_mmap64(void* address, size_t length, int protection, int flags, int fd, off_t offset)
    UNETMAP_INTERPOSE(mmap64);
void* shim_mmap64(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  return shim_mmap(address, length, protection, flags, fd, offset);
}

}  // extern "C"

}  // namespace unetmap::shim
