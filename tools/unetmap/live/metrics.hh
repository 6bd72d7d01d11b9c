// SPDX-License-Identifier: BSD-2-Clause
// Counters as OpenMetrics text, for Prometheus to scrape or for node_exporter's textfile collector.
#pragma once

#include <string>

#include "base/json.hh"
#include "sample.hh"

namespace unetmap::cli::live {

// What is known of the daemon besides.
struct DaemonFacts {
  std::string version;
  uint64_t uptime_s = 0, resident_kib = 0, switches = 0, regions = 0, descriptors = 0;
};
DaemonFacts daemon_facts(const Json& answer);

enum class Exposition {
  kOpenMetrics,  // application/openmetrics-text; version=1.0.0, ends with # EOF
  kPrometheus,   // text/plain; version=0.0.4: what node_exporter's textfile collector reads
};

// Names and units as Prometheus' conventions want them: base units, _total for counters, labels "port", "switch",
// "kind", "direction" (transmit, receive: the program's view, as in netmap) and "cause".
std::string metrics(const Sample& sample, const DaemonFacts& facts, Exposition exposition);

// "daemon is not running" is a fact worth a sample.
std::string metrics_without_daemon(Exposition exposition);

}  // namespace unetmap::cli::live
