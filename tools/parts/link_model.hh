// SPDX-License-Identifier: BSD-2-Clause
// A link as it is emulated: how long packets take, which are lost, and how much may wait. Times are nanoseconds on a
// clock of the caller's; the same seed and the same packets give the same result.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string_view>

#include "base/result.hh"

namespace unetmap::parts {

// "BPS", "constant,BPS": of the packet; "ether,BPS": with what Ethernet adds on the wire; "real[,SPEEDUP]": by the time
// stamps of a capture. 0: no limit.
struct Bandwidth {
  double bits_per_second = 0;
  uint32_t added_bytes = 0;
  bool real = false;
  double speedup = 1;
  uint64_t time_ns(size_t bytes) const {
    return bits_per_second > 0 ? uint64_t(8e9 * double(bytes + added_bytes) / bits_per_second) : 0;
  }
};
Result<Bandwidth> parse_bandwidth(std::string_view text, bool may_be_real);

// "T", "constant,T"; "uniform,MIN,MAX"; "exp,MIN,AVERAGE".
struct Delay {
  enum class Kind { kConstant, kUniform, kExponential } kind = Kind::kConstant;
  uint64_t least_ns = 0;
  uint64_t other_ns = 0;  // the most, or the average
  uint64_t draw(std::mt19937_64& random) const;
};
Result<Delay> parse_delay(std::string_view text);

// "P", "plr,P": each packet; "ber,P": each bit.
struct Loss {
  double packet = 0, bit = 0;
  bool draw(size_t bytes, std::mt19937_64& random) const;
};
Result<Loss> parse_loss(std::string_view text);

// "const,P,T": held back for T with probability P, and overtaken.
struct Reordering {
  double probability = 0;
  uint64_t hold_ns = 0;
};
Result<Reordering> parse_reordering(std::string_view text);

// Bytes; K, M and G are powers of 1024.
Result<uint64_t> parse_queue_bytes(std::string_view text);
// Seconds, or with s, m, u or n.
Result<uint64_t> parse_link_time_ns(std::string_view text);

struct LinkModel {
  Bandwidth bandwidth;
  Delay delay;
  Loss loss;
  Reordering reordering;
  uint64_t queue_bytes = 50000;  // that wait for the link; meaningless without a bandwidth
};

enum class Fate { kPasses, kLost, kQueueFull };

class Link {
 public:
  Link(const LinkModel& model, uint64_t seed) : model_(model), random_(seed) {}

  struct Outcome {
    Fate fate = Fate::kPasses;
    uint64_t leaves_ns = 0;
    bool held = false;  // leaves later than some that came after it
  };
  // For a packet that comes at `now_ns`, no earlier than the one before. Packets that are not held leave in order.
  Outcome pass(uint64_t now_ns, size_t bytes);

  // Of a running emulation; what is under way keeps its times.
  void change(const LinkModel& model) { model_ = model; }

 private:
  LinkModel model_;
  std::mt19937_64 random_;
  uint64_t free_at_ns_ = 0;  // when the link has sent all that it took
  uint64_t last_ns_ = 0;     // the latest leaving of those in order
};

}  // namespace unetmap::parts
