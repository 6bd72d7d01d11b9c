// SPDX-License-Identifier: GPL-2.0
#include <linux/ethtool.h>

#include "e1000_paravirt.h"

static const char epv_names[EPV_STATS][ETH_GSTRING_LEN] = {
	[EPV_STAT_TX_KICKS] = "tx_kicks",
	[EPV_STAT_RX_KICKS] = "rx_kicks",
	[EPV_STAT_INTERRUPTS] = "interrupts",
	[EPV_STAT_REGISTER_READS] = "register_reads",
	[EPV_STAT_POLLS] = "polls",
	[EPV_STAT_TX_STOPS] = "tx_stops",
	[EPV_STAT_TX_TSO] = "tx_tso_packets",
	[EPV_STAT_RX_LARGE] = "rx_large_packets",
	[EPV_STAT_RX_COPIED] = "rx_copied",
	[EPV_STAT_RX_NO_MEMORY] = "rx_no_memory",
	[EPV_STAT_RX_BAD] = "rx_bad",
};

static void epv_get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	struct epv *epv = netdev_priv(dev);

	strscpy(info->driver, EPV_NAME, sizeof(info->driver));
	strscpy(info->bus_info, pci_name(epv->pdev), sizeof(info->bus_info));
	strscpy(info->fw_version, epv->shared ? "paravirt" : "plain", sizeof(info->fw_version));
}

static int epv_get_sset_count(struct net_device *dev, int set)
{
	return set == ETH_SS_STATS ? EPV_STATS : -EOPNOTSUPP;
}

static void epv_get_strings(struct net_device *dev, u32 set, u8 *data)
{
	if (set == ETH_SS_STATS)
		memcpy(data, epv_names, sizeof(epv_names));
}

static void epv_get_stats(struct net_device *dev, struct ethtool_stats *stats, u64 *data)
{
	struct epv *epv = netdev_priv(dev);

	memcpy(data, epv->stat, sizeof(epv->stat));
}

static int epv_get_link_ksettings(struct net_device *dev, struct ethtool_link_ksettings *settings)
{
	ethtool_link_ksettings_zero_link_mode(settings, supported);
	ethtool_link_ksettings_add_link_mode(settings, supported, 1000baseT_Full);
	settings->base.speed = netif_carrier_ok(dev) ? SPEED_1000 : SPEED_UNKNOWN;
	settings->base.duplex = netif_carrier_ok(dev) ? DUPLEX_FULL : DUPLEX_UNKNOWN;
	settings->base.port = PORT_TP;
	return 0;
}

static void epv_get_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			      struct kernel_ethtool_ringparam *kernel, struct netlink_ext_ack *extack)
{
	ring->rx_max_pending = ring->rx_pending = EPV_RING;
	ring->tx_max_pending = ring->tx_pending = EPV_RING;
}

const struct ethtool_ops epv_ethtool_ops = {
	.get_drvinfo = epv_get_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_link_ksettings = epv_get_link_ksettings,
	.get_ringparam = epv_get_ringparam,
	.get_sset_count = epv_get_sset_count,
	.get_strings = epv_get_strings,
	.get_ethtool_stats = epv_get_stats,
	.get_ts_info = ethtool_op_get_ts_info,
};
