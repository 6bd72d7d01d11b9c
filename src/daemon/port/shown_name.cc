// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/port/shown_name.hh"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>

#include "daemon/interface/interfaces.hh"

namespace unetmap::daemon {
namespace {

constexpr const char* kNamedNamespaces = "/run/netns/";  // where ip netns keeps them

uint64_t inode_of(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The namespace that a key of ours names, 0 if none: "eth0@4026532000", and what is behind it ("{1", "/r").
uint64_t inode_in(const std::string& name, size_t* at, size_t* end) {
  *at = name.find('@');
  if (*at == std::string::npos) return 0;
  *end = name.find_first_not_of("0123456789", *at + 1);
  if (*end == std::string::npos) *end = name.size();
  return strtoull(name.c_str() + *at + 1, nullptr, 10);
}

const Port& root_of(const Port& port) {
  const Port* at = &port;
  while (at->parent) at = at->parent;
  return *at;
}

}  // namespace

ShownNames::ShownNames(uint64_t caller) {
  if (auto own = Namespace::own()) own_ = own->inode;
  caller_ = caller ? caller : own_;
}

std::string ShownNames::label(uint64_t inode, pid_t user) {
  std::string found;
  if (DIR* folder = opendir(kNamedNamespaces)) {
    while (const dirent* each = readdir(folder))
      if (each->d_name[0] != '.' && inode_of(std::string(kNamedNamespaces) + each->d_name) == inode) {
        found = each->d_name;
        break;
      }
    closedir(folder);
  }
  if (found.empty() && user > 0 && inode_of("/proc/" + std::to_string(user) + "/ns/net") == inode)
    found = std::to_string(user);
  return found.empty() ? std::to_string(inode) : found;
}

uint64_t ShownNames::name_space(const Port& port) const {
  size_t at, end;
  const Port& root = root_of(port);
  if (!root.nic) return 0;
  uint64_t inode = inode_in(root.name, &at, &end);
  return inode ? inode : own_;
}

std::string ShownNames::shown(const Port& port, const std::string& name) const {
  const uint64_t inode = name_space(port);
  if (inode == 0) return name;
  size_t at, end;
  if (inode_in(name, &at, &end) == 0) at = end = std::min(name.find_first_of("{}/"), name.size());
  const Port& root = root_of(port);
  std::string label = inode == caller_ ? ""
                                       : "@" + ShownNames::label(inode, root.users.empty() ? root.nic->reply.pid
                                                                                           : root.users.front()->pid);
  return name.substr(0, at) + label + name.substr(end);
}

std::string ShownNames::meant(const std::string& given) const {
  if (given.starts_with("vale") && given.find(':') != std::string::npos) return given;
  size_t at = given.find('@');
  uint64_t inode = caller_;
  const size_t front = std::min({at, given.find_first_of("{}/"), given.size()});
  size_t rest = front;
  if (at != std::string::npos) {
    rest = std::min(given.find_first_of("{}/", at), given.size());
    const std::string label = given.substr(at + 1, rest - at - 1);
    if (label.find('/') == std::string::npos) inode = inode_of(kNamedNamespaces + label);
    if (inode == 0 && is_number(label)) inode = inode_of("/proc/" + label + "/ns/net");
    if (inode == 0 && is_number(label)) inode = strtoull(label.c_str(), nullptr, 10);
  }
  return given.substr(0, front) + (inode == own_ ? "" : "@" + std::to_string(inode)) + given.substr(rest);
}

}  // namespace unetmap::daemon
