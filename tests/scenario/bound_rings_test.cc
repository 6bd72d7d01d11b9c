// SPDX-License-Identifier: BSD-2-Clause
// Which rings a descriptor has, and what becomes of packets for rings that none has.
#include <libnetmap.h>

#include <memory>
#include <set>

#include "control_request.hh"

namespace descriptors {
namespace {

struct ClosePort {
  void operator()(nmport_d* port) const { nmport_close(port); }
};
using LibraryPort = std::unique_ptr<nmport_d, ClosePort>;

LibraryPort open_port(const std::string& spec) {
  LibraryPort port(nmport_open(spec.c_str()));
  EXPECT_NE(port, nullptr) << spec << ": " << strerror(errno);
  return port;
}

using Interval = std::pair<int, int>;
Interval tx_of(const LibraryPort& port) { return {port->first_tx_ring, port->last_tx_ring}; }
Interval rx_of(const LibraryPort& port) { return {port->first_rx_ring, port->last_rx_ring}; }

// A port of three transmit rings and two receive rings.
class BoundRings : public testing::Test {
 protected:
  std::string name() const { return "vale" + switch_ + ":a"; }

  const std::string switch_ = switch_name();
  const LibraryPort base_ = open_port("vale" + switch_ + ":a@conf:tx-rings=3,rx-rings=2");
};

// What libnetmap tells of them is what netmap_if has.
TEST_F(BoundRings, AreToldByTheLibrary) {
  EXPECT_EQ(tx_of(base_), Interval(0, 2));
  EXPECT_EQ(rx_of(base_), Interval(0, 1));
  const LibraryPort third = open_port(name() + "-2");
  EXPECT_EQ(tx_of(third), Interval(2, 2));
  EXPECT_EQ(rx_of(third), Interval(0, 0)) << "where there are fewer rings, the first one";
  EXPECT_NE(NETMAP_RXRING(third->nifp, third->first_rx_ring)->num_slots, 0u);
  const LibraryPort receiver = open_port(name() + "/R");
  EXPECT_EQ(receiver->last_tx_ring - receiver->first_tx_ring + 1, 0);
  EXPECT_EQ(rx_of(receiver), Interval(0, 1));
  for (const char* monitor : {"/r", "/t", "/rt", "/z"}) {
    const LibraryPort watch = open_port(name() + monitor);
    EXPECT_EQ(tx_of(watch), Interval(0, 0)) << monitor;
    EXPECT_EQ(rx_of(watch), Interval(0, 2)) << monitor << ": for both directions";
  }
  const LibraryPort second = open_port(name() + "-1/rt");
  EXPECT_EQ(tx_of(second), Interval(0, 0));
  EXPECT_EQ(rx_of(second), Interval(1, 1));
}

TEST_F(BoundRings, OfNothingAreToldToo) {
  LibraryPort null(nmport_new());
  null->reg.nr_mode = NR_REG_NULL;
  null->reg.nr_mem_id = base_->reg.nr_mem_id;
  null->reg.nr_tx_rings = 2, null->reg.nr_rx_rings = 3;
  null->reg.nr_tx_slots = null->reg.nr_rx_slots = 16;
  ASSERT_EQ(nmport_open_desc(null.get()), 0) << strerror(errno);
  EXPECT_EQ(tx_of(null), Interval(0, 1));
  EXPECT_EQ(rx_of(null), Interval(0, 2));
  nmport_undo_open_desc(null.get());
  EXPECT_EQ(tx_of(null), Interval(0, 0));
  EXPECT_EQ(rx_of(null), Interval(0, 0));
}

TEST(Slots, ForgetOnceSentThatTheirBufferChanged) {
  Pair pair;
  netmap_ring* ring = pair.a.tx();
  // Round the end of the ring, too.
  for (uint32_t sent = 0; sent < 2 * ring->num_slots; sent += 300) {
    const uint32_t from = ring->head;
    ASSERT_EQ(pair.a.put(sent, 300), 300u);
    for (uint32_t i = from; i != ring->head; i = nm_ring_next(ring, i))
      ring->slot[i].flags = NS_BUF_CHANGED | NS_REPORT;
    ASSERT_EQ(ioctl(pair.a.fd(), NIOCTXSYNC, nullptr), 0);
    for (uint32_t i = from; i != ring->head; i = nm_ring_next(ring, i)) ASSERT_EQ(ring->slot[i].flags, NS_REPORT) << i;
    EXPECT_EQ(pair.b.receive().size(), 300u);
  }
}

// Where no program has a receive ring of a port open nothing waits for who opens it next, and nobody waits for room.
TEST(RingsThatNobodyHas, TakeNothing) {
  const std::string name = switch_name();
  Port sender(name + ":a", {.flags = NR_TX_RINGS_ONLY}), other(name + ":b");
  ASSERT_TRUE(sender.send(1));
  EXPECT_EQ(other.receive(), Numbers{1});
  ASSERT_TRUE(other.send(2, 5));
  // Also where its address is known.
  const uint8_t to[6] = {2, 0, 0, 0, 0, 1};
  ASSERT_EQ(other.put(7, 5, 0, to), 5u);
  ASSERT_EQ(ioctl(other.fd(), NIOCTXSYNC, nullptr), 0);
  Port reader(name + ":a", {.flags = NR_RX_RINGS_ONLY});
  EXPECT_TRUE(reader.receive(0).empty());
  ASSERT_TRUE(other.send(20));
  EXPECT_EQ(reader.receive(), Numbers{20});
  EXPECT_EQ(sender.receive(0), Numbers{}) << "it has no receive rings";
}

TEST(RingsThatNobodyHas, OfAPortThatOnlyItsPipesUseTakeNothing) {
  const std::string name = switch_name();
  Port pipe(name + ":a{1"), other(name + ":b");
  ASSERT_TRUE(other.send(1, 5));
  Port parent(name + ":a");
  EXPECT_TRUE(parent.receive(0).empty());
  ASSERT_TRUE(other.send(6));
  EXPECT_EQ(parent.receive(), Numbers{6});
}

// A pipe that is not there yet would have as many slots as its port.
TEST(Pipes, AreToldLikeTheirPort) {
  const std::string name = "vale" + switch_name() + ":a";
  const LibraryPort port = open_port(name + "@conf:slots=256");
  for (const char* pipe : {"{1", "}1"}) {
    Request info(kKinds[NETMAP_REQ_PORT_INFO_GET - 1], name + pipe);
    ASSERT_EQ(info.ask(), 0);
    EXPECT_EQ(info.as<nmreq_port_info_get>().nr_tx_slots, 256u) << pipe;
    EXPECT_EQ(info.as<nmreq_port_info_get>().nr_rx_slots, 256u) << pipe;
    EXPECT_EQ(info.as<nmreq_port_info_get>().nr_mem_id, port->reg.nr_mem_id) << pipe;
  }
  const LibraryPort opened = open_port(name + "{1");
  EXPECT_EQ(opened->reg.nr_tx_slots, 256u);
}

// What was closed before a request was made is not there for it, whoever makes it.
TEST(Switches, DoNotListWhatIsClosed) {
  const std::string name = "vale" + switch_name() + ":a";
  const int asker = open_device();
  for (int i = 0; i < 300; i++) {
    nmreq_vale_list body{};
    nmreq_header header{};
    header.nr_version = NETMAP_API;
    header.nr_reqtype = NETMAP_REQ_VALE_LIST;
    name.copy(header.nr_name, sizeof header.nr_name - 1);
    header.nr_body = reinterpret_cast<uintptr_t>(&body);
    {
      const LibraryPort port = open_port(name);
      ASSERT_NE(port, nullptr);
      ASSERT_EQ(ioctl(asker, NIOCCTRL, &header), 0) << strerror(errno);
    }
    ASSERT_EQ(ioctl(asker, NIOCCTRL, &header), -1) << i;
    ASSERT_EQ(errno, ENOENT);
  }
  close(asker);
}

TEST(Switches, HaveNothingToConfigure) {
  const int fd = open_device();
  nm_ifreq request{};
  strcpy(request.nifr_name, "vale0:");
  EXPECT_EQ(ioctl(fd, NIOCCONFIG, &request), -1);
  EXPECT_EQ(errno, EINVAL);
  close(fd);
}

// So many that whoever else asks the daemon must not wait for each of them.
TEST(ExtraBuffers, AreAllThere) {
  constexpr uint32_t kMany = 20000;
  LibraryPort port(nmport_prepare(("vale" + switch_name() + ":a").c_str()));
  ASSERT_NE(port, nullptr);
  port->reg.nr_extra_bufs = kMany;
  ASSERT_EQ(nmport_open_desc(port.get()), 0) << strerror(errno);
  ASSERT_EQ(port->reg.nr_extra_bufs, kMany);
  std::set<uint32_t> seen;
  netmap_ring* ring = NETMAP_TXRING(port->nifp, 0);
  for (uint32_t at = port->nifp->ni_bufs_head; at != 0; memcpy(&at, NETMAP_BUF(ring, at), sizeof at))
    ASSERT_TRUE(seen.insert(at).second) << at;
  EXPECT_EQ(seen.size(), kMany);
  for (uint32_t i = 0; i < ring->num_slots; i++) EXPECT_EQ(seen.count(ring->slot[i].buf_idx), 0u);
}

}  // namespace
}  // namespace descriptors
