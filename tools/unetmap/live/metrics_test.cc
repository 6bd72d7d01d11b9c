// SPDX-License-Identifier: BSD-2-Clause
#include "metrics.hh"

#include <gtest/gtest.h>

namespace unetmap::cli::live {
namespace {

Sample one_port() {
  Port port;
  port.name = "vale0:a\"\\\n";
  port.sw = "vale0";
  port.kind = "vale";
  port.tx.packets = 42;
  port.tx.lost["full"] = 7;
  return {1, {port}, {}};
}

bool has(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(Metrics, OpenMetricsText) {
  const std::string text = metrics(one_port(), {"0.1.0", 5, 6, 1, 1, 2}, Exposition::kOpenMetrics);
  const std::string labels = R"(port="vale0:a\"\\\n",switch="vale0",kind="vale",direction="transmit")";
  EXPECT_TRUE(has(text, "unetmap_port_packets_total{" + labels + "} 42")) << text;
  EXPECT_TRUE(has(text, "unetmap_port_lost_packets_total{" + labels + R"(,cause="full"} 7)")) << text;
  EXPECT_TRUE(has(text, "# TYPE unetmap_port_packets counter")) << text;
  EXPECT_TRUE(has(text, "# UNIT unetmap_port_bytes bytes")) << text;
  EXPECT_TRUE(has(text, R"(unetmap_build_info{version="0.1.0"} 1)")) << text;
  EXPECT_TRUE(text.ends_with("# EOF\n"));
}

TEST(Metrics, PrometheusText) {
  const std::string text = metrics(one_port(), {"0.1.0", 5, 6, 1, 1, 2}, Exposition::kPrometheus);
  EXPECT_TRUE(has(text, "# TYPE unetmap_port_packets_total counter")) << text;
  EXPECT_TRUE(has(text, "unetmap_up 1")) << text;
  EXPECT_TRUE(has(text, "unetmap_resident_memory_bytes 6144")) << text;
  EXPECT_EQ(text.find("# EOF"), std::string::npos);
  EXPECT_EQ(text.find("# UNIT"), std::string::npos);
}

TEST(Metrics, NoDaemonIsAFact) {
  EXPECT_TRUE(has(metrics_without_daemon(Exposition::kPrometheus), "unetmap_up 0"));
  EXPECT_TRUE(metrics_without_daemon(Exposition::kOpenMetrics).ends_with("# EOF\n"));
}

}  // namespace
}  // namespace unetmap::cli::live
