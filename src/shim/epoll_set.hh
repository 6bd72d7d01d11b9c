// SPDX-License-Identifier: BSD-2-Clause
// One epoll set: its netmap members, and the bells that stand for them in the kernel's instance. See epoll_sets.hh.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "client/descriptor/calls.hh"
#include "shim/epoll_interest.hh"

namespace unetmap::shim {

class EpollSet {
 public:
  // --- the table's, see epoll_sets.cc ---
  std::atomic<uint32_t> numbers{0};  // descriptor numbers of it
  std::atomic<uint32_t> users{0};    // threads that look at it
  std::atomic<uint32_t> life{0};     // counts its uses for different epoll instances
  EpollSet* next = nullptr;          // in the list of all sets; never changed

  // --- read without the lock ---
  std::atomic<bool> active{false};    // has, or once had, members
  std::atomic<uint32_t> children{0};  // other epoll sets in it
  std::atomic<uint32_t> others{0};    // members that the kernel looks after; too many if some were closed
  std::atomic<uint32_t> sleepers{0};  // threads between arming the members and the end of their sleep

  // Held for a sync of each member at most, never while sleeping.
  std::mutex mutex;

  // All of these with `mutex` held. add, modify and remove answer as epoll_ctl(2) does.
  int add(int epfd, int fd, client::Descriptor& d, const epoll_event& event);
  int modify(int fd, client::Descriptor& d, const epoll_event& event);
  int remove(int fd, client::Descriptor& d);  // ENOENT if it is none of ours
  bool registered(client::Descriptor& d);     // true if it is a member
  // Syncs the members and writes what is due; returns how many, at most `max`.
  int collect(epoll_event* events, int max);
  bool any_due();
  // Returns `sleep_ns`, or how long a sleep may last at most.
  int64_t arm(int64_t sleep_ns);
  // Forgets which bells rang. True if any did.
  bool take_bells();
  void ring_own_bell();
  bool own_bell_rung() const { return own_bell_rung_; }
  size_t size() const { return members_.size(); }
  // The only member, if there is no other and it is alive.
  client::DescriptorRef only_member(short* wanted);
  void clear();

  struct Child {
    int fd;
    EpollSet* set;
    uint32_t life;
  };
  std::vector<Child> child_list;

 private:
  struct Member {
    int fd = -1;
    client::Descriptor* descriptor = nullptr;  // valid while `alive` is
    std::weak_ptr<client::Descriptor> alive;
    int doorbell = -1;  // as registered in bells_
    bool ended = false;
    bool exclusive = false;
    EpollInterest interest;
  };

  Member* find(int fd, client::Descriptor& d);
  bool make_bells(int epfd);
  void attach(Member& member);
  void detach(const Member& member);
  void drop_closed();
  // Keeps the descriptor's object while it is looked at; nullptr once the program has closed it.
  static client::DescriptorRef open_descriptor(const Member& member);
  static uint32_t ready(Member& member);
  static uint32_t due(Member& member, uint64_t* activity_in, uint64_t* activity_out);

  std::vector<Member> members_;
  size_t turn_ = 0;  // where collect() begins
  int bells_ = -1, own_bell_ = -1;
  bool own_bell_rung_ = false;
};

// Stands for the bells among the events of a kernel instance. Random: no program uses it by accident.
uint64_t epoll_tag() noexcept;

}  // namespace unetmap::shim
