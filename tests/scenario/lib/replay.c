/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes the requests that tcpreplay makes of netmap, in its order, and takes the options of it that the test gives:
 * versions probed without a name, each of pcap's interfaces asked for by NIOCGINFO, the port registered and mapped by
 * the older requests, its interface asked for flags and offloads unless it is a switch's, slots filled one by one with
 * a sync at each pause or when the ring is full, and syncs alone until the last slot has gone.
 * usage: replay --listnics
 *        replay --netmap --nm-delay=0 [-t] [-x FACTOR] -i PORT FILE
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/netmap_user.h>
#include <pcap/pcap.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void __attribute__((noreturn, format(printf, 1, 2))) stop(const char* format, ...) {
  int error = errno;
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "replay: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, " (errno: %s)\n", strerror(error));
  exit(1);
}

static int open_device(void) {
  int fd = open(NETMAP_DEVICE_NAME, O_RDWR);
  if (fd < 0) stop("open %s", NETMAP_DEVICE_NAME);
  return fd;
}

static struct nmreq request_for(const char* name, size_t length) {
  struct nmreq req;
  memset(&req, 0, sizeof(req));
  req.nr_version = NETMAP_API;
  if (length >= sizeof(req.nr_name)) stop("the name is too long: %s", name);
  memcpy(req.nr_name, name, length);
  return req;
}

static int has_information(const char* name) {
  struct nmreq req = request_for(name, strlen(name));
  int fd = open_device();
  int known = ioctl(fd, NIOCGINFO, &req) == 0;
  close(fd);
  return known;
}

static void list_interfaces(void) {
  char error[PCAP_ERRBUF_SIZE];
  pcap_if_t *all, *each;
  if (!has_information("")) stop("NIOCGINFO without a name");
  if (pcap_findalldevs(&all, error) != 0) stop("interfaces: %s", error);
  for (each = all; each != NULL; each = each->next) {
    if (strlen(each->name) < IFNAMSIZ && has_information(each->name))
      printf("vale:%s\nnetmap:%s\n", each->name, each->name);
  }
  pcap_freealldevs(all);
}

/* The interface must run; then promiscuous on, offloads read and switched off. */
static void prepare_interface(const char* name) {
  static const uint32_t kRead[] = {ETHTOOL_GGSO, ETHTOOL_GTSO, ETHTOOL_GRXCSUM, ETHTOOL_GTXCSUM};
  static const uint32_t kSwitch[] = {ETHTOOL_SGSO, ETHTOOL_STSO, ETHTOOL_SRXCSUM, ETHTOOL_STXCSUM};
  struct ethtool_value value;
  struct ifreq ifr;
  size_t i;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  memset(&ifr, 0, sizeof(ifr));
  snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
  if (ioctl(fd, SIOCGIFFLAGS, &ifr) != 0) stop("%s: SIOCGIFFLAGS", name);
  if (!(ifr.ifr_flags & IFF_RUNNING)) stop("%s does not run", name);
  ifr.ifr_flags |= IFF_UP | IFF_PROMISC;
  if (ioctl(fd, SIOCSIFFLAGS, &ifr) != 0) stop("%s: SIOCSIFFLAGS", name);
  for (i = 0; i < 8; i++) {
    value.cmd = i < 4 ? kRead[i] : kSwitch[i - 4];
    value.data = 0;
    ifr.ifr_data = (char*)&value;
    if (ioctl(fd, SIOCETHTOOL, &ifr) != 0) stop("%s: SIOCETHTOOL %u", name, value.cmd);
  }
  close(fd);
}

struct sender {
  int fd;
  void* mem;
  size_t memsize;
  struct netmap_ring* ring;
};

static struct sender open_port(const char* device) {
  const char* name = strncmp(device, "netmap:", 7) == 0 ? device + 7 : device;
  size_t length = strcspn(name, "!-*^{}");
  struct nmreq req = request_for(name, length);
  struct sender port;
  req.nr_flags = NR_REG_ALL_NIC;
  if (name[length] == '{') req.nr_flags = NR_REG_PIPE_MASTER;
  if (name[length] == '}') req.nr_flags = NR_REG_PIPE_SLAVE;
  if (name[length] != '\0') req.nr_ringid = (uint16_t)atoi(name + length + 1);
  port.fd = open_device();
  if (ioctl(port.fd, NIOCREGIF, &req) != 0) stop("register %s", device);
  port.memsize = req.nr_memsize;
  port.mem = mmap(NULL, port.memsize, PROT_READ | PROT_WRITE, MAP_SHARED, port.fd, 0);
  if (port.mem == MAP_FAILED) stop("map %zu bytes of %s", port.memsize, device);
  port.ring = NETMAP_TXRING(NETMAP_IF(port.mem, req.nr_offset), 0);
  if (strncmp(device, "vale", 4) != 0) prepare_interface(req.nr_name);
  return port;
}

static void put(struct sender* port, const void* bytes, uint32_t length) {
  struct netmap_ring* ring = port->ring;
  struct netmap_slot* slot;
  if (length > ring->nr_buf_size) stop("a packet of %u bytes is larger than a buffer", length);
  while (nm_ring_space(ring) == 0) {
    ioctl(port->fd, NIOCTXSYNC, NULL);
    sched_yield();
  }
  slot = &ring->slot[ring->cur];
  slot->flags = nm_ring_space(ring) <= 1 ? NS_REPORT : 0;
  slot->len = (uint16_t)length;
  memcpy(NETMAP_BUF(ring, slot->buf_idx), bytes, length);
  ring->head = ring->cur = nm_ring_next(ring, ring->cur);
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void replay(const char* device, const char* path, int top_speed, double factor) {
  char error[PCAP_ERRBUF_SIZE];
  struct pcap_pkthdr* header;
  const u_char* bytes;
  uint64_t packets = 0, total = 0;
  int64_t begin, first_us = 0;
  int got;
  pcap_t* file = pcap_open_offline(path, error);
  struct sender port;
  if (file == NULL) stop("%s: %s", path, error);
  port = open_port(device);
  begin = now_ns();
  while ((got = pcap_next_ex(file, &header, &bytes)) == 1) {
    int64_t us = header->ts.tv_sec * INT64_C(1000000) + header->ts.tv_usec;
    int64_t due;
    if (packets == 0) first_us = us;
    due = begin + (int64_t)((double)(us - first_us) * 1000 / factor);
    if (!top_speed && due > now_ns()) {
      struct timespec until = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
      ioctl(port.fd, NIOCTXSYNC, NULL);
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    put(&port, bytes, header->caplen);
    packets++;
    total += header->caplen;
  }
  if (got != PCAP_ERROR_BREAK) stop("%s: %s", path, pcap_geterr(file));
  while (nm_tx_pending(port.ring)) ioctl(port.fd, NIOCTXSYNC, NULL);
  printf("Actual: %llu packets (%llu bytes) sent in %.2f seconds\n", (unsigned long long)packets,
         (unsigned long long)total, (double)(now_ns() - begin) / 1e9);
  munmap(port.mem, port.memsize);
  close(port.fd);
  pcap_close(file);
}

int main(int argc, char** argv) {
  static const struct option kLong[] = {
      {"netmap", no_argument, NULL, 'n'}, {"nm-delay", required_argument, NULL, 'd'},
      {"listnics", no_argument, NULL, 'L'}, {NULL, 0, NULL, 0}};
  const char* device = NULL;
  int top_speed = 0, option;
  double factor = 1;
  while ((option = getopt_long(argc, argv, "i:tx:", kLong, NULL)) != -1) {
    if (option == 'i') device = optarg;
    if (option == 't') top_speed = 1;
    if (option == 'x') factor = atof(optarg);
    if (option == 'L') return list_interfaces(), 0;
    if (option == '?') return 2;
  }
  if (device == NULL || optind + 1 != argc || factor <= 0) return 2;
  replay(device, argv[optind], top_speed, factor);
  return 0;
}
