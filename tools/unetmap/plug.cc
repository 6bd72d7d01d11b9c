// SPDX-License-Identifier: BSD-2-Clause
#include "plug.hh"

#include <fcntl.h>
#include <fmt/core.h>

#include <filesystem>

#include "answers.hh"
#include "base/fd.hh"
#include "base/json.hh"
#include "base/output.hh"
#include "setting.hh"
#include "wire/channel.hh"

namespace unetmap::cli {
namespace {

struct KindOption {
  const char* kind;
  const char* help;
};
constexpr KindOption kKinds[] = {
    {"vhost-user", "a virtual machine's vhost-user network device"},
    {"stream", "frames with their lengths over a stream socket, such as QEMU's -netdev stream"},
    {"e1000", "an Intel 82540EM of a virtual machine, for QEMU's vfio-user-pci"},
    {"passthrough", "the port's rings in a virtual machine, for QEMU's ivshmem-doorbell"},
    {"dgram", "a frame a datagram, such as QEMU's -netdev dgram; --remote names the peer's socket"},
};

struct Parameter {
  const char* key;
  const char* help;
  bool is_path;
};
constexpr Parameter kTexts[] = {
    {"remote", "dgram: the peer's socket; without it, whoever sends first", true},
};
constexpr Parameter kNumbers[] = {
    {"rings", "ring pairs of the port, for kinds with several queues", false},
    {"slots", "slots of each ring; 1024 otherwise", false},
};
constexpr const char* kCard = "e1000";

}  // namespace

PlugCommands::PlugCommands(Command& app) {
  plug_ = app.add_subcommand(
      "plug", "have something other than a program use a port: unetmap plug vale0:01 --stream /run/vm.sock");
  plug_.add_option("port", port_, "such as vale0:01; it is made, and must not be in use").required();
  auto kinds = plug_.add_option_group("kind");
  for (const KindOption& each : kKinds)
    kinds.add_option("--" + std::string(each.kind), sockets_[each.kind], each.help).option_text("SOCKET");
  kinds.require_option(1);
  auto server = plug_.add_flag("--server", server_, "offer the socket (what it does without either)");
  plug_.add_flag("--client", client_, "connect to the socket, again and again").excludes(server);
  for (const Parameter& each : kTexts)
    plug_.add_option("--" + std::string(each.key), texts_[each.key], each.help)
        .option_text(each.is_path ? "SOCKET" : "TEXT");
  for (const Parameter& each : kNumbers)
    plug_.add_option("--" + std::string(each.key), numbers_[each.key], each.help).option_text("N");
  plug_.add_flag("--separate", separate_,
                 "vhost-user, e1000: a process of its own; others of the switch are served by one, with a copy less");
  auto paravirt =
      plug_.add_flag("--paravirt", paravirt_, "e1000: with the paravirtual extension, for drivers that know it");
  auto mitigation =
      plug_.add_option("--mitigation", mitigation_, "e1000: the card's timers between interrupts; on otherwise")
          .one_of({"on", "off"});
  auto itr = plug_
                 .add_option("--itr", itr_us_,
                             "e1000: at least so many microseconds between interrupts, whatever the driver sets")
                 .option_text("US");
  for (CommandOption each : {paravirt, mitigation, itr}) each.needs(kinds.get_option("--" + std::string(kCard)));
  for (const std::string& name : port_property_names())
    plug_
        .add_option("--" + name, settings_[name],
                    name == "mac" ? "as unetmap set has it; e1000: the card's address" : "as unetmap set has it")
        .option_text("VALUE");
  // By the conventions of QEMU's documentation for programs behind vhost-user devices.
  plug_
      .add_answer(
          "--print-capabilities",
          [] {
            print_out("{}\n", json_text(Json{{"type", "net"}}));
          },
          "say in JSON what a vhost-user port is")
      .trigger_on_parse();
  plug_.add_flag("--json", json_, "print JSON");
  unplug_ = app.add_subcommand("unplug", "undo plug");
  unplug_.add_option("port", port_, "such as vale0:01").required();
  unplug_.add_flag("--json", json_, "print JSON");
}

bool PlugCommands::chosen() const { return plug_ || unplug_; }

int PlugCommands::run() { return plug_ ? plug() : unplug(); }

// What the worker makes a card of.
void PlugCommands::describe_card(Json& wanted) {
  if (paravirt_) wanted["paravirt"] = true;
  if (!mitigation_.empty()) wanted["mitigation"] = mitigation_ == "on";
  if (itr_us_) wanted["itr_us"] = itr_us_;
  // A card has an address; what it may send from is set beside it.
  if (std::string& mac = settings_["mac"]; !mac.empty()) wanted["mac"] = std::exchange(mac, "");
}

int PlugCommands::plug() {
  auto absolute = [](const std::string& path) { return std::filesystem::absolute(path).lexically_normal().string(); };
  Json wanted{{"port", port_}};
  for (auto& [kind, socket] : sockets_)
    if (!socket.empty()) {
      wanted["kind"] = kind;
      wanted["socket"] = absolute(socket);
    }
  if (separate_) wanted["separate"] = true;
  wanted["mode"] = client_ ? "client" : "server";
  for (const Parameter& each : kTexts)
    if (const std::string& text = texts_[each.key]; !text.empty())
      wanted[each.key] = each.is_path ? absolute(text) : text;
  for (const Parameter& each : kNumbers)
    if (uint64_t number = numbers_[each.key]) wanted[each.key] = number;
  if (wanted["kind"] == kCard) describe_card(wanted);
  for (auto& [property, value] : settings_) {
    if (value.empty()) continue;
    auto setting = parse_setting(property, value);
    if (!setting) return mistake(setting.error().text + "; see unetmap plug --help");
    wanted["set"].update(*setting);
  }
  // Starts a daemon if none runs, and keeps it until the port is there.
  UniqueFd hold;
  auto link = running_daemon(hold);
  if (!link) return fail(link.error().text);
  auto done = link->plug(wanted);
  close(hold.release());
  if (!done) return fail(done.error().text);
  if (json_) parts::print_json("unetmap", wanted);
  return 0;
}

int PlugCommands::unplug() {
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return fail(link.error().text);
  if (!*link) return fail(no_daemon() + ", so nothing is plugged in");
  if (auto done = (**link).unplug({{"port", port_}}); !done) return fail(done.error().text);
  if (json_) parts::print_json("unetmap", {{"port", port_}});
  return 0;
}

}  // namespace unetmap::cli
