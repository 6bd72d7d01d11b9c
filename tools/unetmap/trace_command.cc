// SPDX-License-Identifier: BSD-2-Clause
#include "trace_command.hh"

#include <fmt/core.h>
#include <time.h>
#include <unistd.h>

#include <set>

#include "answers.hh"
#include "base/output.hh"
#include "fate.hh"
#include "frame_text.hh"
#include "parts/quantities.hh"
#include "parts/stop.hh"
#include "tap_loop.hh"

namespace unetmap::cli {
namespace {

// Of the day, here.
std::string clock_text(uint64_t since_1970_ns) {
  const time_t seconds = time_t(since_1970_ns / 1'000'000'000);
  tm parts{};
  localtime_r(&seconds, &parts);
  return fmt::format("{:02}:{:02}:{:02}.{:06}", parts.tm_hour, parts.tm_min, parts.tm_sec,
                     since_1970_ns / 1000 % 1'000'000);
}

}  // namespace

TraceCommand::TraceCommand(Command& app) {
  trace_ = app.add_subcommand("trace", "what becomes of the frames that are sent on a switch: to whom, or lost why");
  trace_.add_option("what", what_, "a switch or one port of it, such as vale0, vale0:1, eth0").required();
  trace_.add_option("-c,--count", limit_, "end after so many frames");
  trace_.add_option("-d,--duration", duration_, "end after that time, such as 10s");
  trace_.add_flag("--json", json_, "a line of JSON for each frame, and one with the counts at the end");
  trace_.add_option("filter", filter_words_, "which frames, such as: udp port 53 (pcap-filter(7))");
}

bool TraceCommand::chosen() const { return trace_.parsed(); }

int TraceCommand::run() {
  parts::stop_on_signals();
  auto traced = trace();
  if (traced) return kOk;
  fail(traced.error().text);
  return traced.error().code == EINVAL ? kUsage : kFailed;
}

Result<void> TraceCommand::trace() {
  TapLoop loop;
  if (!duration_.empty()) {
    auto ns = parts::parse_time_ns(duration_, "s");
    if (!ns) return Error{EINVAL, "--duration: " + ns.error().text};
    loop.duration_ns = *ns;
  }
  std::string expression;
  for (const std::string& word : filter_words_) expression += (expression.empty() ? "" : " ") + word;
  auto filter = parts::PacketFilter::compile(expression);
  if (!filter) return filter.error();
  filter_ = std::move(*filter);
  auto target = tap_target(what_);
  if (!target) return target.error();
  target_ = *target;
  auto tap = SwitchTap::open(target_.switch_name);
  if (!tap) return Error{tap.error().code == EINVAL ? EIO : tap.error().code, tap.error().text};
  tap_.emplace(std::move(*tap));
  print_err("unetmap: tracing {}{}\n", what_, isatty(STDERR_FILENO) ? "; Ctrl-C ends it" : "");
  loop.take = [&](const TapRecord& record) -> Result<bool> {
    if (!matches(record)) return true;
    count(record);
    show(record);
    return !limit_ || frames_ < limit_;
  };
  loop.after = [](bool) -> Result<void> {
    if (fflush(stdout) == 0 && output_works()) return {};
    return Error{EPIPE, "standard output: cannot be written"};
  };
  auto ran = run_tap(*tap_, loop);
  summary();
  return ran;
}

// What cannot be read matches every filter: it may be the very frame that is looked for.
bool TraceCommand::matches(const TapRecord& record) {
  if (!target_.port.empty() &&
      !concerns(record, target_.port, [&](uint16_t index, uint32_t generation) { return name(index, generation); }))
    return false;
  return record.frame.size() < 14 || filter_.passes(record.frame, record.head.frame_bytes);
}

void TraceCommand::count(const TapRecord& record) {
  frames_++;
  const TapHead& head = record.head;
  if (head.way == TapWay::kRefused) {
    fates_[head.cause]++;
    return;
  }
  std::set<TapCause> seen;
  for (size_t i = 0; i < head.listed; i++) seen.insert(record.dest(i).cause);
  for (TapCause cause : seen)
    if (cause != TapCause::kDelivered) fates_[cause]++;
  arrived_ += head.delivered == head.dests && head.dests != 0;
}

Json TraceCommand::in_json(const TapRecord& record) {
  const TapHead& head = record.head;
  Json dests = Json::array();
  for (size_t i = 0; i < head.listed; i++) {
    const TapDest dest = record.dest(i);
    dests.push_back({{"port", name(dest.port, dest.generation)}, {"fate", cause_name(dest.cause)}});
  }
  return {{"time_ns", head.time_ns},
          {"port", name(head.port, head.generation)},
          {"ring", head.ring},
          {"way", way_name(head.way)},
          {"refused", head.way == TapWay::kRefused ? Json(cause_name(head.cause)) : Json()},
          {"destinations", std::move(dests)},
          {"destination_count", head.dests},
          {"delivered", head.delivered},
          {"bytes", head.frame_bytes},
          {"frame", frame_text(record.frame, head.frame_bytes)}};
}

void TraceCommand::show(const TapRecord& record) {
  if (json_) return parts::print_json("unetmap", in_json(record));
  const TapHead& head = record.head;
  print_out("{} {} {} | {}\n", clock_text(head.time_ns), name(head.port, head.generation),
            fate_text(record, [&](uint16_t index, uint32_t generation) { return name(index, generation); }),
            frame_text(record.frame, head.frame_bytes));
}

void TraceCommand::summary() {
  const uint64_t lost = tap_->lost();
  if (json_) {
    Json fates = Json::object();
    for (const auto& [cause, frames] : fates_) fates[cause_name(cause)] = frames;
    parts::print_json("unetmap",
                      {{"frames", frames_}, {"arrived", arrived_}, {"fates", std::move(fates)}, {"lost", lost}});
    return;
  }
  std::string out = fmt::format("unetmap: {} frames, of which {} arrived everywhere\n", frames_, arrived_);
  for (const auto& [cause, frames] : fates_) out += fmt::format("  {:>10}  {}\n", frames, cause_text(cause));
  if (lost) out += fmt::format("  {:>10}  not seen, as this program was too slow\n", lost);
  write_text(stderr, out);
}

}  // namespace unetmap::cli
