// SPDX-License-Identifier: BSD-2-Clause
// A Registry to be asked things, without sockets.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "daemon/port/binding.hh"
#include "daemon/registry/registry.hh"
#include "daemon/test_client.hh"
#include "mem/memfd.hh"

namespace unetmap::daemon {

class RegistryTest : public testing::Test {
 protected:
  // 0 or the errno value of the answer; `request` has the answer.
  int ask(File& file, wire::ControlRequest& request) {
    auto result = registry_.control(file, request);
    text_ = result ? "" : result.error().text;
    return result ? 0 : result.error().code;
  }
  int ask(wire::ControlRequest request) {
    File* file = registry_.files().open(1);
    int code = ask(*file, request);
    last_ = request;
    registry_.files().close(file);
    return code;
  }
  template <class T>
  int ask(uint16_t type, const std::string& name, T& body) {
    int code = ask(request_of(type, name, body));
    body = last_.body_as<T>();
    return code;
  }

  // Opens a port and expects that to work.
  File* open(const std::string& name, uint32_t mode = NR_REG_ALL_NIC, uint64_t flags = 0) {
    auto request = register_request(name, mode, flags);
    return open(request);
  }
  File* open(wire::ControlRequest& request) {
    File* file = registry_.files().open(1);
    EXPECT_EQ(ask(*file, request), 0) << text_;
    return file;
  }
  // The errno value that opening it gives.
  int refusal(const std::string& name, uint32_t mode = NR_REG_ALL_NIC, uint64_t flags = 0) {
    return ask(register_request(name, mode, flags));
  }
  void close(File* file, bool goodbye = true) {
    file->goodbye = goodbye;
    registry_.files().close(file);
  }

  struct Memory {
    mem::Mapping privates, exchange;
    wire::BindInfo info;
    netmap_if* nifp() const { return reinterpret_cast<netmap_if*>(privates.data() + info.if_offset); }
    netmap_ring* ring(bool rx, uint32_t i, bool peer = false) const {
      const wire::PortInfo& p = peer ? info.peer : info.port;
      return reinterpret_cast<netmap_ring*>(
          privates.data() + (rx ? p.rx_ring_ofs + i * p.rx_ring_stride : p.tx_ring_ofs + i * p.tx_ring_stride));
    }
    uint8_t* buffer(uint32_t i) const {
      const wire::RegionInfo& region = info.region;
      return exchange.data() + region.exchange_bytes + region.buf_headroom + uint64_t{i} * region.buf_size;
    }
    RxExchange& rx_exchange(uint32_t i) const {
      return *reinterpret_cast<RxExchange*>(exchange.data() + info.port.exchange_ofs + i * info.port.exchange_stride);
    }
  };
  Memory map(const File& file) {
    Memory out;
    out.info = bind_info(file);
    auto fds = bind_fds(file);
    const wire::RegionInfo& region = out.info.region;
    auto privates = mem::Mapping::map(fds[wire::kPrivateFd], region.private_bytes);
    auto exchange =
        mem::Mapping::map(fds[wire::kExchangeFd], region.exchange_bytes + uint64_t{region.nbufs} * region.buf_size);
    EXPECT_TRUE(privates.has_value() && exchange.has_value());
    out.privates = std::move(*privates);
    out.exchange = std::move(*exchange);
    return out;
  }
  static uint64_t allocated_bytes(int fd) {
    struct stat info;
    EXPECT_EQ(fstat(fd, &info), 0);
    return uint64_t(info.st_blocks) * 512;
  }

  Registry registry_;
  wire::ControlRequest last_;
  std::string text_;
};

}  // namespace unetmap::daemon
