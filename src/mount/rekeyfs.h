/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * rekeyfs.h: re-encrypts an object of a mounted rekeyfs volume by ioctl.
 *
 * One command on any open file or directory (any access mode, 3 included). It carries the
 * parameters of AWS KMS ReEncrypt: https://docs.aws.amazon.com/kms/latest/APIReference/API_ReEncrypt.html
 * Source parameters that are absent come from the object's header. Destination parameters mean
 * what the reference says: an absent context means none, an absent algorithm SYMMETRIC_DEFAULT.
 * An absent destination key means the current key.
 *
 * Variable fields lie in `area`; `field[i]` says where. A field that is not in `present` is
 * absent; a field of length 0 that is in `present` is given and empty. Texts need no NUL.
 * The struct has 16,000 bytes; what is larger goes through the attribute user.kms.re_encrypt.
 *
 * On success ioctl returns 0. On failure it returns -1 with the errno that the README's table
 * says, and REKEYFS_EXCEPTION and REKEYFS_MESSAGE say what the KMS said.
 */
#ifndef REKEYFS_H
#define REKEYFS_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define REKEYFS_VERSION 1

/* flags */
#define REKEYFS_DRY_RUN 0x1           /* DryRun: checks everything, changes nothing */
#define REKEYFS_NEW_DATA_KEY 0x2      /* reseal, in the background: user.kms.reseal tells how far it is */
#define REKEYFS_QUERY 0x4             /* changes nothing, returns key, algorithm, generation */
#define REKEYFS_IGNORE_CIPHERTEXT 0x8 /* DryRunModifiers: only with REKEYFS_DRY_RUN */

/* fields: going in */
#define REKEYFS_NAME 0                             /* on a directory: the entry to work on */
#define REKEYFS_CIPHERTEXT_BLOB 1                  /* must equal the current one, else ESTALE */
#define REKEYFS_SOURCE_KEY_ID 2
#define REKEYFS_SOURCE_ENCRYPTION_CONTEXT 3        /* JSON, or k=v,k2=v2 */
#define REKEYFS_SOURCE_ENCRYPTION_ALGORITHM 4
#define REKEYFS_DESTINATION_KEY_ID 5
#define REKEYFS_DESTINATION_ENCRYPTION_CONTEXT 6   /* JSON, or k=v,k2=v2 */
#define REKEYFS_DESTINATION_ENCRYPTION_ALGORITHM 7
#define REKEYFS_GRANT_TOKENS 8                     /* separated by NUL */
/* fields: coming out */
#define REKEYFS_KEY_ARN 9                          /* of the key that wraps the data key now */
#define REKEYFS_SOURCE_KEY_ARN 10
#define REKEYFS_KEY_ALGORITHM 11
#define REKEYFS_SOURCE_KEY_ALGORITHM 12
#define REKEYFS_EXCEPTION 13
#define REKEYFS_MESSAGE 14

#define REKEYFS_FIELDS 16
#define REKEYFS_AREA 15832

struct rekeyfs_field {
	__u32 offset; /* in area */
	__u32 length;
};

struct rekeyfs_re_encrypt {
	__u32 version;             /* in: REKEYFS_VERSION */
	__u32 flags;               /* in */
	__u64 expected_generation; /* in: of the header; 0: any. Another one is ESTALE */
	__u64 generation;          /* out: of the header now */
	__u32 present;             /* in and out: bit i says that field[i] is there */
	__u32 reserved;            /* 0 */
	struct rekeyfs_field field[REKEYFS_FIELDS];
	__u8 pad[8];               /* 0 */
	__u8 area[REKEYFS_AREA];
};

#define REKEYFS_IOC_REENCRYPT _IOWR(0xA7, 0x52, struct rekeyfs_re_encrypt)

#endif
