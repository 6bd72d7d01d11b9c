// SPDX-License-Identifier: BSD-2-Clause
#include "mutants.hh"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <tuple>

namespace unetmap::model {
namespace {

bool in_sources(const Site& site) { return site.file.starts_with("src/"); }

// All that are weaker and mean something for such an operation.
std::vector<Order> weaker(const Site& site) {
  std::vector<Order> out;
  switch (site.order) {
    case Order::seq_cst:
      if (site.fence || (site.loads && site.stores)) out.push_back(Order::acq_rel);
      else out.push_back(site.loads ? Order::acquire : Order::release);
      [[fallthrough]];
    case Order::acq_rel:
      if (site.order == Order::acq_rel || site.fence) {
        out.push_back(Order::acquire);
        out.push_back(Order::release);
      }
      [[fallthrough]];
    case Order::acquire:
    case Order::release: out.push_back(Order::relaxed); break;
    default: break;
  }
  return out;
}

}  // namespace

int table_of_mutants(const std::vector<Scenario>& chosen, const Limits& limits) {
  std::map<std::string, std::vector<Site>> reached;
  std::vector<Site> sites;
  for (const Scenario& scenario : chosen) {
    Outcome out = explore(scenario, {.random_runs = 1000, .seed = limits.seed});
    if (!out.good) return printf("unchanged: %s\n", out.complaint.c_str()), 1;
    for (const Site& site : out.sites)
      if (in_sources(site) && std::find(sites.begin(), sites.end(), site) == sites.end()) sites.push_back(site);
    reached[scenario.name] = out.sites;
  }
  std::sort(sites.begin(), sites.end(), [](const Site& a, const Site& b) {
    return std::tie(a.file, a.line, a.failure) < std::tie(b.file, b.line, b.failure);
  });
  printf("| where | operation | order | weakened to | caught by |\n|---|---|---|---|---|\n");
  unsigned all = 0, caught = 0;
  for (const Site& site : sites)
    for (Order order : weaker(site)) {
      Mutant mutant{site, order};
      std::string by;
      // A few runs of each first: most show soon.
      for (uint64_t runs : {limits.random_runs / 20, limits.random_runs})
        for (const Scenario& scenario : chosen) {
          const auto& in = reached[scenario.name];
          if (!by.empty() || std::find(in.begin(), in.end(), site) == in.end()) continue;
          if (!explore(scenario, {.random_runs = runs, .seed = limits.seed}, &mutant).good) by = scenario.name;
        }
      all++;
      caught += !by.empty();
      const char* what = site.fence ? "fence" : site.failure ? "failed swap" : site.loads && site.stores ? "update" : site.loads ? "load" : "store";
      printf("| %.*s:%u | %s | %s | %s | %s |\n", int(site.file.size()), site.file.data(), site.line, what, name_of(site.order),
             site.fence && order == Order::relaxed ? "none" : name_of(order), by.empty() ? "**not**" : by.c_str());
      fflush(stdout);
    }
  printf("\n%u of %u caught.\n", caught, all);
  return 0;
}

}  // namespace unetmap::model
