# What one host can tell about itself, in one round trip. POSIX sh; $1 is the nonce of this run.
#
# Reads only: no temporary file, no time stamp, no package. Each fact stands alone: whatever is
# missing, forbidden or broken leaves its record empty and the rest untouched. A record is
#     NONCE key length NEWLINE bytes NEWLINE
# so that no output, whatever it holds, is taken for the next record. Many small files are read
# by one grep rather than by many cats: a fork costs 1 ms here and 20 ms under an emulator.
# All of it runs in a subshell with no input, because the shell may be reading this text from there.
(
N=$1
LC_ALL=C LANGUAGE=C
PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
export LC_ALL LANGUAGE PATH
unset GREP_OPTIONS GREP_COLORS POSIXLY_CORRECT BLOCKSIZE BLOCK_SIZE DF_BLOCK_SIZE
set -f

for t in uname date grep head od cat df id; do
    command -v $t >/dev/null || eval "$t() { busybox $t \"\$@\"; }"
done

emit() { printf '%s %s %s\n%s\n' "$N" "$1" "${#2}" "$2"; }
keep() { head -c "$1" || dd bs=1 count="$1"; }
hexa() { od -An -v -tx1 -N "$1" || head -c "$1" | hexdump -v -e '1/1 "%02x "'; }
up() { u=; read -r u u_ </proc/uptime; emit "$1" "$u"; }

printf '%s begin 1\n1\n' "$N"

# -- clock: read between two looks at the uptime, so that the script's own time does not count
emit clock "$(date +%s.%N)"
up up0

# -- kernel and the shell's own ELF header (opened by the forked shell: /proc/self is the shell)
emit uname "$(uname -srm)"
emit exe "$(hexa 64 </proc/self/exe)"
emit auxv "$(hexa 512 </proc/self/auxv)"

# -- small files
set +f
set -- /proc/sys/kernel/arch /proc/sys/kernel/hostname /proc/sys/kernel/random/boot_id \
    /etc/machine-id /var/lib/dbus/machine-id /etc/os-release /usr/lib/os-release \
    /proc/meminfo /proc/1/comm /proc/1/cgroup /proc/sys/kernel/osrelease \
    /sys/devices/system/cpu/online /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name \
    /proc/device-tree/model /proc/device-tree/hypervisor/compatible /sys/hypervisor/type \
    /run/systemd/container /proc/sys/fs/binfmt_misc/*
set -f
emit files "$(grep -saH -m 24 '' "$@" | keep 65536)"

# -- which binfmt interpreters are programs that can be seen from here
b=
for f in "$@"; do
    case $f in */binfmt_misc/status | */binfmt_misc/register | *'*') continue ;; */binfmt_misc/*) ;; *) continue ;; esac
    while read -r k v; do
        [ "$k" = interpreter ] || continue
        s=-
        [ -e "$v" ] && s=n
        [ -f "$v" ] && [ -x "$v" ] && s=x
        m=
        [ $s = x ] && IFS= read -r m <"$v"
        case $m in ?ELF* | '#!'*) ;; *) [ $s = x ] && s=n ;; esac
        b="$b$s ${f##*/}
"
    done <"$f"
done
emit interpreters "$b"

# -- what the kernel offers to 32-bit programs
c=
for f in /proc/sys/abi/vsyscall32 /proc/sys/vm/mmap_rnd_compat_bits /proc/sys/abi/cp15_barrier \
    /proc/sys/abi/swp /proc/sys/abi/setend /proc/sys/abi/tagged_addr_disabled; do
    [ -e $f ] && c="$c ${f##*/}"
done
# Only this one word of the command line: the rest may hold what is nobody's business.
read -r k </proc/cmdline
case " $k " in *' ia32_emulation='*)
    k=${k##*ia32_emulation=}
    c="$c ia32_emulation=${k%% *}"
    ;;
esac
emit abi "$c"
p=
[ -e /proc/sys/abi/vsyscall32 ] || { command -v setarch >/dev/null && p=$(setarch linux32 uname -m); }
emit linux32 "$p"
c=
read -r r </proc/sys/kernel/osrelease
k='^CONFIG_(COMPAT|IA32_EMULATION|IA32_EMULATION_DEFAULT_DISABLED|ARM64_(4|16|64)K_PAGES|PPC_(4|64)K_PAGES)='
if [ -r "/boot/config-$r" ]; then
    c=$(grep -E "$k" "/boot/config-$r")
elif [ -r /proc/config.gz ]; then
    c=$(zcat /proc/config.gz | grep -E "$k")
fi
emit config "$c"

# -- C library and loaders
emit maps "$(grep -m 8 -e ld-musl -e 'libc[.-]' -e 'ld-linux' -e '/ld[0-9.-]' /proc/self/maps)"
set +f
set -- /lib/ld-*.so* /lib/ld*.so.[0-9]* /lib32/ld*.so* /lib64/ld*.so* /libx32/ld*.so* /lib/libc.musl-*.so*
set -f
l=
for f in "$@"; do [ -f "$f" ] && l="$l$f
"; done
emit loaders "$l"
g=
if command -v getconf >/dev/null; then g=$(getconf GNU_LIBC_VERSION); fi
if [ -z "$g" ]; then
    set +f
    for f in /lib/*/libc.so.6 /lib64/libc.so.6 /lib/libc.so.6 /usr/lib*/libc.so.6; do
        [ -r "$f" ] && g=$(grep -aom 1 'stable release version [0-9.]*' "$f") && [ -n "$g" ] && break
    done
    set -f
fi
emit glibc "$g"
m=
[ -r /lib/apk/db/installed ] && m=$(grep -A 1 '^P:musl$' /lib/apk/db/installed)
if [ -z "$m" ]; then
    # Only the loader this very userland runs on is started; another one might be foreign.
    f=$(grep -o -m 1 '/[^ ]*ld-musl[^ ]*' /proc/self/maps)
    [ -n "$f" ] && m=$("$f" 2>&1 | keep 200)
fi
emit musl "$m"
emit page "$([ -r /proc/self/auxv ] || getconf PAGESIZE)"

# -- processor
emit cpu "$(keep 8192 </proc/cpuinfo)"

# -- init system and containers
i=
[ -d /run/systemd/system ] && i="$i systemd"
{ [ -d /run/openrc ] || [ -x /sbin/openrc-run ]; } && i="$i openrc"
[ /sbin/init -ef /bin/busybox ] && i="$i busybox"
[ -e /.dockerenv ] && i="$i docker"
[ -e /run/.containerenv ] && i="$i podman"
[ -d /proc/vz ] && [ ! -d /proc/bc ] && i="$i openvz"
emit hints "$i"

# -- who am I, and may I become root (never with a password, never refreshing a time stamp)
w=$(id)
emit id "$w"
emit home "$HOME"
s=missing d=missing
case $w in
    'uid=0('* | 'uid=0 '*) s=root d=root ;;
    *)
        command -v sudo >/dev/null && s="$(sudo -k -n /bin/sh -c 'printf %s sealboot-root' 2>&1 | keep 600)"
        command -v doas >/dev/null && d="$(doas -n /bin/sh -c 'printf %s sealboot-root' 2>&1 | keep 600)"
        ;;
esac
emit sudo "$s"
emit doas "$d"

# -- directories: the nearest existing ancestor, resolved, and what holds it
n=0 q=
look() {
    a=$1
    while [ ! -e "$a" ] && [ -n "$a" ] && [ "$a" != / ]; do a=${a%/*}; done
    [ -n "$a" ] || a=/
    r=$a
    if [ -d "$a" ] && cd -P "$a"; then
        r=$PWD
    elif cd -P "${a%/*}/"; then
        r=${PWD%/}/${a##*/}
    fi
    x=0 y=0 z=-
    [ -e "$1" ] && x=1
    [ -w "$a" ] && y=1
    [ -d "$a" ] && z=d
    emit "dir.$n" "$x $y $z
$1
$a
$r"
    n=$((n + 1))
}
mounts() {
    # Only the lines whose mount point is one of these directories or above it: a node full of
    # containers has thousands of others. The kernel writes a space in a path as \040.
    for r in "$@"; do
        while :; do
            e=$r
            while case $e in *' '*) ;; *) false ;; esac do e=${e%% *}'\040'${e#* }; done
            q="$q $e 
"
            [ "$r" = / ] && break
            r=${r%/*}
            r=${r:-/}
        done
    done
    emit mounts "$(grep -F -e "${q%?}" /proc/self/mounts | keep 32768)"
    emit df "$(df -Pk "$@" | keep 16384)"
    command -v lsattr >/dev/null && emit lsattr "$(lsattr -d "$@" | keep 16384)"
}
#DIRECTORIES#
cd /

# -- tools
o=
for t in #TOOLS#; do command -v "$t" >/dev/null && o="$o $t"; done
emit tools "$o"

# -- what scripts name in their first line
o=
for f in #INTERPRETERS#; do [ -f $f ] && [ -x $f ] && o="$o $f"; done
emit scripts "$o"

# -- the driver's own questions
ask() {
    emit "ask.$1" "$( (set +f; eval "$2") | keep 4096)"
}
#QUESTIONS#

up up1
printf '%s end 1\n1\n' "$N"
) </dev/null 2>/dev/null
