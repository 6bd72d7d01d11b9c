// SPDX-License-Identifier: BSD-2-Clause
// Every request of netmap's control interface, broken in every way that one can be: headers, addresses, options; and
// netmap's answer to each.
#include "control_request.hh"

namespace descriptors {
namespace {

TEST_F(Requests, AnswerWellOnlyWhatIsWell) {
  for (const Kind& kind : kKinds) EXPECT_EQ(baseline(kind) == 0, kind.answers) << kind.name << ": " << baseline(kind);
}

TEST_F(Requests, HeadersThatAreWrong) {
  for (const Kind& kind : kKinds) {
    for (uint16_t version : {0, 11, 13, 16, 65535}) {
      Request request(kind, name());
      request.header.nr_version = version;
      EXPECT_EQ(request.ask(), EINVAL) << kind.name << " of version " << version;
      EXPECT_EQ(request.header.nr_version, version) << kind.name << ": it is the caller's";
    }
    Request newer(kind, name());
    newer.header.nr_version = 15;
    EXPECT_EQ(newer.ask(), baseline(kind)) << kind.name << " of version 15";
    Request reserved(kind, name());
    reserved.header.nr_reserved = 1;
    EXPECT_EQ(reserved.ask(), EINVAL) << kind.name;
    Request bodies(kind, name());
    bodies.header.nr_body = kind.body ? 0 : uintptr_t(bodies.body.data());
    EXPECT_EQ(bodies.ask(), EINVAL) << kind.name << (kind.body ? " without a body" : " with a body");
    // A name without an end is cut, and then that of no port.
    Request endless(kind, name());
    memset(endless.header.nr_name, 'x', sizeof endless.header.nr_name);
    EXPECT_NE(endless.ask(), 0) << kind.name;
    EXPECT_EQ(endless.header.nr_name[sizeof endless.header.nr_name - 1], 0) << kind.name;
  }
  for (uint16_t type : {0, 16, 999}) {
    Kind none{type, "none", 0, false};
    EXPECT_EQ(Request(none, name()).ask(), EINVAL) << type;
  }
}

TEST_F(Requests, AddressesWithoutMemory) {
  int fd = open_device();
  Edge edge;
  for (unsigned long request :
       {(unsigned long)NIOCCTRL, (unsigned long)NIOCREGIF, (unsigned long)NIOCGINFO, (unsigned long)NIOCCONFIG}) {
    EXPECT_EQ(ioctl(fd, request, nullptr), -1);
    EXPECT_EQ(errno, EINVAL) << "no argument";
    for (void* bad : {static_cast<void*>(edge.none()), reinterpret_cast<void*>(1), reinterpret_cast<void*>(-1),
                      static_cast<void*>(edge.cut<char>(20))}) {
      errno = 0;
      EXPECT_EQ(ioctl(fd, request, bad), -1) << bad;
      EXPECT_EQ(errno, EFAULT) << bad;
    }
  }
  close(fd);
  for (const Kind& kind : kKinds) {
    if (kind.body)
      for (uintptr_t bad : {uintptr_t(edge.none()), uintptr_t{8}, uintptr_t(edge.cut<char>(kind.body - 1))}) {
        Request request(kind, name());
        request.header.nr_body = bad;
        EXPECT_EQ(request.ask(), EFAULT) << kind.name << ": body at " << std::hex << bad;
      }
    Request list(kind, name());
    list.header.nr_options = uintptr_t(edge.cut<nmreq_option>(sizeof(nmreq_option) - 1));
    EXPECT_EQ(list.ask(), EFAULT) << kind.name << ": options";
    nmreq_option first{};
    first.nro_reqtype = NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS;
    first.nro_next = uintptr_t(edge.none());
    Request next(kind, name());
    next.header.nr_options = uintptr_t(&first);
    EXPECT_EQ(next.ask(), EFAULT) << kind.name << ": the second option";
    auto* cut = edge.cut<nmreq_opt_csb>(sizeof(nmreq_opt_csb) - 4);
    const nmreq_option csb{0, NETMAP_REQ_OPT_CSB, 0, 0};
    memcpy(static_cast<void*>(cut), &csb, sizeof csb);  // where none is aligned
    Request payload(kind, name());
    payload.header.nr_options = uintptr_t(cut);
    EXPECT_EQ(payload.ask(), EFAULT) << kind.name << ": half an option";
  }
}

// What is done is done, but the answer has nowhere to go.
TEST_F(Requests, AddressesThatCannotBeWritten) {
  for (const Kind& kind : kKinds) {
    if (!kind.body || !kind.answers) continue;
    Edge edge;
    char* body = edge.cut<char>(kind.body);
    Request request(kind, name());
    memcpy(body, request.body.data(), kind.body);
    request.header.nr_body = uintptr_t(body);
    edge.make_read_only();
    EXPECT_EQ(request.ask(), EFAULT) << kind.name;
  }
}

TEST_F(Requests, OptionsThatAreWrong) {
  for (const Kind& kind : kKinds) {
    auto with = [&](nmreq_option* options) {
      Request request(kind, name());
      request.header.nr_options = uintptr_t(options);
      return request.ask();
    };
    nmreq_option zero{0, 0, 77, 0};
    EXPECT_EQ(with(&zero), EINVAL) << kind.name;
    EXPECT_EQ(zero.nro_status, uint32_t{EINVAL}) << kind.name;
    nmreq_option unknown{0, NETMAP_REQ_OPT_MAX, 77, 0};
    EXPECT_EQ(with(&unknown), EOPNOTSUPP) << kind.name;
    EXPECT_EQ(unknown.nro_status, uint32_t{EOPNOTSUPP}) << kind.name;
    nmreq_opt_sync_kloop_mode two[2]{};
    for (auto& each : two) each.nro_opt.nro_reqtype = NETMAP_REQ_OPT_SYNC_KLOOP_MODE;
    two[0].nro_opt.nro_next = uintptr_t(&two[1]);
    EXPECT_EQ(with(&two[0].nro_opt), EINVAL) << kind.name;
    for (auto& each : two) EXPECT_EQ(each.nro_opt.nro_status, uint32_t{EINVAL}) << kind.name;
    nmreq_option circle{0, 50, 0, 0};
    circle.nro_next = uintptr_t(&circle);
    EXPECT_EQ(with(&circle), EMSGSIZE) << kind.name;
    std::vector<char> large(5000);
    auto* long_one = reinterpret_cast<nmreq_option*>(large.data());
    *long_one = {0, NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS, 0, large.size()};
    EXPECT_EQ(with(long_one), EMSGSIZE) << kind.name;
    // Known, and not looked at: only registering minds.
    nmreq_opt_sync_kloop_mode mode{};
    mode.nro_opt.nro_reqtype = NETMAP_REQ_OPT_SYNC_KLOOP_MODE;
    if (kind.type == NETMAP_REQ_SYNC_KLOOP_START) continue;
    EXPECT_EQ(with(&mode.nro_opt), kind.type == NETMAP_REQ_REGISTER ? EOPNOTSUPP : baseline(kind)) << kind.name;
    EXPECT_EQ(mode.nro_opt.nro_status, uint32_t{EOPNOTSUPP}) << kind.name;
  }
}

TEST(RequestsOfAnOrdinaryUser, AreAnsweredAlike) { ask_as_an_ordinary_user(); }

}  // namespace
}  // namespace descriptors
