// SPDX-License-Identifier: BSD-2-Clause
// Changing a running emulation. The first tlem of a session holds a lock on its file and listens on a socket beside it;
// later ones send it what is to change. Both are its user's alone.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/fd.hh"
#include "base/result.hh"
#include "options.hh"

namespace unetmap::tlem {

// What a client asks for.
struct SessionRequest {
  ModelTexts texts;
  bool end = false;
};

class SessionServer {
 public:
  // No value when another tlem has the session.
  static Result<std::optional<SessionServer>> open(const std::string& file);
  SessionServer(SessionServer&&) = default;
  ~SessionServer();

  int fd() const { return socket_.get(); }
  // Answers one client, when fd() is readable: with the error of `handle`, if any. Who asked for the end is kept, and
  // learns by its connection's end when this server is gone.
  void answer(const std::function<Result<void>(const SessionRequest&)>& handle);

 private:
  SessionServer(UniqueFd lock, UniqueFd socket, std::string path)
      : lock_(std::move(lock)), socket_(std::move(socket)), path_(std::move(path)) {}
  UniqueFd lock_, socket_;
  std::string path_;
  std::vector<UniqueFd> waiting_;
};

// Asks the server of a session; after an `end`, returns when it has ended.
Result<void> ask_session(const std::string& file, const SessionRequest& request);

}  // namespace unetmap::tlem
