# SPDX-License-Identifier: BSD-2-Clause
[ ! -f ~/.bashrc ] || . ~/.bashrc
# The menu's X11 entries: on the first terminal, once. It ends here again, with the reason, where X does not run.
if [ "$(tty)" = /dev/tty1 ] && grep -qw image.x11 /proc/cmdline && mkdir /run/user/"$(id -u)"/x11-tried 2>/dev/null; then
  image-x11
fi
