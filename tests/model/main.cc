// SPDX-License-Identifier: BSD-2-Clause
// The model checker's command line.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engine.hh"
#include "mutants.hh"

namespace {

constexpr const char* kUsage =
    "usage: model-tests [--runs N] [--exhaustive N] [--preemptions N] [--seed N]\n"
    "                   [--list] [--mutants] [SCENARIO...]\n"
    "\n"
    "Runs the code of the hand-over in weak memory, under a scheduler of its own.\n"
    "\n"
    "  --runs N         random runs of each scenario (1000)\n"
    "  --exhaustive N   then all runs with few preemptions, N at most (0)\n"
    "  --preemptions N  how few (2)\n"
    "  --seed N         of the random runs (1)\n"
    "  --list           names the scenarios\n"
    "  --mutants        each memory order weakened, each fence dropped, one at a\n"
    "                   time: which scenario notices. A table in Markdown\n";

}  // namespace

int main(int argc, char** argv) {
  using namespace unetmap::model;
  Limits limits;
  bool list = false, mutants = false;
  std::vector<std::string> wanted;
  for (int i = 1; i < argc; i++) {
    std::string arg = argv[i];
    auto number = [&]() -> uint64_t {
      if (i + 1 < argc) return strtoull(argv[++i], nullptr, 10);
      fprintf(stderr, "model-tests: %s: a number is missing\n", arg.c_str());
      exit(2);
    };
    if (arg == "--runs") limits.random_runs = number();
    else if (arg == "--exhaustive") limits.exhaustive_runs = number();
    else if (arg == "--preemptions") limits.preemptions = unsigned(number());
    else if (arg == "--seed") limits.seed = number();
    else if (arg == "--list") list = true;
    else if (arg == "--mutants") mutants = true;
    else if (arg == "-h" || arg == "--help") return fputs(kUsage, stdout), 0;
    else if (arg[0] == '-') return fputs(kUsage, stderr), 2;
    else wanted.push_back(arg);
  }
  std::vector<Scenario> chosen;
  for (const Scenario& s : scenarios())
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), s.name) != wanted.end()) chosen.push_back(s);
  if (chosen.empty()) return fprintf(stderr, "model-tests: no such scenario; --list names them\n"), 2;
  if (mutants) return table_of_mutants(chosen, limits);
  int failed = 0;
  for (const Scenario& s : chosen) {
    if (list) {
      printf("%-26s %s\n", s.name, s.about);
      continue;
    }
    Outcome out = explore(s, limits);
    printf("%s %-26s %9llu executions%s\n", out.good ? "ok    " : "FAILED", s.name, static_cast<unsigned long long>(out.runs),
           out.exhausted ? ", all with so few preemptions" : "");
    if (!out.good) failed++, printf("%s\n", out.complaint.c_str());
    fflush(stdout);
  }
  return failed ? 1 : 0;
}
