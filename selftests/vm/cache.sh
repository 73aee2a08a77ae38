# SPDX-License-Identifier: GPL-2.0
# Sourced by kernel and kselftest-headers: the cache for what is fetched or built once.
# Everything in it can be deleted at any time.  Packages come from the mirror that apt
# itself is configured with; those of other suites through an apt root of their own, so
# that the system's sources stay as they are.

cache=${KWS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kws}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$cache"

say() { echo "$0: $*" >&2; }
die() { say "$@"; exit 1; }

# lock WHAT: one process at a time fetches or builds it.  Until this (sub)shell ends.
lock() {
	exec 9>"$cache/$1.lock"
	flock -n 9 || { say "waiting for another process that makes $1"; flock 9; }
}

# apt_in SUITE COMMAND...: apt-get or apt-cache with the sources of one suite, or the
# system's own (SUITE system)
apt_in() {
	local tool=$2 root=$cache/apt/$1
	if [ "$1" = system ]; then
		shift 2
		"$tool" -qq -o APT::Sandbox::User=root "$@" </dev/null
		return
	fi
	shift 2
	"$tool" -qq -o Dir::State="$root" -o Dir::Cache="$root" -o Dir::State::status=/var/lib/dpkg/status \
		-o Dir::Etc::sourcelist="$root/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o APT::Sandbox::User=root "$@" </dev/null
}

# update_suite SUITE: a fresh package list of it
update_suite() (
	lock apt
	root=$cache/apt/$1
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Release: bookworm' 'Component: main' | head -n 1)
	[ -n "$uri" ] || die "apt has no source for bookworm"
	mkdir -p "$root/lists/partial" "$root/archives/partial"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $1 main" >"$root/sources.list"
	apt_in "$1" apt-get update
)

# unpack_from SUITE DIR PACKAGE...: their files below DIR, nothing installed; what they
# were is in DIR/unpacked
unpack_from() (
	lock apt
	suite=$1 dir=$2
	shift 2
	rm -rf "$cache/download"
	mkdir -p "$cache/download" "$dir"
	cd "$cache/download"
	apt_in "$suite" apt-get download "$@" ||
		{ [ "$suite" = system ] && apt_in system apt-get update && apt_in system apt-get download "$@"; } >&2
	for deb in *.deb; do dpkg -x "$deb" "$dir"; done
	ls >"$dir/unpacked"
	rm -rf "$cache/download"
)

# The path of Debian's linux-source-6.1 tarball, fetched when it is not there.
linux_tarball() (
	lock linux-source
	if [ ! -e "$cache/linux-source/version" ]; then
		say "fetching the kernel's source"
		rm -rf "$cache/linux-source"
		unpack_from system "$cache/linux-source" linux-source-6.1
		sed 's/.*_\(.*\)_.*/\1/' "$cache/linux-source/unpacked" >"$cache/linux-source/version"
	fi
	echo "$cache/linux-source/usr/src/linux-source-6.1.tar.xz"
)
