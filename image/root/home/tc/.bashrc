# SPDX-License-Identifier: BSD-2-Clause
case $- in *i*) ;; *) return ;; esac
PS1='\u@\h:\w\$ '
HISTCONTROL=ignoredups
# A serial line does not say how large the screen at its other end is.
case $(tty) in /dev/ttyS*) export TERM=vt220 ;; esac
[ ! -r /usr/share/bash-completion/bash_completion ] || . /usr/share/bash-completion/bash_completion
