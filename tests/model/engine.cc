// SPDX-License-Identifier: BSD-2-Clause
#include "engine.hh"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "chooser.hh"

namespace unetmap::model {

static void schedule();

namespace {

constexpr unsigned kMaxWords = 96, kMaxThreads = 6, kMaxSteps = 3000;
constexpr size_t kStackBytes = 256 << 10;

struct View {
  std::array<uint16_t, kMaxWords> at{};
  void join(const View& other) {
    for (unsigned i = 0; i < kMaxWords; i++) at[i] = std::max(at[i], other.at[i]);
  }
};

struct Entry {
  uint64_t value;
  View attached;
};
struct Word {
  void* at;
  unsigned bytes;
  std::vector<Entry> history;
};

enum class State { kReady, kWaiting, kStopped, kEnded, kDead };
struct Fiber {
  std::function<void()> body;
  Fate fate = Fate::kLives;
  State state = State::kReady;
  std::function<bool()> wakes;  // what it waits for
  View seen, pending, released;  // pending: what an acquire fence would make seen; released: by the last release fence
  unsigned steps = 0, fatal_step = 0;  // 0: never
  bool began = false;
  ucontext_t entry;
  jmp_buf at;
};

struct Engine {
  std::vector<Word> words;
  std::vector<std::pair<const uint8_t*, size_t>> quiet;
  std::vector<View> views;  // of bells
  View sequential;
  std::array<Fiber, kMaxThreads> fibers;
  std::array<std::unique_ptr<char[]>, kMaxThreads> stacks;
  unsigned count = 0, current = 0;
  bool running = false;
  Chooser* chooser = nullptr;
  jmp_buf back;
  const char* complaint = nullptr;
  std::vector<Site> sites;
  const Mutant* mutant = nullptr;
  std::array<unsigned, kMaxThreads> most_steps{};
  bool tracing = false;
  std::string trace;
  unsigned steps = 0;
};
Engine engine;

std::string_view short_name(const char* path) {
  std::string_view name = path;
  for (std::string_view top : {"/src/", "/tests/"})
    if (size_t found = name.rfind(top); found != name.npos) return name.substr(found + 1);
  return name;
}

void note(const char* what, const Here& here, const void* at, uint64_t value, Order order) {
  if (!engine.tracing) return;
  char line[240];
  std::string_view file = short_name(here.file);
  snprintf(line, sizeof line, "  thread %u: %-8s %-10s %16llx at word %zd, %.*s:%u\n", engine.current, what, name_of(order),
           static_cast<unsigned long long>(value), at ? ssize_t(reinterpret_cast<uintptr_t>(at) & 0xffff) : -1,
           int(file.size()), file.data(), here.line);
  engine.trace += line;
}

Order seen_order(Order order, const Here& here, bool fence, bool failure, bool loads, bool stores) {
  Site site{short_name(here.file), here.line, order, fence, failure, loads, stores};
  if (std::find(engine.sites.begin(), engine.sites.end(), site) == engine.sites.end()) engine.sites.push_back(site);
  return engine.mutant && engine.mutant->site == site ? engine.mutant->order : order;
}

bool acquires(Order o) { return o == Order::acquire || o == Order::acq_rel || o == Order::seq_cst; }
bool releases(Order o) { return o == Order::release || o == Order::acq_rel || o == Order::seq_cst; }

// --- threads ---

[[noreturn]] void leave() { _longjmp(engine.back, 1); }

[[noreturn]] void start(unsigned id) {
  Fiber& fiber = engine.fibers[id];
  fiber.began = true;
  engine.current = id;
  getcontext(&fiber.entry);
  if (!engine.stacks[id]) engine.stacks[id].reset(new char[kStackBytes]);
  fiber.entry.uc_stack.ss_sp = engine.stacks[id].get();
  fiber.entry.uc_stack.ss_size = kStackBytes;
  fiber.entry.uc_link = nullptr;
  makecontext(
      &fiber.entry,
      reinterpret_cast<void (*)()>(+[] {
        engine.fibers[engine.current].body();
        Fiber& self = engine.fibers[engine.current];
        self.state = State::kEnded;
        schedule();
        leave();
      }),
      0);
  setcontext(&fiber.entry);
  abort();
}

void run_thread(unsigned id) {
  engine.current = id;
  if (!engine.fibers[id].began) start(id);
  _longjmp(engine.fibers[id].at, 1);
}

bool can_run(Fiber& fiber) {
  if (fiber.state == State::kWaiting && fiber.wakes()) fiber.state = State::kReady;
  return fiber.state == State::kReady;
}

// Who goes on; kMaxThreads: nobody can.
unsigned choose_thread() {
  for (;;) {
    unsigned others[kMaxThreads];
    size_t n = 0;
    bool current_can = can_run(engine.fibers[engine.current]);
    for (unsigned i = 0; i < engine.count; i++)
      if (i != engine.current && can_run(engine.fibers[i])) others[n++] = i;
    if (current_can || n > 0) {
      size_t taken = engine.chooser->thread(current_can, n);
      if (current_can) return taken == 0 ? engine.current : others[taken - 1];
      return others[taken];
    }
    // Those that were stopped go on.
    bool any = false;
    for (unsigned i = 0; i < engine.count; i++)
      if (engine.fibers[i].state == State::kStopped) {
        engine.fibers[i].state = State::kReady;
        any = true;
      }
    if (!any) return kMaxThreads;
  }
}

}  // namespace

// Lets whoever is chosen go on; comes back when it is the caller's turn, if ever.
static void schedule() {
  unsigned next = choose_thread();
  if (next == kMaxThreads) {
    for (unsigned i = 0; i < engine.count; i++)
      if (engine.fibers[i].state == State::kWaiting && !engine.complaint) engine.complaint = "somebody sleeps for ever";
    leave();
  }
  if (next == engine.current) return;
  Fiber& self = engine.fibers[engine.current];
  if (_setjmp(self.at) == 0) run_thread(next);
}

namespace {

// Before each operation.
void step() {
  Fiber& self = engine.fibers[engine.current];
  if (++engine.steps > kMaxSteps) {
    engine.complaint = "it does not end";
    leave();
  }
  if (++self.steps == self.fatal_step) {
    self.state = self.fate == Fate::kMayDie ? State::kDead : State::kStopped;
    if (engine.tracing) engine.trace += "  thread " + std::to_string(engine.current) + (self.fate == Fate::kMayDie ? " dies\n" : " stops\n");
  }
  schedule();
}

Fiber& self() { return engine.fibers[engine.current]; }

bool is_quiet(const void* at) {
  auto* byte = static_cast<const uint8_t*>(at);
  return std::any_of(engine.quiet.begin(), engine.quiet.end(), [&](auto& q) { return byte >= q.first && byte < q.first + q.second; });
}

uint64_t plain(const void* at, unsigned bytes) {
  uint64_t value = 0;
  memcpy(&value, at, bytes);
  return value;
}

unsigned word_at(const void* at, unsigned bytes) {
  for (unsigned i = 0; i < engine.words.size(); i++)
    if (engine.words[i].at == at) {
      if (engine.words[i].bytes != bytes) engine.complaint = "a word is accessed in parts", leave();
      return i;
    }
  if (engine.words.size() == kMaxWords) engine.complaint = "more words than the engine has room for", leave();
  engine.words.push_back({const_cast<void*>(at), bytes, {{plain(at, bytes), {}}}});
  return unsigned(engine.words.size() - 1);
}

void take_over(const View& attached, Order order) {
  if (acquires(order)) self().seen.join(attached);
  else self().pending.join(attached);
}

void append(unsigned id, uint64_t value, Order order, const View* continued) {
  Word& word = engine.words[id];
  const auto at = uint16_t(word.history.size());
  self().seen.at[id] = at;
  View attached = releases(order) ? self().seen : self().released;
  attached.at[id] = at;
  if (continued) attached.join(*continued);
  word.history.push_back({value, attached});
  if (order == Order::seq_cst) engine.sequential.at[id] = at;
  memcpy(word.at, &value, word.bytes);
}

// The oldest entry that the thread may still see.
uint16_t oldest(unsigned id, Order order) {
  uint16_t from = self().seen.at[id];
  if (order == Order::seq_cst) from = std::max(from, engine.sequential.at[id]);
  return from;
}

uint64_t read_entry(unsigned id, size_t at, Order order) {
  const Entry& entry = engine.words[id].history[at];
  self().seen.at[id] = std::max(self().seen.at[id], uint16_t(at));
  take_over(entry.attached, order);
  if (order == Order::seq_cst) engine.sequential.at[id] = std::max(engine.sequential.at[id], uint16_t(at));
  return entry.value;
}

uint64_t truncated(uint64_t value, unsigned bytes) { return bytes == 8 ? value : value & ((uint64_t{1} << 8 * bytes) - 1); }

uint64_t updated(uint64_t old, Update what, uint64_t operand) {
  switch (what) {
    case Update::kExchange: return operand;
    case Update::kAdd: return old + operand;
    case Update::kSubtract: return old - operand;
    case Update::kOr: return old | operand;
    default: return old & operand;
  }
}

}  // namespace

uint64_t load(const void* at, unsigned bytes, Order order, const Here& here) {
  if (!engine.running || is_quiet(at)) return plain(at, bytes);
  order = seen_order(order, here, false, false, true, false);
  step();
  unsigned id = word_at(at, bytes);
  size_t newest = engine.words[id].history.size() - 1, from = oldest(id, order);
  uint64_t value = read_entry(id, newest - engine.chooser->entry(newest - from + 1), order);
  note("loads", here, at, value, order);
  return value;
}

void store(void* at, unsigned bytes, uint64_t value, Order order, const Here& here) {
  value = truncated(value, bytes);
  if (!engine.running || is_quiet(at)) {
    memcpy(at, &value, bytes);
    return;
  }
  order = seen_order(order, here, false, false, false, true);
  step();
  append(word_at(at, bytes), value, order, nullptr);
  note("stores", here, at, value, order);
}

uint64_t update(void* at, unsigned bytes, Update what, uint64_t operand, Order order, const Here& here) {
  if (!engine.running || is_quiet(at)) {
    uint64_t old = plain(at, bytes), value = truncated(updated(old, what, operand), bytes);
    memcpy(at, &value, bytes);
    return old;
  }
  order = seen_order(order, here, false, false, true, true);
  step();
  unsigned id = word_at(at, bytes);
  uint64_t old = read_entry(id, engine.words[id].history.size() - 1, order);
  const View continued = engine.words[id].history.back().attached;
  append(id, truncated(updated(old, what, operand), bytes), order, &continued);
  note("updates", here, at, old, order);
  return old;
}

bool compare_exchange(void* at, unsigned bytes, uint64_t& expected, uint64_t desired, Order success, Order failure,
                      const Here& here) {
  if (!engine.running || is_quiet(at)) {
    uint64_t seen = plain(at, bytes);
    bool equal = seen == expected;
    if (equal) memcpy(at, &desired, bytes);
    expected = seen;
    return equal;
  }
  success = seen_order(success, here, false, false, true, true);
  failure = seen_order(failure, here, false, true, true, false);
  step();
  unsigned id = word_at(at, bytes);
  auto& history = engine.words[id].history;
  // It succeeds on the newest entry only; an older one may make it fail.
  std::vector<size_t> can = {history.size() - 1};
  for (size_t i = history.size() - 1; i-- > oldest(id, failure);)
    if (history[i].value != expected) can.push_back(i);
  size_t taken = can[engine.chooser->entry(can.size())];
  if (taken + 1 == history.size() && history[taken].value == expected) {
    read_entry(id, taken, success);
    const View continued = history.back().attached;
    append(id, truncated(desired, bytes), success, &continued);
    note("swaps", here, at, desired, success);
    return true;
  }
  expected = read_entry(id, taken, failure);
  note("swaps not", here, at, expected, failure);
  return false;
}

void fence(Order order, const Here& here) {
  if (!engine.running) return;
  order = seen_order(order, here, true, false, true, true);
  step();
  if (acquires(order)) self().seen.join(self().pending);
  if (order == Order::seq_cst) {
    self().seen.join(engine.sequential);
    engine.sequential.join(self().seen);
  }
  if (releases(order)) self().released = self().seen;
  note("fence", here, nullptr, 0, order);
}

void quiet(const void* at, size_t bytes) { engine.quiet.push_back({static_cast<const uint8_t*>(at), bytes}); }

Thread add_thread(std::function<void()> body, Fate fate) {
  if (engine.count == kMaxThreads) abort();
  Fiber& fiber = engine.fibers[engine.count];
  fiber.body = std::move(body);
  fiber.fate = fate;
  return engine.count++;
}

static void wait_until(std::function<bool()> wakes) {
  self().wakes = std::move(wakes);
  self().state = State::kWaiting;
  schedule();
}

void wait_for_end(Thread thread) {
  Fiber& other = engine.fibers[thread];
  wait_until([&other] { return other.state == State::kEnded || other.state == State::kDead; });
  self().seen.join(other.seen);
}

void wait_for_halt(Thread thread) {
  Fiber& other = engine.fibers[thread];
  wait_until([&other] { return other.state == State::kEnded || other.state == State::kDead || other.state == State::kStopped; });
}

bool died(Thread thread) { return engine.fibers[thread].state == State::kDead; }

void Bell::ring() {
  step();
  if (view_ < 0) {
    view_ = int(engine.views.size());
    engine.views.emplace_back();
  }
  engine.views[size_t(view_)].join(self().seen);
  rung_ = true;
}

void Bell::wait() {
  wait_until([this] { return rung_; });
  rung_ = false;
  self().seen.join(engine.views[size_t(view_)]);
}

void Bell::drain() {
  step();
  if (!rung_) return;
  rung_ = false;
  self().seen.join(engine.views[size_t(view_)]);
}

void check(bool good, const char* complaint) {
  if (good) return;
  engine.complaint = complaint;
  if (engine.running) leave();
}

std::vector<Scenario>& scenarios() {
  static std::vector<Scenario> all;
  return all;
}

const char* name_of(Order order) {
  switch (order) {
    case Order::relaxed: return "relaxed";
    case Order::acquire: return "acquire";
    case Order::release: return "release";
    case Order::acq_rel: return "acq_rel";
    default: return "seq_cst";
  }
}

namespace {

// One execution. False if something was wrong.
bool run_once(const Scenario& scenario, Chooser& chooser) {
  engine.words.clear();
  engine.quiet.clear();
  engine.views.clear();
  engine.sequential = {};
  engine.count = engine.current = 0;
  engine.steps = 0;
  engine.complaint = nullptr;
  engine.trace.clear();
  engine.chooser = &chooser;
  auto after = scenario.prepare();
  for (unsigned i = 0; i < engine.count; i++) {
    Fiber& fiber = engine.fibers[i];
    fiber.state = State::kReady;
    fiber.seen = fiber.pending = fiber.released = {};
    fiber.steps = fiber.fatal_step = 0;
    fiber.began = false;
    if (fiber.fate != Fate::kLives) fiber.fatal_step = chooser.fatal_step(engine.most_steps[i]);
  }
  engine.running = true;
  if (_setjmp(engine.back) == 0) {
    engine.current = 0;
    run_thread(unsigned(chooser.thread(false, engine.count)));
  }
  engine.running = false;
  if (!engine.complaint && after) after();
  for (unsigned i = 0; i < engine.count; i++) {
    if (engine.fibers[i].state == State::kEnded) engine.most_steps[i] = std::max(engine.most_steps[i], engine.fibers[i].steps);
    engine.fibers[i].body = nullptr;
    engine.fibers[i].wakes = nullptr;
  }
  return engine.complaint == nullptr;
}

}  // namespace

Outcome explore(const Scenario& scenario, const Limits& limits, const Mutant* mutant) {
  Outcome out;
  engine.mutant = mutant;
  engine.sites.clear();
  engine.most_steps.fill(0);
  auto failed = [&](const std::string& how) {
    out.good = false;
    out.complaint = std::string(scenario.name) + ": " + engine.complaint + " (" + how + ")\n" + engine.trace;
  };
  for (uint64_t i = 0; i < limits.random_runs && out.good; i++) {
    Random random(limits.seed * 1'000'003 + i);
    out.runs++;
    auto before = engine.most_steps;
    if (run_once(scenario, random)) continue;
    // Once more, to tell what happened.
    engine.tracing = true;
    engine.most_steps = before;
    Random again(limits.seed * 1'000'003 + i);
    run_once(scenario, again);
    engine.tracing = false;
    failed("random run " + std::to_string(i));
  }
  Exhaustive all(limits.preemptions);
  auto most_steps = engine.most_steps;
  for (uint64_t i = 0; i < limits.exhaustive_runs && out.good && !out.exhausted; i++) {
    out.runs++;
    engine.most_steps = most_steps;
    if (!run_once(scenario, all)) {
      engine.tracing = true;
      all.at = all.preemptions = 0;
      engine.most_steps = most_steps;
      run_once(scenario, all);
      engine.tracing = false;
      failed("exhaustive run " + std::to_string(i));
    } else {
      out.exhausted = !all.next();
    }
  }
  out.sites = engine.sites;
  engine.mutant = nullptr;
  return out;
}

}  // namespace unetmap::model
