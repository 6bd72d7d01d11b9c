// SPDX-License-Identifier: BSD-2-Clause
// Ports that have no program of their own, and the workers that serve them.
//
// A plugged port exists from `plug` to `unplug`, whether its worker lives or not: one that dies is replaced, each time
// after a longer pause. What was plugged is written beside the daemon's socket, and taken up by the next daemon there.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "daemon/attach/service.hh"
#include "daemon/plug/worker.hh"
#include "daemon/process/event_loop.hh"
#include "daemon/process/reply.hh"
#include "daemon/registry/registry.hh"

namespace unetmap::daemon {

class Plugs final : public Service {
 public:
  Plugs(EventLoop& loop, Registry& registry) : loop_(loop), registry_(registry) {}
  ~Plugs();

  // Op::kPlug and Op::kUnplug, from JSON; answered when the port serves, or is gone.
  void plug(const std::string& json, Reply reply);
  void unplug(const std::string& json, Reply reply);
  // Takes the reply of the question {"what": "plugs"} for an answer of later; false for other questions.
  bool answers(const std::string& json, Reply& reply);

  // After Op::kSet went well: for the port's next lives.
  void note_settings(const std::string& json);

  // Takes up what the file beside the socket says, and keeps it up to date from now on.
  void restore(const std::string& socket_path);

  bool empty() const { return plugged_.empty(); }

  // Ports that the registry attached: not written down, for what they were attached to has gone with the daemon.
  Result<void> serve(wire::Plug plug, std::string shown, std::vector<UniqueFd> fds) override;
  Result<void> served(const std::string& port) const override;
  void tell(const std::string& port, const Json& parameters) override;
  void end(const std::string& port, std::function<void()> ended) override;
  std::function<void()> on_settled;  // what served() says of some port has changed
  std::function<void()> on_awake;    // packets come again from some interface

 private:
  struct Plugged {
    wire::Plug what;
    std::string shown;      // the kind, for people
    bool attached = false;  // by serve()
    std::vector<UniqueFd> fds;
    Result<void> farewell;           // for those who wait when it leaves
    Error outcome{EINPROGRESS, ""};  // of serve(); code 0: it serves
    std::function<void()> ended;
    std::unique_ptr<Worker> worker;  // none in a pause
    bool ready = false, leaving = false;
    bool resumes = false;  // a worker served here before
    std::string failure;   // why it does not serve, when the worker said so
    int failures = 0;      // in a row
    uint64_t restarts = 0;
    uint64_t timer = 0;          // the pause, or the proof of being well
    std::vector<Reply> waiting;  // for it to serve, or to be gone
  };
  struct Question;

  Result<void> apply_settings(const wire::Plug& what);
  Result<void> begin(Plugged& plugged);
  Worker* company_for(const Plugged& plugged);
  void heard(Plugged& plugged, wire::WorkerReport&& report);
  void worker_ended(Plugged& plugged, std::string why);
  void pause(Plugged& plugged);
  void settle(Plugged& plugged, Error outcome);
  void remove(Plugged& plugged, const Result<void>& answer);
  void answer_question(const std::shared_ptr<Question>& question);
  void show(const Plugged& plugged, const std::string& state, bool connected);
  void save() const;

  EventLoop& loop_;
  Registry& registry_;
  std::string socket_path_, file_;
  std::map<std::string, std::unique_ptr<Plugged>> plugged_;
  std::map<uint64_t, std::shared_ptr<Question>> questions_;
  uint64_t last_question_ = 0;
};

}  // namespace unetmap::daemon
