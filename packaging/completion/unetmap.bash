# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Completion for the programs of unetmap: `unetmap complete` knows what may stand where, ports included.
_unetmap() {
  # Words as blanks part them: readline also parts them at colons, which names of ports have.
  local line=${COMP_LINE:0:COMP_POINT} words current
  read -ra words <<<"$line"
  case $line in *[[:space:]]) words+=("") ;; esac
  current=${words[${#words[@]} - 1]}
  mapfile -t COMPREPLY < <(unetmap complete $((${#words[@]} - 1)) -- "${words[@]}" 2>/dev/null)
  # Readline keeps what is before the last colon.
  case $COMP_WORDBREAKS in
    *:*)
      local kept=${current%"${current##*:}"} i
      for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]#"$kept"}; done
      ;;
  esac
}
complete -o default -F _unetmap unetmap pkt-gen vale-ctl valectl netmap-bridge netmap-lb nmreplay tlem l2open l2send l2recv
