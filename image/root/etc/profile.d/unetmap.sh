# SPDX-License-Identifier: BSD-2-Clause
# ethtool, vale-ctl's interfaces and the like are everybody's to look at.
case :$PATH: in
  *:/usr/sbin:*) ;;
  *) PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin ;;
esac
export PATH
