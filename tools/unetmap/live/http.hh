// SPDX-License-Identifier: BSD-2-Clause
// HTTP over libmicrohttpd: requests to a handler, answers of text or of a stream.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "guard.hh"

struct MHD_Daemon;

namespace unetmap::cli::live {

struct HttpAnswer {
  unsigned status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  UniqueFd stream;                 // instead of a body: bytes until its end
  std::function<void()> finished;  // when the stream has ended, or its reader has gone
  std::vector<std::pair<std::string, std::string>> headers;
};

struct HttpQuery {
  HttpRequest request;
  std::string body;                                  // of a POST, kMaxBody bytes at most
  std::function<std::string(const char*)> argument;  // of the URL, "" if absent; valid during the call
};

class HttpServer {
 public:
  static constexpr size_t kMaxBody = 65536;
  static constexpr unsigned kMaxConnections = 64;
  using Handler = std::function<HttpAnswer(const HttpQuery&)>;

  // Serves on a listening socket, whose owner it becomes, in threads of its own, until it goes.
  static Result<std::unique_ptr<HttpServer>> start(UniqueFd listening, Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

 private:
  explicit HttpServer(Handler handler) : handler_(std::move(handler)) {}
  friend struct HttpCallbacks;

  Handler handler_;
  MHD_Daemon* daemon_ = nullptr;
};

}  // namespace unetmap::cli::live
