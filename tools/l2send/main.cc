// SPDX-License-Identifier: BSD-2-Clause
// l2send: sends frames on the descriptor that l2open left.
#include <fmt/core.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.hh"
#include "base/output.hh"
#include "options.hh"
#include "parts/json_report.hh"

namespace {

using namespace unetmap;

constexpr uint64_t kLocalMac = 0x020000000001;  // for a tap: whoever is behind it is not the interface itself

int fail(const std::string& text, bool json) { return parts::ended("l2send", parts::fail("l2send", text), json); }

// The address that frames of this descriptor come from: the interface's own on a socket.
uint64_t own_mac(const parts::L2Descriptor& descriptor) {
  ifreq request{};
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (descriptor.tap || descriptor.interface.size() >= sizeof request.ifr_name) return kLocalMac;
  descriptor.interface.copy(request.ifr_name, descriptor.interface.size());
  if (ioctl(socket.get(), SIOCGIFHWADDR, &request) < 0) return kLocalMac;
  uint64_t mac = 0;
  for (int i = 0; i < 6; i++) mac = mac << 8 | uint8_t(request.ifr_hwaddr.sa_data[i]);
  return mac ? mac : kLocalMac;
}

}  // namespace

int main(int argc, char** argv) {
  check_output_at_exit("l2send");
  l2::CommandLine line;
  parts::OptionTable table = l2::option_table(line);
  int status = 0;
  auto words = table.run(argc, argv, &status);
  if (!words) return status;
  if (!words->empty()) return table.usage_error("it takes no words: " + words->front());
  if (auto right = l2::complete(line, kLocalMac); !right) return table.usage_error(right.error().text);
  auto descriptor = parts::inherited_l2_descriptor("l2send");
  if (!descriptor) return fail(descriptor.error().text, line.json);
  if (auto right = l2::complete(line, own_mac(*descriptor)); !right) return fail(right.error().text, line.json);
  parts::stop_on_signals();
  auto sent = l2::send(*descriptor, line.send);
  if (!sent) return fail(sent.error().text, line.json);
  if (line.json) {
    parts::print_l2_json("l2send", sent->count, "refused", sent->refused);
    return 0;
  }
  print_out("{}", parts::l2_report("Sent", sent->count));
  if (sent->refused) print_out("Full queue, tried again: {} times\n", sent->refused);
  return 0;
}
