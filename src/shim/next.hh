// SPDX-License-Identifier: BSD-2-Clause
// The definitions that this object stands in front of, found when first needed: also before constructors ran and in a
// signal handler, since finding one neither allocates nor locks anything of ours.
//
// Where a call of ours ends in one of the C library's blocking functions it uses these rather than a raw system call,
// so that pthread_cancel() works as it does without us. Frames above them may be unwound by force: no noexcept there.
#pragma once

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>

// Marks a definition that takes the place of libc's function `name`. The C++ name differs, so that no declaration or
// fortified inline version in a libc header gets in the way. The symbol is exported by src/libunetmap.map.
#define UNETMAP_INTERPOSE(name) __asm__(#name) __attribute__((visibility("default")))

namespace unetmap::shim {

// A pointer to the next definition of a function, of type `Function*`. Constant-initialised, so ready at any time.
template <class Function>
class NextPointer {
 public:
  constexpr explicit NextPointer(const char* name) : name_(name) {}

  // nullptr if this C library has no such function.
  Function* get() {
    void* found = found_.load(std::memory_order_relaxed);
    return reinterpret_cast<Function*>(found ? found : resolve());
  }

 private:
  [[gnu::noinline, gnu::cold]] void* resolve() {
    int saved_errno = errno;
    void* found = dlsym(RTLD_NEXT, name_);
    errno = saved_errno;
    found_.store(found, std::memory_order_relaxed);
    return found;
  }

  const char* name_;
  std::atomic<void*> found_{nullptr};
};

// The same to be called: -1 with ENOSYS if there is none.
template <class Function>
class Next;
template <class R, class... Args>
class Next<R(Args...)> : public NextPointer<R(Args...)> {
 public:
  using NextPointer<R(Args...)>::NextPointer;
  R operator()(Args... args) {
    if (auto* f = this->get()) [[likely]]
      return f(args...);
    errno = ENOSYS;
    return R(-1);
  }
};
// For the variadic ones, with whatever the caller got.
template <class R, class... Args>
class Next<R(Args..., ...)> : public NextPointer<R(Args..., ...)> {
 public:
  using NextPointer<R(Args..., ...)>::NextPointer;
  template <class... More>
  R operator()(Args... args, More... more) {
    if (auto* f = this->get()) [[likely]]
      return f(args..., more...);
    errno = ENOSYS;
    return R(-1);
  }
};

namespace next {
inline constinit Next<int(int)> close{"close"};
inline constinit Next<int(pollfd*, nfds_t, int)> poll{"poll"};
inline constinit Next<int(pollfd*, nfds_t, const timespec*, const sigset_t*)> ppoll{"ppoll"};
inline constinit Next<int(int, epoll_event*, int, int)> epoll_wait{"epoll_wait"};
inline constinit Next<int(int, epoll_event*, int, int, const sigset_t*)> epoll_pwait{"epoll_pwait"};
inline constinit Next<int(int, epoll_event*, int, const timespec*, const sigset_t*)> epoll_pwait2{"epoll_pwait2"};
inline constinit Next<int(int, int, int, epoll_event*)> epoll_ctl{"epoll_ctl"};
}  // namespace next

// Keeps errno over bookkeeping of ours.
class KeepErrno {
 public:
  KeepErrno() : saved_(errno) {}
  ~KeepErrno() { errno = saved_; }

 private:
  int saved_;
};

}  // namespace unetmap::shim
