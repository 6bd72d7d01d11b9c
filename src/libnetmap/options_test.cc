// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

#include "libnetmap/test_context.hh"

namespace {

// A file of some bytes that goes when the test does.
class TemporaryFile {
 public:
  explicit TemporaryFile(off_t bytes) {
    fd_ = mkstemp(path_.data());
    if (fd_ >= 0 && ftruncate(fd_, bytes) != 0) std::abort();
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    close(fd_);
    unlink(path_.data());
  }
  std::string path() const { return path_.data(); }

 private:
  std::array<char, 32> path_{"/tmp/unetmap-test-XXXXXX"};
  int fd_;
};

TEST(NmPortOptions, ConfAppliesTheMoreSpecificKey) {
  TestContext ctx;
  nmport_d* port = nmport_prepare(
      "netmap:eth0@conf:tx-rings=2,rings=4,host-rings=3,host_rx_rings=65535,slots=512,rx-slots=4294967295");
  ASSERT_NE(port, nullptr) << ctx.last_message();
  EXPECT_EQ(port->reg.nr_tx_rings, 2);
  EXPECT_EQ(port->reg.nr_rx_rings, 4);
  EXPECT_EQ(port->reg.nr_host_tx_rings, 3);
  EXPECT_EQ(port->reg.nr_host_rx_rings, 65535);
  EXPECT_EQ(port->reg.nr_tx_slots, 512U);
  EXPECT_EQ(port->reg.nr_rx_slots, 4294967295U);
  EXPECT_EQ(port->hdr.nr_options, 0U);
  nmport_close(port);
  EXPECT_EQ(ctx.live, 0);
}

TEST(NmPortOptions, ConfTakesItsDefaultKey) {
  TestContext ctx;
  for (const char* spec : {"vale0:1@conf=6", "vale0:1@conf:6", "vale0:1@2@conf:rings=6", "vale0:1/x@conf:6,slots=64"}) {
    nmport_d* port = nmport_prepare(spec);
    ASSERT_NE(port, nullptr) << ctx.last_message();
    EXPECT_EQ(port->reg.nr_tx_rings, 6) << spec;
    EXPECT_EQ(port->reg.nr_rx_rings, 6) << spec;
    nmport_close(port);
  }
}

TEST(NmPortOptions, ExtmemMapsTheFileAndCarriesThePools) {
  TestContext ctx;
  const TemporaryFile file(1 << 20);
  nmport_d* port = nmport_prepare(
      ("vale0:1@extmem:file=" + file.path() + ",if-num=1,if-size=2,ring-num=3,ring-size=4,buf-num=5,buf-size=6")
          .c_str());
  ASSERT_NE(port, nullptr) << ctx.last_message();
  const nmreq_pools_info* pools = nmport_extmem_getinfo(port);
  ASSERT_NE(pools, nullptr);
  EXPECT_EQ(pools->nr_memsize, 1U << 20);
  EXPECT_EQ(pools->nr_if_pool_objtotal, 1U);
  EXPECT_EQ(pools->nr_if_pool_objsize, 2U);
  EXPECT_EQ(pools->nr_ring_pool_objtotal, 3U);
  EXPECT_EQ(pools->nr_ring_pool_objsize, 4U);
  EXPECT_EQ(pools->nr_buf_pool_objtotal, 5U);
  EXPECT_EQ(pools->nr_buf_pool_objsize, 6U);
  const nmreq_option* option = nmreq_find_option(&port->hdr, NETMAP_REQ_OPT_EXTMEM);
  ASSERT_EQ(option, &port->extmem->nro_opt);
  // Writable memory, and the file's.
  *reinterpret_cast<char*>(static_cast<uintptr_t>(port->extmem->nro_usrptr)) = 'm';

  // Its region is unknown until it is registered.
  EXPECT_EQ(nmport_clone(port), nullptr);
  EXPECT_EQ(errno, EINVAL);

  nmport_undo_parse(port);
  EXPECT_EQ(port->extmem, nullptr);
  EXPECT_EQ(nmport_extmem_getinfo(port), nullptr);
  EXPECT_EQ(port->hdr.nr_options, 0U);
  nmport_delete(port);
  EXPECT_EQ(ctx.live, 0);
}

TEST(NmPortOptions, ExtmemTakesItsDefaultKey) {
  TestContext ctx;
  const TemporaryFile file(4096);
  for (const std::string before : {"@extmem=", "@extmem:", "@extmem:file="}) {
    nmport_d* port = nmport_prepare(("netmap:eth0" + before + file.path()).c_str());
    ASSERT_NE(port, nullptr) << ctx.last_message();
    EXPECT_EQ(nmport_extmem_getinfo(port)->nr_memsize, 4096U);
    nmport_close(port);
  }
  EXPECT_EQ(ctx.live, 0);
}

TEST(NmPortOptions, ExtmemFilesThatCannotServe) {
  TestContext ctx;
  const TemporaryFile empty(0);
  EXPECT_EQ(nmport_prepare(("netmap:eth0@extmem=" + empty.path()).c_str()), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_NE(ctx.last_message().find("is empty"), std::string::npos);
  EXPECT_EQ(nmport_prepare("netmap:eth0@extmem=/nonexistent/file"), nullptr);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_NE(ctx.last_message().find("/nonexistent/file"), std::string::npos);
  EXPECT_EQ(ctx.live, 0);
}

TEST(NmPortOptions, OffsetMustBeEnabled) {
  TestContext ctx;
  EXPECT_EQ(nmport_prepare("vale0:1@offset=64"), nullptr);
  EXPECT_EQ(errno, EOPNOTSUPP);

  ASSERT_EQ(nmport_enable_option("offset"), 0);
  nmport_d* port = nmport_prepare("vale0:1@offset:initial=64,bits=16");
  nmport_disable_option("offset");
  ASSERT_NE(port, nullptr) << ctx.last_message();
  auto* option = reinterpret_cast<nmreq_opt_offsets*>(nmreq_find_option(&port->hdr, NETMAP_REQ_OPT_OFFSETS));
  ASSERT_NE(option, nullptr);
  EXPECT_EQ(option->nro_initial_offset, 64U);
  EXPECT_EQ(option->nro_max_offset, 64U);
  EXPECT_EQ(option->nro_offset_bits, 16U);
  EXPECT_EQ(nmport_offset(port, 0, 0, 0, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  nmport_close(port);
  EXPECT_EQ(ctx.live, 0);

  EXPECT_EQ(nmport_prepare("vale0:1@offset=64"), nullptr);
  EXPECT_EQ(errno, EOPNOTSUPP);
}

TEST(NmPortOptions, EnablingWhatDoesNotExist) {
  EXPECT_EQ(nmport_enable_option("nonsense"), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
  nmport_disable_option("nonsense");
}

TEST(NmPortOptions, OffsetsOutOfRange) {
  TestContext ctx;
  nmport_d* port = nmport_prepare("vale0:1");
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(nmport_offset(port, 2, 1, 0, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(nmport_offset(port, 0, 0, 65, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(port->hdr.nr_options, 0U);
  nmport_close(port);
}

struct Bad {
  const char* spec;
  const char* said;
};
std::ostream& operator<<(std::ostream& out, const Bad& c) { return out << c.spec; }

class NmBadOption : public testing::TestWithParam<Bad> {};

TEST_P(NmBadOption, IsRefusedWithAReason) {
  TestContext ctx;
  errno = 0;
  EXPECT_EQ(nmport_prepare(GetParam().spec), nullptr);
  EXPECT_EQ(errno, EINVAL);
  ASSERT_EQ(ctx.messages.size(), 1U);
  EXPECT_NE(ctx.messages[0].find(GetParam().said), std::string::npos) << ctx.messages[0];
  EXPECT_EQ(ctx.live, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Malformed, NmBadOption,
    testing::Values(Bad{"vale0:1@nosuch=1", "'nosuch' is not known"}, Bad{"vale0:1@con=1", "'con' is not known"},
                    Bad{"vale0:1@confx=1", "'confx' is not known"}, Bad{"vale0:1@conf", "needs a value"},
                    Bad{"vale0:1@conf=", "no value"}, Bad{"vale0:1@conf:", "no key"},
                    Bad{"vale0:1@conf:rings", "needs a value"}, Bad{"vale0:1@conf:rings=", "no value"},
                    Bad{"vale0:1@conf:rings=1,", "no key"}, Bad{"vale0:1@conf:nosuch=1", "no key 'nosuch'"},
                    Bad{"vale0:1@conf:=1", "no key ''"}, Bad{"vale0:1@conf:rings=1,rings=2", "twice"},
                    Bad{"vale0:1@conf:tx-rings=1,tx_rings=2", "twice"}, Bad{"vale0:1@conf=x", "no number"},
                    Bad{"vale0:1@conf=-1", "no number"}, Bad{"vale0:1@conf=65536", "65535"},
                    Bad{"vale0:1@conf:slots=4294967296", "4294967295"},
                    Bad{"vale0:1@conf:slots=99999999999999999999999", "4294967295"},
                    Bad{"vale0:1@conf:slots=0x10", "no number"}, Bad{"vale0:1@share", "needs a value"},
                    Bad{"vale0:1@share=", "no value"}, Bad{"vale0:1@share=eth0", "write netmap:eth0"},
                    Bad{"vale0:1@share:port=vale0", "switch and a name"}, Bad{"vale0:1@extmem", "needs a value"},
                    Bad{"vale0:1@extmem:if-num=1", "needs key 'file'"},
                    Bad{"vale0:1@extmem:file=/f,if-num=4294967296", "4294967295"}));

TEST(NmOptionsDecode, ASecondOptionsFailureUndoesTheFirst) {
  TestContext ctx;
  const TemporaryFile file(4096);
  nmport_d* port = nmport_prepare("vale1:before/x");
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(nmport_parse(port, ("vale2:after@extmem=" + file.path() + "@conf=x").c_str()), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_STREQ(port->hdr.nr_name, "vale1:before");
  EXPECT_EQ(port->reg.nr_flags, uint64_t{NR_EXCLUSIVE});
  EXPECT_EQ(port->hdr.nr_options, 0U);
  EXPECT_EQ(port->extmem, nullptr);
  nmport_close(port);
  EXPECT_EQ(ctx.live, 0);
}

TEST(NmOptionsDecode, TwoExtmemOptionsAreOneTooMany) {
  TestContext ctx;
  const TemporaryFile file(4096);
  EXPECT_EQ(nmport_prepare(("vale0:1@extmem=" + file.path() + "@extmem=" + file.path()).c_str()), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(ctx.live, 0);
}

TEST(NmOptionsDecode, RunsOutOfMemoryAtEveryAllocation) {
  TestContext ctx;
  const TemporaryFile file(4096);
  const std::string spec = "vale0:1@extmem=" + file.path();
  int failures = 0;
  nmport_d* port = nullptr;
  for (; port == nullptr && failures < 100; ++failures) {
    ctx.allocations_left = failures;
    errno = 0;
    port = nmport_prepare(spec.c_str());
    if (port == nullptr) {
      EXPECT_EQ(errno, ENOMEM);
      EXPECT_EQ(ctx.live, 0);
    }
  }
  ASSERT_NE(port, nullptr);
  EXPECT_GE(failures, 3);
  nmport_close(port);
  EXPECT_EQ(ctx.live, 0);
}

// A parser list of a program's own.
struct Seen {
  std::vector<std::string> values;
};
int see(nmreq_parse_ctx* parse) {
  auto* seen = static_cast<Seen*>(parse->token);
  for (int id : {0, 1}) seen->values.emplace_back(parse->keys[id] == nullptr ? "-" : parse->keys[id]);
  return 0;
}
int refuse(nmreq_parse_ctx*) {
  errno = EXDEV;
  return -1;
}

class NmOwnParsers : public testing::Test {
 protected:
  int decode(const char* text) { return nmreq_options_decode(text, &first_, &seen_, &ctx_); }

  TestContext ctx_;
  Seen seen_;
  nmreq_opt_parser last_ = {.prefix = "refuse", .parse = refuse, .default_key = -1, .flags = NMREQ_OPTF_ALLOWEMPTY};
  nmreq_opt_parser first_ = {.prefix = "two",
                             .parse = see,
                             .default_key = -1,
                             .nr_keys = 2,
                             .flags = NMREQ_OPTF_ALLOWEMPTY,
                             .next = &last_,
                             .keys = {{"a", 0, 0}, {"b", 1, NMREQ_OPTK_ALLOWEMPTY}}};
};

TEST_F(NmOwnParsers, GetTheirKeysById) {
  EXPECT_EQ(decode(""), 0);
  EXPECT_EQ(decode("@two@two:b,a=1@two:b=x:y"), 0) << ctx_.last_message();
  EXPECT_EQ(seen_.values, (std::vector<std::string>{"-", "-", "1", "b", "-", "x:y"}));
  EXPECT_EQ(ctx_.live, 0);
}

TEST_F(NmOwnParsers, FailWithTheirOwnErrno) {
  EXPECT_EQ(decode("@two:a=1@refuse@two:a=2"), -1);
  EXPECT_EQ(errno, EXDEV);
  EXPECT_EQ(seen_.values, (std::vector<std::string>{"1", "-"}));
  EXPECT_EQ(ctx_.live, 0);
}

TEST_F(NmOwnParsers, WithoutADefaultKeyTakeNoValue) {
  EXPECT_EQ(decode("@two=1"), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(decode("@two:1"), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(NmOwnParsers, StartWithAnAt) {
  EXPECT_EQ(decode("two"), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(decode("@"), -1);
  EXPECT_EQ(errno, EINVAL);
}

}  // namespace
