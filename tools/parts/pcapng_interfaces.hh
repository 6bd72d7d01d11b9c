// SPDX-License-Identifier: BSD-2-Clause
// What has to be known of a capture file before its first packet, and what libpcap tells only when it comes to it.
#pragma once

#include <cstdint>
#include <string>

namespace unetmap::parts {

enum class FileKind { kPcapMicro, kPcapNano, kPcapng, kUnknown };

// By its first bytes; kUnknown for what cannot be read twice, such as a pipe.
FileKind kind_of_capture(const std::string& path);

// libpcap reads pcapng files whose sections all have one byte order (findings/libpcap-section-byte-order.sh), and whose
// interfaces all have one link type and one snapshot length; and whether frames end with a check sequence it does not
// tell. Empty if `path` is such a file; else which section or
// interface differs from the first one, how, and what to do.
std::string mixed_interfaces(const std::string& path);
// How many bytes of check sequence (if_fcslen) the frames of a file's first interface end with, and so those of all.
uint32_t pcapng_check_bytes(const std::string& path);

}  // namespace unetmap::parts
