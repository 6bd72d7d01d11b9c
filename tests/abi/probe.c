/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As tcpreplay, warpcore and libpnet look around: is there a device, NIOCGINFO with an empty name, counting versions
 * down until one is accepted, the buffer size from sysfs, O_CLOEXEC; and the errno of what is malformed.
 */
#include <fcntl.h>
#include <libnetmap.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

/* As a function of netmap's libnetmap.h has it, which every program that includes that header contains. */
static void __attribute__((used)) be_threadsafe(void) { nmctx_threadsafe = 1; }

static int try_register(int fd, const char* name, uint16_t version, struct nmreq_register* reg, uint64_t options,
                        struct nmreq_header* hdr) {
  nmreq_header_init(hdr, NETMAP_REQ_REGISTER, reg);
  hdr->nr_version = version;
  hdr->nr_options = options;
  snprintf(hdr->nr_name, sizeof(hdr->nr_name), "%s", name);
  return ioctl(fd, NIOCCTRL, hdr);
}

static void probe_versions(const char* name) {
  struct nmreq req;
  unsigned version, accepted = 0;
  int fd = open(NETMAP_DEVICE_NAME, O_RDWR | O_CLOEXEC);
  CHECK(fd >= 0, "open %s", NETMAP_DEVICE_NAME);
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, "O_CLOEXEC is not kept");
  for (version = 20; version > 10 && accepted == 0; version--) {
    memset(&req, 0, sizeof(req));
    req.nr_version = version;
    snprintf(req.nr_name, sizeof(req.nr_name), "%s", name);
    req.nr_flags = NR_REG_ALL_NIC;
    if (ioctl(fd, NIOCREGIF, &req) == 0) {
      accepted = version;
    } else {
      CHECK(errno == EINVAL, "version %u", version);
      CHECK(req.nr_version == version, "after version %u the service says %u", version, req.nr_version);
    }
  }
  CHECK(accepted == 20, "the newest version accepted is %u", accepted);
  close(fd);
  fd = open(NETMAP_DEVICE_NAME, O_RDWR);
  req.nr_version = 13;
  CHECK(ioctl(fd, NIOCREGIF, &req) < 0 && errno == EINVAL && req.nr_version == 13, "version 13 by NIOCREGIF");
  close(fd);
}

static void probe_files(void) {
  char text[32] = "";
  struct stat status;
  FILE* file;
  CHECK(stat(NETMAP_DEVICE_NAME, &status) == 0 && S_ISCHR(status.st_mode), "stat %s", NETMAP_DEVICE_NAME);
  CHECK(access(NETMAP_DEVICE_NAME, R_OK | W_OK) == 0, "access %s", NETMAP_DEVICE_NAME);
  file = fopen("/sys/module/netmap/parameters/buf_size", "r");
  CHECK(file != NULL && fgets(text, sizeof(text), file) != NULL && atoi(text) >= 64, "buffer size from sysfs: '%s'",
        text);
  fclose(file);
}

static void probe_malformed(const char* name) {
  struct nmreq_register reg;
  struct nmreq_header hdr;
  struct nmreq_option option;
  struct nmreq info;
  int fd = open(NETMAP_DEVICE_NAME, O_RDWR);
  CHECK(fd >= 0, "open %s", NETMAP_DEVICE_NAME);

  memset(&info, 0, sizeof(info));
  info.nr_version = NETMAP_API;
  CHECK(ioctl(fd, NIOCGINFO, &info) == 0 && info.nr_memsize > 0, "NIOCGINFO with an empty name");

  memset(&reg, 0, sizeof(reg));
  reg.nr_mode = NR_REG_ALL_NIC;
  CHECK(try_register(fd, "no_such_if0", NETMAP_API, &reg, 0, &hdr) < 0 && errno == ENXIO, "no such interface");
  CHECK(try_register(fd, name, 13, &reg, 0, &hdr) < 0 && errno == EINVAL && hdr.nr_version == 13,
        "version 13 by NIOCCTRL");
  CHECK(try_register(fd, name, 16, &reg, 0, &hdr) < 0 && errno == EINVAL && hdr.nr_version == 16,
        "version 16 by NIOCCTRL");
  reg.nr_mode = 77;
  CHECK(try_register(fd, name, NETMAP_API, &reg, 0, &hdr) < 0 && errno == EINVAL, "mode 77");
  reg.nr_mode = NR_REG_ONE_NIC;
  reg.nr_ringid = 999;
  CHECK(try_register(fd, name, NETMAP_API, &reg, 0, &hdr) < 0 && errno == EINVAL, "ring 999");

  memset(&reg, 0, sizeof(reg));
  reg.nr_mode = NR_REG_ALL_NIC;
  memset(&option, 0, sizeof(option));
  option.nro_reqtype = NETMAP_REQ_OPT_MAX + 5;
  option.nro_status = 12345;
  CHECK(try_register(fd, name, NETMAP_API, &reg, (uintptr_t)&option, &hdr) < 0 && errno == EOPNOTSUPP,
        "unknown option");
  CHECK(option.nro_status == EOPNOTSUPP, "status %u of an unknown option", option.nro_status);

  CHECK(ioctl(fd, NIOCTXSYNC, NULL) < 0, "a sync on a descriptor without a port");
  CHECK(try_register(fd, name, NETMAP_API, &reg, 0, &hdr) == 0, "a good request after the bad ones");
  CHECK(try_register(fd, name, NETMAP_API, &reg, 0, &hdr) < 0 && errno == EBUSY, "registering a descriptor twice");
  close(fd);
}

/* Exclusive users and others keep each other out, and nothing is left behind. */
static void probe_exclusive(const char* name) {
  char spec[128];
  struct nmport_d *first, *second;
  nmctx_get()->verbose = 0;
  snprintf(spec, sizeof(spec), "%s/x", name);
  first = nmport_open(spec);
  CHECK(first != NULL, "open %s", spec);
  second = nmport_open(name);
  CHECK(second == NULL && errno == EBUSY, "sharing what is exclusive");
  nmport_close(first);
  first = nmport_open(name);
  CHECK(first != NULL, "open %s again", name);
  second = nmport_open(name);
  CHECK(second != NULL && second->mem == first->mem, "sharing what is not");
  CHECK(nmport_open(spec) == NULL && errno == EBUSY, "exclusive beside others");
  nmport_close(second);
  second = nmport_clone(first);
  CHECK(second != NULL && nmport_open_desc(second) == 0 && second->mem == first->mem, "a clone in the same region");
  nmport_close(second);
  nmport_close(first);
}

int main(int argc, char** argv) {
  need_arguments(argc, 1, "probe PORT (a VALE name)");
  probe_files();
  probe_versions(argv[1]);
  probe_malformed(argv[1]);
  probe_exclusive(argv[1]);
  printf("ok: files, versions, malformed requests, exclusive use\n");
  return 0;
}
