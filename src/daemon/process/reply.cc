// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/process/reply.hh"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/channel.hh"
#include "wire/messages.hh"

namespace unetmap::daemon {

Result<void> Answer::add_text(const std::string& text) {
  UniqueFd fd(memfd_create("unetmap-answer", MFD_CLOEXEC));
  if (!fd) return Error::from_errno(errno, "answer");
  for (size_t at = 0; at < text.size();) {
    ssize_t n = write(fd.get(), text.data() + at, text.size() - at);
    if (n < 0) return Error::from_errno(errno, "answer");
    at += size_t(n);
  }
  lseek(fd.get(), 0, SEEK_SET);
  fds = {fd.get()};
  owned = std::move(fd);
  return {};
}

void Reply::send(const Result<void>& result, Answer&& answer) {
  if (!to_) return;
  std::string text = result ? "" : result.error().text;
  if (!result && answer.has_bind) answer = Answer{};
  size_t room = wire::kMaxReply - sizeof(wire::ReplyHead) - answer.body.size();
  if (text.size() > room) text.resize(room);
  wire::ReplyHead head{
      wire::kMagic,          wire::kVersion, op_, result ? 0 : result.error().code, uint32_t(answer.body.size()),
      uint32_t(text.size()), answer.has_bind};
  std::vector<uint8_t> bytes(reinterpret_cast<const uint8_t*>(&head), reinterpret_cast<const uint8_t*>(&head + 1));
  bytes.insert(bytes.end(), answer.body.begin(), answer.body.end());
  bytes.insert(bytes.end(), text.begin(), text.end());
  (void)wire::send(to_.get(), bytes, answer.fds, MSG_DONTWAIT).has_value();
  to_.reset();
}

}  // namespace unetmap::daemon
