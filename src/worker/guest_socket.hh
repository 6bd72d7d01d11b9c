// SPDX-License-Identifier: BSD-2-Clause
// The socket at which QEMU finds the device that a port is for its guest: one guest at a time. Who has lost the
// connection does not come back by itself, for QEMU does not connect again.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "worker/kind.hh"
#include "worker/unix_socket.hh"

namespace unetmap::worker {

class GuestSocket {
 public:
  GuestSocket(const std::string& port, Loop& loop, Reporter& reporter)
      : port_(port), loop_(loop), reporter_(reporter) {}
  ~GuestSocket() {
    if (closing_) loop_.cancel(closing_);
  }
  GuestSocket(const GuestSocket&) = delete;

  // Offers it. `connected` gets each connection, and says greeted() or over() of it.
  Result<void> begin(const std::string& path, bool resume, std::function<void(UniqueFd)> connected) {
    if (resume)
      say("serves again; a guest that was connected has lost its device: take it out of QEMU and put it in again "
          "(device_del, device_add)");
    link_ = std::make_unique<Link>(
        loop_, path, true,
        Link::Handlers{std::move(connected), [this](const std::string& text) { reporter_.state(false, text); }});
    return link_->start(resume);
  }
  void greeted() { reporter_.state(true, "connected to " + link_->path()); }
  // The connection is closed: on to the next, which may come at once, but not from within this call.
  void over(const std::string& why) {
    say(why);
    reporter_.state(false, why);
    closing_ = loop_.after(0, [this] {
      closing_ = 0;
      link_->closed();
    });
  }
  void say(const std::string& what) { reporter_.say(port_ + ": " + what); }
  // Takes the name away.
  void remove() { link_->remove(); }

 private:
  const std::string port_;
  Loop& loop_;
  Reporter& reporter_;
  std::unique_ptr<Link> link_;
  uint64_t closing_ = 0;  // timer
};

}  // namespace unetmap::worker
