// SPDX-License-Identifier: BSD-2-Clause
// All that is sent on a switch, from its tap: stamps are the senders', and a frame that waits for room is written once
// it has gone.
#include <algorithm>

#include "clock.hh"
#include "fate.hh"
#include "parts/packet_filter.hh"
#include "tap_loop.hh"
#include "watch_port.hh"

namespace unetmap::cli {

Result<Watched> watch_switch(const WatchOptions& options, const OpenFile& open_file,
                             const std::function<void(const Watched&)>& progress) {
  auto filter = parts::PacketFilter::compile(options.filter);
  if (!filter) return filter.error();
  auto target = tap_target(options.port);
  if (!target) return target.error();
  auto tap = SwitchTap::open(target->switch_name);
  if (!tap) return tap.error();
  Watched out;
  uint64_t marked_lost = 0;
  CaptureOutput file(options.file, options.rotation, open_file, out);
  const CaptureOutput::Origin origin{target->switch_name, "switch of unetmap", options.filter,
                                     "unetmap " UNETMAP_VERSION, options.snapshot_bytes};
  Result<void> result = file.begin(origin, clock_ns(CLOCK_REALTIME));
  if (result) result = file.flush();  // readers see the beginning at once
  const NameOf name_of = [&](uint16_t index, uint32_t generation) { return tap->name_of(index, generation); };
  TapLoop loop;
  loop.duration_ns = options.duration_ns;
  loop.take = [&](const TapRecord& record) -> Result<bool> {
    const TapHead& head = record.head;
    if (head.cause == TapCause::kWaits) return true;
    if (!filter->passes(record.frame, head.frame_bytes)) {
      out.received++;
      return true;
    }
    auto bytes = record.frame;
    if (options.snapshot_bytes) bytes = bytes.first(std::min<size_t>(bytes.size(), options.snapshot_bytes));
    const std::string fate = fate_text(record, name_of);
    const parts::PcapngWriter::Packet packet{
        head.time_ns, bytes, head.frame_bytes, parts::Direction::kOut, out.lost - marked_lost, 0, fate};
    marked_lost = out.lost;
    auto written = file.write(packet, name_of(head.port, head.generation));
    out.received++;
    out.captured++;
    if (!written) return written.error();
    return !options.count || out.captured < options.count;
  };
  loop.after = [&](bool shows) -> Result<void> {
    if (shows) {
      out.lost = std::max(out.lost, tap->lost());
      progress(out);
    }
    return file.flush();
  };
  std::optional<Error> gone;
  if (result) result = run_tap(*tap, loop);
  if (!result && result.error().code == ENXIO) {
    gone = result.error();
    result = {};
  }
  out.lost = std::max(out.lost, tap->lost());
  if (result) result = file.finish(clock_ns(CLOCK_REALTIME));
  out.files = file.files();
  // Who read the file has had enough: an end like others.
  if (!result && result.error().code != EPIPE) return result.error();
  if (gone) return *gone;
  return out;
}

}  // namespace unetmap::cli
