// SPDX-License-Identifier: BSD-2-Clause
// Messages to the daemon: the server as it is, two connections, whatever datagrams the input holds.
//
// Input: messages one after another, each
//   u8 op   u8 how   u16 length   that many bytes
// how: 1 the bytes are the whole datagram, else they are the body behind a good head with `op`; 2 from the second
// connection; 4 with a descriptor to reply to; 8 the connection is closed and a new one made first.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "daemon/server.hh"
#include "wire/channel.hh"
#include "wire/messages.hh"

namespace {

using namespace unetmap;

struct Client {
  UniqueFd ours;

  void connect(daemon::Server& server) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) abort();
    ours = UniqueFd(pair[0]);
    (void)server.adopt(UniqueFd(pair[1]), getpid()).has_value();
  }
};

void settle(daemon::Server& server) {
  for (auto more = server.step(0); more && *more;) more = server.step(0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  setenv("UNETMAP_WORKER", "/dev/null", 1);  // nothing is started
  auto server = daemon::Server::create(UniqueFd());
  if (!server) return 0;
  Client clients[2];
  for (Client& client : clients) client.connect(**server);
  for (int messages = 0; size >= 4 && messages < 32; messages++) {
    uint8_t op = data[0], how = data[1];
    size_t length = data[2] | size_t{data[3]} << 8;
    data += 4;
    size -= 4;
    length = std::min({length, size, size_t{wire::kMaxRequest} - sizeof(wire::RequestHead)});
    Client& client = clients[how & 2 ? 1 : 0];
    if (how & 8) client.connect(**server);
    std::vector<uint8_t> bytes;
    if (!(how & 1)) {
      wire::RequestHead head{wire::kMagic, wire::kVersion, op, uint32_t(length), 0};
      bytes.resize(sizeof head);
      memcpy(bytes.data(), &head, sizeof head);
    }
    bytes.insert(bytes.end(), data, data + length);
    data += length;
    size -= length;
    int pair[2] = {-1, -1};
    if ((how & 4) && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) abort();
    UniqueFd reply(pair[0]), theirs(pair[1]);
    int fds[] = {theirs.get()};
    (void)wire::send(client.ours.get(), bytes, {fds, theirs ? 1u : 0u}, MSG_DONTWAIT).has_value();
    theirs.reset();
    settle(**server);
    if (!reply) continue;
    auto answer = wire::receive(reply.get(), wire::kMaxReply, MSG_DONTWAIT);
    wire::ReplyHead head;
    // What comes back must hold together, whatever was asked.
    if (!answer || answer->bytes.empty()) continue;
    if (answer->bytes.size() < sizeof head) abort();
    memcpy(&head, answer->bytes.data(), sizeof head);
    if (head.magic != wire::kMagic || sizeof head + head.body_bytes + head.text_bytes != answer->bytes.size()) abort();
  }
  for (Client& client : clients) client.ours.reset();
  settle(**server);
  if ((*server)->connections() != 0) abort();
  return 0;
}
