// SPDX-License-Identifier: BSD-2-Clause
// The front of a port specification: name, rings, flags, memory region. The grammar is in libnetmap.h.
//
// Names may have in them what else begins a suffix: br-lan, te1-0, vale0:vm-1, vale0:eth0^. What can only be a name is
// one; where both can be, the port that is there is meant, and if both are, neither.
#include <net/if.h>
#include <unetmap/unetmap.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "libnetmap/internal.hh"

namespace {

using libnetmap::fail;

constexpr char kSuffixes[] = "-*^{}/@", kSuffixesButRing[] = "*^{}/@";
constexpr unsigned long kMaxRing = NETMAP_RING_MASK - 1;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_word(const char* begin, const char* end) {
  for (; begin != end; ++begin) {
    const char lower = static_cast<char>(*begin | 0x20);
    if (!is_digit(*begin) && *begin != '_' && (lower < 'a' || lower > 'z')) return false;
  }
  return true;
}

bool is_port_name(const char* begin, const char* end) {
  for (; begin != end; ++begin)
    if (*begin != '-' && *begin != '.' && !is_word(begin, begin + 1)) return false;
  return true;
}

// `name` as in a request: a port of a switch, an interface of this network namespace, or a persistent port.
bool exists(const std::string& name) {
  const int saved = errno;
  const bool found =
      (name.size() < IF_NAMESIZE && if_nametoindex(name.c_str()) != 0) || unetmap_port_exists(name.c_str()) == 1;
  errno = saved;
  return found;
}

// Where the port's name ends that begins at `scan`; the request's name begins at `name`. nullptr with a message where
// that cannot be told.
const char* end_of_name(const char* spec, const char* name, const char* scan, bool is_vale, nmctx* ctx) {
  const char* end = scan + std::strcspn(scan, kSuffixesButRing);
  // The host stack's side of an attached interface.
  if (is_vale && end != scan && *end == '^' && (end[1] == '\0' || std::strchr("-/@", end[1]) != nullptr) &&
      exists(std::string(name, end + 1)))
    ++end;
  // "-*": all rings, so what is before is the name.
  if (end != scan && *end == '*' && end[-1] == '-') return end - 1;
  const char* dash = end;
  while (dash != scan && is_digit(dash[-1])) --dash;
  if (dash == end || dash == scan || dash[-1] != '-') {  // no number: a name, unless its end is missing
    return end != scan && end[-1] == '-' && !exists(std::string(name, end)) ? scan + std::strcspn(scan, kSuffixes)
                                                                            : end;
  }
  --dash;
  const std::string whole(name, end), before(name, dash);
  if (!exists(whole)) return dash == scan || dash[-1] == '-' ? scan + std::strcspn(scan, kSuffixes) : dash;
  if (!exists(before)) return end;
  fail(ctx, EINVAL,
       "%s: means the port %s, or ring pair %.*s of %s, and both are there: write %s-* for the port, or rename one of "
       "them%s",
       spec, whole.c_str(), int(end - dash - 1), dash + 1, before.c_str(), whole.c_str(),
       is_vale ? "" : " (ip link property add altname gives another name)");
  return nullptr;
}

// Moves *scan past decimal digits. False when there are none or the number is over max.
bool take_number(const char** scan, unsigned long max, unsigned long* number) {
  if (!is_digit(**scan)) return false;
  unsigned long value = 0;
  bool fits = true;
  for (; is_digit(**scan); ++*scan) {
    value = value * 10 + static_cast<unsigned long>(**scan - '0');
    fits = fits && value <= max;
    if (!fits) value = 0;
  }
  *number = value;
  return fits;
}

bool starts_rings(char c) { return c == '^' || c == '*' || c == '-'; }

// Past the pipe's name, when *scan is at one.
int take_pipe(const char* spec, const char** scan, nmctx* ctx) {
  if (**scan != '{' && **scan != '}') return 0;
  const char* id = *scan + 1;
  const char* end = id + std::strcspn(id, kSuffixes);
  if (end == id || !is_word(id, end)) {
    return fail(ctx, EINVAL, "%s: the pipe after '%c' has no valid name: use letters, digits and '_'", spec, **scan);
  }
  *scan = end;
  return 0;
}

struct Registration {
  uint32_t mode = NR_REG_ALL_NIC;
  unsigned long ring = 0;
  uint64_t flags = 0;
  unsigned long mem_id = 0;
};

int take_rings(const char** scan, Registration* out, nmctx* ctx) {
  const char kind = **scan;
  ++*scan;
  switch (kind) {
    case '*':
      out->mode = NR_REG_NIC_SW;
      return 0;
    case '^':
      out->mode = NR_REG_SW;
      if (!is_digit(**scan)) return 0;
      out->mode = NR_REG_ONE_SW;
      break;
    default:
      if (**scan == '*') {
        ++*scan;
        return 0;
      }
      out->mode = NR_REG_ONE_NIC;
      break;
  }
  if (take_number(scan, kMaxRing, &out->ring)) return 0;
  return fail(ctx, EINVAL, "'%c' selects one ring pair: follow it by a number from 0 to %lu", kind, kMaxRing);
}

int take_flags(const char** scan, Registration* out, nmctx* ctx) {
  static constexpr struct {
    char letter;
    uint64_t flag;
  } kFlags[] = {{'x', NR_EXCLUSIVE},  {'z', NR_ZCOPY_MON},     {'t', NR_MONITOR_TX},
                {'r', NR_MONITOR_RX}, {'R', NR_RX_RINGS_ONLY}, {'T', NR_TX_RINGS_ONLY}};
  const char* begin = ++*scan;
  for (; **scan != '\0' && **scan != '@'; ++*scan) {
    uint64_t flag = 0;
    for (const auto& known : kFlags) {
      if (known.letter == **scan) flag = known.flag;
    }
    if (flag == 0) return fail(ctx, EINVAL, "'%c' after '/' is no flag: use any of x, z, t, r, R, T", **scan);
    out->flags |= flag;
  }
  if (*scan == begin) return fail(ctx, EINVAL, "no flag follows '/': use any of x, z, t, r, R, T");
  return 0;
}

int take_mem_id(const char** scan, Registration* out, nmctx* ctx) {
  ++*scan;
  if (out->mem_id != 0) return fail(ctx, EINVAL, "the memory region is given twice: leave one '@N' out");
  if (take_number(scan, UINT16_MAX, &out->mem_id) && out->mem_id != 0) return 0;
  return fail(ctx, EINVAL, "'@' names no memory region: follow it by a number from 1 to %d", UINT16_MAX);
}

}  // namespace

extern "C" {

int nmreq_header_decode(const char** spec, nmreq_header* hdr, nmctx* ctx) noexcept {
  const char* name = *spec;  // what goes into the request
  const char* scan;          // what must be a name proper
  bool is_vale = false;
  if (std::strncmp(name, "netmap:", 7) == 0) {
    name = scan = name + 7;
  } else if (std::strncmp(name, NM_BDG_NAME, 4) == 0) {
    is_vale = true;
    scan = name + std::strcspn(name, ":-*^{}/@");
    if (*scan != ':') return fail(ctx, EINVAL, "%s: a VALE port has a switch and a name: write vale0:x", *spec);
    if (!is_word(name, scan)) {
      return fail(ctx, EINVAL, "%s: the switch has a character other than letters, digits and '_'", *spec);
    }
    ++scan;
  } else {
    return fail(ctx, EINVAL, "%s: neither 'netmap:' nor 'vale' starts the name: write netmap:%s or vale0:%s", *spec,
                name, name);
  }

  const char* end = end_of_name(*spec, name, scan, is_vale, ctx);
  if (end == nullptr) return -1;
  if (end == scan) return fail(ctx, EINVAL, "%s: the port has no name: write it after the ':'", *spec);
  if (is_vale && !is_port_name(scan, end[-1] == '^' ? end - 1 : end)) {
    return fail(ctx, EINVAL, "%s: the port has a character other than letters, digits, '_', '-' and '.'", *spec);
  }
  if (take_pipe(*spec, &end, ctx) < 0) return -1;
  const size_t length = static_cast<size_t>(end - name);
  if (length >= sizeof(hdr->nr_name)) {
    return fail(ctx, EINVAL, "%s: the name has %zu characters: at most %zu fit", *spec, length,
                sizeof(hdr->nr_name) - 1);
  }
  std::memcpy(hdr->nr_name, name, length);
  hdr->nr_name[length] = '\0';
  *spec = end;
  return 0;
}

int nmreq_register_decode(const char** spec, nmreq_register* reg, nmctx* ctx) noexcept {
  const char* scan = *spec;
  Registration out;
  if (starts_rings(*scan) && take_rings(&scan, &out, ctx) < 0) return -1;
  while (*scan != '\0') {
    if (*scan == '/') {
      if (take_flags(&scan, &out, ctx) < 0) return -1;
    } else if (*scan == '@') {
      if (scan[1] != '\0' && !is_digit(scan[1])) break;  // an option
      if (take_mem_id(&scan, &out, ctx) < 0) return -1;
    } else {
      return fail(ctx, EINVAL, "'%s' is not understood: after the rings only '/' and '@' may follow", scan);
    }
  }
  // Zero copy is a way of monitoring, not a direction: alone it means both. Beside x, R or T, which make no sense on a
  // monitor, it is a hint without effect: Suricata opens its rings with /zxR.
  constexpr uint64_t kNoLoneMonitor =
      NR_MONITOR_TX | NR_MONITOR_RX | NR_EXCLUSIVE | NR_RX_RINGS_ONLY | NR_TX_RINGS_ONLY;
  if ((out.flags & NR_ZCOPY_MON) != 0 && (out.flags & kNoLoneMonitor) == 0) {
    out.flags |= NR_MONITOR_TX | NR_MONITOR_RX;
  }
  reg->nr_mode = out.mode;
  reg->nr_ringid = static_cast<uint16_t>(out.ring);
  reg->nr_flags = out.flags;
  if (out.mem_id != 0) reg->nr_mem_id = static_cast<uint16_t>(out.mem_id);
  *spec = scan;
  return 0;
}

}  // extern "C"
