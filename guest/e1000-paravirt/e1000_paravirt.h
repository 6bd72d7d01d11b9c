/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Driver for the paravirtual e1000: an Intel 82540EM (SDM of the 8254x family) with two more registers, through which
 * driver and device share a block of memory that says how far each is. See README.md.
 */
#ifndef E1000_PARAVIRT_H
#define E1000_PARAVIRT_H

#include <linux/netdevice.h>
#include <linux/pci.h>

#define EPV_NAME "e1000-paravirt"

/* Registers. */
#define EPV_CTRL 0x0000
#define EPV_STATUS 0x0008
#define EPV_ICR 0x00c0
#define EPV_ITR 0x00c4
#define EPV_IMS 0x00d0
#define EPV_IMC 0x00d8
#define EPV_RCTL 0x0100
#define EPV_TCTL 0x0400
#define EPV_TIPG 0x0410
#define EPV_RDBAL 0x2800
#define EPV_RDBAH 0x2804
#define EPV_RDLEN 0x2808
#define EPV_RDH 0x2810
#define EPV_RDT 0x2818
#define EPV_CSBAL 0x2830
#define EPV_CSBAH 0x2834
#define EPV_TDBAL 0x3800
#define EPV_TDBAH 0x3804
#define EPV_TDLEN 0x3808
#define EPV_TDH 0x3810
#define EPV_TDT 0x3818
#define EPV_RXCSUM 0x5000
#define EPV_MTA 0x5200
#define EPV_RAL0 0x5400
#define EPV_RAH0 0x5404

#define EPV_CTRL_SLU BIT(6)
#define EPV_CTRL_RST BIT(26)
#define EPV_STATUS_LU BIT(1)
#define EPV_INT_TXDW BIT(0)
#define EPV_INT_LSC BIT(2)
#define EPV_INT_RXDMT0 BIT(4)
#define EPV_INT_RXO BIT(6)
#define EPV_INT_RXT0 BIT(7)
#define EPV_INT_ALL (EPV_INT_TXDW | EPV_INT_LSC | EPV_INT_RXDMT0 | EPV_INT_RXO | EPV_INT_RXT0)
#define EPV_RCTL_EN BIT(1)
#define EPV_RCTL_UPE BIT(3)
#define EPV_RCTL_MPE BIT(4)
#define EPV_RCTL_LPE BIT(5)
#define EPV_RCTL_BAM BIT(15)
#define EPV_RCTL_4096 (BIT(25) | 3 << 16)
#define EPV_RCTL_SECRC BIT(26)
#define EPV_TCTL_EN BIT(1)
#define EPV_TCTL_PSP BIT(3)
#define EPV_RXCSUM_TUOFL BIT(9)
#define EPV_RAH_AV BIT(31)

/* Descriptors: the second half of each. */
#define EPV_TXD_EOP BIT(24)
#define EPV_TXD_IFCS BIT(25)
#define EPV_TXD_TSE BIT(26)
#define EPV_TXD_RS BIT(27)
#define EPV_TXD_DEXT BIT(29)
#define EPV_TXD_DATA BIT(20)
#define EPV_TXD_TCP BIT(24) /* in a context */
#define EPV_TXD_IP BIT(25) /* in a context */
#define EPV_TXD_DD BIT(0)
#define EPV_POPTS_IXSM BIT(8)
#define EPV_POPTS_TXSM BIT(9)
#define EPV_RXD_DD BIT(0)
#define EPV_RXD_EOP BIT(1)
#define EPV_RXD_IXSM BIT(2)
#define EPV_RXD_TCPCS BIT(5)
#define EPV_RXD_ERRORS 0xf7

struct epv_desc {
	__le64 addr;
	__le32 lower; /* tx: length and command; rx: length and packet checksum */
	__le32 upper; /* tx: status and options; rx: status, errors, tag */
};

#define EPV_SUBSYSTEM 0x1101

/* The communication status block. Words that the driver writes lie in a line of their own. */
struct epv_csb {
	__le32 guest_tdt;
	__le32 guest_need_txkick;
	__le32 guest_need_rxkick;
	__le32 guest_csb_on;
	__le32 guest_rdt;
	__le32 guest_txkick_at;
	__le32 guest_use_msix;
	__le32 pad[9];
	__le32 host_tdh;
	__le32 host_need_txkick;
	__le32 host_txcycles_lim;
	__le32 host_txcycles;
	__le32 host_rdh;
	__le32 host_need_rxkick;
	__le32 host_isr;
	__le32 host_rxkick_at;
	__le32 vnet_ring_high;
	__le32 vnet_ring_low;
};
static_assert(offsetof(struct epv_csb, host_tdh) == 64);
static_assert(offsetof(struct epv_csb, vnet_ring_low) == 100);

#define EPV_CSB_BYTES 4096
#define EPV_NOWHERE 0xffffffffu
#define EPV_VNET_BYTES 10 /* of a header, one for each receive descriptor */

#define EPV_RING 512 /* descriptors of each ring */
#define EPV_TX_BYTES 8192 /* of one descriptor at most */
#define EPV_TX_SLACK (MAX_SKB_FRAGS * (65536 / EPV_TX_BYTES) / 4 + 24) /* free ones that a packet may need */
#define EPV_COPYBREAK 256
#define EPV_RX_ORDER 3 /* of a block of receive buffers: eight pages */
#define EPV_RX_HEAD 256 /* bytes of headers at most that are copied */

struct epv_tx_buffer {
	struct sk_buff *skb; /* at the last descriptor of a packet */
	dma_addr_t dma;
	unsigned int len; /* 0: nothing is mapped */
	bool page;
};

struct epv_rx_buffer {
	struct page *page;
	unsigned int offset; /* in it */
	dma_addr_t dma;
};

enum epv_stat {
	EPV_STAT_TX_KICKS,
	EPV_STAT_RX_KICKS,
	EPV_STAT_INTERRUPTS,
	EPV_STAT_REGISTER_READS,
	EPV_STAT_POLLS,
	EPV_STAT_TX_STOPS,
	EPV_STAT_TX_TSO,
	EPV_STAT_RX_LARGE,
	EPV_STAT_RX_COPIED,
	EPV_STAT_RX_NO_MEMORY,
	EPV_STAT_RX_BAD,
	EPV_STATS
};

struct epv {
	struct net_device *dev;
	struct pci_dev *pdev;
	u8 __iomem *bar;
	struct napi_struct napi;
	struct delayed_work watchdog;
	bool shared; /* the device has the extension */
	bool msix;
	unsigned int rx_bytes; /* of a receive buffer */
	struct page *rx_block; /* what new buffers are cut from */
	unsigned int rx_block_bytes;
	unsigned int rx_block_used;

	struct epv_csb *csb;
	dma_addr_t csb_dma;
	u8 *vnet;
	dma_addr_t vnet_dma;

	struct epv_desc *tx;
	dma_addr_t tx_dma;
	struct epv_tx_buffer tx_buffer[EPV_RING];
	unsigned int tx_next; /* the next descriptor to fill */
	unsigned int tx_clean; /* the oldest that is not free */

	struct epv_desc *rx;
	dma_addr_t rx_dma;
	struct epv_rx_buffer rx_buffer[EPV_RING];
	unsigned int rx_next; /* the next descriptor to come back */
	unsigned int rx_fill; /* the next to be given to the device */
	unsigned int rx_given; /* the tail as last shown */
	struct sk_buff *rx_skb; /* a packet whose last descriptor is still to come */

	u64 stat[EPV_STATS]; /* each has one writer at a time */
};

static inline u32 epv_read(struct epv *epv, u32 reg)
{
	epv->stat[EPV_STAT_REGISTER_READS]++;
	return readl(epv->bar + reg);
}

static inline void epv_write(struct epv *epv, u32 reg, u32 value)
{
	writel(value, epv->bar + reg);
}

static inline u32 epv_get(const __le32 *word)
{
	return le32_to_cpu(READ_ONCE(*word));
}

static inline void epv_put(__le32 *word, u32 value)
{
	WRITE_ONCE(*word, cpu_to_le32(value));
}

static inline unsigned int epv_after(unsigned int index)
{
	return (index + 1) & (EPV_RING - 1);
}

static inline unsigned int epv_distance(unsigned int from, unsigned int to)
{
	return (to - from) & (EPV_RING - 1);
}

static inline unsigned int epv_tx_free(const struct epv *epv)
{
	return EPV_RING - 1 - epv_distance(epv->tx_clean, epv->tx_next);
}

/* epv_tx.c */
netdev_tx_t epv_start_xmit(struct sk_buff *skb, struct net_device *dev);
void epv_tx_reclaim(struct epv *epv);
bool epv_tx_poll(struct epv *epv);
void epv_tx_empty(struct epv *epv);

/* epv_rx.c */
bool epv_rx_fill(struct epv *epv);
bool epv_rx_low(const struct epv *epv);
int epv_rx_poll(struct epv *epv, int budget);
bool epv_rx_waits(const struct epv *epv);
void epv_rx_empty(struct epv *epv);

/* epv_hw.c */
void epv_reset(struct epv *epv);
void epv_start(struct epv *epv);
void epv_set_rx_mode(struct net_device *dev);

/* epv_ethtool.c */
extern const struct ethtool_ops epv_ethtool_ops;

#endif
