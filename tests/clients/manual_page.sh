#!/usr/bin/env bash
# Example 1 of the manual page, verbatim, line by line: with the real AWS CLI against the endpoint, and with `aws`
# replaced by `rekeyfs` without it.
#
#     rekeyfs serve -- tests/clients/manual_page.sh
#
# Environment: REKEYFS (the binary) and REKEYFS_KEYSTORE; AWS_ENDPOINT_URL_KMS, credentials and Region, as `rekeyfs serve -- CMD`
# sets them; AWS_NEW (the `aws` of a current 1.x) and AWS_OLD (that of 1.31.13). If MANUAL_PAGE names the manual page's text,
# the example below must stand in it.
set -euo pipefail
: "${REKEYFS:?}" "${REKEYFS_KEYSTORE:?}" "${AWS_NEW:?}" "${AWS_OLD:?}" "${AWS_ENDPOINT_URL_KMS:?}"

example=$(
	cat <<'EXAMPLE'
aws kms re-encrypt \
    --ciphertext-blob fileb://ExampleEncryptedFile \
    --source-key-id 1234abcd-12ab-34cd-56ef-1234567890ab \
    --destination-key-id 0987dcba-09fe-87dc-65ba-ab0987654321 \
    --query CiphertextBlob \
    --output text | base64 --decode > ExampleReEncryptedFile
EXAMPLE
)

passed=0 failed=0
check() { # a name, and a command that is true
	local name=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED $name"
	fi
}

REKEYFS=$(realpath "$(command -v "$REKEYFS")")
REKEYFS_KEYSTORE=$(realpath "$REKEYFS_KEYSTORE")
AWS_NEW=$(realpath -s "$(command -v "$AWS_NEW")")
AWS_OLD=$(realpath -s "$(command -v "$AWS_OLD")")
[ -z "${MANUAL_PAGE:-}" ] || MANUAL_PAGE=$(realpath "$MANUAL_PAGE")
work=$(mktemp -d "${TMPDIR:-/tmp}/rekeyfs-manual-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
# No configuration but the environment's.
export AWS_CONFIG_FILE="$work/none" AWS_SHARED_CREDENTIALS_FILE="$work/none" AWS_EC2_METADATA_DISABLED=true

in_manual_page() {
	local line
	while IFS= read -r line; do
		# The page indents what it shows.
		grep -qxF -- "          $line" "$MANUAL_PAGE" || return 1
	done <<<"$example"
}
[ -z "${MANUAL_PAGE:-}" ] || check "the example is the manual page's" in_manual_page

local_kms() { env -u AWS_ENDPOINT_URL -u AWS_ENDPOINT_URL_KMS "$REKEYFS" kms "$@"; }
source=$(local_kms create-key --query KeyMetadata.KeyId --output text)
destination=$(local_kms create-key --query KeyMetadata.KeyId --output text)
printf 'secret\000message\n' >ExamplePlaintextFile
local_kms encrypt --key-id "$source" --plaintext fileb://ExamplePlaintextFile --query CiphertextBlob --output text |
	base64 --decode >ExampleEncryptedFile

# Runs the example with these keys. Arguments: a name, the program that stands for `aws`, its name in the command, `env` options.
run() {
	local name=$1 program=$2 word=$3
	shift 3
	mkdir "$work/bin"
	ln -s "$program" "$work/bin/$word"
	sed -e "s/1234abcd-12ab-34cd-56ef-1234567890ab/$source/" -e "s/0987dcba-09fe-87dc-65ba-ab0987654321/$destination/" \
		-e "s/^aws /$word /" <<<"$example" >command
	rm -f ExampleReEncryptedFile
	check "$name: it runs" env "$@" PATH="$work/bin:$PATH" bash -o pipefail command >out 2>err
	check "$name: it produces no output: $(cat out err | head -c 300 | tr '\n' ' ')" test ! -s out -a ! -s err
	local_kms decrypt --key-id "$destination" --ciphertext-blob fileb://ExampleReEncryptedFile --query Plaintext --output text |
		base64 --decode >opened || true
	check "$name: the result decrypts to the plaintext" cmp -s opened ExamplePlaintextFile
	check "$name: the result is another ciphertext" eval '! cmp -s ExampleReEncryptedFile ExampleEncryptedFile'
	rm -r "$work/bin"
}

run "the AWS CLI, current" "$AWS_NEW" aws
run "the AWS CLI 1.31.13" "$AWS_OLD" aws
run "rekeyfs, without the endpoint" "$REKEYFS" rekeyfs -u AWS_ENDPOINT_URL -u AWS_ENDPOINT_URL_KMS

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
