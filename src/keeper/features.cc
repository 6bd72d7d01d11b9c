// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/features.hh"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "keeper/interface.hh"

namespace unetmap::keeper {
namespace {

constexpr uint32_t kMaxFeatures = 512;
constexpr int kPause_us = 20'000;

// An ethtool request that ends in an array.
template <class Head, class Element>
struct Request {
  explicit Request(size_t count) : bytes(sizeof(Head) + count * sizeof(Element)) {}
  Head* head() { return reinterpret_cast<Head*>(bytes.data()); }
  Element* element(size_t i) { return reinterpret_cast<Element*>(bytes.data() + sizeof(Head)) + i; }
  std::vector<uint8_t> bytes;
};

int ask(int socket, const std::string& interface, void* request) {
  ifreq ask{};
  interface.copy(ask.ifr_name, sizeof ask.ifr_name - 1);
  ask.ifr_data = static_cast<char*>(request);
  return ioctl(socket, SIOCETHTOOL, &ask);
}

// The kernel's list of features, in the order of their bits.
std::vector<std::string> feature_names(int socket, const std::string& interface) {
  Request<ethtool_sset_info, uint32_t> info(1);
  info.head()->cmd = ETHTOOL_GSSET_INFO;
  info.head()->sset_mask = 1ull << ETH_SS_FEATURES;
  if (ask(socket, interface, info.head()) < 0 || !info.head()->sset_mask) return {};
  uint32_t count = std::min(*info.element(0), kMaxFeatures);
  Request<ethtool_gstrings, char[ETH_GSTRING_LEN]> strings(count);
  strings.head()->cmd = ETHTOOL_GSTRINGS;
  strings.head()->string_set = ETH_SS_FEATURES;
  strings.head()->len = count;
  if (ask(socket, interface, strings.head()) < 0) return {};
  std::vector<std::string> out;
  for (uint32_t i = 0; i < count; i++) {
    const char* at = *strings.element(i);
    out.emplace_back(at, strnlen(at, ETH_GSTRING_LEN));
  }
  return out;
}

uint32_t blocks(const std::vector<std::string>& names) { return uint32_t(names.size() + 31) / 32; }

Result<void> set(int socket, const std::string& interface, const std::vector<std::string>& all,
                 const std::vector<std::string>& which, bool on) {
  Request<ethtool_sfeatures, ethtool_set_features_block> request(blocks(all));
  request.head()->cmd = ETHTOOL_SFEATURES;
  request.head()->size = blocks(all);
  for (size_t i = 0; i < all.size(); i++) {
    if (std::find(which.begin(), which.end(), all[i]) == which.end()) continue;
    request.element(i / 32)->valid |= 1u << (i % 32);
    if (on) request.element(i / 32)->requested |= 1u << (i % 32);
  }
  // A positive result tells that some did not take effect, as others that they depend on are off: wanted they are.
  if (ask(socket, interface, request.head()) < 0) return Error::from_errno(errno, interface + ": offloads");
  return {};
}

// Whether all of `which` are wanted now, as far as the interface knows them.
bool wanted(int socket, const std::string& interface, const std::vector<std::string>& all,
            const std::vector<std::string>& which) {
  Request<ethtool_gfeatures, ethtool_get_features_block> now(blocks(all));
  now.head()->cmd = ETHTOOL_GFEATURES;
  now.head()->size = blocks(all);
  if (ask(socket, interface, now.head()) < 0) return true;
  for (size_t i = 0; i < all.size(); i++)
    if (std::find(which.begin(), which.end(), all[i]) != which.end() &&
        !(now.element(i / 32)->requested & 1u << (i % 32)))
      return false;
  return true;
}

}  // namespace

bool spoils_frames(const std::string& feature) {
  static const char* const kExactly[] = {"rx-checksum",
                                         "rx-lro",
                                         "rx-gro",
                                         "rx-gro-hw",
                                         "rx-gro-list",
                                         "rx-udp-gro-forwarding",
                                         "rx-vlan-hw-parse",
                                         "rx-vlan-stag-hw-parse",
                                         "tx-vlan-hw-insert",
                                         "tx-vlan-stag-hw-insert"};
  if (std::find(std::begin(kExactly), std::end(kExactly), feature) != std::end(kExactly)) return true;
  if (feature.starts_with("tx-checksum-")) return true;
  return feature.starts_with("tx-") && (feature.ends_with("segmentation") || feature.ends_with("-list"));
}

std::string in_short(const std::vector<std::string>& features) {
  static const std::pair<const char*, const char*> kWords[] = {{"tx-generic-segmentation", "gso"},
                                                               {"tx-checksum-", "tx checksums"},
                                                               {"rx-checksum", "rx checksums"},
                                                               {"rx-lro", "lro"},
                                                               {"rx-gro", "gro"},
                                                               {"rx-udp-gro-forwarding", "gro"},
                                                               {"rx-vlan", "rx vlan tags"},
                                                               {"tx-vlan", "tx vlan tags"},
                                                               {"tx-", "tso"}};
  std::string out;
  for (const std::string& feature : features)
    for (auto [begin, word] : kWords) {
      if (!feature.starts_with(begin)) continue;
      if (out.find(word) == std::string::npos) out += (out.empty() ? "" : ", ") + std::string(word);
      break;
    }
  return out;
}

bool leaves_tags_beside(const std::string& interface) {
  auto socket = control_socket();
  if (!socket) return false;
  std::vector<std::string> all = feature_names(socket->get(), interface);
  Request<ethtool_gfeatures, ethtool_get_features_block> now(blocks(all));
  now.head()->cmd = ETHTOOL_GFEATURES;
  now.head()->size = blocks(all);
  if (all.empty() || ask(socket->get(), interface, now.head()) < 0) return false;
  for (size_t i = 0; i < all.size(); i++)
    if ((all[i] == "tx-vlan-hw-insert" || all[i] == "tx-vlan-stag-hw-insert") &&
        (now.element(i / 32)->active & 1u << (i % 32)))
      return true;
  return false;
}

Result<FeaturesOff> FeaturesOff::apply(const std::string& interface, uint32_t index) {
  auto socket = control_socket();
  if (!socket) return socket.error();
  std::vector<std::string> all = feature_names(socket->get(), interface);
  if (all.empty()) return FeaturesOff(index, {});
  Request<ethtool_gfeatures, ethtool_get_features_block> now(blocks(all));
  now.head()->cmd = ETHTOOL_GFEATURES;
  now.head()->size = blocks(all);
  if (ask(socket->get(), interface, now.head()) < 0) return Error::from_errno(errno, interface + ": offloads");
  std::vector<std::string> wanted;
  for (size_t i = 0; i < all.size(); i++) {
    const ethtool_get_features_block& block = *now.element(i / 32);
    uint32_t bit = 1u << (i % 32);
    if (spoils_frames(all[i]) && (block.requested & bit) && (block.available & bit) && !(block.never_changed & bit))
      wanted.push_back(all[i]);
  }
  FeaturesOff out(index, wanted);
  if (!wanted.empty())
    if (auto done = set(socket->get(), interface, all, wanted, false); !done) return done.error();
  return out;
}

FeaturesOff::FeaturesOff(FeaturesOff&& other) noexcept
    : index_(std::exchange(other.index_, 0)), names_(std::exchange(other.names_, {})) {}

Result<void> FeaturesOff::restore() {
  std::vector<std::string> names = std::exchange(names_, {});
  if (names.empty()) return {};
  // By name, which may become another one under way: then once more.
  constexpr int kNames = 10;
  Result<void> done;
  for (int i = 0; i < kNames; i++) {
    const std::string name = name_of(index_);
    if (name.empty()) return {};  // with the interface its features have gone
    done = want_features(name, names);
    if (done || done.error().code != ENODEV) break;
    usleep(kPause_us);
  }
  return done;
}

FeaturesOff::~FeaturesOff() {
  if (auto done = restore(); !done)
    syslog(LOG_WARNING, "%s; they stay switched off, see ethtool -K", done.error().text.c_str());
}

Result<void> want_features(const std::string& interface, const std::vector<std::string>& names) {
  auto socket = control_socket();
  if (!socket) return socket.error();
  // While one end of a veth pair has an XDP program the other one cannot have some of them; when both are given back at
  // once, that is over in a moment.
  constexpr int kTries = 25;
  std::vector<std::string> all = feature_names(socket->get(), interface);
  Result<void> done;
  for (int i = 0; i < kTries; i++) {
    done = set(socket->get(), interface, all, names, true);
    if (!done || wanted(socket->get(), interface, all, names)) break;
    usleep(kPause_us);
  }
  return done;
}

}  // namespace unetmap::keeper
