// SPDX-License-Identifier: BSD-2-Clause
#include "run_program.hh"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <net/netmap.h>
#include <sys/stat.h>
#include <unetmap/unetmap.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/output.hh"
#include "pcap_check.hh"

namespace unetmap::cli {
namespace {

// The library that this process itself runs with: the right one in a build tree and in any prefix.
Result<std::string> own_library() {
  Dl_info info;
  char resolved[PATH_MAX];
  if (!dladdr(reinterpret_cast<const void*>(&unetmap_last_error), &info) || !info.dli_fname ||
      !realpath(info.dli_fname, resolved)) {
    return Error{ENOENT, "libunetmap.so: this program cannot tell where it was loaded from; set LD_PRELOAD yourself"};
  }
  return std::string(resolved);
}

bool is_program(const std::string& file) {
  struct stat status;
  return ::stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(file.c_str(), X_OK) == 0;
}

// True for an ELF program that names no loader.
bool is_static(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  Elf64_Ehdr head;
  if (!in.read(reinterpret_cast<char*>(&head), sizeof head)) return false;
  if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64) return false;
  if (head.e_phentsize != sizeof(Elf64_Phdr)) return false;
  in.seekg(std::streamoff(head.e_phoff));
  for (int i = 0; i < head.e_phnum; i++) {
    Elf64_Phdr part;
    if (!in.read(reinterpret_cast<char*>(&part), sizeof part)) return false;
    if (part.p_type == PT_INTERP) return false;
  }
  return head.e_type == ET_EXEC || head.e_type == ET_DYN;
}

// Empty when the daemon answers, having been started if need be.
std::string unreachable() {
  int fd = ::open(NETMAP_DEVICE_NAME, O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    ::close(fd);
    return {};
  }
  int code = errno;
  const char* said = unetmap_last_error();
  return *said ? said : fmt::format("{}: {}", NETMAP_DEVICE_NAME, strerror(code));
}

}  // namespace

Result<std::string> preload_with(const std::string& library, const char* already) {
  if (library.find_first_of(" :") != std::string::npos) {
    return Error{EINVAL, fmt::format("{}: the loader takes no path with a space or colon in LD_PRELOAD; install unetmap "
                                     "somewhere else",
                                     library)};
  }
  if (!already || !*already) return library;
  return library + ":" + already;
}

std::string cannot_preload(const std::string& file) {
  struct stat status;
  if (::stat(file.c_str(), &status) != 0) return {};
  bool other_user = (status.st_mode & S_ISUID) && status.st_uid != getuid();
  bool other_group = (status.st_mode & S_ISGID) && status.st_gid != getgid();
  if (other_user || other_group) {
    return file + ": it runs with another user's rights, so the loader puts no library in front of it; run it as that user";
  }
  if (is_static(file)) {
    return file + ": it is statically linked, so no library can be put in front of it; link it with libunetmap "
                  "(pkg-config unetmap)";
  }
  return {};
}

std::string find_program(const std::string& program, const char* path) {
  if (program.find('/') != std::string::npos) return is_program(program) ? program : "";
  std::string folders = path ? path : "/bin:/usr/bin";
  for (size_t from = 0; from <= folders.size();) {
    size_t to = std::min(folders.find(':', from), folders.size());
    std::string folder = folders.substr(from, to - from);
    std::string file = (folder.empty() ? "." : folder) + "/" + program;
    if (is_program(file)) return file;
    from = to + 1;
  }
  return {};
}

// Short names of netmap's programs (lb, bridge) that others have too: not in everybody's PATH.
void add_short_names() {
  char self[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", self, sizeof self);
  if (n <= 0 || size_t(n) >= sizeof self) return;
  std::string folder(self, size_t(n));
  folder = folder.substr(0, folder.rfind('/')) + "/../libexec/unetmap/bin";
  char* real = realpath(folder.c_str(), nullptr);
  if (!real) return;
  const char* path = getenv("PATH");
  setenv("PATH", path && *path ? (std::string(real) + ":" + path).c_str() : real, 1);
  free(real);
}

int run_program(const std::vector<std::string>& argv, bool quiet) {
  auto complain = [](const std::string& text) { print_err("unetmap run: {}\n", text); };
  add_short_names();
  std::string file = find_program(argv[0], getenv("PATH"));
  if (file.empty()) {
    struct stat status;
    if (argv[0].find('/') != std::string::npos && ::stat(argv[0].c_str(), &status) == 0) {
      complain(argv[0] + ": is no program that may be run; give an executable file");
      return 126;
    }
    complain(argv[0] + ": no such program; give its path, or put its folder into PATH");
    return 127;
  }
  if (std::string reason = cannot_preload(file); !reason.empty()) {
    complain(reason);
    return 126;
  }
  if (std::string reason = lacks_netmap(file, argv); !reason.empty()) {
    complain(reason);
    return 1;
  }
  auto library = own_library();
  if (!library) {
    complain(library.error().text);
    return 1;
  }
  auto preload = preload_with(*library, getenv("LD_PRELOAD"));
  if (!preload) {
    complain(preload.error().text);
    return 1;
  }
  if (std::string reason = unreachable(); !reason.empty()) {
    complain(reason);
    return 1;
  }
  setenv("LD_PRELOAD", preload->c_str(), 1);
  if (!quiet) setenv("UNETMAP_LOG", "1", 1);
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  execvp(argv[0].c_str(), arguments.data());
  int code = errno;
  complain(fmt::format("{}: {}", argv[0], strerror(code)));
  return code == ENOENT ? 127 : 126;
}

}  // namespace unetmap::cli
