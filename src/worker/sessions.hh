// SPDX-License-Identifier: BSD-2-Clause
// The ports that this process serves, each with a channel to the daemon of its own.
#pragma once

#include <list>
#include <memory>

#include "worker/kind.hh"

namespace unetmap::worker {

class Sessions final : public Turns {
 public:
  explicit Sessions(Loop& loop) : loop_(loop) {}

  // Takes the orders that come over `channel`, until it hangs up or says stop.
  Result<void> add(UniqueFd channel);
  // Tells all channels why this process ends.
  void fail(const Error& why) const;
  // One did not start.
  bool failed() const { return failed_; }

  bool turn() override;
  bool before_sleep() override;
  void after_sleep() override;
  uint64_t wake_ns() override;

 private:
  struct Session final : Reporter {
    UniqueFd channel;
    std::unique_ptr<Kind> kind;  // none before its start
    bool over = false;

    void state(bool connected, const std::string& text) override;
    void say(const std::string& text) override;
    void awake() override;
    void ready() const;
    void failed(const Error& why) const;
    // A daemon that does not listen misses it.
    void tell(const wire::WorkerReport& report) const { (void)wire::send_report(channel.get(), report).has_value(); }
  };

  void hear(Session& session);
  void obey(Session& session, wire::WorkerOrder&& order);
  Result<void> start(Session& session, wire::WorkerOrder&& order);
  void end(Session& session);

  Loop& loop_;
  std::list<std::unique_ptr<Session>> sessions_;
  const KindEntry* entry_ = nullptr;  // what the last one is: all are in company, or it is alone
  bool filtered_ = false, failed_ = false;
};

}  // namespace unetmap::worker
