// SPDX-License-Identifier: BSD-2-Clause
// nmreplay: plays a capture through a netmap port, with bandwidth, delay and loss.
#include <fmt/core.h>

#include <limits>

#include "base/output.hh"
#include "parts/capture_file.hh"
#include "parts/json_report.hh"
#include "parts/option_table.hh"
#include "parts/quantities.hh"
#include "parts/stop.hh"
#include "replay.hh"

namespace {

using namespace unetmap;

template <class T, class Parse>
auto model_row(T& field, Parse parse) {
  return [&field, parse](const char* text) -> Result<void> {
    auto value = parse(text);
    if (!value) return value.error();
    field = *value;
    return {};
  };
}

parts::OptionTable option_table(nmreplay::Options& o) {
  using namespace parts;
  return OptionTable(
      "nmreplay", "Plays a pcap or pcapng file through a netmap port.", "",
      {{'f', nullptr, "FILE", "the capture", set_text(o.file)},
       {'i', nullptr, "PORT", "the port to send through", set_text(o.port)},
       {'B', nullptr, "BANDWIDTH",
        "BPS, constant,BPS, ether,BPS, or real[,SPEEDUP] for the capture's times (default real)",
        model_row(o.model.bandwidth, [](const char* text) { return parse_bandwidth(text, true); })},
       {'D', nullptr, "DELAY", "T, constant,T, uniform,MIN,MAX or exp,MIN,AVERAGE",
        model_row(o.model.delay, parse_delay)},
       {'L', nullptr, "LOSS", "P, plr,P of packets, or ber,P of bits", model_row(o.model.loss, parse_loss)},
       {'b', nullptr, "PACKETS", "at most that many at a time (default 1024)", set_whole(o.batch, 1, 1 << 20)},
       {'w', nullptr, "SECONDS", "wait for the link of an interface first (default 2)",
        set_whole(o.wait_link_s, 0, 3600)},
       {'C', nullptr, "CPU", "run on that processor",
        [&o](const char* text) {
          o.on_processor = true;
          return set_whole(o.processor, 0, 1023)(text);
        }},
       {'v', nullptr, nullptr, "rates every second on standard error",
        [&o](const char*) {
          o.verbose++;
          return Result<void>();
        }},
       {'l', "loops", "NUMBER", "play so many times; 0 until interrupted (default 0, with -B 0 1)",
        [&o](const char* text) {
          o.loops_given = true;
          return set_whole(o.loops)(text);
        }},
       {0, "seed", "NUMBER", "of what is random (default 1)", set_whole(o.seed)},
       {0, "json", nullptr, "print JSON", set_flag(o.json)}});
}

void print(const nmreplay::Outcome& out, bool json) {
  if (json) {
    parts::print_json("nmreplay", {{"sent", out.sent},
                                   {"bytes", out.bytes},
                                   {"lost", out.lost},
                                   {"truncated", out.truncated},
                                   {"unsendable", out.unsendable},
                                   {"seconds", out.seconds}});
    return;
  }
  print_out("Sent {} packets {} bytes in {:.3f} seconds", out.sent, out.bytes, out.seconds);
  if (out.seconds > 0)
    print_out(", {}pps {}bps", parts::scaled(double(out.sent) / out.seconds),
              parts::scaled(8 * double(out.bytes) / out.seconds));
  print_out("\n");
  if (out.lost) print_out("Lost, as emulated: {}\n", out.lost);
  if (out.unsendable) print_out("Left out, as too short or too long: {}\n", out.unsendable);
}

}  // namespace

int main(int argc, char** argv) {
  check_output_at_exit("nmreplay");
  nmreplay::Options options;
  options.model.bandwidth.real = true;
  // The file is not a queue: nothing is lost for want of room.
  options.model.queue_bytes = std::numeric_limits<uint64_t>::max();
  parts::OptionTable table = option_table(options);
  int status = 0;
  auto words = table.run(argc, argv, &status);
  if (!words) return status;
  if (!words->empty()) return table.usage_error("it takes no words: " + words->front());
  if (options.file.empty() || options.port.empty())
    return table.usage_error("give a capture with -f and a port with -i");
  if (!options.port.starts_with("netmap:") && !options.port.starts_with("vale"))
    options.port = "netmap:" + options.port;
  // As fast as possible and for ever is nothing that anybody means without saying so.
  const parts::Bandwidth& bandwidth = options.model.bandwidth;
  if (!options.loops_given && !bandwidth.real && bandwidth.bits_per_second == 0) options.loops = 1;
  parts::stop_on_signals();
  return parts::carried_out("nmreplay", options.json, [&] {
    auto out = nmreplay::replay(options);
    if (!out) return parts::fail("nmreplay", out.error().text);
    if (out->truncated) print_err("nmreplay: {}\n", parts::shortened_note(out->truncated));
    print(*out, options.json);
    return 0;
  });
}
