// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/request/options.hh"

#include "daemon/registry/registry_test.hh"

namespace unetmap::daemon {
namespace {

class OptionsTest : public RegistryTest {
 protected:
  template <class T>
  static wire::ControlOption option(uint32_t type, const T& value) {
    auto* from = reinterpret_cast<const uint8_t*>(&value);
    return {type, 0, {from + sizeof(nmreq_option), from + sizeof value}};
  }
  template <class T>
  static T value(const wire::ControlOption& option) {
    T out{};
    memcpy(reinterpret_cast<uint8_t*>(&out) + sizeof(nmreq_option), option.payload.data(), option.payload.size());
    return out;
  }
  int offsets(const std::string& name, nmreq_opt_offsets wanted) {
    auto request = register_request(name);
    request.options.push_back(option(NETMAP_REQ_OPT_OFFSETS, wanted));
    return ask(request);
  }
};

TEST_F(OptionsTest, UnknownTwiceOrMisplacedIsRefused) {
  auto request = register_request("vale0:1");
  request.options.push_back(option(NETMAP_REQ_OPT_OFFSETS, nmreq_opt_offsets{}));
  request.options.push_back({1234, 0, {}});
  EXPECT_EQ(ask(request), EOPNOTSUPP);
  EXPECT_EQ(last_.options[0].status, uint32_t{EOPNOTSUPP});
  EXPECT_EQ(last_.options[1].status, uint32_t{EOPNOTSUPP});
  request.options[1] = request.options[0];
  EXPECT_EQ(ask(request), EINVAL);
  EXPECT_EQ(last_.options[0].status, uint32_t{EINVAL});
  EXPECT_EQ(last_.options[1].status, uint32_t{EINVAL});
  request.options[1] = {0, 0, {}};
  EXPECT_EQ(ask(request), EINVAL);
  EXPECT_EQ(last_.options[0].status, uint32_t{EOPNOTSUPP});
  EXPECT_EQ(last_.options[1].status, uint32_t{EINVAL});
  // Known, but not looked at: registering does not let that pass, other requests do.
  auto looked_at = register_request("vale0:1");
  looked_at.options.push_back(option(NETMAP_REQ_OPT_SYNC_KLOOP_MODE, nmreq_opt_sync_kloop_mode{}));
  EXPECT_EQ(ask(looked_at), EOPNOTSUPP);
  EXPECT_EQ(last_.options[0].status, uint32_t{EOPNOTSUPP});
  nmreq_port_info_get info{};
  auto other = request_of(NETMAP_REQ_PORT_INFO_GET, "vale0:1", info);
  other.options.push_back(option(NETMAP_REQ_OPT_CSB, nmreq_opt_csb{}));
  EXPECT_EQ(ask(other), 0);
  EXPECT_EQ(last_.options[0].status, uint32_t{EOPNOTSUPP});
  other.options.push_back(other.options[0]);
  EXPECT_EQ(ask(other), EINVAL);
  auto short_one = register_request("vale0:1");
  short_one.options.push_back({NETMAP_REQ_OPT_OFFSETS, 0, std::vector<uint8_t>(3)});
  EXPECT_EQ(ask(short_one), EINVAL);
  EXPECT_EQ(registry_.ports().size(), 0u);
}

TEST_F(OptionsTest, CsbIsTheLibrarysAffair) {
  auto request = register_request("vale0:1");
  request.options.push_back(option(NETMAP_REQ_OPT_CSB, nmreq_opt_csb{}));
  EXPECT_EQ(ask(request), 0);
  EXPECT_EQ(last_.options[0].status, 0u);
}

TEST_F(OptionsTest, OffsetsAreChecked) {
  nmreq_opt_offsets good{};
  good.nro_max_offset = 128;
  good.nro_initial_offset = 64;
  auto with = [&](auto change) {
    nmreq_opt_offsets bad = good;
    change(bad);
    return offsets("vale0:1", bad);
  };
  EXPECT_EQ(with([](auto& o) { o.nro_offset_bits = 65; }), EINVAL);
  EXPECT_EQ(with([](auto& o) { o.nro_max_offset = kPrivateBufSize + 1; }), EINVAL);
  EXPECT_EQ(with([](auto& o) { o.nro_offset_bits = 7; }), EINVAL);
  EXPECT_EQ(with([](auto& o) { o.nro_initial_offset = 129; }), EINVAL);
  EXPECT_EQ(with([](auto& o) { o.nro_tx_align = 3; }), EINVAL);
  EXPECT_EQ(last_.options[0].status, uint32_t{EINVAL});
  EXPECT_EQ(with([](auto&) {}), 0);
  EXPECT_EQ(last_.options[0].status, 0u);
  // What is unusual, and may be.
  EXPECT_EQ(offsets("vale0:2", {.nro_opt = {},
                                .nro_max_offset = kPrivateBufSize,
                                .nro_initial_offset = 0,
                                .nro_offset_bits = 0,
                                .nro_tx_align = 0,
                                .nro_min_gap = 5000}),
            0);
}

TEST_F(OptionsTest, OffsetsShowInTheRings) {
  nmreq_opt_offsets wanted{};
  wanted.nro_max_offset = 128;
  wanted.nro_initial_offset = 64;
  wanted.nro_offset_bits = 16;
  wanted.nro_tx_align = 8;
  auto request = register_request("vale0:1");
  request.options.push_back(option(NETMAP_REQ_OPT_OFFSETS, wanted));
  File* file = open(request);
  Memory memory = map(*file);
  EXPECT_EQ(memory.info.port.offset_mask, 0xffffu);
  for (bool rx : {false, true}) {
    EXPECT_EQ(memory.ring(rx, 0)->offset_mask, 0xffffu);
    EXPECT_EQ(memory.ring(rx, 0)->buf_align, 8u);
    EXPECT_EQ(memory.ring(rx, 0)->slot[100].ptr, 64u);
  }
  // Who comes later is told what holds, and asks for no more of it.
  nmreq_opt_offsets less = wanted;
  less.nro_max_offset = less.nro_initial_offset = 32;
  less.nro_offset_bits = 8;
  EXPECT_EQ(offsets("vale0:1", less), 0);
  EXPECT_EQ(value<nmreq_opt_offsets>(last_.options[0]).nro_max_offset, 128u);
  EXPECT_EQ(value<nmreq_opt_offsets>(last_.options[0]).nro_offset_bits, 8u);
  less.nro_max_offset = 200;
  EXPECT_EQ(offsets("vale0:1", less), EBUSY);
  EXPECT_EQ(last_.options[0].status, uint32_t{EBUSY});
  wanted.nro_offset_bits = 32;
  EXPECT_EQ(offsets("vale0:1", wanted), EBUSY);
  auto monitor = register_request("vale0:1", NR_REG_ALL_NIC, NR_MONITOR_RX);
  monitor.options.push_back(option(NETMAP_REQ_OPT_OFFSETS, less));
  EXPECT_EQ(ask(monitor), EOPNOTSUPP);
  EXPECT_EQ(last_.options[0].status, uint32_t{EOPNOTSUPP});
  File* plain = open("vale0:2");
  EXPECT_EQ(offsets("vale0:2", wanted), EBUSY);
  close(plain);
  close(file);
}

TEST_F(OptionsTest, ExternalMemoryShapesTheRegion) {
  nmreq_opt_extmem wanted{};
  wanted.nro_usrptr = 0x7f0000000000;
  wanted.nro_info.nr_memsize = 16 << 20;
  wanted.nro_info.nr_if_pool_objtotal = 4;
  wanted.nro_info.nr_ring_pool_objtotal = 8;
  wanted.nro_info.nr_buf_pool_objtotal = 5000;
  auto request = register_request("vale0:1");
  request.options.push_back(option(NETMAP_REQ_OPT_EXTMEM, wanted));
  File* file = open(request);
  auto got = value<nmreq_opt_extmem>(request.options[0]);
  EXPECT_EQ(request.options[0].status, 0u);
  EXPECT_LE(got.nro_info.nr_memsize, wanted.nro_info.nr_memsize);
  EXPECT_EQ(got.nro_info.nr_buf_pool_objtotal, 5000u);
  EXPECT_EQ(got.nro_info.nr_mem_id, file->port->region->info().id);
  EXPECT_EQ(bind_info(*file).memsize, got.nro_info.nr_memsize);
  // The same memory again is the same region.
  request = register_request("vale0:2");
  request.options.push_back(option(NETMAP_REQ_OPT_EXTMEM, wanted));
  File* second = open(request);
  EXPECT_EQ(second->port->region, file->port->region);
  close(file);
  close(second);
}

TEST_F(OptionsTest, ExternalMemoryHasToSuffice) {
  nmreq_opt_extmem wanted{};
  wanted.nro_info.nr_memsize = 20000;
  auto request = register_request("vale0:1");
  request.options.push_back(option(NETMAP_REQ_OPT_EXTMEM, wanted));
  EXPECT_EQ(ask(request), ENOMEM);
  EXPECT_EQ(last_.options[0].status, uint32_t{ENOMEM});
  wanted.nro_info.nr_memsize = 1 << 20;  // pools fit, the rings' buffers do not
  request.options[0] = option(NETMAP_REQ_OPT_EXTMEM, wanted);
  EXPECT_EQ(ask(request), ENOMEM);
  wanted.nro_info.nr_buf_pool_objsize = 100;
  request.options[0] = option(NETMAP_REQ_OPT_EXTMEM, wanted);
  EXPECT_EQ(ask(request), EINVAL);
  EXPECT_EQ(registry_.ports().regions_in_use(), 0u);
}

}  // namespace
}  // namespace unetmap::daemon
