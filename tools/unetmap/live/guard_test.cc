// SPDX-License-Identifier: BSD-2-Clause
#include "guard.hh"

#include <gtest/gtest.h>

namespace unetmap::cli::live {
namespace {

constexpr const char* kHost = "127.0.0.1:8080";

HttpRequest get(const char* path) { return {"GET", path, kHost, "", "", "", "", ""}; }

// 0: answered.
unsigned status(const Guard& guard, const HttpRequest& request) {
  auto refusal = guard.check(request);
  return refusal ? refusal->status : 0;
}

TEST(Guard, AnswersItsOwnPage) {
  const Guard guard({{kHost, "localhost:8080"}, "", false});
  EXPECT_EQ(status(guard, get("/")), 0u);
  EXPECT_EQ(status(guard, get("/api/live")), 0u);
  HttpRequest own = get("/api/live");
  own.origin = "http://127.0.0.1:8080";
  own.fetch_site = "same-origin";
  EXPECT_EQ(status(guard, own), 0u);
  own.host = "LOCALHOST:8080";
  own.origin = "http://localhost:8080";
  EXPECT_EQ(status(guard, own), 0u);
}

TEST(Guard, RefusesOtherNames) {
  const Guard guard({{kHost}, "", false});
  for (const char* host :
       {"evil.example:8080", "127.0.0.1", "127.0.0.1:80", "", "localhost:8080", "127.0.0.1:8080.evil.example"}) {
    HttpRequest request = get("/");
    request.host = host;
    EXPECT_EQ(status(guard, request), 421u) << host;
  }
}

TEST(Guard, KnowsAbsoluteTargets) {
  const Guard guard({{kHost}, "", false});
  struct Case {
    const char *target, *host;
    unsigned status;
    const char* path;
  };
  const Case cases[] = {
      {"http://127.0.0.1:8080/api/live", kHost, 0, "/api/live"},
      {"HTTP://127.0.0.1:8080/", kHost, 0, "/"},
      {"http://127.0.0.1:8080", kHost, 0, "/"},
      // Whatever the field says.
      {"http://127.0.0.1:8080/", "evil.example", 0, "/"},
      {"http://evil.example/", kHost, 421, "/"},
      {"http:///metrics", kHost, 400, "http:///metrics"},
      {"http://127.0.0.1:8080@evil.example/", kHost, 400, "http://127.0.0.1:8080@evil.example/"},
      {"https://127.0.0.1:8080/", kHost, 400, "https://127.0.0.1:8080/"},
      {"metrics", kHost, 400, "metrics"},
      {"/http://evil.example/", kHost, 0, "/http://evil.example/"},
  };
  for (const Case& c : cases) {
    HttpRequest request = get(c.target);
    request.host = c.host;
    request.to_origin_form();
    EXPECT_EQ(status(guard, request), c.status) << c.target;
    EXPECT_EQ(request.path, c.path);
  }
}

TEST(Guard, RefusesOtherSites) {
  const Guard guard({{kHost}, "", true});
  HttpRequest request = get("/api/live");
  for (const char* origin : {"http://evil.example", "null", "https://127.0.0.1:8080", "http://127.0.0.1:8081"}) {
    request.origin = origin;
    EXPECT_EQ(status(guard, request), 403u) << origin;
  }
  request.origin.clear();
  for (const char* site : {"cross-site", "same-site"}) {
    request.fetch_site = site;
    EXPECT_EQ(status(guard, request), 403u) << site;
  }
  // A link on another site may lead here: that shows the page, and hands nothing out to who links.
  HttpRequest link = get("/");
  link.fetch_site = "cross-site";
  EXPECT_EQ(status(guard, link), 0u);
}

TEST(Guard, ChangesOnlyWhenAllowedAndFromItsPage) {
  HttpRequest change = get("/api/set");
  change.method = "POST";
  change.origin = "http://127.0.0.1:8080";
  EXPECT_EQ(status(Guard({{kHost}, "", false}), change), 403u) << "read only";
  EXPECT_EQ(status(Guard({{kHost}, "", true}), change), 0u);
  change.origin.clear();
  EXPECT_EQ(status(Guard({{kHost}, "", true}), change), 403u) << "nobody knows where it comes from";
  change.method = "DELETE";
  EXPECT_EQ(status(Guard({{kHost}, "", true}), change), 405u);
}

TEST(Guard, WantsTheToken) {
  const Guard guard({{kHost}, "abcdefabcdefabcdef", false});
  EXPECT_EQ(status(guard, get("/")), 401u);
  HttpRequest request = get("/");
  request.token_argument = "abcdefabcdefabcdef";
  EXPECT_EQ(status(guard, request), 0u);
  request = get("/metrics");
  request.authorization = "Bearer abcdefabcdefabcdef";
  EXPECT_EQ(status(guard, request), 0u);
  request.authorization = "Bearer abcdefabcdefabcdeg";
  EXPECT_EQ(status(guard, request), 401u);
  request = get("/api/live");
  request.cookie = "other=1; unetmap_token=abcdefabcdefabcdef";
  EXPECT_EQ(status(guard, request), 0u);
  request.cookie = "xunetmap_token=abcdefabcdefabcdef; unetmap_token=";
  EXPECT_EQ(status(guard, request), 401u);
}

TEST(Guard, AUnixSocketHasNoHost) {
  const Guard guard({{}, "", true});
  HttpRequest request = get("/metrics");
  request.host = "localhost";
  EXPECT_EQ(status(guard, request), 0u);
  request.method = "POST";
  EXPECT_EQ(status(guard, request), 0u);
}

}  // namespace
}  // namespace unetmap::cli::live
