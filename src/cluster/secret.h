/* secret.h - proofs that the other end of a link knows the cluster's secret, and what else is derived from it.
 *
 * Each end sends 32 random bytes first. Its proof is HMAC-SHA256(secret, role, both challenges, both introductions): it proves
 * the secret, and that nobody in between has changed who was introduced. The roles differ, so a proof cannot be sent
 * back to its maker. Without a secret ("") the same runs with an empty key: it then only protects from mix-ups.
 * May touch: base, libnettle. Must never know: links, settings.
 * Source: RFC 2104; challenge-response as in ISO/IEC 9798-4 (mutual, three passes).
 * Tests: tests/unit/cluster/secret_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CLUSTER_SECRET_H
#define CLUSTER_SECRET_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRET_CHALLENGE_SIZE 32
#define SECRET_PROOF_SIZE     32

enum secret_role { SECRET_CALLER, SECRET_CALLED };

struct secret_exchange {
    const uint8_t *caller_hello, *called_hello; /* whole payloads of the first frames, challenges included */
    size_t caller_hello_size, called_hello_size;
};

void secret_prove(const char *secret, enum secret_role role, const struct secret_exchange *exchange,
                  uint8_t proof[SECRET_PROOF_SIZE]);

/* In constant time. */
bool secret_proves(const char *secret, enum secret_role role, const struct secret_exchange *exchange,
                   const uint8_t *proof, size_t size);

/* The seed of the hash of keys, the same on all nodes that share the secret: so that digests are comparable. */
void secret_hash_seed(const char *secret, uint8_t seed[HASH_SEED_SIZE]);

#endif
