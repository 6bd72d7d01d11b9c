// SPDX-License-Identifier: BSD-2-Clause
// Reads what a file wants, and says where it makes no sense.
#include <fmt/core.h>
#include <net/netmap.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "saved_state.hh"
#include "setting.hh"

namespace unetmap::cli {
namespace {

using Path = TomlDocument::Path;

enum class Type { kFlag, kNumber, kText, kPath };
struct Key {
  const char* name;
  Type type;
};
constexpr Key kPlugKeys[] = {
    {"socket", Type::kPath},   {"mode", Type::kText},    {"remote", Type::kPath},   {"separate", Type::kFlag},
    {"rings", Type::kNumber},  {"slots", Type::kNumber}, {"paravirt", Type::kFlag}, {"mitigation", Type::kFlag},
    {"itr_us", Type::kNumber}, {"mac", Type::kText},
};
constexpr const char* kCardKeys[] = {"paravirt", "mitigation", "itr_us", "mac"};  // of kind e1000 alone
constexpr uint64_t kMaxItr_us = 16776;                                            // that the card's register holds
constexpr const char* kPlugKinds[] = {"vhost-user", "e1000", "passthrough", "stream", "dgram"};
constexpr Key kRingKeys[] = {
    {"tx_rings", Type::kNumber}, {"rx_rings", Type::kNumber}, {"tx_slots", Type::kNumber}, {"rx_slots", Type::kNumber}};

const char* type_text(Type type) {
  switch (type) {
    case Type::kFlag:
      return "true or false";
    case Type::kNumber:
      return "a number of at least 1";
    case Type::kText:
      return "a text in quotes";
    case Type::kPath:
      return "a path in quotes";
  }
  return "";
}

bool is_of(const Json& value, Type type) {
  if (type == Type::kFlag) return value.is_boolean();
  if (type == Type::kNumber) return value.is_number_unsigned() && value.get<uint64_t>() > 0;
  return value.is_string() && !value.get<std::string>().empty();
}

bool is_address(const std::string& text) {
  unsigned b[6];
  char end;
  return text.size() == 17 &&
         sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) == 6;
}

std::string in_small_letters(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return text;
}

class Reader {
 public:
  Reader(const TomlDocument& document, const Normalise& normalise) : document_(document), normalise_(normalise) {}

  Result<Json> read() {
    Json out{{"persistent", Json::object()}, {"switch", Json::object()}, {"port", Json::object()}};
    for (auto& [table, things] : document_.root().items()) {
      const Path at = Path() / table;
      if (!out.contains(table))
        return bad(at, "there is no such table; there are persistent, switch and port, as in [port.\"vale0:1\"]");
      if (!things.is_object()) return bad(at, fmt::format("is no table; write [{}.NAME]", table));
      for (auto& [name, thing] : things.items()) {
        if (!thing.is_object()) return bad(at / name, fmt::format("is no table; write [{}.\"{}\"]", table, name));
        Result<Json> read = table == "persistent" ? persistent(at / name, thing)
                            : table == "switch"   ? sw(at / name, name, thing)
                                                  : port(at / name, name, thing);
        if (!read) return read.error();
        out[table][name] = std::move(*read);
      }
    }
    return out;
  }

 private:
  Error bad(const Path& at, const std::string& what) const { return document_.error(at, what); }

  Result<Json> persistent(const Path& at, const Json& thing) {
    Json out{{"tx_rings", 1}, {"rx_rings", 1}, {"tx_slots", 1024}, {"rx_slots", 1024}};
    for (auto& [key, value] : thing.items()) {
      auto known = std::find_if(std::begin(kRingKeys), std::end(kRingKeys),
                                [&key = key](auto& each) { return key == each.name; });
      if (known == std::end(kRingKeys)) return bad(at / key, "there is no such key; see unetmap.toml(5), persistent");
      if (!is_of(value, known->type)) return bad(at / key, std::string("takes ") + type_text(known->type));
      out[key] = value;
    }
    return out;
  }

  Result<Json> sw(const Path& at, const std::string& name, const Json& thing) {
    if (!name.starts_with("vale") || name.find(':') != std::string::npos)
      return bad(at, "is no switch; name one such as vale0");
    Json out = Json::object();
    for (auto& [key, pins] : thing.items()) {
      if (key != "pins") return bad(at / key, "there is no such key; a switch has pins");
      if (!pins.is_object())
        return bad(at / key, "takes a table such as { \"02:00:00:00:00:01\" = \"" + name + ":1\" }");
      for (auto& [address, port] : pins.items()) {
        if (!is_address(address))
          return bad(at / key / address, "is no Ethernet address; give one such as 02:00:00:00:00:01");
        if (!port.is_string() || !port.get<std::string>().starts_with(name + ":"))
          return bad(at / key / address, "takes a port of that switch, such as \"" + name + ":1\"");
        out[key][in_small_letters(address)] = port;
      }
    }
    return out;
  }

  Result<Json> port(const Path& at, const std::string& name, const Json& thing) {
    if (!name.starts_with("vale") || name.find(':') == std::string::npos || name.ends_with(":"))
      return bad(at, "is no port of a switch; name one such as \"vale0:1\"");
    if (name.size() >= NETMAP_REQ_IFNAMSIZ)
      return bad(at, fmt::format("is longer than a port's name can be, {} bytes", NETMAP_REQ_IFNAMSIZ - 1));
    Json out = Json::object();
    const auto names = port_property_names();
    for (auto& [key, value] : thing.items()) {
      if (key == "plug") {
        auto read = plug(at / key, value);
        if (!read) return read;
        out[key] = std::move(*read);
      } else if (key == "attach") {
        if (value != "interface" && value != "host")
          return bad(at / key, "takes \"interface\", or \"host\" where the host's stack is to be on the switch, too");
        out[key] = value;
      } else if (std::find(names.begin(), names.end(), key) == names.end()) {
        return bad(at / key, "there is no such key; there are plug, attach and the properties of unetmap set");
      } else if (auto read = property(at / key, name, key, value); !read) {
        return read;
      } else {
        out.update(*read);
      }
    }
    if (out.contains("plug") && out.contains("attach"))
      return bad(at / "attach", "a port that something is plugged into has no interface; leave one of both out");
    if (out.value("zero_copy", false) && (out.contains("plug") || out.contains("attach")))
      return bad(at / "zero_copy", "is for ports that programs open; leave it or " +
                                       std::string(out.contains("plug") ? "plug" : "attach") + " out");
    return out;
  }

  // As text, it is what follows on the command line of unetmap set.
  Result<Json> property(const Path& at, const std::string& port, const std::string& key, const Json& value) {
    Json wanted{{key, value}};
    if (value.is_string()) {
      auto read = parse_setting(key, value.get<std::string>());
      if (!read) return bad(at, read.error().text);
      wanted = std::move(*read);
    } else if (value.is_boolean() && !takes_flag(key)) {
      if (value.get<bool>()) return bad(at, "is a property with a value; see unetmap(8), set");
      wanted[key] = nullptr;
    }
    auto normal = normalise_(port, wanted);
    if (!normal) return bad(at, normal.error().text);
    return normal;
  }

  Result<Json> plug(const Path& at, const Json& thing) {
    if (!thing.is_object()) return bad(at, "takes a table such as { kind = \"stream\", socket = \"/run/vm1.sock\" }");
    Json out = Json::object();
    auto kind = thing.find("kind");
    if (kind == thing.end() || std::find(std::begin(kPlugKinds), std::end(kPlugKinds), *kind) == std::end(kPlugKinds))
      return bad(at / "kind", "is to be one of \"vhost-user\", \"e1000\", \"passthrough\", \"stream\" and \"dgram\"");
    out["kind"] = *kind;
    if (!thing.contains("socket")) return bad(at, "has no socket; say where it is, as in socket = \"/run/vm1.sock\"");
    for (auto& [key, value] : thing.items()) {
      if (key == "kind") continue;
      auto known = std::find_if(std::begin(kPlugKeys), std::end(kPlugKeys),
                                [&key = key](auto& each) { return key == each.name; });
      if (known == std::end(kPlugKeys)) return bad(at / key, "there is no such key; see unetmap.toml(5), plug");
      if (!is_of(value, known->type)) return bad(at / key, std::string("takes ") + type_text(known->type));
      out[key] = value;
      if (known->type == Type::kPath) out[key] = absolute(value.get<std::string>());
    }
    if (!out.contains("mode")) out["mode"] = "server";
    if (out["mode"] != "server" && out["mode"] != "client") return bad(at / "mode", "takes \"server\" or \"client\"");
    if (auto agreed = card(at, out); !agreed) return agreed.error();
    return out;
  }

  // What a card's keys say of each other.
  Result<void> card(const Path& at, const Json& plug) {
    for (const char* key : kCardKeys)
      if (plug["kind"] != "e1000" && plug.contains(key))
        return bad(at / key, "is for the kind \"e1000\" alone; leave it out");
    if (plug.value("itr_us", uint64_t{0}) > kMaxItr_us)
      return bad(at / "itr_us", fmt::format("takes at most {} microseconds", kMaxItr_us));
    if (plug.contains("itr_us") && !plug.value("mitigation", true))
      return bad(at / "itr_us", "a least time between interrupts needs mitigation; leave one of both out");
    if (plug.contains("mac") && !is_address(plug["mac"].get<std::string>()))
      return bad(at / "mac", "is no Ethernet address; give one such as 02:00:00:00:00:01");
    return {};
  }

  // Relative paths begin where the file is.
  std::string absolute(const std::string& path) const {
    const std::filesystem::path folder = std::filesystem::absolute(document_.name()).parent_path();
    return (folder / path).lexically_normal().string();
  }

  const TomlDocument& document_;
  const Normalise& normalise_;
};

}  // namespace

Result<Json> wanted_state(const TomlDocument& document, const Normalise& normalise) {
  return Reader(document, normalise).read();
}

}  // namespace unetmap::cli
