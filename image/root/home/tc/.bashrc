# SPDX-License-Identifier: BSD-2-Clause
case $- in *i*) ;; *) return ;; esac
PS1='\u@\h:\w\$ '
HISTCONTROL=ignoredups
# A serial line does not say how large the screen at its other end is.
case $(tty) in /dev/ttyS*) export TERM=vt220 ;; esac
# Completion by commands is read at the first Tab: an emulated machine takes a second for it.
load_completion() {
  complete -r -D
  unset -f load_completion
  [ -r /usr/share/bash-completion/bash_completion ] && . /usr/share/bash-completion/bash_completion && return 124
}
complete -D -F load_completion -o bashdefault -o default
