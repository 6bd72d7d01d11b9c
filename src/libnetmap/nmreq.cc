// SPDX-License-Identifier: BSD-2-Clause
// Request headers and their lists of options.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "libnetmap/internal.hh"
#include "unetmap/unetmap.h"

// Not there when libnetmap is built without the client, for a kernel that has the device.
extern "C" const char* unetmap_last_error(void) __attribute__((weak));

namespace {

nmreq_option* as_option(uint64_t address) { return reinterpret_cast<nmreq_option*>(static_cast<uintptr_t>(address)); }

uint64_t as_address(const void* object) { return reinterpret_cast<uintptr_t>(object); }

// What to do about an errno of a request.
const char* remedy(int error) {
  switch (error) {
    case ENXIO:
      return "no such port or interface: check the name, or open a VALE port (vale0:x), which comes into being";
    case EBUSY:
      return "rings are in use by another program: close it, or leave out '/x' on both sides";
    case EINVAL:
      return "a ring number, a size or a flag is not one this port has: check the suffix and the options";
    case ENOMEM:
      return "not enough memory in the region: ask for fewer rings, slots or extra buffers";
    case EOPNOTSUPP:
      return "the service does not know an option or mode: leave it out";
    case EEXIST:
      return "it exists already: choose another name or delete the old one";
    case EPERM:
    case EACCES:
      return "not permitted: the service belongs to another user; point UNETMAP_SOCKET at your own";
    case ENOENT:
      return "nothing listens at the device: run the program under 'unetmap run --', or link it with libunetmap";
    default:
      return "see errno(3)";
  }
}

}  // namespace

namespace libnetmap {

int call_failed(nmctx* ctx, int error, const char* object, const char* what) noexcept {
  const char* words = unetmap_last_error != nullptr ? unetmap_last_error() : "";
  if (*words != '\0') return fail(ctx, error, "%s", words);
  return fail(ctx, error, "%s: %s: %s: %s", object, what, std::strerror(error), remedy(error));
}

int open_device(nmctx* ctx, int extra_flags) noexcept {
  const int fd = ::open(NETMAP_DEVICE_NAME, O_RDWR | extra_flags);
  return fd >= 0 ? fd : call_failed(ctx, errno, NETMAP_DEVICE_NAME, "cannot open it");
}

}  // namespace libnetmap

extern "C" {

void nmreq_header_init(nmreq_header* hdr, uint16_t reqtype, void* body) noexcept {
  *hdr = {};
  hdr->nr_version = NETMAP_API;
  hdr->nr_reqtype = reqtype;
  hdr->nr_body = as_address(body);
}

void nmreq_push_option(nmreq_header* hdr, nmreq_option* option) noexcept {
  option->nro_next = hdr->nr_options;
  hdr->nr_options = as_address(option);
}

void nmreq_remove_option(nmreq_header* hdr, nmreq_option* option) noexcept {
  uint64_t* link = &hdr->nr_options;
  while (*link != 0 && as_option(*link) != option) link = &as_option(*link)->nro_next;
  if (*link == 0) return;
  *link = option->nro_next;
  option->nro_next = 0;
}

nmreq_option* nmreq_find_option(nmreq_header* hdr, uint32_t reqtype) noexcept {
  nmreq_option* option;
  nmreq_foreach_option(hdr, option) {
    if (option->nro_reqtype == reqtype) return option;
  }
  return nullptr;
}

void nmreq_free_options(nmreq_header* hdr) noexcept {
  nmreq_option* option = as_option(hdr->nr_options);
  while (option != nullptr) {
    nmreq_option* next = as_option(option->nro_next);
    std::free(option);
    option = next;
  }
  hdr->nr_options = 0;
}

const char* nmreq_option_name(uint32_t reqtype) noexcept {
  switch (reqtype) {
    case NETMAP_REQ_OPT_EXTMEM:
      return "extmem";
    case NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS:
      return "sync-kloop-eventfds";
    case NETMAP_REQ_OPT_CSB:
      return "csb";
    case NETMAP_REQ_OPT_SYNC_KLOOP_MODE:
      return "sync-kloop-mode";
    case NETMAP_REQ_OPT_OFFSETS:
      return "offsets";
    default:
      return "unknown";
  }
}

int32_t nmreq_get_mem_id(const char** portname, nmctx* ctx) noexcept {
  nmreq_port_info_get info = {};
  nmreq_header hdr;
  nmreq_header_init(&hdr, NETMAP_REQ_PORT_INFO_GET, &info);
  const char* rest = *portname;
  if (nmreq_header_decode(&rest, &hdr, ctx) < 0) return -1;

  const int fd = libnetmap::open_device(ctx, O_CLOEXEC);
  if (fd < 0) return -1;
  const int answer = ::ioctl(fd, NIOCCTRL, &hdr);
  const int error = errno;
  ::close(fd);
  if (answer < 0) {
    return libnetmap::call_failed(ctx, error, hdr.nr_name, "cannot learn its memory region");
  }
  *portname = rest;
  return info.nr_mem_id;
}

}  // extern "C"
