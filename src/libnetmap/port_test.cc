// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#define NETMAP_WITH_LIBS
#include <net/netmap_user.h>

#include "libnetmap/fake_port.hh"
#include "libnetmap/test_context.hh"

namespace {

TEST(NmHeader, InitZeroesTheRest) {
  nmreq_header hdr;
  std::memset(&hdr, 0xff, sizeof(hdr));
  int body;
  nmreq_header_init(&hdr, NETMAP_REQ_VALE_LIST, &body);
  EXPECT_EQ(hdr.nr_version, NETMAP_API);
  EXPECT_EQ(hdr.nr_reqtype, NETMAP_REQ_VALE_LIST);
  EXPECT_EQ(hdr.nr_reserved, 0U);
  EXPECT_EQ(hdr.nr_options, 0U);
  EXPECT_EQ(hdr.nr_body, reinterpret_cast<uintptr_t>(&body));
  EXPECT_STREQ(hdr.nr_name, "");
}

TEST(NmOptionList, PushFindRemoveAndFree) {
  nmreq_header hdr;
  nmreq_header_init(&hdr, NETMAP_REQ_REGISTER, nullptr);
  std::array<nmreq_option*, 3> options;
  for (uint32_t i = 0; i < options.size(); ++i) {
    options[i] = static_cast<nmreq_option*>(std::calloc(1, sizeof(nmreq_option)));
    options[i]->nro_reqtype = i + 1;
    nmreq_push_option(&hdr, options[i]);
  }
  EXPECT_EQ(nmreq_find_option(&hdr, 2), options[1]);
  EXPECT_EQ(nmreq_find_option(&hdr, 4), nullptr);

  nmreq_remove_option(&hdr, options[1]);
  EXPECT_EQ(nmreq_find_option(&hdr, 2), nullptr);
  nmreq_remove_option(&hdr, options[1]);  // no longer there
  std::free(options[1]);

  std::vector<uint32_t> left;
  nmreq_option* option;
  nmreq_foreach_option(&hdr, option) left.push_back(option->nro_reqtype);
  EXPECT_EQ(left, (std::vector<uint32_t>{3, 1}));
  nmreq_free_options(&hdr);
  EXPECT_EQ(hdr.nr_options, 0U);
}

TEST(NmOptionList, Names) {
  EXPECT_STREQ(nmreq_option_name(NETMAP_REQ_OPT_EXTMEM), "extmem");
  EXPECT_STREQ(nmreq_option_name(NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS), "sync-kloop-eventfds");
  EXPECT_STREQ(nmreq_option_name(NETMAP_REQ_OPT_CSB), "csb");
  EXPECT_STREQ(nmreq_option_name(NETMAP_REQ_OPT_SYNC_KLOOP_MODE), "sync-kloop-mode");
  EXPECT_STREQ(nmreq_option_name(NETMAP_REQ_OPT_OFFSETS), "offsets");
  EXPECT_STREQ(nmreq_option_name(99), "unknown");
}

TEST(NmContext, SilentUnlessVerbose) {
  TestContext ctx;
  ctx.verbose = 0;
  EXPECT_EQ(nmport_prepare("nonsense"), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_TRUE(ctx.messages.empty());
}

TEST(NmContext, FerrorKeepsErrno) {
  TestContext ctx;
  errno = EDOM;
  nmctx_ferror(&ctx, "%s %d", "formatted", 5);
  EXPECT_EQ(errno, EDOM);
  EXPECT_EQ(ctx.last_message(), "formatted 5");
}

TEST(NmContext, StepsOutOfOrderAreRefused) {
  TestContext ctx;
  nmport_d* port = nmport_prepare("vale0:1");
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(nmport_mmap(port), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_NE(ctx.last_message().find("nmport_register first"), std::string::npos);
  nmport_undo_open_desc(port);  // nothing to undo
  nmport_close(port);
  nmport_close(nullptr);
  EXPECT_EQ(ctx.live, 0);
}

TEST(NmContext, ClosingKeepsErrno) {
  TestContext ctx;
  ctx.free = [](nmctx* self, void* memory) {
    --TestContext::of(self).live;
    std::free(memory);
    errno = EDOM;
  };
  nmport_d* port = nmport_prepare("vale0:1");
  ASSERT_NE(port, nullptr);
  ASSERT_EQ(nmport_offset(port, 0, 0, 0, 0), 0);
  errno = EXDEV;
  nmport_close(port);
  EXPECT_EQ(errno, EXDEV);
  EXPECT_EQ(nmport_prepare("vale0:1/q"), nullptr);
  EXPECT_EQ(errno, EINVAL);
}

TEST(NmClone, HasTheRequestButNoOptions) {
  TestContext ctx;
  nmport_d* port = nmport_prepare("vale0:1-2/xR@9@conf:slots=64");
  ASSERT_NE(port, nullptr);
  ASSERT_EQ(nmport_offset(port, 1, 2, 8, 0), 0);
  nmport_d* clone = nmport_clone(port);
  ASSERT_NE(clone, nullptr);
  EXPECT_STREQ(clone->hdr.nr_name, "vale0:1");
  EXPECT_EQ(std::memcmp(&clone->reg, &port->reg, sizeof(port->reg)), 0);
  EXPECT_EQ(clone->hdr.nr_options, 0U);
  EXPECT_EQ(clone->hdr.nr_body, reinterpret_cast<uintptr_t>(&clone->reg));
  EXPECT_EQ(clone->ctx, port->ctx);
  EXPECT_EQ(clone->fd, -1);
  nmport_close(port);
  nmport_close(clone);
  EXPECT_EQ(ctx.live, 0);
}

class NmInject : public testing::Test {
 protected:
  NmInject() {
    port_.nifp = fake_.nifp();
    port_.first_tx_ring = port_.last_tx_ring = 0;
  }
  FakePort fake_;
  nmport_d port_ = {};
};

TEST_F(NmInject, FillsOneSlot) {
  fake_.tx()->tail = 7;
  EXPECT_EQ(nmport_inject(&port_, "hello", 5), 5);
  EXPECT_EQ(fake_.tx()->head, 1U);
  EXPECT_EQ(fake_.tx()->cur, 1U);
  EXPECT_EQ(fake_.tx()->slot[0].len, 5);
  EXPECT_EQ(fake_.tx()->slot[0].flags, 0);
  EXPECT_EQ(std::string(NETMAP_BUF(fake_.tx(), 2), 5), "hello");
}

TEST_F(NmInject, SpreadsALongPacketRoundTheRing) {
  fake_.tx()->head = fake_.tx()->cur = 6;
  fake_.tx()->tail = 5;
  std::string data(2 * FakePort::kBufSize + 3, 'x');
  data.back() = 'y';
  EXPECT_EQ(nmport_inject(&port_, data.data(), data.size()), static_cast<int>(data.size()));
  EXPECT_EQ(fake_.tx()->head, 1U);
  EXPECT_EQ(fake_.tx()->slot[6].flags, NS_MOREFRAG);
  EXPECT_EQ(fake_.tx()->slot[7].flags, NS_MOREFRAG);
  EXPECT_EQ(fake_.tx()->slot[0].flags, 0);
  EXPECT_EQ(fake_.tx()->slot[7].len, FakePort::kBufSize);
  EXPECT_EQ(fake_.tx()->slot[0].len, 3);
  EXPECT_EQ(NETMAP_BUF(fake_.tx(), 2)[2], 'y');
}

TEST_F(NmInject, ChangesNothingWithoutRoom) {
  fake_.tx()->tail = 1;
  const std::string data(FakePort::kBufSize + 1, 'x');
  EXPECT_EQ(nmport_inject(&port_, data.data(), data.size()), 0);
  EXPECT_EQ(fake_.tx()->head, 0U);
  EXPECT_EQ(nmport_inject(&port_, data.data(), FakePort::kBufSize), static_cast<int>(FakePort::kBufSize));
  EXPECT_EQ(nmport_inject(&port_, data.data(), 1), 0);
}

TEST_F(NmInject, SendsNothingThroughAnEmptyInterval) {
  port_.first_tx_ring = port_.cur_tx_ring = 1;
  port_.last_tx_ring = 0;
  EXPECT_EQ(nmport_inject(&port_, "x", 1), 0);
}

TEST(NmInjectWithOffsets, LeavesTheFrontOfTheBufferFree) {
  FakePort fake(0xff);
  nmport_d port = {};
  port.nifp = fake.nifp();
  fake.tx()->tail = 7;
  for (int i = 0; i < 2; ++i) NETMAP_WOFFSET(fake.tx(), &fake.tx()->slot[i], 60);
  EXPECT_EQ(nmport_inject(&port, "abcdef", 6), 6);
  EXPECT_EQ(fake.tx()->slot[0].len, 4);
  EXPECT_EQ(fake.tx()->slot[1].len, 2);
  EXPECT_EQ(std::string(NETMAP_BUF(fake.tx(), 2) + 60, 4), "abcd");
  EXPECT_EQ(std::string(NETMAP_BUF(fake.tx(), 3) + 60, 2), "ef");
}

struct Delivery {
  std::string data;
  uint32_t len;
  bool more;
};

class NmDispatch : public testing::Test {
 protected:
  NmDispatch() : desc_(static_cast<nm_desc*>(std::calloc(1, sizeof(nm_desc))), std::free) {
    netmap_if* nifp = fake_.nifp();
    std::memcpy(const_cast<netmap_if**>(&desc_->nifp), &nifp, sizeof(nifp));
  }

  void receive(uint32_t slot, const std::string& data, uint16_t flags = 0) { fake_.receive(slot, data, flags); }

  int dispatch(int count) {
    return nm_dispatch(
        desc_.get(), count,
        [](unsigned char* arg, const nm_pkthdr* hdr, const unsigned char* data) {
          reinterpret_cast<NmDispatch*>(arg)->got_.push_back(
              {std::string(reinterpret_cast<const char*>(data), hdr->caplen), hdr->len,
               (hdr->flags & NM_MORE_PKTS) != 0});
        },
        reinterpret_cast<unsigned char*>(this));
  }

  FakePort fake_;
  std::unique_ptr<nm_desc, void (*)(void*)> desc_;
  std::vector<Delivery> got_;
};

TEST_F(NmDispatch, DeliversWhatThereIsAndSaysWhatIsLast) {
  receive(0, "one");
  receive(1, "two");
  receive(2, "three");
  EXPECT_EQ(dispatch(2), 2);
  ASSERT_EQ(got_.size(), 2U);
  EXPECT_EQ(got_[0].data, "one");
  EXPECT_TRUE(got_[0].more);
  EXPECT_EQ(got_[1].data, "two");
  EXPECT_FALSE(got_[1].more);
  EXPECT_EQ(dispatch(-1), 1);
  EXPECT_EQ(got_[2].data, "three");
  EXPECT_EQ(dispatch(0), 0);
  EXPECT_EQ(got_.size(), 3U);
  EXPECT_EQ(fake_.rx()->head, 3U);
}

TEST_F(NmDispatch, APacketOverSeveralSlotsIsOnePacket) {
  const std::string full(FakePort::kBufSize, 'f');
  receive(0, full, NS_MOREFRAG);  // buffers 10 and 11 are neighbours, so this is contiguous
  receive(1, "tail");
  receive(2, "short", NS_MOREFRAG);  // this is not
  receive(3, "rest");
  EXPECT_EQ(dispatch(0), 2);
  ASSERT_EQ(got_.size(), 2U);
  EXPECT_EQ(got_[0].data, full + "tail");
  EXPECT_EQ(got_[0].len, full.size() + 4);
  EXPECT_EQ(got_[1].data, "short");
  EXPECT_EQ(got_[1].len, 9U);
}

TEST_F(NmDispatch, AChainWithoutEndStopsAtTheTail) {
  receive(0, "a", NS_MOREFRAG);
  receive(1, "b", NS_MOREFRAG);
  EXPECT_EQ(dispatch(0), 1);
  EXPECT_EQ(got_[0].len, 2U);
  EXPECT_EQ(fake_.rx()->head, 2U);
}

TEST_F(NmDispatch, NextpktTakesOneAtATime) {
  receive(0, "one");
  receive(1, "two");
  nm_pkthdr hdr = {};
  const unsigned char* data = nm_nextpkt(desc_.get(), &hdr);
  ASSERT_NE(data, nullptr);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(data), hdr.len), "one");
  EXPECT_NE(nm_nextpkt(desc_.get(), &hdr), nullptr);
  EXPECT_EQ(nm_nextpkt(desc_.get(), &hdr), nullptr);
}

TEST(NmParse, TakesTheNamesOfNmOpen) {
  nm_desc* d = static_cast<nm_desc*>(std::calloc(1, sizeof(nm_desc)));
  ASSERT_EQ(nm_parse("netmap:eth0-3/xR@7", d, nullptr), 0);
  EXPECT_STREQ(d->req.nr_name, "eth0");
  EXPECT_EQ(d->req.nr_flags, uint32_t{NR_REG_ONE_NIC | NR_EXCLUSIVE | NR_RX_RINGS_ONLY});
  EXPECT_EQ(d->req.nr_ringid, 3);
  EXPECT_EQ(d->req.nr_arg2, 7);
  std::memset(&d->req, 0, sizeof(d->req));
  ASSERT_EQ(nm_parse("vale0:a}12", d, nullptr), 0);
  EXPECT_STREQ(d->req.nr_name, "vale0:a");
  EXPECT_EQ(d->req.nr_flags, uint32_t{NR_REG_PIPE_SLAVE});
  EXPECT_EQ(d->req.nr_ringid, 12);
  for (const char* bad :
       {"vale0", "vale.0:1", "vale0:a.b", "netmap:0123456789abcdef", "netmap:eth0-", "netmap:eth0{x", "netmap:eth0/",
        "netmap:eth0/q", "netmap:eth0@", "netmap:eth0@0", "netmap:eth0@1@2", "netmap:eth0^1", "netmap:eth0-4095"}) {
    char why[MAXERRMSG] = "";
    EXPECT_EQ(nm_parse(bad, d, why), -1) << bad;
    EXPECT_EQ(errno, EINVAL) << bad;
    EXPECT_STRNE(why, "") << bad;
  }
  std::free(d);
}

TEST(NmOpen, LeavesOtherNamesAlone) {
  errno = EIO;
  EXPECT_EQ(nm_open("eth0", nullptr, 0, nullptr), nullptr);
  EXPECT_EQ(errno, 0);
}

}  // namespace
