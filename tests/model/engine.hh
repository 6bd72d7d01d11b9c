// SPDX-License-Identifier: BSD-2-Clause
// A model checker for the code by which processes hand packets over: runs real code, compiled against shadow/base/atomic.hh, with
// threads that a scheduler of its own interleaves at each atomic operation, on a memory that behaves as C++20 allows.
//
// The memory: each word has the history of what was stored to it. A load takes any entry that its thread is not yet known to be
// beyond; what it is known to be beyond is a view, an index into each history. Views travel with entries: a release attaches the
// thread's, an acquire takes it over; read-modify-write operations take the newest entry and pass on what was attached to it (the
// release sequence), plain stores do not. Sequentially consistent operations and fences meet in one more view, in the order in which
// they run. What this leaves out of C++20: stores that land before others in a history, loads of what is stored later in time
// (load buffering), weak compare-and-swap that fails for no reason, words that are accessed in parts. None of it makes an execution
// up that C++20 does not allow.
//
// Threads may die, or stop until all others wait, at any step that the scheduler chooses.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace unetmap::model {

using Order = std::memory_order;
// Where an operation stands. (clang 14 has no std::source_location.)
struct Here {
  const char* file;
  unsigned line;
  static constexpr Here current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    return {file, line};
  }
};

// --- what the shadow headers call; outside of a run they work on plain memory ---
uint64_t load(const void* at, unsigned bytes, Order order, const Here& here);
void store(void* at, unsigned bytes, uint64_t value, Order order, const Here& here);
enum class Update { kExchange, kAdd, kSubtract, kOr, kAnd };
uint64_t update(void* at, unsigned bytes, Update what, uint64_t operand, Order order, const Here& here);
bool compare_exchange(void* at, unsigned bytes, uint64_t& expected, uint64_t desired, Order success, Order failure,
                      const Here& here);
void fence(Order order, const Here& here);

// --- what scenarios call ---

// What is accessed by one thread at a time, told by means outside of the model: no steps, no weak memory.
void quiet(const void* at, size_t bytes);

using Thread = unsigned;
enum class Fate { kLives, kMayDie, kMayStop };
// Before the run: adds a thread.
Thread add_thread(std::function<void()> body, Fate fate = Fate::kLives);
// Within: waits until that thread has ended or died, as the daemon and the kernel tell; everything that it did is seen then.
void wait_for_end(Thread thread);
bool died(Thread thread);
// Waits until that thread has ended, died or stopped: whoever waits for somebody only so long.
void wait_for_halt(Thread thread);

// An eventfd.
class Bell {
 public:
  void ring();
  // Until it was rung; then it is silent again.
  void wait();
  void drain();

 private:
  bool rung_ = false;
  int view_ = -1;
};

// Ends the run with this complaint.
void check(bool good, const char* complaint);

// A scenario prepares memory and threads, and returns what is to hold when all threads have ended; which may be nothing.
struct Scenario {
  const char* name;
  const char* about;
  std::function<std::function<void()>()> prepare;
};
std::vector<Scenario>& scenarios();
struct Registered {
  Registered(const char* name, const char* about, std::function<std::function<void()>()> prepare) {
    scenarios().push_back({name, about, std::move(prepare)});
  }
};

// --- running ---

// An atomic operation in a source, and the order that stands there. Which of the two orders of a compare-and-swap: `failure`.
struct Site {
  std::string_view file;
  unsigned line = 0;
  Order order = Order::relaxed;
  bool fence = false, failure = false, loads = false, stores = false;
  bool operator==(const Site&) const = default;
};
// One site runs with a weaker order; a fence of order relaxed is none.
struct Mutant {
  Site site;
  Order order;
};

struct Limits {
  uint64_t random_runs = 1000;
  unsigned preemptions = 2;       // of the exhaustive search that follows
  uint64_t exhaustive_runs = 0;   // it gives up after so many
  uint64_t seed = 1;
};
struct Outcome {
  bool good = true;
  std::string complaint;    // with what led to it
  uint64_t runs = 0;
  bool exhausted = false;   // the exhaustive search came to its end
  std::vector<Site> sites;  // that were reached
};
Outcome explore(const Scenario& scenario, const Limits& limits, const Mutant* mutant = nullptr);

const char* name_of(Order order);

}  // namespace unetmap::model
