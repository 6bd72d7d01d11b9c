// SPDX-License-Identifier: BSD-2-Clause
#include "ethtool.hh"

#include <fmt/core.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace unetmap::cli {
namespace {

constexpr uint32_t kMaxFeatures = 1024;

// A structure of the kernel's with room for what follows it.
template <class T>
class Sized {
 public:
  explicit Sized(size_t more) : bytes_(sizeof(T) + more) {}
  T* operator->() { return reinterpret_cast<T*>(bytes_.data()); }
  T* get() { return reinterpret_cast<T*>(bytes_.data()); }

 private:
  std::vector<uint64_t> bytes_;  // more than enough, and aligned
};

std::string text_of(const char* text, size_t room) { return std::string(text, strnlen(text, room)); }

}  // namespace

Result<Ethtool> Ethtool::open(const std::string& interface) {
  if (interface.empty() || interface.size() >= IFNAMSIZ) {
    return Error{EINVAL,
                 fmt::format("'{}' is no name of an interface: it has up to {} characters", interface, IFNAMSIZ - 1)};
  }
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return Error::from_errno(errno, "socket");
  if (if_nametoindex(interface.c_str()) == 0) {
    return Error{ENODEV, fmt::format("{}: there is no such interface; 'ip link' lists them", interface)};
  }
  return Ethtool(std::move(socket), interface);
}

int Ethtool::request(void* command) const {
  ifreq request{};
  interface_.copy(request.ifr_name, sizeof request.ifr_name - 1);
  request.ifr_data = static_cast<char*>(command);
  return ioctl(socket_.get(), SIOCETHTOOL, &request) < 0 ? errno : 0;
}

std::optional<FlowControl> Ethtool::flow_control() const {
  ethtool_pauseparam pause{};
  pause.cmd = ETHTOOL_GPAUSEPARAM;
  if (request(&pause)) return std::nullopt;
  return FlowControl{pause.autoneg != 0, pause.rx_pause != 0, pause.tx_pause != 0};
}

Result<void> Ethtool::set_flow_control(const FlowControl& wanted) {
  ethtool_pauseparam pause{};
  pause.cmd = ETHTOOL_SPAUSEPARAM;
  pause.autoneg = wanted.autonegotiated;
  pause.rx_pause = wanted.rx;
  pause.tx_pause = wanted.tx;
  if (int code = request(&pause)) return Error::from_errno(code, interface_ + ": set flow control");
  return {};
}

std::optional<LinkSettings> Ethtool::link_settings() const {
  // The kernel first says how many words its masks of link modes have.
  ethtool_link_settings question{};
  question.cmd = ETHTOOL_GLINKSETTINGS;
  if (request(&question) || question.link_mode_masks_nwords >= 0) return std::nullopt;
  const int words = -question.link_mode_masks_nwords;
  Sized<ethtool_link_settings> settings(size_t(words) * 3 * sizeof(uint32_t));
  settings->cmd = ETHTOOL_GLINKSETTINGS;
  settings->link_mode_masks_nwords = int8_t(words);
  if (request(settings.get())) return std::nullopt;
  LinkSettings out;
  if (settings->speed != 0 && settings->speed != uint32_t(SPEED_UNKNOWN)) out.speed_mbps = settings->speed;
  if (settings->duplex != DUPLEX_UNKNOWN) out.full_duplex = settings->duplex == DUPLEX_FULL;
  out.autonegotiates = settings->autoneg == AUTONEG_ENABLE;
  return out;
}

std::optional<Queues> Ethtool::queues() const {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (request(&channels)) return std::nullopt;
  return Queues{channels.rx_count, channels.tx_count, channels.combined_count};
}

std::optional<std::string> Ethtool::driver() const {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (request(&info)) return std::nullopt;
  return text_of(info.driver, sizeof info.driver);
}

std::optional<std::string> Ethtool::permanent_address() const {
  Sized<ethtool_perm_addr> address(32);
  address->cmd = ETHTOOL_GPERMADDR;
  address->size = 32;
  if (request(address.get()) || address->size != 6) return std::nullopt;
  const uint8_t* b = address->data;
  if (std::all_of(b, b + 6, [](uint8_t byte) { return byte == 0; })) return std::nullopt;
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4], b[5]);
}

std::optional<bool> Ethtool::carrier() const {
  ethtool_value value{};
  value.cmd = ETHTOOL_GLINK;
  if (request(&value)) return std::nullopt;
  return value.data != 0;
}

std::vector<std::string> Ethtool::feature_names() const {
  Sized<ethtool_sset_info> count(sizeof(uint32_t));
  count->cmd = ETHTOOL_GSSET_INFO;
  count->sset_mask = uint64_t{1} << ETH_SS_FEATURES;
  if (request(count.get()) || count->sset_mask == 0 || count->data[0] > kMaxFeatures) return {};
  const uint32_t number = count->data[0];
  Sized<ethtool_gstrings> strings(size_t(number) * ETH_GSTRING_LEN);
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_FEATURES;
  strings->len = number;
  if (request(strings.get())) return {};
  std::vector<std::string> out;
  for (uint32_t i = 0; i < std::min(number, strings->len); i++) {
    out.push_back(text_of(reinterpret_cast<char*>(strings->data) + size_t(i) * ETH_GSTRING_LEN, ETH_GSTRING_LEN));
  }
  return out;
}

Features Ethtool::features() const {
  const std::vector<std::string> names = feature_names();
  const uint32_t blocks = uint32_t(names.size() + 31) / 32;
  Sized<ethtool_gfeatures> features(size_t(blocks) * sizeof(ethtool_get_features_block));
  features->cmd = ETHTOOL_GFEATURES;
  features->size = blocks;
  Features out;
  if (names.empty() || request(features.get())) return out;
  for (size_t i = 0; i < names.size(); i++) {
    const ethtool_get_features_block& block = features->features[i / 32];
    const uint32_t bit = uint32_t{1} << (i % 32);
    if (names[i].empty()) continue;
    out[names[i]] = {(block.active & bit) != 0, (block.requested & bit) != 0,
                     (block.available & bit) != 0 && (block.never_changed & bit) == 0};
  }
  return out;
}

Result<void> Ethtool::set_features(const std::map<std::string, bool>& wanted) {
  const std::vector<std::string> names = feature_names();
  const uint32_t blocks = uint32_t(names.size() + 31) / 32;
  Sized<ethtool_sfeatures> request_(size_t(blocks) * sizeof(ethtool_set_features_block));
  request_->cmd = ETHTOOL_SFEATURES;
  request_->size = blocks;
  for (const auto& [name, on] : wanted) {
    const size_t i = size_t(std::find(names.begin(), names.end(), name) - names.begin());
    if (i == names.size()) return Error{EINVAL, fmt::format("{}: has no feature {}", interface_, name)};
    const uint32_t bit = uint32_t{1} << (i % 32);
    request_->features[i / 32].valid |= bit;
    if (on) request_->features[i / 32].requested |= bit;
  }
  if (int code = request(request_.get())) return Error::from_errno(code, interface_ + ": set offloads");
  return {};
}

}  // namespace unetmap::cli
