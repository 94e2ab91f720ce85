#!/usr/bin/env bash
# The other pjdfstest, of C and Perl (github.com/pjd/pjdfstest), on a mount of its own. No registry has it, so nothing
# installs it. usage: PJDFSTEST=DIRECTORY pjdfstest.sh REKEYFS; DIRECTORY is a built checkout. Root, perl's `prove`.
set -euo pipefail
rekeyfs=$1
[ -x "${PJDFSTEST:-}/pjdfstest" ] || { echo "PJDFSTEST must name a built checkout of github.com/pjd/pjdfstest" >&2; exit 2; }
work=$(mktemp -d /dev/shm/rekeyfs-pjdfstest-XXXXXX)
export REKEYFS_KEYSTORE=$work/keystore.db
trap '"$rekeyfs" umount "$work/mnt" 2>/dev/null || :; rm -rf "$work"' EXIT
mkdir "$work/mnt"
"$rekeyfs" init "$work/vol" >/dev/null
# The suite acts as several users: what is judged here is POSIX, not their permissions in the KMS.
"$rekeyfs" mount -o suid,dev,allow_other,principal=arn:aws:iam::000000000000:root "$work/vol" "$work/mnt"
chmod 755 "$work"
chmod 777 "$work/mnt"
cd "$work/mnt"
prove -r "$PJDFSTEST/tests" >"$work/said" || { cat "$work/said"; exit 1; }
tail -n 2 "$work/said"
cd /
