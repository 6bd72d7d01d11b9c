// SPDX-License-Identifier: BSD-2-Clause
// Where an execution's choices come from: at random, or each once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <random>
#include <vector>

namespace unetmap::model {

struct Chooser {
  virtual ~Chooser() = default;
  virtual unsigned fatal_step(unsigned most) = 0;
  virtual size_t thread(bool current_can, size_t others) = 0;  // 0: the current one if it can
  virtual size_t entry(size_t count) = 0;                      // 0: the newest
};

struct Random final : Chooser {
  std::mt19937_64 random;
  double stays = 0.5, newest = 0.5;
  explicit Random(uint64_t seed) : random(seed) {
    constexpr double kStays[] = {0.3, 0.6, 0.8, 0.92}, kNewest[] = {0.3, 0.6, 0.9};
    stays = kStays[random() % std::size(kStays)];
    newest = kNewest[random() % std::size(kNewest)];
  }
  bool chance(double of) { return double(random() >> 11) < of * double(uint64_t{1} << 53); }
  unsigned fatal_step(unsigned most) override { return chance(0.1) ? 0 : unsigned(1 + random() % (most + 1)); }
  size_t thread(bool current_can, size_t others) override {
    if (current_can && (others == 0 || chance(stays))) return 0;
    return (current_can ? 1 : 0) + random() % others;
  }
  size_t entry(size_t count) override { return count == 1 || chance(newest) ? 0 : random() % count; }
};

struct Exhaustive final : Chooser {
  struct Choice {
    size_t taken, of;
  };
  std::vector<Choice> path;
  size_t at = 0;
  unsigned preemptions = 0, most_preemptions;
  explicit Exhaustive(unsigned most) : most_preemptions(most) {}
  size_t choose(size_t of) {
    if (of < 2) return 0;
    if (at == path.size()) path.push_back({0, of});
    if (path[at].of != of) abort();  // the scenario does not do the same twice
    return path[at++].taken;
  }
  unsigned fatal_step(unsigned most) override { return unsigned(choose(most + 2)); }
  size_t thread(bool current_can, size_t others) override {
    if (current_can && preemptions == most_preemptions) return 0;
    size_t taken = choose(others + current_can);
    preemptions += current_can && taken > 0;
    return taken;
  }
  size_t entry(size_t count) override { return choose(count); }
  // False when all was tried.
  bool next() {
    while (!path.empty() && path.back().taken + 1 == path.back().of) path.pop_back();
    if (path.empty()) return false;
    path.back().taken++;
    at = preemptions = 0;
    return true;
  }
};

}  // namespace unetmap::model
