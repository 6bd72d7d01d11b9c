// SPDX-License-Identifier: BSD-2-Clause
// Forwarding where some port of the switch has rules: VLANs, access lists, link-local frames that do not pass.
//
// Which ports a packet reaches is decided once, when it is classified, so that all later steps agree: a frame in memory
// that others write to may read otherwise the next time.
#include <algorithm>

#include "vale/copy.hh"
#include "vale/deliver.hh"
#include "vale/slot.hh"

namespace unetmap::vale {

struct Forwarder::Beginning {
  const uint8_t* start;  // of the frame, behind a virtio-net header; nullptr: cannot be read
  uint32_t have;         // bytes of it that are there in one piece
  uint32_t bytes;        // of the whole frame
  uint32_t readable;     // bytes there that are memory, whatever they hold
};

void Forwarder::begin_rules() {
  if (!rules_) rules_ = std::make_unique<RulesOfPorts>(shared_);
  rules_->begin();
  own_rules_ = &rules_->of(self_);
  lists_ = shared_->rules.load(std::memory_order_relaxed) & (kRulesAclOut | kRulesLinkLocal);
}

// `copied`: room for Acl::kLooksAt bytes and a virtio-net header.
Forwarder::Beginning Forwarder::beginning_of(const TxView& tx, uint32_t first, uint32_t count, uint8_t* copied) {
  const Frag& frag = frag_[first];
  uint32_t total = 0;
  for (uint32_t i = first; i < first + count; i++) total += frag_[i].len;
  const uint32_t wanted = std::min(total, header_len_ + Acl::kLooksAt);
  const uint8_t* start = tx.bufs + frag.src;
  uint32_t have = frag.len, readable = tx.offset_mask ? frag.len : tx.buf_size;
  if (have < wanted || (frag.flags & NS_INDIRECT)) {
    have = 0;
    for (uint32_t i = first; i < first + count && have < wanted; i++) {
      const uint32_t part = std::min<uint32_t>(frag_[i].len, wanted - have);
      if (!(frag_[i].flags & NS_INDIRECT))
        memcpy(copied + have, tx.bufs + frag_[i].src, part);
      else if (!outside_.read_user(address_[i], copied + have, part))
        return {};
      have += part;
    }
    start = copied;
    readable = header_len_ + Acl::kLooksAt;
  }
  return {start + header_len_, have - header_len_, total - header_len_, readable - header_len_};
}

// What leaves is looked at as it leaves.
bool Forwarder::list_allows(Acl& list, const Beginning& frame, TagChange change) {
  if (!change) return list.allows({frame.start, frame.have}, frame.bytes, frame.readable);
  uint8_t changed[Acl::kLooksAt + kTagBytes];
  const uint32_t behind = change.kind == TagChange::kPush || change.kind == TagChange::kPushService
                              ? kTagAt
                              : kTagAt + kTagBytes;  // where what follows begins in the frame
  const uint32_t at = change.kind == TagChange::kPop ? kTagAt : kTagAt + kTagBytes;
  const uint32_t rest = std::min(frame.have - behind, uint32_t(sizeof changed) - at);
  memcpy(changed, frame.start, kTagAt);
  if (change.kind == TagChange::kRetag) {
    memcpy(changed + kTagAt, frame.start + kTagAt, kTagBytes);
    store_vid(changed + kTagAt, change.vid);
  } else if (at != kTagAt) {
    store_tag(changed + kTagAt, change);
  }
  memcpy(changed + at, frame.start + behind, rest);
  return list.allows({changed, at + rest}, uint32_t(int(frame.bytes) + change.bytes()), sizeof changed);
}

// In place of decide().
uint16_t Forwarder::decide_by_rules(const TxView& tx, uint32_t first, uint32_t count, uint32_t now_s) {
  form_ = 0;
  listed_ = covered_ = false;
  if (fenced_)
    if (const uint16_t why = judge(tx, first, count)) return why;
  uint8_t copied[Acl::kLooksAt + 12];
  const Beginning frame = beginning_of(tx, first, count, copied);
  if (!frame.start) return kUnreadable;
  const uint64_t to = load_mac(frame.start), from = load_mac(frame.start + 6);
  PortRules& own = *own_rules_;
  if (own.stops(to)) return kStopped;
  if (!own.in.empty() && !list_allows(own.in, frame, {})) return kDenied;
  const uint16_t form = own.vlan.classify({frame.start, std::min(frame.have, kLeastTagged)});
  if (form == VlanForm::kRefused) return kWrongVlan;
  form_ = form;
  const uint16_t flags = frag_[first].flags;
  if (!(flags & NS_NO_LEARN) && !is_multicast(from)) fdb_.learn(from, self_, generation_, now_s, VlanForm::vid(form));
  const uint16_t dest = look_up_by_rules(frame, to, flags >> NS_PORT_SHIFT, now_s);
  if (dest == kFlood && lists_) note_denied(frame, to);
  if (refused(dest)) return dest;
  const PortRules* theirs = dest < kMaxPorts ? &rules_->of(dest) : nullptr;
  const Acl* out = theirs && !theirs->out.empty() ? &theirs->out : nullptr;
  listed_ = !own.in.empty() || out;
  note_verdict(tx, out, out ? theirs->vlan.change(form) : TagChange{});
  return dest;
}

// Both lists have let a packet pass: those like it need not be asked about, as far as that can be told from their bytes
// here.
void Forwarder::note_verdict(const TxView& tx, const Acl* out, TagChange change) {
  const Acl& in = own_rules_->in;
  covered_ = listed_ && tx.offset_mask == 0 && tx.buf_size >= header_len_ + LookedAt::kBytes &&
             (in.empty() || in.last()) && (!out || (out->last() && !change));
  if (!covered_) return;
  known_ = in.empty() ? *out->last() : *in.last();
  if (!in.empty() && out) known_.join(*out->last());
}

uint16_t Forwarder::look_up_by_rules(const Beginning& frame, uint64_t to, uint16_t override_port, uint32_t now_s) {
  const uint16_t vid = VlanForm::vid(form_);
  if (!override_port && is_multicast(to)) return kFlood;
  const uint16_t port = override_port ? override_port : fdb_.lookup(to, now_s, vid);
  if (port >= kMaxPorts) return override_port ? port : kFlood;
  if (port == self_) return kDiscard;
  PortRules& theirs = rules_->of(port);
  // It was in this VLAN when its address was learned, and is no more.
  if (!theirs.vlan.has(vid)) return override_port ? kWrongVlan : kFlood;
  if (group_ != 0 && group_of(port) == group_) return kIsolated;
  if (theirs.stops(to)) return kStopped;
  if (!theirs.out.empty() && !list_allows(theirs.out, frame, theirs.vlan.change(form_))) return kDenied;
  return port;
}

// A packet like the one before it, as far as addresses and VLAN go, that lies in one slot: kDenied, or 0.
uint16_t Forwarder::judge_single(const TxView& tx, uint32_t at, uint16_t dest) {
  const Frag& frag = frag_[at];
  const Beginning frame{tx.bufs + frag.src + header_len_, uint32_t(frag.len) - header_len_,
                        uint32_t(frag.len) - header_len_,
                        (tx.offset_mask ? uint32_t(frag.len) : tx.buf_size) - header_len_};
  Acl& in = own_rules_->in;
  if (!in.empty() && !in.allows({frame.start, frame.have}, frame.bytes, frame.readable)) return kDenied;
  Acl* out = nullptr;
  TagChange change;
  if (dest < kMaxPorts) {
    PortRules& theirs = rules_->of(dest);
    change = theirs.vlan.change(form_);
    if (!theirs.out.empty()) out = &theirs.out;
    if (out && !list_allows(*out, frame, change)) return kDenied;
  }
  note_verdict(tx, out, change);
  return 0;
}

// As take_alike(), of packets that lists have been asked about: what the verdict on the last one depended on, known_, is
// to be alike too. A loop of its own, so that what it compares with stays in registers.
uint32_t Forwarder::take_covered(const TxView& tx, uint32_t at, uint32_t most, uint32_t frags, uint64_t low, uint64_t high,
                                 uint64_t& bytes) {
  using Lane = Acl::Known::Lane;
  const Lane mask1 = known_.mask[1], mask2 = known_.mask[2], mask3 = known_.mask[3];
  const Lane value1 = known_.value[1], value2 = known_.value[2], value3 = known_.value[3];
  const Lane begins{low, high};
  const netmap_slot *const begin = tx.slots + at, *const end = begin + most, *slot = begin;
  const uint8_t* const bufs = tx.bufs;
  const uint32_t nbufs = tx.nbufs, buf_size = tx.buf_size, header_len = header_len_;
  const uint32_t shortest = header_len + std::max(known_.end, kLeastTagged);
  if (known_.end > buf_size || buf_size < header_len + LookedAt::kBytes) return 0;
  Frag* frag = &frag_[frags];
  uint64_t sum = 0;
  for (; slot != end; slot++, frag++) {
    const netmap_slot now = load_slot(*slot);  // the one load of the slot
    if (end - slot > ptrdiff_t{kBuffersAhead})
      __builtin_prefetch(bufs + uint64_t{std::min(slot[kBuffersAhead].buf_idx, nbufs - 1)} * buf_size);
    if ((now.flags & (0xff00 | NS_NO_LEARN | NS_MOREFRAG | NS_INDIRECT)) || now.buf_idx < 2 || now.buf_idx >= nbufs ||
        now.len < shortest || now.len > buf_size)
      break;
    const auto src = uint32_t(now.buf_idx * uint64_t{buf_size});
    Lane part[4];
    memcpy(part, bufs + src + header_len, sizeof part);
    const Lane differ =
        (part[0] ^ begins) | ((part[1] ^ value1) & mask1) | ((part[2] ^ value2) & mask2) | ((part[3] ^ value3) & mask3);
    if (differ[0] | differ[1]) break;
    *frag = {src, now.len, now.flags};
    sum += now.len;
  }
  bytes += sum;
  return uint32_t(slot - begin);
}

// Of a packet for everybody, which becomes the next run: the ports that shall not get it.
void Forwarder::note_denied(const Beginning& frame, uint64_t to) {
  const uint32_t count = std::min(shared_->flood_count.load(std::memory_order_acquire), kMaxPorts);
  for (uint32_t i = 0; i < count; i++) {
    const uint16_t port = shared_->flood[i].load(std::memory_order_relaxed);
    if (port >= kMaxPorts || port == self_) continue;
    PortRules& theirs = rules_->of(port);
    if (!theirs.vlan.has(VlanForm::vid(form_))) continue;
    if (theirs.stops(to))
      denied_.push_back({uint16_t(runs_), port, kStopped});
    else if (!theirs.out.empty() && !list_allows(theirs.out, frame, theirs.vlan.change(form_)))
      denied_.push_back({uint16_t(runs_), port, kDenied});
  }
}

bool Forwarder::floods_to(uint16_t port, const Run& run) {
  if (!rules_->of(port).vlan.has(VlanForm::vid(run.form))) return false;
  const auto number = uint16_t(&run - run_.get());
  return std::none_of(denied_.begin(), denied_.end(),
                      [&](const Denied& each) { return each.port == port && each.run == number; });
}

namespace {

// A tag comes or goes behind the addresses: what its header says of the frame moves.
void shift_header(uint8_t* packet, uint32_t header_len, int by) {
  if (header_len < kVnetHdrBytes) return;
  auto move = [&](size_t at) {
    uint16_t value;
    memcpy(&value, packet + at, 2);
    value = uint16_t(value + by);
    memcpy(packet + at, &value, 2);
  };
  const VnetHdr header = load_vnet_hdr(packet);
  if (header.flags & kVnetNeedsCsum) move(offsetof(VnetHdr, csum_start));
  if (header.gso_type != kGsoNone) move(offsetof(VnetHdr, hdr_len));
}

// Puts the tag of `packet` right in a copy that has `kTagBytes` of room before it; returns where it begins then.
uint8_t* change_in_place(uint8_t* packet, uint32_t header_len, TagChange change) {
  const uint32_t before = header_len + kTagAt;
  uint8_t* const start = packet - change.bytes();
  if (change.kind == TagChange::kRetag) {
    store_vid(packet + before, change.vid);
    return packet;
  }
  memmove(start, packet, before);
  if (change.kind != TagChange::kPop) store_tag(start + before, change);
  shift_header(start, header_len, change.bytes());
  return start;
}

}  // namespace

// The packet in frag_[first, first + count) in one piece, as it leaves; empty if it cannot be read.
std::span<uint8_t> Forwarder::gather_changed(const TxView& tx, uint32_t first, uint32_t count, TagChange change) {
  const uint32_t at = change ? kTagBytes : 0, bytes = gather(tx, first, count, at);
  uint8_t* const packet = scratch_.get() + at;
  if (!change || bytes == 0) return {packet, bytes};
  return {change_in_place(packet, header_len_, change), uint32_t(int(bytes) + change.bytes())};
}

// As copy_stretch(): packets of one slot into the cells `cell`, `cell` + 1, ...; `kBy` bytes come or go behind the first kBefore.
template <uint32_t kBefore, int kBy>
uint32_t Forwarder::copy_changed(const TxView& tx, Supply& supply, uint32_t from, uint32_t cell, uint32_t n, TagChange change) {
  // Where what follows the tag begins; what of it goes in one copy, and reaches no second line.
  constexpr uint32_t kBehind = kBefore + (kBy < 0 ? kTagBytes : 0), kToBehind = kBefore + (kBy > 0 ? kTagBytes : 0);
  constexpr uint32_t kShort = 48;
  const uint8_t* const bufs = tx.bufs;
  const uint32_t buf_size = supply.dest.buf_size, from_size = tx.buf_size;
  const uint32_t at_once = std::min(buf_size, from_size) < kBefore + kTagBytes + kShort ? 0 : kShort;
  uint32_t tag;
  store_tag(reinterpret_cast<uint8_t*>(&tag), change);
  return supply.fill_stretch(cell, n, [=, next = &frag_[from]](uint8_t* to) mutable {
    const Frag frag = *next++;
    const uint32_t len = frag.len + uint32_t(kBy), rest = frag.len - kBehind;
    if (len - 1 >= buf_size) [[unlikely]]  // never 0
      return 0u;
    const uint8_t* const bytes = bufs + frag.src;
    if (rest <= at_once) [[likely]]
      memcpy(to + kToBehind, bytes + kBehind, kShort);
    else
      copy_packet(to + kToBehind, bytes + kBehind, rest, buf_size - kToBehind, from_size - kBehind);
    memcpy(to, bytes, kBefore);
    if constexpr (kBy > 0)
      memcpy(to + kBefore, &tag, kTagBytes);
    else if constexpr (kBy == 0)
      store_vid(to + kBefore, change.vid);
    if constexpr (kBefore > kTagAt) shift_header(to, kBefore - kTagAt, kBy);
    return len;
  });
}

// Packets of one slot, each into one of the next cells of a ring without offsets. Returns how many went: what does not fit
// goes another way.
uint32_t Forwarder::copy_changed(const TxView& tx, Supply& supply, uint32_t from, uint32_t n, TagChange change) {
  auto copy = &Forwarder::copy_changed<kTagAt, int(kTagBytes)>;
  if (header_len_ == 0)
    copy = change.bytes() > 0    ? copy
           : change.bytes() == 0 ? &Forwarder::copy_changed<kTagAt, 0>
                                 : &Forwarder::copy_changed<kTagAt, -int(kTagBytes)>;
  else
    copy = change.bytes() > 0    ? &Forwarder::copy_changed<kTagAt + kVnetHdrMrgBytes, int(kTagBytes)>
           : change.bytes() == 0 ? &Forwarder::copy_changed<kTagAt + kVnetHdrMrgBytes, 0>
                                 : &Forwarder::copy_changed<kTagAt + kVnetHdrMrgBytes, -int(kTagBytes)>;
  return supply.fill_stretches(n, [&](uint32_t done, uint32_t cell, uint32_t stretch) {
    return (this->*copy)(tx, supply, from + done, cell, stretch, change);
  });
}

// Packets of a run whose tags are not as their destination has them.
void Forwarder::deliver_changed(const TxView& tx, Supply& supply, const Run& run, uint32_t end, TagChange change) {
  uint32_t p = run.first;
  while (p < end) {
    if (!run.chain && tx.offset_mask == 0 && !supply.ex.shape().offsets &&
        (header_len_ == 0 || header_len_ == kVnetHdrMrgBytes)) {
      if (!supply.need(1)) return supply.lose(end - p);
      const uint32_t n = std::min(end - p, supply.have - supply.used);
      const uint32_t went = copy_changed(tx, supply, p, n, change);
      supply.still_needed -= std::min(supply.still_needed, went);
      p += went;
      if (went == n) continue;
    }
    const std::span<uint8_t> packet = gather_changed(tx, p, run.chain ? run.count : 1, change);
    p = run.chain ? end : p + 1;
    if (packet.empty())
      supply.refuse(supply.kring.lost_indirect, TapCause::kUnreadable);
    else
      deliver_split(packet.data(), uint32_t(packet.size()), supply);
  }
}

}  // namespace unetmap::vale
