// SPDX-License-Identifier: BSD-2-Clause
// A context for tests: keeps what is reported, counts what is not given back, and is the default while it lives.
#pragma once

#include <libnetmap.h>

#include <cstdlib>
#include <string>
#include <vector>

class TestContext : public nmctx {
 public:
  TestContext() : nmctx{} {
    verbose = 1;
    error = [](nmctx* ctx, const char* message) { of(ctx).messages.emplace_back(message); };
    malloc = [](nmctx* ctx, size_t size) -> void* {
      TestContext& self = of(ctx);
      if (self.allocations_left == 0) return nullptr;
      if (self.allocations_left > 0) --self.allocations_left;
      ++self.live;
      return std::malloc(size);
    };
    free = [](nmctx* ctx, void* memory) {
      if (memory != nullptr) --of(ctx).live;
      std::free(memory);
    };
    previous_ = nmctx_set_default(this);
  }
  TestContext(const TestContext&) = delete;
  TestContext& operator=(const TestContext&) = delete;
  ~TestContext() { nmctx_set_default(previous_); }

  static TestContext& of(nmctx* ctx) { return *static_cast<TestContext*>(ctx); }

  std::string last_message() const { return messages.empty() ? std::string() : messages.back(); }

  std::vector<std::string> messages;
  int live = 0;               // allocations not freed
  int allocations_left = -1;  // before malloc fails; -1: never

 private:
  nmctx* previous_;
};
