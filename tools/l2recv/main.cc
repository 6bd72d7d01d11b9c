// SPDX-License-Identifier: BSD-2-Clause
// l2recv: counts the frames on the descriptor that l2open left, from the first one until there was silence.
#include <fmt/core.h>

#include "base/output.hh"
#include "parts/json_report.hh"
#include "parts/l2_descriptor.hh"
#include "parts/option_table.hh"
#include "parts/quantities.hh"
#include "receive.hh"

int main(int argc, char** argv) {
  using namespace unetmap;
  check_output_at_exit("l2recv");
  l2::ReceiveOptions options;
  bool json = false;
  parts::OptionTable table(
      "l2recv", "Waits for a first frame, counts until two seconds of silence, and prints rate and count.", "",
      {{'n', "count", "FRAMES", "end after so many frames", parts::set_count(options.count)},
       {'q', "quiet", "TIME", "the silence that ends it (default 2s)",
        [&](const char* text) -> Result<void> {
          auto ns = parts::parse_time_ns(text, "s");
          if (!ns) return ns.error();
          if (*ns < 1'000'000 || *ns > 86400'000'000'000) return Error{ERANGE, "give a time from 1ms to a day"};
          options.silence_ns = *ns;
          return {};
        }},
       {'f', "filter", "EXPRESSION", "count what matches, such as 'udp port 9' (pcap-filter(7))",
        parts::set_text(options.filter)},
       {0, "json", nullptr, "print JSON", parts::set_flag(json)}});
  int status = 0;
  auto words = table.run(argc, argv, &status);
  if (!words) return status;
  if (!words->empty()) return table.usage_error("it takes no words: " + words->front());
  auto descriptor = parts::inherited_l2_descriptor("l2recv");
  if (!descriptor) return parts::ended("l2recv", parts::fail("l2recv", descriptor.error().text), json);
  parts::stop_on_signals();
  auto received = l2::receive(*descriptor, options);
  if (!received) return parts::ended("l2recv", parts::fail("l2recv", received.error().text), json);
  if (json) {
    parts::print_l2_json("l2recv", received->count, "dropped", received->dropped);
    return 0;
  }
  print_out("{}", parts::l2_report("Received", received->count));
  if (received->dropped) print_out("Dropped by the kernel, as we were too slow: {} packets\n", received->dropped);
  return 0;
}
