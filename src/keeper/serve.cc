// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/serve.hh"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

#include "keeper/held.hh"
#include "keeper/privileges.hh"
#include "keeper/programs.hh"
#include "keeper/watch.hh"
#include "wire/keeper.hh"

namespace unetmap::keeper {
namespace {

using wire::KeeperMessage;
using wire::KeeperReply;

void complain(const std::string& text) { fprintf(stderr, "unetmap-keeper: %s\n", text.c_str()); }

// What the request is called in a sentence about its failure.
std::string called(const wire::KeeperRequest& request) {
  struct {
    std::string operator()(const wire::BindRequest& r) { return "bind " + r.interface; }
    std::string operator()(const wire::AttachRequest& r) { return "attach " + r.interface; }
    std::string operator()(const wire::TapRequest& r) { return "tap " + r.name; }
    std::string operator()(const wire::RestoreRequest& r) { return "restore " + r.interface; }
  } name;
  return std::visit(name, request);
}

bool about_device(const wire::KeeperRequest& request) {
  auto* bind = std::get_if<wire::BindRequest>(&request);
  auto* restore = std::get_if<wire::RestoreRequest>(&request);
  return (bind && bind->mode == wire::NicMode::kDriver) || (restore && restore->taken);
}

Result<SetUp> carry_out(wire::ReceivedKeeperRequest& received) {
  if (!about_device(received.request)) keep_needed_rights(false);
  if (auto may = check_rights(received.request); !may) return may.error();
  if (auto* request = std::get_if<wire::BindRequest>(&received.request)) return bind(*request, received.fds[0].get());
  if (auto* request = std::get_if<wire::AttachRequest>(&received.request))
    return attach(*request, received.fds.empty() ? -1 : received.fds[0].get());
  if (auto* request = std::get_if<wire::TapRequest>(&received.request)) return tap(*request);
  return restore(std::get<wire::RestoreRequest>(received.request), received.fds.empty() ? -1 : received.fds[0].get());
}

// False: the other side is gone.
bool answer_failure(int channel, const std::string& what, const Error& error) {
  KeeperReply reply;
  reply.error = error.code;
  // The errors' own object need not be named twice.
  std::string object = what.substr(what.find(' ') + 1) + ": ";
  reply.text =
      error.text.starts_with(object) ? what + ": " + error.text.substr(object.size()) : what + ": " + error.text;
  return bool(wire::send_keeper(channel, KeeperMessage(reply)));
}

// Waits until the channel or a signal has something, or the watch does. False: time to end.
enum class Woken { kChannel, kWatch, kEnd };
Woken wait(int channel, int signals, const Watch& watch, const Held* held = nullptr) {
  std::vector<pollfd> fds{{channel, POLLIN, 0}, {signals, POLLIN, 0}};
  if (held && held->news() >= 0) fds.push_back({held->news(), POLLIN, 0});
  for (int fd : watch.descriptors()) fds.push_back({fd, POLLIN, 0});
  while (poll(fds.data(), fds.size(), -1) < 0)
    if (errno != EINTR) return Woken::kEnd;
  if (fds[1].revents) return Woken::kEnd;
  return fds[0].revents ? Woken::kChannel : Woken::kWatch;
}

// From now on nobody reads what is written there, and a pipe that a shell waits for must not be held open.
void leave_terminal() {
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null) dup2(null.get(), 2);
}

// True while the channel is fine.
bool pass_on(int channel, Watch& watch, std::unique_ptr<Held>& held, const std::string& interface) {
  if (const std::string why = held ? held->going() : ""; !why.empty()) {
    // The client first: it and its programs have to let go, too.
    const wire::KeeperEvent gone{wire::KeeperEvent::Kind::kGone, interface, interface + ": " + why};
    if (!wire::send_keeper(channel, KeeperMessage(gone), {}, MSG_DONTWAIT)) return false;
    held.reset();
  }
  for (const wire::KeeperEvent& event : watch.read()) {
    // Links would stay with an interface that went to another namespace.
    if (event.kind == wire::KeeperEvent::Kind::kGone) held.reset();
    if (!wire::send_keeper(channel, KeeperMessage(event), {}, MSG_DONTWAIT)) return false;
  }
  return true;
}

}  // namespace

int serve(UniqueFd channel, UniqueFd signals) {
  quiet_libraries();
  auto watch = Watch::open();
  if (!watch) {
    complain(watch.error().text);
    return 1;
  }
  Woken woken;
  do woken = wait(channel.get(), signals.get(), *watch);
  while (woken == Woken::kWatch && (watch->read(), true));
  if (woken == Woken::kEnd) return 0;
  auto received = wire::receive_keeper_request(channel.get());
  if (!received) {
    if (received.error().code == ECONNRESET) return 0;
    complain(received.error().text);
    return 1;
  }
  std::string what = called(received->request);
  auto done = carry_out(*received);
  received->fds.clear();
  if (!done) return answer_failure(channel.get(), what, done.error()) ? 0 : 1;
  done->reply.pid = uint32_t(getpid());
  std::unique_ptr<Held> held = std::move(done->held);
  auto sent =
      wire::send_keeper(channel.get(), KeeperMessage(done->reply), held ? held->descriptors() : std::vector<int>{});
  if (!sent || !held) return sent ? 0 : 1;
  leave_terminal();
  keep_rights_to_undo(held->needs_admin());
  Interface interface {
    .name = done->reply.interface, .index = done->reply.ifindex, .mac = {}, .mtu = 0, .up = done->reply.up
  };
  // In the place of a device that is driven from here stands a tap, which has one queue, however many the device has.
  watch->follow(interface, done->reply.mode == wire::NicMode::kDriver ? 0 : done->reply.interface_queues);
  // The channel brings nothing more but its end.
  while (pass_on(channel.get(), *watch, held, interface.name) &&
         wait(channel.get(), signals.get(), *watch, held.get()) == Woken::kWatch) {
  }
  return 0;
}

}  // namespace unetmap::keeper
