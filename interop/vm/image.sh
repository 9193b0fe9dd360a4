#!/usr/bin/env bash
# Builds the VM's kernel and root file system from Debian 12 packages; does nothing when both are in the cache.
#
#   image.sh DIR      leaves DIR/vmlinuz and DIR/root.cpio; DIR/debs keeps the downloads
#
# Packages are only unpacked: no root, no chroot, no maintainer script. apt checks their signatures. The root file
# system is an initramfs: no disk, no second stage, and a second archive can be appended for what a run brings in.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
die() { echo "interop: $*" >&2; exit 1; }

# What the image is made of decides whether the one in the cache is still right; its sums, whether it is whole.
stamp=$(cat "$here/image.sh" "$here/packages" "$here/init" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$dir/stamp" 2>/dev/null)" = "$stamp" ] && (cd "$dir" && sha256sum --check --status sums); then
    exit 0
fi

# --- packages -------------------------------------------------------------------------------------------------
# The host's own apt sources, if the host is a Debian 12; otherwise a mirror has to be named.
mkdir -p "$dir/debs" "$dir/lists/partial"
# What is installed here does not matter, also where it is a version that no source has any more.
apt=(-qq -o APT::Sandbox::User=root -o "Dir::Cache=$dir" -o Dpkg::Use-Pty=0 -o Dir::State::Status=/dev/null)
if [ -n "${INTEROP_MIRROR:-}" ]; then
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -e "$keyring" ] || die "INTEROP_MIRROR needs $keyring: install debian-archive-keyring"
    echo "deb [signed-by=$keyring] $INTEROP_MIRROR bookworm main" > "$dir/sources.list"
    apt+=(-o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$dir/lists")
    apt-get "${apt[@]}" update
elif ! grep -qs '^VERSION_CODENAME=bookworm$' /etc/os-release; then
    die "this host is no Debian 12; name a mirror of Debian in INTEROP_MIRROR (http://HOST/debian)"
elif ! apt-cache show rsplib-registrar > /dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || die "the package lists are empty: run apt-get update as root first"
    apt-get -qq update
fi
kernel=$(apt-cache "${apt[@]}" depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-6[^ ]*\)/\1/p' | head -n 1)
[ -n "$kernel" ] || die "no package linux-image-cloud-amd64: run apt-get update"
mapfile -t packages < <(sed -e 's/#.*//' -e '/^\s*$/d' "$here/packages")
# Only what is new is downloaded; the answer says which versions belong together. Lists that are old name versions that
# are gone.
download() { (cd "$dir/debs" && apt-get "${apt[@]}" download "${packages[@]}" "$kernel"); }
download || { [ "$(id -u)" = 0 ] && apt-get -qq update && download; } ||
    die "the packages cannot be downloaded: run apt-get update as root first"

# --- root file system -----------------------------------------------------------------------------------------
work=$(mktemp -d "$dir/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{proc,sys,dev,run,tmp,out,etc,root}
for d in bin sbin lib lib64; do ln -s "usr/$d" "$root/$d"; done
newest() { ls -t "$dir/debs/$1"_*.deb | head -n 1; } # a new version leaves the old one beside it
for package in "${packages[@]}"; do
    dpkg-deb --fsys-tarfile "$(newest "$package")" | tar -x -C "$root" --keep-directory-symlink --no-same-owner \
        --exclude='./usr/share/doc*' --exclude='./usr/share/man*' --exclude='./usr/share/locale*' \
        --exclude='./usr/share/info*' --exclude='./usr/share/bash-completion*' --exclude='./usr/lib/*/gconv*' \
        --exclude='./var/*'
    echo "$(basename "$(newest "$package")")"
done > "$dir/contents"
for applet in $("$root/bin/busybox" --list); do
    [ -e "$root/bin/$applet" ] || [ -e "$root/sbin/$applet" ] || ln -s busybox "$root/bin/$applet"
done
echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
echo 'root:x:0:' > "$root/etc/group"
echo '127.0.0.1 localhost' > "$root/etc/hosts"
install -m 755 "$here/init" "$root/init"

# Every library that a program asks for is there.
loader=$root/lib64/ld-linux-x86-64.so.2
libraries=$root/usr/lib/x86_64-linux-gnu
for program in "$root"/usr/bin/{rsp*,hsdump,pingpongclient,calcappclient,fractalpooluser,tcpdump,stdbuf} "$root"/sbin/{ip,tc,ethtool,nft,bridge}; do
    [ "$(head -c 4 "$program" | tail -c 3)" = ELF ] || continue
    missing=$("$loader" --library-path "$libraries" --list "$program" | sed -n 's/^\s*\(\S*\) => not found/\1/p')
    [ -z "$missing" ] || die "$(basename "$program") needs $missing: add its package to interop/vm/packages"
done

# --- kernel ---------------------------------------------------------------------------------------------------
# Modules for the pipe to the host, for SCTP, for virtual networks, and for their faults.
modules="virtio_pci virtio_console virtio-rng sctp sctp_diag udp_diag veth bridge dummy sch_netem sch_tbf sch_prio
    cls_u32 cls_matchall act_mirred nf_tables nft_limit nft_reject_inet nft_ct af_packet"
echo "$(basename "$(newest "$kernel")")" >> "$dir/contents"
dpkg-deb -x "$(newest "$kernel")" "$work/kernel"
version=${kernel#linux-image-}
from=$work/kernel/lib/modules/$version to=$root/usr/lib/modules/$version
"$root/bin/busybox" depmod -b "$work/kernel" "$version"
mkdir -p "$to"
cp "$from"/modules.{builtin,order} "$to/"
for module in $modules; do
    needs=$(grep -E "(^|/)${module//[-_]/[-_]}\.ko:" "$from/modules.dep" || true)
    [ -n "$needs" ] || continue # built in
    for file in ${needs//:/ }; do
        install -D -m 644 "$from/$file" "$to/$file"
    done
done
"$root/bin/busybox" depmod -b "$root" "$version"
echo "$modules" | tr -s ' \n' ' ' > "$root/etc/modules"

# --- the result -----------------------------------------------------------------------------------------------
rm -f "$dir/stamp"
(cd "$root" && find . | sort | cpio --quiet -o -H newc -R 0:0) > "$dir/root.cpio"
cp "$work/kernel/boot/vmlinuz-$version" "$dir/vmlinuz"
(cd "$dir" && sha256sum vmlinuz root.cpio > sums)
echo "$stamp" > "$dir/stamp"
echo "interop: built the VM: $(wc -l < "$dir/contents") packages, Linux $version, $(du -m "$dir/root.cpio" | cut -f1) MiB"
