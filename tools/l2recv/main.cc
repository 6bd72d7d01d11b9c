// SPDX-License-Identifier: BSD-2-Clause
// l2recv: counts the frames on the descriptor that l2open left, from the first one until there was silence.
#include <fmt/core.h>

#include "parts/l2_descriptor.hh"
#include "parts/option_table.hh"
#include "parts/quantities.hh"
#include "receive.hh"

int main(int argc, char** argv) {
  using namespace unetmap;
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
  if (!descriptor) {
    fmt::print(stderr, "l2recv: {}\n", descriptor.error().text);
    return 1;
  }
  parts::stop_on_signals();
  auto received = l2::receive(*descriptor, options);
  if (!received) {
    fmt::print(stderr, "l2recv: {}\n", received.error().text);
    return 1;
  }
  fmt::print("{}", json ? parts::l2_report_json(received->count, "dropped", received->dropped)
                        : parts::l2_report("Received", received->count));
  if (!json && received->dropped)
    fmt::print("Dropped by the kernel, as we were too slow: {} packets\n", received->dropped);
  return 0;
}
