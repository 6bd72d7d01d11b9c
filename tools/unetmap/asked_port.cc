// SPDX-License-Identifier: BSD-2-Clause
#include "asked_port.hh"

#include <libnetmap.h>
#include <net/if.h>
#include <sys/stat.h>

namespace unetmap::cli {
namespace {

constexpr std::string_view kPrefix = "netmap:";

// Nothing said where the name cannot be read: the daemon will say that it has no such port.
nmctx* silent_context() {
  static nmctx context = [] {
    nmctx out = *nmctx_get();
    out.verbose = 0;
    out.error = [](nmctx*, const char*) {};
    return out;
  }();
  return &context;
}

}  // namespace

std::string asked_port(const std::string& given) {
  const bool is_vale = given.starts_with("vale") && given.find(':') != std::string::npos;
  std::string name = given.starts_with(kPrefix) ? given.substr(kPrefix.size()) : given;
  // Of an interface in another namespace, as the lists name it.
  if (!is_vale && !given.starts_with(kPrefix) && name.find('@') != std::string::npos) return name;
  nmreq_header header{};
  const std::string spec = is_vale ? name : std::string(kPrefix) + name;
  const char* scan = spec.c_str();
  if (nmreq_header_decode(&scan, &header, silent_context()) == 0) name = header.nr_name;
  char own[IF_NAMESIZE];
  if (const unsigned index = is_vale ? 0 : if_nametoindex(name.c_str()); index != 0 && if_indextoname(index, own))
    return own;
  return name;
}

Json asked_from_here(Json question) {
  if (auto port = question.find("port"); port != question.end() && port->is_string()) {
    const std::string given = port->get<std::string>();
    *port = asked_port(given);
    question["given"] = given;  // which is the very name of some
  }
  struct stat here;
  if (stat("/proc/self/ns/net", &here) == 0) question["netns"] = uint64_t{here.st_ino};
  return question;
}

}  // namespace unetmap::cli
