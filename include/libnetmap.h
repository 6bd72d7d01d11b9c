/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening netmap ports from a string, in reversible steps.
 *
 *     nmport_open = nmport_prepare   = nmport_new      + nmport_parse
 *                 + nmport_open_desc = nmport_register + nmport_mmap
 *
 * A step that fails returns NULL or -1, sets errno, undoes what it did, and sends one sentence to the error callback of
 * the context (struct nmctx), which writes to stderr unless told otherwise. nmport_undo_X takes back a step X that
 * succeeded; nmport_close takes back whatever has been done so far.
 *
 * The port specification:
 *
 *     netmap:IF[RINGS][FLAGS][@MEM][OPTIONS]         a network interface or persistent port
 *     vale[SSS]:PPP[RINGS][FLAGS][@MEM][OPTIONS]     port PPP of VALE switch valeSSS; both of letters, digits, '_', the
 *                                                    port's also of '-' and '.'
 *     NAME{ID...  NAME}ID...                         the two ends of pipe ID of either of the above
 *
 *     RINGS    ^     all host rings                  FLAGS  / and any of
 *              ^N    host ring pair N                       x  exclusive
 *              *     NIC and host rings                     t  monitor what the rings send
 *              -N    NIC ring pair N                        r  monitor what they receive
 *              none, -*  all NIC rings                      z  with t, r or alone: monitor without copying
 *     MEM      memory region, 1 to 65535                    R  bind rx rings only, T  bind tx rings only
 *
 *     A number behind a dash may belong to the name: where IF-N is there that is meant, and where IF is there too, neither.
 *     IF-N-* is IF-N in any case.
 *
 *     OPTIONS  @NAME=VALUE (the option's default key, marked ! here) or @NAME:KEY=VALUE,KEY=VALUE...
 *
 *              share   port! of which to use the memory region
 *              conf    rings! tx-rings rx-rings host-rings host-tx-rings host-rx-rings slots tx-slots rx-slots:
 *                      the shape of a port that this open creates; the more specific key wins
 *              extmem  file! if-num if-size ring-num ring-size buf-num buf-size: use a file as the memory region
 *              offset  initial! bits: where in the buffers data starts, in bytes; only after
 *                      nmport_enable_option("offset"), as the program must use NETMAP_BUF_OFFSET
 *
 * In option and key names '-' and '_' are the same.
 */
#ifndef UNETMAP_LIBNETMAP_H_
#define UNETMAP_LIBNETMAP_H_

#include <net/netmap_user.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define NM_NOEXCEPT_ noexcept
#else
#define NM_NOEXCEPT_
#endif

struct nmctx;
struct nmem_d;
struct nmport_cleanup_d;

/* ------------------------------------------------------------------ ports */

/*
 * A port on its way from name to open. Programs may change hdr and reg between nmport_prepare and nmport_open_desc; the
 * rest is for reading.
 */
struct nmport_d {
  struct nmreq_header hdr;
  struct nmreq_register reg;

  struct nmem_d* mem; /* equal for two ports of one context exactly when they share a memory region */
  struct nmctx* ctx;  /* the default context at nmport_new */

  int register_done;
  int mmap_done;
  struct nmreq_opt_extmem* extmem; /* in hdr's options, if it is there */

  /* With the meaning they have in struct nm_desc. An interval of rings is empty when first > last. */
  int fd; /* -1 until registered */
  struct netmap_if* nifp;
  uint16_t first_tx_ring;
  uint16_t last_tx_ring;
  uint16_t first_rx_ring;
  uint16_t last_rx_ring;
  uint16_t cur_tx_ring; /* where nmport_inject looks first */
  uint16_t cur_rx_ring;

  struct nmport_cleanup_d* clist; /* what to undo with the parse, last first */
};

/* Opens a port. Returns it, or NULL. */
struct nmport_d* nmport_open(const char* portspec) NM_NOEXCEPT_;

/* Undoes every step and frees the port; NULL is allowed. */
void nmport_close(struct nmport_d* d) NM_NOEXCEPT_;

/*
 * Copies a packet of size bytes to one of our tx rings with room for it, over several slots when it is longer than a
 * buffer. Returns size, or 0 when no ring has room; the packet leaves at the next sync or poll.
 */
int nmport_inject(struct nmport_d* d, const void* buf, size_t size) NM_NOEXCEPT_;

/* A port without a name, in the default context. Returns it, or NULL with ENOMEM. */
struct nmport_d* nmport_new(void) NM_NOEXCEPT_;
void nmport_delete(struct nmport_d* d) NM_NOEXCEPT_;

/* Fills d->hdr and d->reg from a port specification. Asks the service for @share, maps the file for @extmem. */
int nmport_parse(struct nmport_d* d, const char* portspec) NM_NOEXCEPT_;
void nmport_undo_parse(struct nmport_d* d) NM_NOEXCEPT_;

/* Opens the device and binds it as d->hdr and d->reg say. */
int nmport_register(struct nmport_d* d) NM_NOEXCEPT_;
void nmport_undo_register(struct nmport_d* d) NM_NOEXCEPT_;

/* Maps a registered port's region, once for all ports of the context in it. */
int nmport_mmap(struct nmport_d* d) NM_NOEXCEPT_;
void nmport_undo_mmap(struct nmport_d* d) NM_NOEXCEPT_;

struct nmport_d* nmport_prepare(const char* portspec) NM_NOEXCEPT_;
void nmport_undo_prepare(struct nmport_d* d) NM_NOEXCEPT_;

/*
 * Not netmap's: synchronises the tx rings until what they hold was taken (by the receiver, the switch, the interface),
 * timeout_ms at most; -1 waits for ever. 0, or -1 with errno: ETIMEDOUT when packets are left, EINTR, or the
 * synchronisation's. Closing a port does not wait: what is left then is lost, and counted by unetmap_abandoned().
 */
int nmport_flush(struct nmport_d* d, int timeout_ms) NM_NOEXCEPT_;

int nmport_open_desc(struct nmport_d* d) NM_NOEXCEPT_;
void nmport_undo_open_desc(struct nmport_d* d) NM_NOEXCEPT_;

/*
 * A new port prepared with d's name and request, in d's region when d is registered, without d's options. EINVAL for a
 * port with extmem that is not registered yet.
 */
struct nmport_d* nmport_clone(struct nmport_d* d) NM_NOEXCEPT_;

/*
 * Between parse and register: use size bytes at base as the memory region (the caller's until the port is closed), or
 * a file, which the port maps and unmaps.
 */
int nmport_extmem(struct nmport_d* d, void* base, size_t size) NM_NOEXCEPT_;
int nmport_extmem_from_file(struct nmport_d* d, const char* fname) NM_NOEXCEPT_;

/* The pools of d's extmem: to fill in before register, what was granted after. NULL without extmem. */
struct nmreq_pools_info* nmport_extmem_getinfo(struct nmport_d* d) NM_NOEXCEPT_;

/*
 * Between parse and register: let data start inside the buffers. All in bytes but bits, the low bits of
 * netmap_slot.ptr to use (0 for all): offset of new slots, largest that will be used, distance between users of one
 * buffer.
 */
int nmport_offset(struct nmport_d* d, uint64_t initial, uint64_t maxoff, uint64_t bits, uint64_t mingap) NM_NOEXCEPT_;

/*
 * Whether portspecs may contain an option. At program start only: not safe beside other threads. An unknown name is
 * EOPNOTSUPP to enable and nothing to disable.
 */
int nmport_enable_option(const char* opt) NM_NOEXCEPT_;
void nmport_disable_option(const char* opt) NM_NOEXCEPT_;

/* ------------------------------------------------------------------ requests */

/* Zeroes *hdr but for version, type and body. */
void nmreq_header_init(struct nmreq_header* hdr, uint16_t reqtype, void* body) NM_NOEXCEPT_;

/*
 * The decoders take a part from the front of *spec: on success they move *spec past it; on failure (-1, EINVAL) they
 * change nothing. The first writes hdr->nr_name, the second nr_mode, nr_ringid, nr_flags, and nr_mem_id when there is
 * an '@' with a number. It stops at an '@' that starts an option.
 */
int nmreq_header_decode(const char** spec, struct nmreq_header* hdr, struct nmctx* ctx) NM_NOEXCEPT_;
int nmreq_register_decode(const char** spec, struct nmreq_register* reg, struct nmctx* ctx) NM_NOEXCEPT_;

#define NMREQ_OPT_MAXKEYS 16

struct nmreq_opt_parser;

/* What a parser's callback gets. */
struct nmreq_parse_ctx {
  struct nmctx* ctx;
  void* token;                         /* nmreq_options_decode's */
  const char* keys[NMREQ_OPT_MAXKEYS]; /* value of each key by its id; NULL when not given */
};

/* Returns 0, or -1 with errno set and the context told. */
typedef int (*nmreq_opt_parser_cb)(struct nmreq_parse_ctx*);

struct nmreq_opt_key {
  const char* key; /* NULL ends the array */
  int id;          /* index in nmreq_parse_ctx.keys */
  unsigned int flags;
#define NMREQ_OPTK_ALLOWEMPTY (1U << 0) /* may stand without =VALUE; its value is then its name */
#define NMREQ_OPTK_MUSTSET (1U << 1)
#define NMREQ_OPTK_DEFAULT (1U << 2)
};

struct nmreq_opt_parser {
  const char* prefix; /* the option's name */
  nmreq_opt_parser_cb parse;
  int default_key; /* id of the key that @NAME=VALUE sets, -1 for none */
  int nr_keys;
  unsigned int flags;
#define NMREQ_OPTF_DISABLED (1U << 0)
#define NMREQ_OPTF_ALLOWEMPTY (1U << 1) /* may stand alone, without '=' or ':' */

  struct nmreq_opt_parser* next;

  struct nmreq_opt_key keys[NMREQ_OPT_MAXKEYS];
} __attribute__((aligned(16)));

/*
 * Parses "@NAME...@NAME..." with a list of parsers. Returns 0, or -1 with errno (EINVAL, EOPNOTSUPP for a disabled
 * option, or the callback's); options before the one that failed have been carried out.
 */
int nmreq_options_decode(const char* opt, struct nmreq_opt_parser* parsers, void* token,
                         struct nmctx* ctx) NM_NOEXCEPT_;

/* Asks for the memory region of the port named at the front of *portname and moves past the name. -1 on failure. */
int32_t nmreq_get_mem_id(const char** portname, struct nmctx* ctx) NM_NOEXCEPT_;

/* The list of options of a request. nmreq_free_options frees each with free(). */
void nmreq_push_option(struct nmreq_header* hdr, struct nmreq_option* option) NM_NOEXCEPT_;
void nmreq_remove_option(struct nmreq_header* hdr, struct nmreq_option* option) NM_NOEXCEPT_;
struct nmreq_option* nmreq_find_option(struct nmreq_header* hdr, uint32_t reqtype) NM_NOEXCEPT_;
void nmreq_free_options(struct nmreq_header* hdr) NM_NOEXCEPT_;
const char* nmreq_option_name(uint32_t reqtype) NM_NOEXCEPT_;

#define nmreq_foreach_option(h_, o_)                                             \
  for ((o_) = (struct nmreq_option*)(uintptr_t)((h_)->nr_options); (o_) != NULL; \
       (o_) = (struct nmreq_option*)(uintptr_t)((o_)->nro_next))

/* ------------------------------------------------------------------ contexts */

/*
 * Where a port gets memory from and where its errors go, and the list of regions mapped by its ports. One default
 * context serves whoever brings none. malloc, free and error must be there; lock may be NULL for one thread.
 */
typedef void (*nmctx_error_cb)(struct nmctx*, const char*);
typedef void* (*nmctx_malloc_cb)(struct nmctx*, size_t);
typedef void (*nmctx_free_cb)(struct nmctx*, void*);
typedef void (*nmctx_lock_cb)(struct nmctx*, int); /* 1 lock, 0 unlock */

struct nmctx {
  int verbose; /* 0: no error reaches the callback */
  nmctx_error_cb error;
  nmctx_malloc_cb malloc;
  nmctx_free_cb free;
  nmctx_lock_cb lock;

  struct nmem_d* mem_descs;
};

struct nmctx* nmctx_get(void) NM_NOEXCEPT_;
/* Returns the previous one. */
struct nmctx* nmctx_set_default(struct nmctx* ctx) NM_NOEXCEPT_;
/* Gives the default context a mutex, which it has from the start here. */
void nmctx_set_threadsafe(void) NM_NOEXCEPT_;
/* Named by what was compiled against netmap's own header, to have that mutex; without a meaning here. */
extern int nmctx_threadsafe;

void nmctx_ferror(struct nmctx* ctx, const char* fmt, ...) NM_NOEXCEPT_ __attribute__((format(printf, 2, 3)));
void* nmctx_malloc(struct nmctx* ctx, size_t size) NM_NOEXCEPT_;
void nmctx_free(struct nmctx* ctx, void* memory) NM_NOEXCEPT_;
void nmctx_lock(struct nmctx* ctx) NM_NOEXCEPT_;
void nmctx_unlock(struct nmctx* ctx) NM_NOEXCEPT_;

/* A region mapped by ports of a context; circular list, guarded by the context's lock. */
struct nmem_d {
  uint16_t mem_id;
  int refcount; /* ports */
  void* mem;
  size_t size;   /* bytes */
  int is_extmem; /* somebody else's to unmap */
  struct nmem_d* next;
  struct nmem_d* prev;
};

#undef NM_NOEXCEPT_

#ifdef __cplusplus
}
#endif

#endif /* UNETMAP_LIBNETMAP_H_ */
