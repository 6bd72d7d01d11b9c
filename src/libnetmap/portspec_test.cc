// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <gtest/gtest.h>

#include <ostream>

#include "libnetmap/test_context.hh"

namespace {

struct Good {
  const char* spec;
  const char* name;
  uint32_t mode;
  uint16_t ring;
  uint64_t flags;
  uint16_t mem_id;
};
std::ostream& operator<<(std::ostream& out, const Good& c) { return out << c.spec; }

class NmGoodPortspec : public testing::TestWithParam<Good> {};

TEST_P(NmGoodPortspec, FillsTheRequest) {
  TestContext ctx;
  nmport_d* port = nmport_prepare(GetParam().spec);
  ASSERT_NE(port, nullptr) << ctx.last_message();
  EXPECT_STREQ(port->hdr.nr_name, GetParam().name);
  EXPECT_EQ(port->hdr.nr_version, NETMAP_API);
  EXPECT_EQ(port->hdr.nr_reqtype, NETMAP_REQ_REGISTER);
  EXPECT_EQ(port->hdr.nr_body, reinterpret_cast<uintptr_t>(&port->reg));
  EXPECT_EQ(port->hdr.nr_options, 0U);
  EXPECT_EQ(port->reg.nr_mode, GetParam().mode);
  EXPECT_EQ(port->reg.nr_ringid, GetParam().ring);
  EXPECT_EQ(port->reg.nr_flags, GetParam().flags);
  EXPECT_EQ(port->reg.nr_mem_id, GetParam().mem_id);
  EXPECT_EQ(port->fd, -1);
  nmport_close(port);
  EXPECT_TRUE(ctx.messages.empty());
  EXPECT_EQ(ctx.live, 0);
}

constexpr uint64_t kBothMonitors = NR_MONITOR_TX | NR_MONITOR_RX;

INSTANTIATE_TEST_SUITE_P(Grammar, NmGoodPortspec,
                         testing::Values(Good{"netmap:eth0", "eth0", NR_REG_ALL_NIC, 0, 0, 0},
                                         Good{"netmap:eth0^", "eth0", NR_REG_SW, 0, 0, 0},
                                         Good{"netmap:eth0^3", "eth0", NR_REG_ONE_SW, 3, 0, 0},
                                         Good{"netmap:eth0*", "eth0", NR_REG_NIC_SW, 0, 0, 0},
                                         Good{"netmap:eth0-0", "eth0", NR_REG_ONE_NIC, 0, 0, 0},
                                         Good{"netmap:eth0-17", "eth0", NR_REG_ONE_NIC, 17, 0, 0},
                                         Good{"netmap:eth0-4094", "eth0", NR_REG_ONE_NIC, 4094, 0, 0},
                                         Good{"netmap:eth0.100", "eth0.100", NR_REG_ALL_NIC, 0, 0, 0},
                                         Good{"netmap:br-lan", "br-lan", NR_REG_ALL_NIC, 0, 0, 0},
                                         Good{"netmap:eth0-x", "eth0-x", NR_REG_ALL_NIC, 0, 0, 0},
                                         Good{"netmap:br-lan-2/R", "br-lan", NR_REG_ONE_NIC, 2, NR_RX_RINGS_ONLY, 0},
                                         Good{"netmap:eth0-1-2", "eth0-1", NR_REG_ONE_NIC, 2, 0, 0},
                                         Good{"netmap:v-a{1", "v-a{1", NR_REG_ALL_NIC, 0, 0, 0},
                                         Good{"netmap:eth0@1", "eth0", NR_REG_ALL_NIC, 0, 0, 1},
                                         Good{"netmap:eth0-2@65535", "eth0", NR_REG_ONE_NIC, 2, 0, 65535},
                                         Good{"netmap:eth0@7/x", "eth0", NR_REG_ALL_NIC, 0, NR_EXCLUSIVE, 7},
                                         Good{"netmap:eth0/x@7", "eth0", NR_REG_ALL_NIC, 0, NR_EXCLUSIVE, 7}));

INSTANTIATE_TEST_SUITE_P(
    Flags, NmGoodPortspec,
    testing::Values(Good{"netmap:eth0/x", "eth0", NR_REG_ALL_NIC, 0, NR_EXCLUSIVE, 0},
                    Good{"netmap:eth0/t", "eth0", NR_REG_ALL_NIC, 0, NR_MONITOR_TX, 0},
                    Good{"netmap:eth0/r", "eth0", NR_REG_ALL_NIC, 0, NR_MONITOR_RX, 0},
                    Good{"netmap:eth0/z", "eth0", NR_REG_ALL_NIC, 0, NR_ZCOPY_MON | kBothMonitors, 0},
                    Good{"netmap:eth0/zr", "eth0", NR_REG_ALL_NIC, 0, NR_ZCOPY_MON | NR_MONITOR_RX, 0},
                    Good{"netmap:eth0/tz", "eth0", NR_REG_ALL_NIC, 0, NR_ZCOPY_MON | NR_MONITOR_TX, 0},
                    Good{"netmap:eth0/rt", "eth0", NR_REG_ALL_NIC, 0, kBothMonitors, 0},
                    Good{"netmap:eth0-3/R", "eth0", NR_REG_ONE_NIC, 3, NR_RX_RINGS_ONLY, 0},
                    Good{"netmap:eth0-3/xR", "eth0", NR_REG_ONE_NIC, 3, NR_EXCLUSIVE | NR_RX_RINGS_ONLY, 0},
                    Good{"netmap:eth0^1/T", "eth0", NR_REG_ONE_SW, 1, NR_TX_RINGS_ONLY, 0},
                    Good{"netmap:eth0-1/zxR", "eth0", NR_REG_ONE_NIC, 1, NR_ZCOPY_MON | NR_EXCLUSIVE | NR_RX_RINGS_ONLY,
                         0},
                    Good{"netmap:eth0/zT", "eth0", NR_REG_ALL_NIC, 0, NR_ZCOPY_MON | NR_TX_RINGS_ONLY, 0},
                    Good{"netmap:eth0/xx", "eth0", NR_REG_ALL_NIC, 0, NR_EXCLUSIVE, 0}));

INSTANTIATE_TEST_SUITE_P(Vale, NmGoodPortspec,
                         testing::Values(Good{"vale0:1", "vale0:1", NR_REG_ALL_NIC, 0, 0, 0},
                                         Good{"vale:x", "vale:x", NR_REG_ALL_NIC, 0, 0, 0},
                                         Good{"vale_A9:eth_0-1", "vale_A9:eth_0", NR_REG_ONE_NIC, 1, 0, 0},
                                         Good{"vale0:vm.1", "vale0:vm.1", NR_REG_ALL_NIC, 0, 0, 0},
                                         Good{"vale0:br-lan/x", "vale0:br-lan", NR_REG_ALL_NIC, 0, NR_EXCLUSIVE, 0},
                                         Good{"vale0:br-lan-3", "vale0:br-lan", NR_REG_ONE_NIC, 3, 0, 0},
                                         Good{"vale0:vm-1-*", "vale0:vm-1", NR_REG_ALL_NIC, 0, 0, 0},
                                         Good{"vale0:vm-1-*/x", "vale0:vm-1", NR_REG_ALL_NIC, 0, NR_EXCLUSIVE, 0},
                                         Good{"vale0:1/z", "vale0:1", NR_REG_ALL_NIC, 0, NR_ZCOPY_MON | kBothMonitors,
                                              0},
                                         Good{"vale0:1@3", "vale0:1", NR_REG_ALL_NIC, 0, 0, 3}));

INSTANTIATE_TEST_SUITE_P(Pipes, NmGoodPortspec,
                         testing::Values(Good{"netmap:x{1", "x{1", NR_REG_ALL_NIC, 0, 0, 0},
                                         Good{"netmap:x}1", "x}1", NR_REG_ALL_NIC, 0, 0, 0},
                                         Good{"netmap:x}1-2", "x}1", NR_REG_ONE_NIC, 2, 0, 0},
                                         Good{"vale0:a{name_9/x", "vale0:a{name_9", NR_REG_ALL_NIC, 0, NR_EXCLUSIVE, 0},
                                         Good{"vale0:a}0@5", "vale0:a}0", NR_REG_ALL_NIC, 0, 0, 5}));

struct BadSpec {
  const char* spec;
  const char* said;  // part of the message
  int error = EINVAL;
};
std::ostream& operator<<(std::ostream& out, const BadSpec& c) { return out << c.spec; }

class NmBadPortspec : public testing::TestWithParam<BadSpec> {};

TEST_P(NmBadPortspec, IsRefusedWithAReason) {
  TestContext ctx;
  errno = 0;
  EXPECT_EQ(nmport_prepare(GetParam().spec), nullptr);
  EXPECT_EQ(errno, GetParam().error);
  ASSERT_EQ(ctx.messages.size(), 1U);
  EXPECT_NE(ctx.messages[0].find(GetParam().said), std::string::npos) << ctx.messages[0];
  EXPECT_EQ(ctx.live, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Names, NmBadPortspec,
    testing::Values(BadSpec{"", "netmap:"}, BadSpec{"eth0", "write netmap:eth0"}, BadSpec{"netmap", "netmap:netmap"},
                    BadSpec{"netmap:", "no name"}, BadSpec{"netmap:-1", "no name"}, BadSpec{"netmap:@1", "no name"},
                    BadSpec{"vale0", "switch and a name"}, BadSpec{"vale0:", "no name"}, BadSpec{"vale0:^", "no name"},
                    BadSpec{"vale-0:1", "switch and a name"}, BadSpec{"vale.0:1", "switch"},
                    BadSpec{"vale0:a+b", "character"}, BadSpec{"vale0:a:b", "character"}, BadSpec{"vale0:a{", "pipe"},
                    BadSpec{"netmap:x}", "pipe"}, BadSpec{"netmap:x{a.b", "pipe"},
                    BadSpec{"netmap:x{1}2", "not understood"},
                    BadSpec{"vale0:12345678901234567890123456789012345678901234567890123456789", "at most 63"}));

INSTANTIATE_TEST_SUITE_P(
    Suffixes, NmBadPortspec,
    testing::Values(BadSpec{"netmap:eth0-", "'-'"}, BadSpec{"netmap:eth0-4095", "4094"},
                    BadSpec{"netmap:eth0-99999999999999999999", "4094"}, BadSpec{"netmap:eth0--1", "'-'"},
                    BadSpec{"netmap:eth0^4095", "4094"}, BadSpec{"netmap:eth0^x", "not understood"},
                    BadSpec{"netmap:eth0*1", "not understood"}, BadSpec{"netmap:eth0^*", "not understood"},
                    BadSpec{"netmap:eth0/", "no flag"}, BadSpec{"netmap:eth0/q", "'q'"},
                    BadSpec{"netmap:eth0/x/z", "'/'"}, BadSpec{"netmap:eth0/-1", "'-'"}, BadSpec{"netmap:eth0@", "'@'"},
                    BadSpec{"netmap:eth0@0", "'@'"}, BadSpec{"netmap:eth0@65536", "65535"},
                    BadSpec{"netmap:eth0@1@2", "twice"}, BadSpec{"netmap:eth0@1x", "not understood"},
                    BadSpec{"netmap:eth0@1-0", "not understood"}));

TEST(NmHeaderDecode, MovesPastTheNameAndTouchesNothingElse) {
  TestContext ctx;
  nmreq_header hdr = {};
  hdr.nr_reserved = 77;
  hdr.nr_options = 88;
  const char* spec = "vale7:abc{d-1/x@share=vale0:1";
  const char* scan = spec;
  ASSERT_EQ(nmreq_header_decode(&scan, &hdr, &ctx), 0);
  EXPECT_STREQ(hdr.nr_name, "vale7:abc{d");
  EXPECT_STREQ(scan, "-1/x@share=vale0:1");
  EXPECT_EQ(hdr.nr_reserved, 77U);
  EXPECT_EQ(hdr.nr_options, 88U);
}

TEST(NmHeaderDecode, ChangesNothingOnFailure) {
  TestContext ctx;
  nmreq_header hdr = {};
  hdr.nr_name[0] = 'k';
  const char* spec = "vale0:a{";
  const char* scan = spec;
  EXPECT_EQ(nmreq_header_decode(&scan, &hdr, &ctx), -1);
  EXPECT_EQ(scan, spec);
  EXPECT_STREQ(hdr.nr_name, "k");
}

TEST(NmRegisterDecode, StopsAtAnOptionAndKeepsTheRegion) {
  TestContext ctx;
  nmreq_register reg = {};
  reg.nr_mem_id = 9;
  reg.nr_tx_slots = 5;
  const char* scan = "^2/xT@conf:rings=3";
  ASSERT_EQ(nmreq_register_decode(&scan, &reg, &ctx), 0);
  EXPECT_STREQ(scan, "@conf:rings=3");
  EXPECT_EQ(reg.nr_mode, uint32_t{NR_REG_ONE_SW});
  EXPECT_EQ(reg.nr_ringid, 2);
  EXPECT_EQ(reg.nr_mem_id, 9);
  EXPECT_EQ(reg.nr_tx_slots, 5U);
}

TEST(NmRegisterDecode, ChangesNothingOnFailure) {
  TestContext ctx;
  nmreq_register reg = {};
  reg.nr_mode = NR_REG_NULL;
  reg.nr_flags = 1;
  const char* spec = "-3/xq";
  const char* scan = spec;
  EXPECT_EQ(nmreq_register_decode(&scan, &reg, &ctx), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(scan, spec);
  EXPECT_EQ(reg.nr_mode, uint32_t{NR_REG_NULL});
  EXPECT_EQ(reg.nr_flags, 1U);
}

}  // namespace
