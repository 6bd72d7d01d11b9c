// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/process/log.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>

namespace unetmap::daemon {
namespace {

constexpr off_t kMostBytes = 1 << 20;

std::string file;  // empty: standard error is somebody's who stamps lines himself

std::string stamp() {
  const time_t now = time(nullptr);
  tm parts{};
  char text[32] = "";
  if (localtime_r(&now, &parts)) strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S ", &parts);
  return text;
}

}  // namespace

void log(const std::string& text) {
  if (struct stat now; !file.empty() && fstat(STDERR_FILENO, &now) == 0 && now.st_size > kMostBytes)
    (void)!ftruncate(STDERR_FILENO, 0);
  std::string line = (file.empty() ? "" : stamp()) + "unetmapd: " + text + "\n";
  (void)!write(STDERR_FILENO, line.data(), line.size());
}

bool log_to_file(const std::string& path) {
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  const int fd = open(path.c_str(), flags, 0600);
  struct stat status;
  if (fd < 0) return false;
  const bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  if (regular && dup2(fd, STDERR_FILENO) >= 0) file = path;
  close(fd);
  return !file.empty();
}

void close_log() {
  struct stat status;
  if (!file.empty() && fstat(STDERR_FILENO, &status) == 0 && status.st_size == 0) unlink(file.c_str());
}

}  // namespace unetmap::daemon
