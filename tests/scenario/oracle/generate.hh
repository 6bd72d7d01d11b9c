// SPDX-License-Identifier: BSD-2-Clause
// Scripts of a driver that does what drivers may do, but in any order and with any sizes; the same for the same seed.
// What the two devices are known to do differently (docs/e1000.md) is left out or masked here, each with its reason.
#pragma once

#include <random>

#include "script.hh"

namespace oracle {

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  std::vector<std::string> script(int steps) {
    begin();
    for (int i = 0; i < steps; i++) step();
    end();
    return std::move(lines_);
  }

 private:
  static constexpr uint64_t kTxRing = 0x10'0000, kRxRing = 0x11'0000, kTxBuffers = 0x20'0000, kRxBuffers = 0x40'0000;
  static constexpr uint32_t kStride = 0x4000;

  uint32_t any(uint32_t most) { return uint32_t(random_() % (uint64_t{most} + 1)); }
  bool one_in(uint32_t count) { return any(count - 1) == 0; }
  void say(std::string line) { lines_.push_back(std::move(line)); }
  static std::string number(uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(value));
    return text;
  }
  void write(const char* where, uint64_t value) { say(std::string("write ") + where + " " + number(value)); }
  void read(const char* where, uint32_t mask = ~0u) { say(std::string("read ") + where + " " + number(mask)); }
  void put64(uint64_t at, uint64_t low, uint64_t high) {
    Bytes bytes(16);
    for (int i = 0; i < 8; i++) {
      bytes[size_t(i)] = uint8_t(low >> 8 * i);
      bytes[size_t(i) + 8] = uint8_t(high >> 8 * i);
    }
    say("put " + number(at) + " " + hex(bytes));
  }

  void begin() {
    vme_ = one_in(3);
    // LPE with any size of buffer; BSEX with the three sizes that it has.
    const bool large = one_in(3);
    const uint32_t size = large ? 1 + any(2) : any(3);
    buffer_ = (2048u >> size) * (large ? 16 : 1);
    lpe_ = one_in(2);
    rctl_ = 2 | (one_in(3) ? 8u : 0) | (one_in(3) ? 0x10u : 0) | (lpe_ ? 0x20u : 0) | any(3) << 12 |
            (one_in(2) ? 0x8000u : 0) | size << 16 | (large ? 1u << 25 : 0) | (one_in(3) ? 1u << 18 : 0);
    // A frame that is both broadcast and accepted as multicast is counted by QEMU as the latter (13.7.17: the former).
    if (rctl_ & 0x10) rctl_ |= 0x8000;
    // With a CRC behind each frame QEMU leaves that part of the buffer as it was, and without one it counts too few
    // octets (13.7: with the CRC, wherever it goes): either the one or the other is compared.
    secrc_ = one_in(2);
    if (secrc_) rctl_ |= 1u << 26;
    tx_count_ = 8 * (1 + any(7));
    rx_count_ = 8 * (4 + any(12));
    write("CTRL", 0x40 | (vme_ ? 1u << 30 : 0));
    write("TDBAL", kTxRing);
    write("TDLEN", tx_count_ * 16);
    write("RDBAL", kRxRing);
    write("RDLEN", rx_count_ * 16);
    for (uint32_t i = 0; i < rx_count_; i++) put64(kRxRing + 16 * i, kRxBuffers + kStride * i, 0);
    for (int i = 0; i < 4; i++) write(number(0x5200 + 4 * any(127)).c_str(), random_() & 0xffffffff);
    for (int i = 0; i < 4; i++) write(number(0x5600 + 4 * any(3)).c_str(), random_() & 0xffffffff);
    write("IMS", any(0xff) & ~0x12u);
    write("RDT", rx_count_ - 1);
    rx_tail_ = rx_count_ - 1;
    write("RCTL", rctl_);
    say("pass 1100000000");  // QEMU lets nothing in for a second
    write("TCTL", 2);
  }

  void step() {
    switch (any(9)) {
      case 0:
      case 1:
      case 2:
        return receive();
      case 3:
      case 4:
        return transmit();
      case 5:
        return segment();
      case 6:
        return registers();
      case 7:
        return statistics();
      default:
        // TXQE: QEMU sets it with each write of TDT; RXDMT0: QEMU as long as few are free, the card when they become
        // few (3.2.7.3).
        if (one_in(2)) read("ICR", ~0x12u);
        return interrupts();
    }
  }

  Bytes frame(uint32_t bytes) {
    static constexpr uint8_t kTo[][6] = {{0x52, 0x54, 0, 0x12, 0x34, 0x56},
                                         {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                                         {1, 0, 0x5e, 1, 2, 3},
                                         {0x33, 0x33, 0, 0, 0, 1},
                                         {2, 0, 0, 0, 0, 9}};
    Bytes out(bytes);
    for (uint8_t& byte : out) byte = uint8_t(random_());
    const uint32_t to = one_in(2) ? 0 : any(4);
    std::copy(kTo[to], kTo[to] + 6, out.begin());
    if (to > 1 && to < 4) out[5] = uint8_t(random_());
    out[6] &= 0xfe;
    out[12] = one_in(3) ? 0x81 : 0x88;
    out[13] = out[12] == 0x81 ? 0 : 0xb5;
    if (out[12] == 0x81) out[14] = 0;  // within the part of VFTA that is set
    return out;
  }

  // Frames of 60 bytes at least: what becomes of shorter ones depends on QEMU's version.
  void receive() {
    const uint32_t most = lpe_ ? 9000 : 1514;
    const uint32_t bytes = one_in(3) ? 60 + any(10) : 60 + any(most - 60);
    // Room for it, and for the two free descriptors that keep both from running out.
    const uint32_t needed = (bytes + 4 + buffer_ - 1) / buffer_;
    const uint32_t free = (rx_tail_ + rx_count_ - rx_head_most_) % rx_count_;
    if (free < needed + 2) return refill();
    const Bytes content = frame(bytes);
    say("frame " + hex(content));
    rx_head_most_ = (rx_head_most_ + needed) % rx_count_;
    read("RDH");
    say("line");
  }
  // All that may have come back is looked at, and given to the card again.
  void refill() {
    say("get " + number(kRxRing) + " " + number(rx_count_ * 16));
    write("RCTL", rctl_ & ~2u);
    write("RDH", 0);
    for (uint32_t i = 0; i < rx_count_; i++) {
      if (secrc_) say("get " + number(kRxBuffers + kStride * i) + " " + number(std::min(buffer_, 256u)));
      put64(kRxRing + 16 * i, kRxBuffers + kStride * i, 0);
    }
    write("RDT", rx_count_ - 1);
    rx_tail_ = rx_count_ - 1;
    rx_head_most_ = 0;
    write("RCTL", rctl_);
    say("pass 1100000000");
  }

  void add(uint64_t low, uint64_t high) {
    put64(kTxRing + 16 * tx_next_, low, high);
    tx_next_ = (tx_next_ + 1) % tx_count_;
    tx_used_++;
  }
  void kick() {
    write("TDT", tx_next_);
    tx_used_ = 0;
    read("TDH");
    say("sent");
    say("get " + number(kTxRing) + " " + number(tx_count_ * 16));
    say("line");
  }

  void transmit() {
    const uint32_t frames = 1 + any(2);
    for (uint32_t i = 0; i < frames && tx_used_ + 4 < tx_count_; i++) {
      const Bytes content = frame(14 + any(one_in(4) ? 8000 : 1500));
      const uint64_t at = kTxBuffers + kStride * any(100);
      say("put " + number(at) + " " + hex(content));
      const bool data = one_in(2);
      uint32_t popts = 0;
      if (data && one_in(2) && content.size() > 120) {
        popts = 1 + any(2);
        const uint32_t ip = 14 + any(8), transport = ip + 20 + any(10);
        add(ip | uint64_t(ip + 10) << 8 | uint64_t(transport - 1) << 16 | uint64_t{transport} << 32 |
                uint64_t(transport + any(30)) << 40,
            uint64_t{0x20} << 24);
      }
      const auto all = uint32_t(content.size());
      const uint32_t cut = one_in(2) ? all : 1 + any(all - 1);
      const uint64_t kind = data ? uint64_t{1} << 20 | uint64_t{0x20} << 24 : 0;
      const uint64_t vlan = one_in(4) ? uint64_t{0x40} << 24 : 0, tag = random_() << 48;
      const uint64_t options = uint64_t{popts} << 40;
      const uint64_t report = one_in(2) ? uint64_t{8} << 24 : 0;
      if (cut < all) add(at, cut | kind | options | report | vlan | tag);
      add(at + (cut < all ? cut : 0),
          (cut < all ? all - cut : all) | kind | options | report | vlan | tag | uint64_t{1} << 24);
      if (one_in(4)) kick();
    }
    kick();
  }

  // TCP over IPv4, and UDP: of IPv6 QEMU makes a wrong length.
  void segment() {
    if (tx_count_ < 16) return;
    const bool tcp = !one_in(3);
    const uint32_t header = tcp ? 54 : 42, payload = 1 + any(12000), mss = 64 + any(1500);
    Bytes content(header + payload);
    for (uint8_t& byte : content) byte = uint8_t(random_());
    const uint8_t head[] = {0x52, 0x54, 0,    1, 2, 3, 2,    0,    0,    0, 0,  1,
                            8,    0,    0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, uint8_t(tcp ? 6 : 17),
                            0,    0};
    std::copy(std::begin(head), std::end(head), content.begin());
    if (tcp) content[46] = 0x50;
    // The sum of the pseudo header without the length, as drivers hand it over.
    uint32_t sum = tcp ? 6 : 17;
    for (size_t i = 26; i < 34; i += 2) sum += uint32_t{content[i]} << 8 | content[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    content[tcp ? 50 : 40] = uint8_t(sum >> 8);
    content[tcp ? 51 : 41] = uint8_t(sum);
    const uint64_t at = kTxBuffers + 0x10'0000;
    say("put " + number(at) + " " + hex(content));
    add(14 | uint64_t{24} << 8 | uint64_t{33} << 16 | uint64_t{34} << 32 | uint64_t(34 + (tcp ? 16 : 6)) << 40,
        payload | uint64_t(0x26 | (tcp ? 1 : 0)) << 24 | uint64_t{header} << 40 | uint64_t{mss} << 48);
    const uint64_t data = uint64_t{1} << 20 | uint64_t{0x24} << 24 | uint64_t{3} << 40;
    const uint64_t vlan = one_in(3) ? uint64_t{0x40} << 24 | uint64_t{7} << 48 : 0;
    const uint32_t all = header + payload, cut = one_in(2) ? header : header + any(payload - 1);
    add(at, cut | data | vlan);
    add(at + cut, (all - cut) | data | vlan | uint64_t{9} << 24);
    kick();
  }

  void registers() {
    static constexpr struct {
      uint32_t first, words, mask;
    } kPlain[] = {{0x5200, 128, ~0u}, {0x5600, 128, ~0u},    {0x5408, 30, 0x8003ffff}, {0x5840, 7, ~0u},
                  {0x5880, 4, ~0u},   {0x5a00, 32, ~0u},     {0x5800, 1, ~0u},         {0x5808, 1, ~0u},
                  {0x5838, 1, ~0u},   {0x10000, 0x4000, ~0u}};
    const auto& one = kPlain[any(std::size(kPlain) - 1)];
    const uint32_t index = any(one.words - 1);
    // Filters stay as they are, or what comes in means something else from here on; odd ones of RAL, RAH are written
    // without the bit that makes them valid.
    uint32_t value = uint32_t(random_());
    if (one.first == 0x5408) value &= 0x7fffffff;
    write(number(one.first + 4 * index).c_str(), value);
    read(number(one.first + 4 * index).c_str(), one.first == 0x5408 && index % 2 == 0 ? ~0u : one.mask);
    read("STATUS", 0xc3);
    read("CTRL");
    read("RCTL", 0x7ffffff);
    read("TDT");
    read("RDT");
  }

  // GOTC and TOTL count the frame as it stands on the wire (13.7.26), with a tag that was inserted; QEMU without.
  void statistics() {
    static constexpr const char* kNames[] = {"PRC64", "PRC127", "PRC255", "PRC511", "PRC1023", "PRC1522",
                                             "GPRC",  "BPRC",   "MPRC",   "GPTC",   "TPR",     "TPT",
                                             "GORCL", "TORL",   "TSCTC",  "MPTC",   "BPTC"};
    for (int i = 0; i < 4; i++) {
      const std::string name = kNames[any(std::size(kNames) - 1)];
      if (!secrc_ || (name.rfind("PRC", 0) != 0 && name != "GORCL" && name != "TORL")) read(name.c_str());
    }
    if (!secrc_) read("GORCH");
    if (!secrc_) read("TORH");
    if (!vme_) read("GOTCL");
    if (!vme_) read("TOTL");
  }

  void interrupts() {
    write("IMC", 0x12);
    if (one_in(2)) write("IMS", any(0xff) & ~0x12u);
    if (one_in(2)) write("IMC", any(0xff));
    if (one_in(3)) write("ICS", any(0xff) & ~0x12u);
    if (one_in(3)) write("ICR", any(0xff));
    read("IMS");
    read("ICS", ~0x12u);
    say("line");
  }

  void end() {
    for (const char* name : {"TDH", "TDT", "RDH", "RDT", "TDLEN", "RDLEN", "TDBAL", "RDBAL", "IMS"}) read(name);
    refill();
  }

  std::mt19937_64 random_;
  std::vector<std::string> lines_;
  bool vme_ = false, lpe_ = false, secrc_ = false;
  uint32_t rctl_ = 0, buffer_ = 2048, tx_count_ = 8, rx_count_ = 8;
  uint32_t tx_next_ = 0, tx_used_ = 0;
  uint32_t rx_tail_ = 0, rx_head_most_ = 0;
};

}  // namespace oracle
