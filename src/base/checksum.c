/*
 * checksum.c - XXH3 and CRC-64, eight bytes at a time.
 *
 * May touch: the caller's bytes. Must never know files or formats.
 * Tests: tests/unit/base/checksum_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/checksum.h"

#include "base/linear_table.h"
#include "base/load.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/*
 * tables[n][byte]: the check of a byte with n zero bytes behind it (M. Kounavis, F. Berry, "Novel table
 * lookup-based algorithms for high-performance CRC generation", 2008).
 */
static const uint64_t tables[8][256] = {
    LINEAR_TABLE(0x7ad870c830358979ULL, 0xf5b0e190606b12f2ULL, 0xc038e5739841b68fULL, 0xab28ecb46814fe75ULL,
                 0x7d08ff3b88be6f81ULL, 0xfa11fe77117cdf02ULL, 0xdf7adabd7a6e2d6fULL, 0x95ac9329ac4bc9b5ULL),
    LINEAR_TABLE(0x89e99ffd73bddf69ULL, 0x388a19a9bfec2db9ULL, 0x711433537fd85b72ULL, 0xe22866a6ffb0b6e4ULL,
                 0xef09eb1ea7f6fea3ULL, 0xf54af06e177a6e2dULL, 0xc1ccc68f76634f31ULL, 0xa8c0ab4db4510d09ULL),
    LINEAR_TABLE(0xf4125129ce4038beULL, 0xc37d8400c417e217ULL, 0xada22e52d0b85745ULL, 0x701d7af6f9e73de1ULL,
                 0xe03af5edf3ce7bc2ULL, 0xeb2ccd88bf0b64efULL, 0xfd00bd4226815ab5ULL, 0xd1585cd715952601ULL),
    LINEAR_TABLE(0x8ce168638c796306ULL, 0x329bf69440655567ULL, 0x6537ed2880caaaceULL, 0xca6fda510195559cULL,
                 0xbf8692f15bbd3853ULL, 0x545403b1efede3cdULL, 0xa8a80763dfdbc79aULL, 0x7a092894e7201c5fULL),
    LINEAR_TABLE(0x3504e58b9ba6dd1eULL, 0x6a09cb17374dba3cULL, 0xd413962e6e9b7478ULL, 0x837e0a0f85a17b9bULL,
                 0x2da5324c53d5645dULL, 0x5b4a6498a7aac8baULL, 0xb694c9314f559174ULL, 0x4670b431c63cb183ULL),
    LINEAR_TABLE(0xe39d1389931b9354ULL, 0xec6301407ea0b5c3ULL, 0xf39f24d3a5d6f8edULL, 0xcc676ff4133a62b1ULL,
                 0xb397f9bb7ee35609ULL, 0x4c76d525a5513f79ULL, 0x98edaa4b4aa27ef2ULL, 0x1a8272c5cdd36e8fULL),
    LINEAR_TABLE(0x62a95de6e302eff2ULL, 0xc552bbcdc605dfe4ULL, 0xa1fc51c8d49c2ca3ULL, 0x68a185c2f1afca2dULL,
                 0xd1430b85e35f945aULL, 0x89df31589e28bbdfULL, 0x38e744e264c6e4d5ULL, 0x71ce89c4c98dc9aaULL),
    LINEAR_TABLE(0x381d0015c96f4444ULL, 0x703a002b92de8888ULL, 0xe074005725bd1110ULL, 0xebb126fd13edb14bULL,
                 0xfc3b6ba97f4cf1fdULL, 0xd32ff101a60e7091ULL, 0x8d06c450148b7249ULL, 0x3154aef3718177f9ULL),
};

uint64_t checksum_bytes(const void *data, size_t size) {
    return XXH3_64bits(data, size);
}

uint64_t checksum_crc64(uint64_t check, const void *data, size_t size) {
    const uint8_t *bytes = data;
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t block = check ^ load_u64(bytes);
        check = tables[7][block & 0xff] ^ tables[6][block >> 8 & 0xff] ^ tables[5][block >> 16 & 0xff] ^
                tables[4][block >> 24 & 0xff] ^ tables[3][block >> 32 & 0xff] ^
                tables[2][block >> 40 & 0xff] ^ tables[1][block >> 48 & 0xff] ^ tables[0][block >> 56];
    }
    for (; size > 0; bytes++, size--)
        check = tables[0][(check ^ *bytes) & 0xff] ^ check >> 8;
    return check;
}
