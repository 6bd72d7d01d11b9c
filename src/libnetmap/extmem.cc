// SPDX-License-Identifier: BSD-2-Clause
// Options that a port carries in its request: memory of the caller's, offsets into buffers. Each is owned by
// the port's list of cleanups, from where nmport_undo_parse takes it out of the request again.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "libnetmap/internal.hh"

namespace {

using libnetmap::fail;
using libnetmap::KeepErrno;
using libnetmap::push_cleanup;

struct ExtmemOption : nmport_cleanup_d {
  nmreq_opt_extmem option;
};

struct OffsetsOption : nmport_cleanup_d {
  nmreq_opt_offsets option;
};

struct MappedFile : nmport_cleanup_d {
  void* base;
  size_t size;
};

// A zeroed T from the port's context, or null with ENOMEM.
template <class T>
T* allocate(nmport_d* port, void (*run)(nmport_cleanup_d*, nmport_d*)) {
  void* memory = nmctx_malloc(port->ctx, sizeof(T));
  if (memory == nullptr) {
    fail(port->ctx, ENOMEM, "%s: no memory for an option of %zu bytes", port->hdr.nr_name, sizeof(T));
    return nullptr;
  }
  T* object = new (memory) T();
  object->run = run;
  return object;
}

// The file's bytes, or null with errno and the context told.
void* map_file(nmctx* ctx, const char* path, size_t* size) {
  const int fd = ::open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    fail(ctx, errno, "extmem file '%s': cannot open it for reading and writing: %s", path, std::strerror(errno));
    return nullptr;
  }
  struct stat status;
  void* base = MAP_FAILED;
  if (::fstat(fd, &status) < 0) {
    fail(ctx, errno, "extmem file '%s': cannot learn its size: %s", path, std::strerror(errno));
  } else if (status.st_size <= 0) {
    fail(ctx, EINVAL, "extmem file '%s' is empty: give it the size of the memory region, as by truncate -s 64M", path);
  } else {
    *size = static_cast<size_t>(status.st_size);
    base = ::mmap(nullptr, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
      fail(ctx, errno, "extmem file '%s': cannot map %zu bytes: %s", path, *size, std::strerror(errno));
    }
  }
  const KeepErrno keep;
  ::close(fd);
  return base == MAP_FAILED ? nullptr : base;
}

}  // namespace

namespace libnetmap {

void pop_cleanup(nmport_d* port) noexcept {
  nmport_cleanup_d* newest = port->clist;
  port->clist = newest->next;
  newest->run(newest, port);
  nmctx_free(port->ctx, newest);
}

}  // namespace libnetmap

extern "C" {

int nmport_extmem(nmport_d* port, void* base, size_t size) noexcept {
  if (port->register_done != 0) {
    return fail(port->ctx, EINVAL, "%s: extmem comes before registering: call it earlier", port->hdr.nr_name);
  }
  if (port->extmem != nullptr) {
    return fail(port->ctx, EINVAL, "%s: extmem is given twice: leave one out", port->hdr.nr_name);
  }
  auto* owned = allocate<ExtmemOption>(port, [](nmport_cleanup_d* self, nmport_d* owner) {
    nmreq_remove_option(&owner->hdr, &static_cast<ExtmemOption*>(self)->option.nro_opt);
    owner->extmem = nullptr;
  });
  if (owned == nullptr) return -1;
  owned->option.nro_opt.nro_reqtype = NETMAP_REQ_OPT_EXTMEM;
  owned->option.nro_opt.nro_status = libnetmap::kNotLookedAt;
  owned->option.nro_usrptr = reinterpret_cast<uintptr_t>(base);
  owned->option.nro_info.nr_memsize = size;
  push_cleanup(port, owned);
  nmreq_push_option(&port->hdr, &owned->option.nro_opt);
  port->extmem = &owned->option;
  return 0;
}

int nmport_extmem_from_file(nmport_d* port, const char* path) noexcept {
  auto* file = allocate<MappedFile>(port, [](nmport_cleanup_d* self, nmport_d*) {
    const auto* mapped = static_cast<MappedFile*>(self);
    ::munmap(mapped->base, mapped->size);
  });
  if (file == nullptr) return -1;
  file->base = map_file(port->ctx, path, &file->size);
  if (file->base == nullptr) {
    const KeepErrno keep;
    nmctx_free(port->ctx, file);
    return -1;
  }
  push_cleanup(port, file);
  if (nmport_extmem(port, file->base, file->size) == 0) return 0;
  const KeepErrno keep;
  libnetmap::pop_cleanup(port);
  return -1;
}

nmreq_pools_info* nmport_extmem_getinfo(nmport_d* port) noexcept {
  return port->extmem == nullptr ? nullptr : &port->extmem->nro_info;
}

int nmport_offset(nmport_d* port, uint64_t initial, uint64_t maxoff, uint64_t bits, uint64_t mingap) noexcept {
  const char* name = port->hdr.nr_name;
  if (port->register_done != 0) {
    return fail(port->ctx, EINVAL, "%s: offsets come before registering: call it earlier", name);
  }
  if (nmreq_find_option(&port->hdr, NETMAP_REQ_OPT_OFFSETS) != nullptr) {
    return fail(port->ctx, EINVAL, "%s: offsets are given twice: leave one out", name);
  }
  if (bits > 64) return fail(port->ctx, EINVAL, "%s: offsets of %ju bits: at most 64", name, uintmax_t{bits});
  if (initial > maxoff) {
    return fail(port->ctx, EINVAL, "%s: the initial offset %ju is over the largest, %ju", name, uintmax_t{initial},
                uintmax_t{maxoff});
  }
  auto* owned = allocate<OffsetsOption>(port, [](nmport_cleanup_d* self, nmport_d* owner) {
    nmreq_remove_option(&owner->hdr, &static_cast<OffsetsOption*>(self)->option.nro_opt);
  });
  if (owned == nullptr) return -1;
  owned->option.nro_opt.nro_reqtype = NETMAP_REQ_OPT_OFFSETS;
  owned->option.nro_opt.nro_status = libnetmap::kNotLookedAt;
  owned->option.nro_offset_bits = static_cast<uint32_t>(bits);
  owned->option.nro_initial_offset = initial;
  owned->option.nro_max_offset = maxoff;
  owned->option.nro_min_gap = mingap;
  push_cleanup(port, owned);
  nmreq_push_option(&port->hdr, &owned->option.nro_opt);
  return 0;
}

}  // extern "C"
