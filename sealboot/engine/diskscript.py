"""The shell scripts that look at a block device, write an image over it, and read it back.

Nothing but /proc, /sys, dd, head and a tool for SHA-256 is needed. A device is
named as the operator names it; what counts is the kernel's device behind it.
"""

from __future__ import annotations

from sealboot.engine.shell import PRELUDE

#: sb_device PATH: sets sb_dev (the kernel's node) and sb_sys (its folder in sysfs), or says `why=`.
#: sb_users: one line `user=` for everything that holds the device or a part of it.
_DEVICE = r"""
sb_no() { printf 'why=%s\n' "$1"; exit 66; }
sb_device() {
  sb_dev=$(readlink -f "$1" 2>/dev/null) || sb_dev=$1
  [ -e "$sb_dev" ] || sb_no 'there is no such device'
  [ -b "$sb_dev" ] || sb_no 'it is no block device'
  sb_name=$(printf '%s' "${sb_dev#/dev/}" | tr / '!')
  sb_sys=/sys/class/block/$sb_name
  [ -r "$sb_sys/size" ] || sb_no 'the kernel tells nothing about it in /sys'
  [ ! -e "$sb_sys/partition" ] || sb_no 'it is a part of a disk, and the image is of a whole one'
  [ "$(cat "$sb_sys/ro")" = 0 ] || sb_no 'it is read-only'
}
sb_writable() {
  for sb_part in "$sb_sys" "$sb_sys"/*; do
    [ -r "$sb_part/dev" ] || continue
    read -r sb_id <"$sb_part/dev"
    while read -r _ _ sb_mm _ _ sb_rest; do
      [ "$sb_mm" = "$sb_id" ] || continue
      # The last word is about the file system itself, whatever each mount of it says.
      case ,${sb_rest##* }, in *,ro,*) ;; *) return 0;; esac
    done </proc/self/mountinfo
  done
  return 1
}
# What was written to files between the last flush and the moment when they became read-only still lies in
# memory, and no sync flushes a read-only file system: the kernel's own writers do, when it is old enough.
sb_settle() {
  for sb_f in dirty_expire_centisecs dirty_writeback_centisecs; do echo 1 >"/proc/sys/vm/$sb_f"; done 2>/dev/null
  sb_n=0
  while sb_dirty && [ "$sb_n" -lt 100 ]; do sb_n=$((sb_n + 1)); sleep 0.1 2>/dev/null || sleep 1; done
}
sb_dirty() {
  while read -r sb_k sb_v _; do
    case $sb_k in Dirty:|Writeback:) [ "$sb_v" = 0 ] || return 0;; esac
  done </proc/meminfo
  return 1
}
sb_user() { printf 'user=%s\n' "$1"; }
sb_users() {
  for sb_part in "$sb_sys" "$sb_sys"/*; do
    [ -r "$sb_part/dev" ] || continue
    read -r sb_id <"$sb_part/dev"
    sb_node=/dev/$(printf '%s' "${sb_part##*/}" | tr '!' /)
    for sb_h in "$sb_part"/holders/*; do [ -e "$sb_h" ] && sb_user "${sb_h##*/} is made of ${sb_part##*/}"; done
    while read -r _ _ sb_mm _ sb_at sb_rest; do
      sb_src=${sb_rest#* - }; sb_src=${sb_src#* }; sb_src=${sb_src%% *}
      case $sb_src in /dev/*) sb_src=$(readlink -f "$sb_src" 2>/dev/null);; *) sb_src=;; esac
      if [ "$sb_mm" = "$sb_id" ] || [ "$sb_src" = "$sb_node" ]; then sb_user "${sb_part##*/} is mounted on $sb_at"; fi
    done </proc/self/mountinfo
    while read -r sb_src _; do
      [ "$(readlink -f "$sb_src" 2>/dev/null)" = "$sb_node" ] && sb_user "${sb_part##*/} is swap space"
    done </proc/swaps
  done
  # The kernel lets nobody read the partition table anew while anything has a part of the disk open for itself.
  if sb_has blockdev; then
    sb_said=$(blockdev --rereadpt "$sb_dev" 2>&1) || case $sb_said in *busy*) sb_user 'the kernel calls it busy';; esac
  fi
}
"""

# $1 device. Says what is known about it, and nothing about whether that is right.
LOOK = (
    PRELUDE
    + _DEVICE
    + r"""
sb_device "$1"
printf 'device=%s\nsize=%s\n' "$sb_dev" "$(( $(cat "$sb_sys/size") * 512 ))"
sb_users
sb_hash /dev/null >/dev/null || sb_no 'no tool on the host computes SHA-256, so nobody could tell what was written'
if sb_has gzip || sb_applet gzip; then echo gzip=1; else echo gzip=0; fi
exit 0
"""
)

# $1 device, $2 whether the stream is gzip, $3 file that says who writes, $4 whether what runs is on the device.
#
# A writer whose controller vanished without a word may still sit on the device: its run is over (this one
# holds the host's lock), so it goes first.
WRITE = (
    PRELUDE
    + _DEVICE
    + r"""
sb_device "$1"
if read -r sb_1 sb_2 sb_3 2>/dev/null <"$3" && sb_alive "$sb_1" "$sb_2" "$sb_3"; then
  kill -TERM "-$sb_1" 2>/dev/null || kill -TERM "$sb_1"
  sb_n=0
  while sb_alive "$sb_1" "$sb_2" "$sb_3"; do
    sb_n=$((sb_n + 1)); [ "$sb_n" -gt 50 ] && { echo 'another writer does not let go of it' >&2; exit 67; }
    sleep 0.1 2>/dev/null || sleep 1
  done
fi
mkdir -p "${3%/*}" && printf '%s %s %s\n' "$$" "$(sb_born "$$")" "$(sb_boot)" >"$3"
if [ "$4" = 1 ]; then
  # Nothing may be written back over the image, so all file systems become read-only: the kernel
  # does it when asked so, and says nothing when it is done.
  sync
  echo u >/proc/sysrq-trigger || { echo 'the kernel does not make its file systems read-only' >&2; exit 68; }
  sb_n=0
  while sb_writable; do
    sb_n=$((sb_n + 1)); [ "$sb_n" -gt 100 ] && { echo 'its file systems stay writable' >&2; exit 68; }
    sleep 0.1 2>/dev/null || sleep 1
  done
  sb_settle
elif [ -n "$(sb_users)" ]; then sb_users >&2; exit 69
fi
if [ "$2" = 1 ]; then
  if sb_has gzip; then sb_in='gzip -dc'; else sb_in='busybox gzip -dc'; fi
else sb_in=cat; fi
# A stream that was cut off is no whole gzip; a plain one is told by what is read back.
{ $sb_in || echo x >"$3.cut"; } | dd of="$sb_dev" ibs=65536 obs=1048576 conv=notrunc,fsync 2>"$3.said" ||
  { cat "$3.said" >&2; rm -f "$3" "$3.cut"; exit 70; }
[ ! -e "$3.cut" ] || { rm -f "$3" "$3.cut"; echo 'what arrived is not whole' >&2; exit 71; }
sb_sync "$sb_dev"
rm -f "$3" "$3.said"
exit 0
"""
)

# $1 device, $2 bytes, $3 whether what runs is on the device. Prints the SHA-256 of that many bytes, read
# from the disk and not from memory as far as the host can be made to forget.
READ_BACK = (
    PRELUDE
    + _DEVICE
    + r"""
sb_device "$1"
if sb_has blockdev && blockdev --flushbufs "$sb_dev" 2>/dev/null; then :
# Not where programs are on that disk: what is forgotten of them cannot be read again.
elif [ "$3" = 0 ]; then { echo 1 >/proc/sys/vm/drop_caches; } 2>/dev/null; fi
head -c "$2" <"$sb_dev" | sb_hash /proc/self/fd/0
"""
)
