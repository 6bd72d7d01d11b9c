// SPDX-License-Identifier: BSD-2-Clause
#include "sample.hh"

#include <algorithm>
#include <cerrno>
#include <unordered_map>

#include "base/json.hh"

namespace unetmap::cli::live {
namespace {

// Fills a Sample while the daemon's text is read: a thousand ports are some hundred kilobytes, each second.
class Reader final : public nlohmann::json_sax<Json> {
 public:
  Sample take() { return std::move(sample_); }

  bool start_object(std::size_t) override { return enter(true); }
  bool start_array(std::size_t) override { return enter(false); }
  bool key(string_t& name) override {
    key_ = name;
    return true;
  }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }

  bool null() override { return true; }
  bool binary(binary_t&) override { return true; }
  bool number_integer(number_integer_t value) override { return number(value < 0 ? 0 : uint64_t(value), double(value)); }
  bool number_unsigned(number_unsigned_t value) override { return number(value, double(value)); }
  bool number_float(number_float_t value, const string_t&) override {
    return number(value >= 0 && value < 1e18 ? uint64_t(value) : 0, value);
  }
  bool string(string_t& value) override {
    if (at() != Place::kPort) return true;
    if (key_ == "name")
      port().name = value;
    else if (key_ == "kind")
      port().kind = value;
    else if (key_ == "switch")
      port().sw = value;
    else if (key_ == "state")
      port().state = value;
    return true;
  }
  bool boolean(bool value) override {
    if (at() != Place::kPort) return true;
    if (key_ == "asleep")
      port().asleep = value;
    else if (key_ == "lossless")
      port().lossless = value;
    else if (key_ == "connected")
      port().connected = value;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  // Of another shape than expected is whatever is in none of these.
  enum class Place : uint8_t { kOutside, kTop, kPorts, kPort, kDirection, kLost, kPids, kElsewhere };

  Place at() const { return depth_ ? place_[std::min(depth_, kDeepest) - 1] : Place::kOutside; }
  Place next(bool object) const {
    switch (at()) {
      case Place::kOutside:
        return object ? Place::kTop : Place::kElsewhere;
      case Place::kTop:
        return !object && (key_ == "ports" || key_ == "gone") ? Place::kPorts : Place::kElsewhere;
      case Place::kPorts:
        return object ? Place::kPort : Place::kElsewhere;
      case Place::kPort:
        if (object) return key_ == "tx" || key_ == "rx" ? Place::kDirection : Place::kElsewhere;
        return key_ == "pids" ? Place::kPids : Place::kElsewhere;
      case Place::kDirection:
        return object && key_ == "lost" ? Place::kLost : Place::kElsewhere;
      default:
        return Place::kElsewhere;
    }
  }
  bool enter(bool object) {
    const Place to = depth_ < kDeepest ? next(object) : Place::kElsewhere;
    if (to == Place::kPorts) gone_ = key_ == "gone";
    if (to == Place::kPort && gone_) sample_.gone.emplace_back();
    if (to == Place::kPort && !gone_) sample_.ports.emplace_back();
    if (to == Place::kDirection) direction_ = key_ == "tx" ? &port().tx : &port().rx;
    if (depth_++ < kDeepest) place_[depth_ - 1] = to;
    return true;
  }
  bool leave() {
    if (at() == Place::kDirection) direction_->used = std::min(direction_->used, direction_->slots);
    depth_--;
    return true;
  }
  bool number(uint64_t value, double real) {
    switch (at()) {
      case Place::kTop:
        if (key_ == "at_ns") sample_.at_ns = value;
        break;
      case Place::kPort:
        if (key_ == "unique")
          port().unique = value;
        else if (key_ == "sleeps")
          port().sleeps = value;
        else if (gone_ && key_ == "gone_s")
          sample_.gone.back().gone_s = real;
        break;
      case Place::kDirection:
        of_direction(value);
        break;
      case Place::kLost:
        direction_->lost[key_] = value;
        break;
      case Place::kPids:
        port().pids.push_back(pid_t(value));
        break;
      default:
        break;
    }
    return true;
  }
  void of_direction(uint64_t value) {
    if (key_ == "packets")
      direction_->packets = value;
    else if (key_ == "bytes")
      direction_->bytes = value;
    else if (key_ == "syncs")
      direction_->syncs = value;
    else if (key_ == "slots")
      direction_->slots = value;
    else if (key_ == "used")
      direction_->used = value;
  }
  Port& port() { return gone_ ? sample_.gone.back().port : sample_.ports.back(); }

  static constexpr size_t kDeepest = 8;
  Sample sample_;
  std::string key_;
  Place place_[kDeepest] = {};
  size_t depth_ = 0;
  bool gone_ = false;
  Direction* direction_ = nullptr;
};

double per_second(uint64_t before, uint64_t after, double seconds) {
  return after > before && seconds > 0 ? double(after - before) / seconds : 0;
}

}  // namespace

uint64_t Direction::all_lost() const {
  uint64_t sum = 0;
  for (const auto& [cause, packets] : lost) sum += packets;
  return sum;
}

Result<Sample> sample_of(std::string_view answer) {
  Reader reader;
  if (!walk_json(answer, reader))
    return Error{EPROTO, "unetmapd: answer not understood; is the daemon of the same version as this program? End it and try again"};
  return reader.take();
}

std::vector<Rate> rates_between(const Sample& before, const Sample& after) {
  const double seconds = after.at_ns > before.at_ns ? double(after.at_ns - before.at_ns) / 1e9 : 0;
  std::unordered_map<uint64_t, const Port*> old;
  for (const Port& port : before.ports) old[port.unique] = &port;
  std::vector<Rate> out;
  out.reserve(after.ports.size());
  for (const Port& port : after.ports) {
    auto found = old.find(port.unique);
    if (found == old.end()) {
      out.emplace_back();
      continue;
    }
    const Port& was = *found->second;
    out.push_back(
        {per_second(was.tx.packets, port.tx.packets, seconds), 8 * per_second(was.tx.bytes, port.tx.bytes, seconds),
         per_second(was.rx.packets, port.rx.packets, seconds), 8 * per_second(was.rx.bytes, port.rx.bytes, seconds),
         per_second(was.tx.all_lost(), port.tx.all_lost(), seconds) +
             per_second(was.rx.all_lost(), port.rx.all_lost(), seconds),
         per_second(was.sleeps, port.sleeps, seconds), per_second(was.tx.all_lost(), port.tx.all_lost(), seconds)});
  }
  return out;
}

}  // namespace unetmap::cli::live
