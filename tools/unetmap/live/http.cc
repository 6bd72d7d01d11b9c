// SPDX-License-Identifier: BSD-2-Clause
#include "http.hh"

#include <microhttpd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace unetmap::cli::live {
namespace {

std::string header(MHD_Connection* connection, const char* name) {
  const char* value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
  return value ? value : "";
}
std::string argument(MHD_Connection* connection, const char* name) {
  const char* value = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
  return value ? value : "";
}

// Of a request on its way.
struct Pending {
  std::string body;
  bool too_long = false;
};

struct Stream {
  UniqueFd fd;
  std::function<void()> finished;
};

ssize_t read_stream(void* cls, uint64_t, char* to, size_t room) {
  auto* stream = static_cast<Stream*>(cls);
  for (;;) {
    ssize_t n = read(stream->fd.get(), to, room);
    if (n > 0) return n;
    if (n < 0 && errno == EINTR) continue;
    return n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
  }
}

void end_stream(void* cls) {
  auto* stream = static_cast<Stream*>(cls);
  stream->fd.reset();
  if (stream->finished) stream->finished();
  delete stream;
}

MHD_Response* response_of(HttpAnswer& answer) {
  MHD_Response* response;
  if (answer.stream) {
    auto* stream = new Stream{std::move(answer.stream), std::move(answer.finished)};
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 65536, read_stream, stream, end_stream);
  } else {
    response = MHD_create_response_from_buffer(answer.body.size(), answer.body.data(), MHD_RESPMEM_MUST_COPY);
  }
  if (!response) return nullptr;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.type.c_str());
  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
  MHD_add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
  MHD_add_response_header(response, "X-Frame-Options", "DENY");
  MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
  MHD_add_response_header(response, "Content-Security-Policy",
                          "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'");
  MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  for (const auto& [name, value] : answer.headers) MHD_add_response_header(response, name.c_str(), value.c_str());
  return response;
}

// How many fields of that name the request has.
int count(MHD_Connection* connection, const char* name) {
  struct Counted {
    const char* name;
    int fields = 0;
  } counted{name};
  auto look = [](void* cls, MHD_ValueKind, const char* field, const char*) {
    auto* to = static_cast<Counted*>(cls);
    to->fields += strcasecmp(field, to->name) == 0;
    return MHD_YES;
  };
  MHD_get_connection_values(connection, MHD_HEADER_KIND, look, &counted);
  return counted.fields;
}

MHD_Result send(MHD_Connection* connection, HttpAnswer answer) {
  MHD_Response* response = response_of(answer);
  if (!response) return MHD_NO;
  MHD_Result result = MHD_queue_response(connection, answer.status, response);
  MHD_destroy_response(response);
  return result;
}

}  // namespace

struct HttpCallbacks {
  static MHD_Result handle(void* cls, MHD_Connection* connection, const char* url, const char* method, const char*,
                           const char* upload, size_t* upload_bytes, void** state) {
    auto* server = static_cast<HttpServer*>(cls);
    if (!*state) {
      *state = new Pending;
      return MHD_YES;
    }
    auto* pending = static_cast<Pending*>(*state);
    if (*upload_bytes) {
      if (pending->body.size() + *upload_bytes > HttpServer::kMaxBody)
        pending->too_long = true;
      else
        pending->body.append(upload, *upload_bytes);
      *upload_bytes = 0;
      return MHD_YES;
    }
    // RFC 9112: which of them others took, if somebody passed it on, is not to be known.
    if (count(connection, "Host") > 1 || count(connection, "Content-Length") > 1 ||
        (count(connection, "Content-Length") > 0 && count(connection, "Transfer-Encoding") > 0))
      return send(connection, {400,
                               "text/plain; charset=utf-8",
                               "the request says twice which host is meant or how long it is; say it once\n",
                               {},
                               {},
                               {{MHD_HTTP_HEADER_CONNECTION, "close"}}});
    if (pending->too_long)
      return send(connection, {413, "text/plain; charset=utf-8", "the request's body is too long\n", {}, {}, {}});
    HttpQuery query{
        {method, url, header(connection, "Host"), header(connection, "Origin"), header(connection, "Sec-Fetch-Site"),
         header(connection, "Authorization"), header(connection, "Cookie"), argument(connection, "token")},
        std::move(pending->body),
        [connection](const char* name) { return argument(connection, name); }};
    query.request.to_origin_form();
    try {
      return send(connection, server->handler_(query));
    } catch (const std::exception& error) {  // nothing may pass through the C library
      return send(connection,
                  {500, "text/plain; charset=utf-8", std::string("failed: ") + error.what() + "\n", {}, {}, {}});
    }
  }

  static void completed(void*, MHD_Connection*, void** state, MHD_RequestTerminationCode) {
    delete static_cast<Pending*>(*state);
    *state = nullptr;
  }
};

Result<std::unique_ptr<HttpServer>> HttpServer::start(UniqueFd listening, Handler handler) {
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(handler)));
  // A thread a connection: a capture's stream may wait for packets as long as it likes.
  server->daemon_ = MHD_start_daemon(
      MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0, nullptr, nullptr,
      HttpCallbacks::handle, server.get(), MHD_OPTION_LISTEN_SOCKET, listening.get(), MHD_OPTION_CONNECTION_LIMIT,
      kMaxConnections, MHD_OPTION_CONNECTION_TIMEOUT, 30u, MHD_OPTION_THREAD_STACK_SIZE, size_t{256 * 1024},
      MHD_OPTION_NOTIFY_COMPLETED, HttpCallbacks::completed, nullptr, MHD_OPTION_END);
  if (!server->daemon_) return Error::from_errno(errno ? errno : EIO, "the HTTP server cannot be started");
  (void)listening.release();  // closed with the server
  return server;
}

HttpServer::~HttpServer() {
  if (daemon_) MHD_stop_daemon(daemon_);
}

}  // namespace unetmap::cli::live
