// SPDX-License-Identifier: BSD-2-Clause
// A netmap port for C++20 programs: owns it, moves it, closes it. Header only, over the C calls of libnetmap.h.
//
//     unetmap::Port port = unetmap::Port::open("vale0:a");
//     while (port.wait_rx(1000)) {
//       port.for_each_received([&](const unetmap::Packet& packet) { count(packet.size()); });
//     }
//
// Errors: what opens, synchronises or waits throws std::system_error, whose code is the errno and whose what() says
// which object failed, why, and what to do. try_open() reports the same without throwing. What only touches memory
// (rings, packets, send) neither fails nor throws.
//
// Threads: a port may be used by one thread at a time; ports of their own ring pairs ("netmap:eth0-3") by one each.
#pragma once

#if defined(__cplusplus) && __cplusplus < 202002L
#error "unetmap/port.hh needs C++20: compile with -std=c++20 (or a later one)"
#else

#include <libnetmap.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unetmap/unetmap.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace unetmap {

/// Why a port could not be opened.
struct PortError {
  int code = 0;      ///< an errno
  std::string text;  ///< object, cause and remedy
};

/// One ring as seen by the program: the slots it owns at this moment, [head, tail), numbered from 0.
///
/// A view: cheap to copy, valid while its port is open. On a tx ring the slots are free to fill, on an rx ring they
/// hold packets. Source: netmap_ring in net/netmap.h.
class Ring {
 public:
  explicit Ring(netmap_ring* ring) noexcept : ring_(ring) {}

  /// Slots that are ours.
  std::size_t size() const noexcept { return nm_ring_space(ring_); }
  bool empty() const noexcept { return nm_ring_empty(ring_) != 0; }
  /// All slots of the ring, and bytes in a buffer.
  std::uint32_t capacity() const noexcept { return ring_->num_slots; }
  std::uint32_t buffer_size() const noexcept { return ring_->nr_buf_size; }

  /// Our slot number i; i < size().
  netmap_slot& operator[](std::size_t i) const noexcept { return ring_->slot[index(i)]; }

  /// The whole buffer of our slot number i behind its offset, in bytes: room to write on tx.
  std::span<std::byte> buffer(std::size_t i) const noexcept {
    const netmap_slot& slot = (*this)[i];
    const std::uint64_t offset = std::min<std::uint64_t>(NETMAP_ROFFSET(ring_, &slot), ring_->nr_buf_size);
    auto* start = reinterpret_cast<std::byte*>(NETMAP_BUF(ring_, slot.buf_idx));
    return {start + offset, ring_->nr_buf_size - static_cast<std::size_t>(offset)};
  }

  /// The data in our slot number i: len bytes, never past the end of the buffer.
  std::span<const std::byte> data(std::size_t i) const noexcept {
    const std::span<std::byte> whole = buffer(i);
    return whole.first(std::min<std::size_t>((*this)[i].len, whole.size()));
  }

  /// Hands our first count slots over; count <= size(). The service sees it at the next sync or poll.
  void advance(std::size_t count) noexcept { ring_->head = ring_->cur = index(count); }

  netmap_ring* get() const noexcept { return ring_; }

 private:
  std::uint32_t index(std::size_t i) const noexcept {
    const std::size_t sum = ring_->head + i;
    return static_cast<std::uint32_t>(sum < ring_->num_slots ? sum : sum - ring_->num_slots);
  }

  netmap_ring* ring_;
};

/// A received packet, in one or more slots of an rx ring. Valid during the call that hands it out.
class Packet {
 public:
  Packet(Ring ring, std::size_t slots, std::size_t bytes) noexcept : ring_(ring), slots_(slots), bytes_(bytes) {}

  /// Bytes of the whole packet.
  std::size_t size() const noexcept { return bytes_; }
  /// Pieces it lies in; one unless it is longer than a buffer.
  std::size_t fragments() const noexcept { return slots_; }
  /// Piece number i; i < fragments().
  std::span<const std::byte> fragment(std::size_t i) const noexcept { return ring_.data(i); }
  /// The first piece: the whole packet when fragments() is 1.
  std::span<const std::byte> data() const noexcept { return fragment(0); }

  /// Copies as much as fits into out, from the start. Returns the bytes copied.
  std::size_t copy_to(std::span<std::byte> out) const noexcept {
    std::size_t done = 0;
    for (std::size_t i = 0; i < slots_ && done < out.size(); ++i) {
      const std::span<const std::byte> piece = fragment(i);
      const std::size_t part = std::min(piece.size(), out.size() - done);
      std::memcpy(out.data() + done, piece.data(), part);
      done += part;
    }
    return done;
  }

 private:
  Ring ring_;
  std::size_t slots_;
  std::size_t bytes_;
};

/// An open netmap port.
class Port {
 public:
  /// Opens a port by its specification (syntax: libnetmap.h), such as "vale0:a", "vale0:a{1", "netmap:eth0-2/R".
  /// Throws std::system_error.
  static Port open(const std::string& spec) {
    PortError error;
    std::optional<Port> port = try_open(spec, &error);
    if (!port) throw std::system_error(error.code, std::generic_category(), error.text);
    return std::move(*port);
  }

  /// The same without throwing; says why in *error, when that is given.
  static std::optional<Port> try_open(const std::string& spec, PortError* error = nullptr) noexcept {
    return try_open(spec, error, [](nmreq_register&) {});
  }

  /// The same with changes to the request: prepare(nmreq_register&) may set rings, slots and extra buffers.
  template <class F>
  static std::optional<Port> try_open(const std::string& spec, PortError* error, F&& prepare) noexcept {
    Context::message().clear();
    nmport_d* port = nmport_new();
    if (port != nullptr) {
      port->ctx = Context::get();  // before anything is allocated with it
      if (nmport_parse(port, spec.c_str()) == 0) {
        prepare(port->reg);
        if (nmport_open_desc(port) == 0) return Port(port);
      }
    }
    const int code = errno;
    nmport_close(port);
    if (error != nullptr) *error = {code, Context::message()};
    return std::nullopt;
  }

  Port(Port&& other) noexcept : port_(std::exchange(other.port_, nullptr)) {}
  Port& operator=(Port&& other) noexcept {
    std::swap(port_, other.port_);
    return *this;
  }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  /// Closes the port, without waiting: packets that nobody has taken from its tx rings (because none was told by a sync
  /// or poll, or for want of room) are lost, and counted by abandoned(). flush() before it keeps them.
  ~Port() { nmport_close(port_); }

  /// As the service knows it, without suffixes.
  std::string_view name() const noexcept { return port_->hdr.nr_name; }
  /// For poll, select, epoll: they synchronise too.
  int fd() const noexcept { return port_->fd; }
  /// The C descriptor, still owned by this.
  nmport_d* get() const noexcept { return port_; }

  /// Rings bound, and a view of number i of them, counted from 0.
  std::size_t tx_rings() const noexcept { return count(port_->first_tx_ring, port_->last_tx_ring); }
  std::size_t rx_rings() const noexcept { return count(port_->first_rx_ring, port_->last_rx_ring); }
  Ring tx_ring(std::size_t i) const noexcept { return Ring(NETMAP_TXRING(port_->nifp, port_->first_tx_ring + i)); }
  Ring rx_ring(std::size_t i) const noexcept { return Ring(NETMAP_RXRING(port_->nifp, port_->first_rx_ring + i)); }

  /// True when buffers may be exchanged with another port's instead of copied: both are in one memory region.
  bool shares_memory_with(const Port& other) const noexcept { return port_->mem == other.port_->mem; }

  /// Copies a packet to a tx ring. False when none has room: sync_tx() or wait_tx() and try again.
  bool send(std::span<const std::byte> packet) noexcept {
    if (packet.empty()) return true;
    return nmport_inject(port_, packet.data(), packet.size()) != 0;
  }

  /// Calls f(const Packet&) for each packet there is, limit at most, and gives its slots back. Returns how many.
  /// Looks at no more than what the last sync or poll brought.
  template <class F>
  std::size_t for_each_received(F&& f, std::size_t limit = std::numeric_limits<std::size_t>::max()) {
    std::size_t done = 0;
    for (std::size_t i = 0; i < rx_rings() && done < limit; ++i) {
      Ring ring = rx_ring(i);
      while (!ring.empty() && done < limit) {
        const Packet packet = front(ring);
        f(packet);
        ring.advance(packet.fragments());
        ++done;
      }
    }
    return done;
  }

  /// Exchange indexes with the service now, without waiting. Throw std::system_error.
  void sync_tx() { sync(NIOCTXSYNC, "tx"); }
  void sync_rx() { sync(NIOCRXSYNC, "rx"); }

  /// Synchronises until all packets in the tx rings were taken, timeout_ms at most; -1 waits for ever. False when the
  /// time is over, or a signal came, and some are left. Throws std::system_error.
  bool flush(int timeout_ms) {
    if (nmport_flush(port_, timeout_ms) == 0) return true;
    if (errno != ETIMEDOUT && errno != EINTR) raise(errno, "cannot send what is left");
    return false;
  }
  /// Packets that were lost in this process because their ports were closed before somebody took them.
  static std::uint64_t abandoned() noexcept { return unetmap_abandoned(); }

  /// Packets for its rx rings that were lost there, as they were full, since the port was made.
  std::uint64_t missed() const noexcept {
    const std::int64_t packets = unetmap_missed(port_->fd);
    return packets < 0 ? 0 : static_cast<std::uint64_t>(packets);
  }

  /// Waits for packets, or for room, and synchronises. timeout_ms -1 waits for ever, 0 not at all. False when the time
  /// is over or a signal came. Throw std::system_error, with ENXIO when the port is gone.
  bool wait_rx(int timeout_ms) { return (poll(POLLIN, timeout_ms) & POLLIN) != 0; }
  bool wait_tx(int timeout_ms) { return (poll(POLLOUT, timeout_ms) & POLLOUT) != 0; }

  /// poll(2) on the port: events and result of POLLIN and POLLOUT, 0 on timeout or signal.
  short poll(short events, int timeout_ms) {
    pollfd entry = {.fd = port_->fd, .events = events, .revents = 0};
    if (::poll(&entry, 1, timeout_ms) < 0) {
      if (errno == EINTR) return 0;
      raise(errno, "cannot wait");
    }
    if ((entry.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) raise(ENXIO, "the port is gone: open it again");
    return entry.revents;
  }

 private:
  // A context of the ports of this class: the message of a failure goes to the thread that caused it.
  struct Context : nmctx {
    Context() noexcept : nmctx{} {
      verbose = 1;
      error = [](nmctx*, const char* text) { message() = text; };
      malloc = [](nmctx*, std::size_t size) { return std::malloc(size); };
      free = [](nmctx*, void* memory) { std::free(memory); };
      lock = [](nmctx* ctx, int take) {
        std::mutex& mutex = static_cast<Context*>(ctx)->mutex;
        take != 0 ? mutex.lock() : mutex.unlock();
      };
    }
    static nmctx* get() noexcept {
      static Context context;
      return &context;
    }
    static std::string& message() noexcept {
      thread_local std::string text;
      return text;
    }
    std::mutex mutex;
  };

  explicit Port(nmport_d* port) noexcept : port_(port) {}

  static std::size_t count(std::uint16_t first, std::uint16_t last) noexcept {
    return first > last ? 0 : std::size_t{last} - first + 1;
  }

  // The packet at the front of a ring that is not empty; a chain that does not end ends with our slots.
  static Packet front(Ring ring) noexcept {
    const std::size_t available = ring.size();
    std::size_t slots = 1;
    std::size_t bytes = ring.data(0).size();
    while ((ring[slots - 1].flags & NS_MOREFRAG) != 0 && slots < available) bytes += ring.data(slots++).size();
    return {ring, slots, bytes};
  }

  [[noreturn]] void raise(int code, const char* what) const {
    throw std::system_error(code, std::generic_category(), std::string(name()) + ": " + what);
  }

  void sync(unsigned long request, const char* direction) {
    if (::ioctl(port_->fd, request, nullptr) < 0) {
      raise(errno, (std::string("cannot synchronise ") + direction + " rings").c_str());
    }
  }

  nmport_d* port_;
};

}  // namespace unetmap

#endif  // C++20
