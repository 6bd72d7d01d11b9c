// SPDX-License-Identifier: BSD-2-Clause
// Network interfaces that keepers hold for the daemon. A keeper is the privileged process that takes one interface away
// from the stack, and gives it back when its channel hangs up, so also after our own end.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "daemon/process/event_loop.hh"
#include "wire/keeper.hh"

namespace unetmap::daemon {

// A network namespace, as a client showed it.
struct Namespace {
  uint64_t device = 0, inode = 0;
  bool operator==(const Namespace&) const = default;
  // EINVAL if that is none.
  static Result<Namespace> of(int fd);
  static Result<Namespace> own();
};

class Interfaces {
 public:
  // What one keeper holds.
  struct Held {
    enum class State { kStarting, kReady, kFailed, kClosing };
    State state = State::kStarting;
    Error error{0, ""};       // kFailed; or why a ready one is of no use any more
    bool down = false;        // of no use while that lasts
    wire::KeeperReply reply;  // kReady
    std::vector<UniqueFd> fds;
    std::string straight_to;     // the port at the other end of the cable, if frames may go straight there
    uint64_t packet_losses = 0;  // of an AF_PACKET socket, as counted so far
    std::function<void()> changed;  // its state, after it was ready; may drop it
    UniqueFd channel;
    uint64_t timer = 0;
    std::function<void()> closed;  // when its keeper has undone everything
    bool usable() const { return state == State::kReady && error.code == 0 && !down; }
  };

  explicit Interfaces(EventLoop& loop) : loop_(loop) {}
  ~Interfaces();

  // A keeper in our own namespace.
  Result<UniqueFd> start();
  // Has the keeper behind `channel` do `request`, with `fds`. Ask again with find(); on_settled is called when that
  // pays.
  Result<void> ask(const std::string& key, UniqueFd channel, const wire::KeeperRequest& request,
                   const std::vector<int>& fds);
  Held* find(const std::string& key);
  // Ends the keeper. Until that has undone everything its key is kClosing.
  void release(const std::string& key, std::function<void()> closed = {});
  bool empty() const { return held_.empty(); }

  std::function<void()> on_settled;  // one that was starting is ready or has failed, or a key is free again

 private:
  void take_message(const std::string& key);
  void take_event(Held& held, const wire::KeeperEvent& event);
  void fail(const std::string& key, Error error);
  void hang_up(Held& held);
  void restore(Held& held);
  static void let_go_of_device(Held& held);
  void forget(const std::string& key);

  EventLoop& loop_;
  std::map<std::string, std::unique_ptr<Held>> held_;
  std::map<int, UniqueFd> restoring_;  // channels of keepers that do what a killed one could not
};

}  // namespace unetmap::daemon
