// SPDX-License-Identifier: BSD-2-Clause
// Ports and files without anybody above them, for tests.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daemon/inventory/files.hh"
#include "daemon/inventory/ports.hh"
#include "daemon/inventory/regions.hh"
#include "daemon/port/port_name.hh"

namespace unetmap::daemon {

// Writes down what it is told.
class ToldEvents final : public PortEvents {
 public:
  void made(Port& port) override { told.push_back("made " + port.name); }
  void going(Port& port) override { told.push_back("going " + port.name); }
  void release_interface(const Port& port, std::function<void()> free) override {
    told.push_back("release " + port.name);
    free_later = std::move(free);
  }
  void users_changed(Port& port) override {
    told.push_back("users " + port.name + " " + std::to_string(port.users.size()));
  }
  void restored() override { told.push_back("restored"); }

  std::vector<std::string> told;
  std::function<void()> free_later;
};

class InventoryTest : public testing::Test {
 protected:
  Port* make(const std::string& name, uint32_t slots = 64, std::shared_ptr<Region> region = nullptr) {
    Recipe recipe;
    recipe.shape.tx_slots = recipe.shape.rx_slots = slots;
    recipe.region = std::move(region);
    auto parsed = parse_port_name(name);
    auto port = parsed ? ports_.make(*parsed, recipe, false) : Result<Port*>(parsed.error());
    EXPECT_TRUE(port.has_value()) << port.error().text;
    return port ? *port : nullptr;
  }

  ToldEvents events_;
  Regions regions_;
  PersistentPorts persistent_;
  Ports ports_{regions_, persistent_, events_};
  Files files_{ports_, events_};
};

}  // namespace unetmap::daemon
