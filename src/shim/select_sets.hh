// SPDX-License-Identifier: BSD-2-Clause
// select(2)'s sets as poll(2) sees them, and back. Plain bit arrays of any size: programs with more than FD_SETSIZE
// descriptors allocate longer ones.
#pragma once

#include <poll.h>
#include <sys/select.h>

#include <cstddef>
#include <cstdint>

namespace unetmap::shim {

constexpr short kSelectIn = POLLIN | POLLRDNORM | POLLRDBAND;
constexpr short kSelectOut = POLLOUT | POLLWRNORM | POLLWRBAND;
constexpr short kSelectExcept = POLLPRI;

// One of the three sets, absent if null.
class SelectSet {
 public:
  explicit SelectSet(fd_set* set) : words_(reinterpret_cast<unsigned long*>(set)) {}
  bool has(int fd) const { return words_ && (words_[fd / kBits] >> (fd % kBits) & 1); }
  void add(int fd) { words_[fd / kBits] |= 1ul << (fd % kBits); }
  // Of descriptors below nfds, in whole words as the kernel does.
  void clear(int nfds) {
    if (words_)
      for (int i = 0; i < (nfds + kBits - 1) / kBits; i++) words_[i] = 0;
  }
  unsigned long word(int i) const { return words_ ? words_[i] : 0; }
  static constexpr int kBits = 8 * sizeof(unsigned long);

 private:
  unsigned long* words_;
};

class SelectSets {
 public:
  SelectSets(int nfds, fd_set* in, fd_set* out, fd_set* except) : nfds_(nfds), in_(in), out_(out), except_(except) {}

  // Calls use(fd, events) for each descriptor in a set, in order, until it returns false. False if it did.
  template <class Use>
  bool each(Use use) const {
    for (int word = 0; word * SelectSet::kBits < nfds_; word++) {
      unsigned long in = in_.word(word), out = out_.word(word), except = except_.word(word);
      for (unsigned long all = in | out | except; all; all &= all - 1) {
        int bit = __builtin_ctzl(all), fd = word * SelectSet::kBits + bit;
        if (fd >= nfds_) break;
        short events = short((in >> bit & 1 ? kSelectIn : 0) | (out >> bit & 1 ? kSelectOut : 0) |
                             (except >> bit & 1 ? kSelectExcept : 0));
        if (!use(fd, events)) return false;
      }
    }
    return true;
  }
  size_t count() const {
    size_t n = 0;
    each([&](int, short) { return ++n > 0; });
    return n;
  }

  // The part of `revents` that select reports for a descriptor with these `events`.
  static short reported(short events, short revents) {
    short result = 0;
    if ((events & kSelectIn) && (revents & (kSelectIn | POLLHUP | POLLERR))) result |= POLLIN;
    if ((events & kSelectOut) && (revents & (kSelectOut | POLLERR))) result |= POLLOUT;
    if ((events & kSelectExcept) && (revents & POLLPRI)) result |= POLLPRI;
    return result;
  }

  // Leaves in the sets what `fds` (as each() gave them) report; returns how many bits.
  int store(const pollfd* fds, size_t n) {
    in_.clear(nfds_);
    out_.clear(nfds_);
    except_.clear(nfds_);
    int bits = 0;
    for (size_t i = 0; i < n; i++) {
      short result = reported(fds[i].events, fds[i].revents);
      if (result & POLLIN) in_.add(fds[i].fd), bits++;
      if (result & POLLOUT) out_.add(fds[i].fd), bits++;
      if (result & POLLPRI) except_.add(fds[i].fd), bits++;
    }
    return bits;
  }

 private:
  int nfds_;
  SelectSet in_, out_, except_;
};

}  // namespace unetmap::shim
