// SPDX-License-Identifier: GPL-2.0
/* Reset and start of the card. */
#include <linux/delay.h>
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>

#include "e1000_paravirt.h"

static unsigned int itr = 0;
module_param(itr, uint, 0444);
MODULE_PARM_DESC(itr, "Least time between two interrupts, in 256 ns (0: none; without the extension 195, which is 50 us)");

/* Everything but the address goes back to what it was at power; the extension goes off. */
void epv_reset(struct epv *epv)
{
	epv_write(epv, EPV_IMC, ~0u);
	epv_write(epv, EPV_RCTL, 0);
	epv_write(epv, EPV_TCTL, 0);
	epv_write(epv, EPV_CTRL, EPV_CTRL_RST);
	usleep_range(2000, 4000);
	epv_write(epv, EPV_IMC, ~0u);
	epv_read(epv, EPV_ICR);
}

static void epv_set_address(struct epv *epv)
{
	const u8 *mac = epv->dev->dev_addr;

	epv_write(epv, EPV_RAL0, mac[0] | mac[1] << 8 | mac[2] << 16 | (u32)mac[3] << 24);
	epv_write(epv, EPV_RAH0, mac[4] | mac[5] << 8 | EPV_RAH_AV);
}

void epv_set_rx_mode(struct net_device *dev)
{
	struct epv *epv = netdev_priv(dev);
	u32 rctl = EPV_RCTL_EN | EPV_RCTL_BAM | EPV_RCTL_SECRC, table[128] = {};
	struct netdev_hw_addr *address;
	unsigned int i;

	if (epv->shared)
		rctl |= EPV_RCTL_4096 | EPV_RCTL_LPE;
	if (dev->mtu > ETH_DATA_LEN)
		rctl |= EPV_RCTL_LPE;
	if (dev->flags & IFF_PROMISC)
		rctl |= EPV_RCTL_UPE | EPV_RCTL_MPE;
	if ((dev->flags & IFF_ALLMULTI) || netdev_uc_count(dev))
		rctl |= EPV_RCTL_MPE | (netdev_uc_count(dev) ? EPV_RCTL_UPE : 0);
	/* Bits 47 to 36 of the address. */
	netdev_for_each_mc_addr(address, dev) {
		u32 hash = (u32)address->addr[5] << 4 | address->addr[4] >> 4;

		table[hash >> 5] |= BIT(hash & 31);
	}
	for (i = 0; i < ARRAY_SIZE(table); i++)
		epv_write(epv, EPV_MTA + 4 * i, table[i]);
	epv_write(epv, EPV_RCTL, rctl);
}

static void epv_start_rings(struct epv *epv)
{
	epv_write(epv, EPV_TDBAL, lower_32_bits(epv->tx_dma));
	epv_write(epv, EPV_TDBAH, upper_32_bits(epv->tx_dma));
	epv_write(epv, EPV_TDLEN, EPV_RING * sizeof(struct epv_desc));
	epv_write(epv, EPV_TDH, 0);
	epv_write(epv, EPV_TDT, 0);
	epv_write(epv, EPV_RDBAL, lower_32_bits(epv->rx_dma));
	epv_write(epv, EPV_RDBAH, upper_32_bits(epv->rx_dma));
	epv_write(epv, EPV_RDLEN, EPV_RING * sizeof(struct epv_desc));
	epv_write(epv, EPV_RDH, 0);
	epv_write(epv, EPV_RDT, 0);
}

/* The block, before anything is in the rings. */
static void epv_start_block(struct epv *epv)
{
	struct epv_csb *csb = epv->csb;

	memset(csb, 0, EPV_CSB_BYTES);
	epv_put(&csb->guest_txkick_at, EPV_NOWHERE);
	epv_put(&csb->host_rxkick_at, EPV_NOWHERE);
	epv_put(&csb->host_need_txkick, 1);
	epv_put(&csb->guest_need_rxkick, 1);
	epv_put(&csb->guest_use_msix, epv->msix);
	epv_put(&csb->host_txcycles_lim, 1);
	epv_put(&csb->vnet_ring_low, lower_32_bits(epv->vnet_dma));
	epv_put(&csb->vnet_ring_high, upper_32_bits(epv->vnet_dma));
	epv_put(&csb->guest_csb_on, 1);
	virt_wmb();
	epv_write(epv, EPV_CSBAH, upper_32_bits(epv->csb_dma));
	epv_write(epv, EPV_CSBAL, lower_32_bits(epv->csb_dma));
}

void epv_start(struct epv *epv)
{
	epv_set_address(epv);
	epv_start_rings(epv);
	if (epv->shared)
		epv_start_block(epv);
	epv_write(epv, EPV_ITR, itr ? itr : epv->shared ? 0 : 195);
	epv_write(epv, EPV_RXCSUM, epv->dev->features & NETIF_F_RXCSUM ? EPV_RXCSUM_TUOFL : 0);
	epv_write(epv, EPV_TIPG, 10 | 8 << 10 | 6 << 20);
	epv_write(epv, EPV_CTRL, epv_read(epv, EPV_CTRL) | EPV_CTRL_SLU);
	epv_write(epv, EPV_TCTL, EPV_TCTL_EN | EPV_TCTL_PSP);
	epv_set_rx_mode(epv->dev);
	epv_rx_fill(epv);
}
