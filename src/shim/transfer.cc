// SPDX-License-Identifier: BSD-2-Clause
// read, write and their kin, and the calls about sockets: not on netmap descriptors. recvmsg and recvmmsg, which bring
// descriptors, are in receive.cc.
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim/next.hh"
#include "shim/refuse.hh"

namespace unetmap::shim {
namespace {

// Shorthand for what follows: the next definition of a function, and one of ours that refuses netmap descriptors.
#define UNETMAP_REFUSE(name, error, result, parameters, first, ...)         \
  result shim_##name parameters UNETMAP_INTERPOSE(name);                    \
  result shim_##name parameters {                                           \
    static constinit Next<result parameters> next{#name};                   \
    return refused(first, error) ? result(-1) : next(first, ##__VA_ARGS__); \
  }
#define UNETMAP_REFUSE_BOTH(name, result, parameters, one, other, ...)                      \
  result shim_##name parameters UNETMAP_INTERPOSE(name);                                    \
  result shim_##name parameters {                                                           \
    static constinit Next<result parameters> next{#name};                                   \
    return refused(one, EINVAL) || refused(other, EINVAL) ? result(-1) : next(__VA_ARGS__); \
  }

}  // namespace

extern "C" {

UNETMAP_REFUSE(read, EINVAL, ssize_t, (int fd, void* to, size_t bytes), fd, to, bytes)
UNETMAP_REFUSE(__read_chk, EINVAL, ssize_t, (int fd, void* to, size_t bytes, size_t room), fd, to, bytes, room)
UNETMAP_REFUSE(pread, EINVAL, ssize_t, (int fd, void* to, size_t bytes, off_t at), fd, to, bytes, at)
UNETMAP_REFUSE(pread64, EINVAL, ssize_t, (int fd, void* to, size_t bytes, off64_t at), fd, to, bytes, at)
UNETMAP_REFUSE(__pread_chk, EINVAL, ssize_t, (int fd, void* to, size_t bytes, off_t at, size_t room), fd, to, bytes, at,
               room)
UNETMAP_REFUSE(__pread64_chk, EINVAL, ssize_t, (int fd, void* to, size_t bytes, off64_t at, size_t room), fd, to, bytes,
               at, room)
UNETMAP_REFUSE(readv, EINVAL, ssize_t, (int fd, const iovec* to, int count), fd, to, count)
UNETMAP_REFUSE(preadv, EINVAL, ssize_t, (int fd, const iovec* to, int count, off_t at), fd, to, count, at)
UNETMAP_REFUSE(preadv64, EINVAL, ssize_t, (int fd, const iovec* to, int count, off64_t at), fd, to, count, at)
UNETMAP_REFUSE(preadv2, EINVAL, ssize_t, (int fd, const iovec* to, int count, off_t at, int flags), fd, to, count, at,
               flags)
UNETMAP_REFUSE(preadv64v2, EINVAL, ssize_t, (int fd, const iovec* to, int count, off64_t at, int flags), fd, to, count,
               at, flags)

UNETMAP_REFUSE(write, EINVAL, ssize_t, (int fd, const void* from, size_t bytes), fd, from, bytes)
UNETMAP_REFUSE(pwrite, EINVAL, ssize_t, (int fd, const void* from, size_t bytes, off_t at), fd, from, bytes, at)
UNETMAP_REFUSE(pwrite64, EINVAL, ssize_t, (int fd, const void* from, size_t bytes, off64_t at), fd, from, bytes, at)
UNETMAP_REFUSE(writev, EINVAL, ssize_t, (int fd, const iovec* from, int count), fd, from, count)
UNETMAP_REFUSE(pwritev, EINVAL, ssize_t, (int fd, const iovec* from, int count, off_t at), fd, from, count, at)
UNETMAP_REFUSE(pwritev64, EINVAL, ssize_t, (int fd, const iovec* from, int count, off64_t at), fd, from, count, at)
UNETMAP_REFUSE(pwritev2, EINVAL, ssize_t, (int fd, const iovec* from, int count, off_t at, int flags), fd, from, count,
               at, flags)
UNETMAP_REFUSE(pwritev64v2, EINVAL, ssize_t, (int fd, const iovec* from, int count, off64_t at, int flags), fd, from,
               count, at, flags)

UNETMAP_REFUSE(recv, EINVAL, ssize_t, (int fd, void* to, size_t bytes, int flags), fd, to, bytes, flags)
UNETMAP_REFUSE(__recv_chk, EINVAL, ssize_t, (int fd, void* to, size_t bytes, size_t room, int flags), fd, to, bytes,
               room, flags)
UNETMAP_REFUSE(recvfrom, EINVAL, ssize_t,
               (int fd, void* to, size_t bytes, int flags, sockaddr* address, socklen_t* length), fd, to, bytes, flags,
               address, length)
UNETMAP_REFUSE(__recvfrom_chk, EINVAL, ssize_t,
               (int fd, void* to, size_t bytes, size_t room, int flags, sockaddr* address, socklen_t* length), fd, to,
               bytes, room, flags, address, length)
UNETMAP_REFUSE(send, EINVAL, ssize_t, (int fd, const void* from, size_t bytes, int flags), fd, from, bytes, flags)
UNETMAP_REFUSE(sendto, EINVAL, ssize_t,
               (int fd, const void* from, size_t bytes, int flags, const sockaddr* address, socklen_t length), fd, from,
               bytes, flags, address, length)
UNETMAP_REFUSE(sendmsg, EINVAL, ssize_t, (int fd, const msghdr* message, int flags), fd, message, flags)
UNETMAP_REFUSE(sendmmsg, EINVAL, int, (int fd, mmsghdr* messages, unsigned count, int flags), fd, messages, count,
               flags)

UNETMAP_REFUSE_BOTH(sendfile, ssize_t, (int to, int from, off_t* at, size_t bytes), to, from, to, from, at, bytes)
UNETMAP_REFUSE_BOTH(sendfile64, ssize_t, (int to, int from, off64_t* at, size_t bytes), to, from, to, from, at, bytes)
UNETMAP_REFUSE_BOTH(splice, ssize_t, (int from, off64_t* from_at, int to, off64_t* to_at, size_t bytes, unsigned flags),
                    from, to, from, from_at, to, to_at, bytes, flags)
UNETMAP_REFUSE_BOTH(tee, ssize_t, (int from, int to, size_t bytes, unsigned flags), from, to, from, to, bytes, flags)
UNETMAP_REFUSE(vmsplice, EINVAL, ssize_t, (int fd, const iovec* pages, size_t count, unsigned flags), fd, pages, count,
               flags)
UNETMAP_REFUSE_BOTH(copy_file_range, ssize_t,
                    (int from, off64_t* from_at, int to, off64_t* to_at, size_t bytes, unsigned flags), from, to, from,
                    from_at, to, to_at, bytes, flags)

UNETMAP_REFUSE(shutdown, EINVAL, int, (int fd, int how), fd, how)
UNETMAP_REFUSE(bind, ENOTSOCK, int, (int fd, const sockaddr* address, socklen_t length), fd, address, length)
UNETMAP_REFUSE(connect, ENOTSOCK, int, (int fd, const sockaddr* address, socklen_t length), fd, address, length)
UNETMAP_REFUSE(listen, ENOTSOCK, int, (int fd, int backlog), fd, backlog)
UNETMAP_REFUSE(accept, ENOTSOCK, int, (int fd, sockaddr* address, socklen_t* length), fd, address, length)
UNETMAP_REFUSE(accept4, ENOTSOCK, int, (int fd, sockaddr* address, socklen_t* length, int flags), fd, address, length,
               flags)
UNETMAP_REFUSE(getsockname, ENOTSOCK, int, (int fd, sockaddr* address, socklen_t* length), fd, address, length)
UNETMAP_REFUSE(getpeername, ENOTSOCK, int, (int fd, sockaddr* address, socklen_t* length), fd, address, length)
UNETMAP_REFUSE(getsockopt, ENOTSOCK, int, (int fd, int level, int name, void* value, socklen_t* length), fd, level,
               name, value, length)
UNETMAP_REFUSE(setsockopt, ENOTSOCK, int, (int fd, int level, int name, const void* value, socklen_t length), fd, level,
               name, value, length)

}  // extern "C"

#undef UNETMAP_REFUSE
#undef UNETMAP_REFUSE_BOTH

}  // namespace unetmap::shim
