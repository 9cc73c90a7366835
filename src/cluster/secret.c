/* secret.c - what is fed to the HMAC, and in which order.
 *
 * Each use begins with a name of its own, so that nothing made for one serves the other; every part of variable size comes
 * behind its size, so that no two exchanges give the same bytes.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/secret.h"

#include "base/encode.h"

#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <string.h>

_Static_assert(SECRET_PROOF_SIZE == SHA256_DIGEST_SIZE, "a proof is a whole digest");

static const char proof_name[] = "redis-kv proof 1";
static const char seed_name[] = "redis-kv hash seed 1";

static void update_sized(struct hmac_sha256_ctx *hmac, const uint8_t *bytes, size_t size) {
    uint8_t size_bytes[8];
    encode_fixed(size_bytes, size, sizeof size_bytes);
    hmac_sha256_update(hmac, sizeof size_bytes, size_bytes);
    hmac_sha256_update(hmac, size, bytes);
}

static void begin(struct hmac_sha256_ctx *hmac, const char *secret, const char *name) {
    hmac_sha256_set_key(hmac, strlen(secret), (const uint8_t *)secret);
    update_sized(hmac, (const uint8_t *)name, strlen(name));
}

void secret_prove(const char *secret, enum secret_role role, const struct secret_exchange *exchange,
                  uint8_t proof[SECRET_PROOF_SIZE]) {
    struct hmac_sha256_ctx hmac;
    const uint8_t role_byte = role == SECRET_CALLER ? 'r' : 'd';
    begin(&hmac, secret, proof_name);
    hmac_sha256_update(&hmac, 1, &role_byte);
    update_sized(&hmac, exchange->caller_hello, exchange->caller_hello_size);
    update_sized(&hmac, exchange->called_hello, exchange->called_hello_size);
    hmac_sha256_digest(&hmac, SECRET_PROOF_SIZE, proof);
}

bool secret_proves(const char *secret, enum secret_role role, const struct secret_exchange *exchange,
                   const uint8_t *proof, size_t size) {
    uint8_t expected[SECRET_PROOF_SIZE];
    if (size != SECRET_PROOF_SIZE)
        return false;
    secret_prove(secret, role, exchange, expected);
    return memeql_sec(expected, proof, SECRET_PROOF_SIZE) != 0;
}

void secret_hash_seed(const char *secret, uint8_t seed[HASH_SEED_SIZE]) {
    struct hmac_sha256_ctx hmac;
    begin(&hmac, secret, seed_name);
    hmac_sha256_digest(&hmac, HASH_SEED_SIZE, seed);
}
