/* secret_test.c - who can make a proof, and that every byte of an exchange counts.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/secret.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const char secret[] = "a secret that is long enough for a cluster";
static const uint8_t caller_hello[] = "\1caller's random bytes and introduction";
static const uint8_t called_hello[] = "\1called one's random bytes";
static const struct secret_exchange exchange = {caller_hello, called_hello, sizeof caller_hello,
                                                sizeof called_hello};

static void hex_of(const uint8_t *bytes, size_t size, char *text) {
    for (size_t i = 0; i < size; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
}

/* What Python's hmac module says of
 * le64(16) "redis-kv proof 1" "r" le64(1) "\1" le64(2) "\2\3", with the key "key". */
Test(secret, a_proof_is_the_documented_hmac) {
    static const struct secret_exchange small = {(const uint8_t *)"\1", (const uint8_t *)"\2\3", 1, 2};
    uint8_t proof[SECRET_PROOF_SIZE];
    char text[2 * SECRET_PROOF_SIZE + 1];
    secret_prove("key", SECRET_CALLER, &small, proof);
    hex_of(proof, sizeof proof, text);
    cr_assert_str_eq(text, "7fbfa819f31ebc91ec65242265466c71bb5c596685049dfb661e475f939dd0e2");
    uint8_t seed[HASH_SEED_SIZE];
    secret_hash_seed("key", seed);
    hex_of(seed, sizeof seed, text);
    cr_assert_str_eq(text, "af4225c2f3ce6aa3bb52714f66d30cc4");
}

Test(secret, a_proof_convinces_whoever_has_the_same_secret) {
    uint8_t proof[SECRET_PROOF_SIZE];
    for (int role = SECRET_CALLER; role <= SECRET_CALLED; role++) {
        secret_prove(secret, role, &exchange, proof);
        cr_assert(secret_proves(secret, role, &exchange, proof, sizeof proof));
        cr_assert_not(secret_proves("another secret", role, &exchange, proof, sizeof proof));
        cr_assert_not(secret_proves("", role, &exchange, proof, sizeof proof));
    }
    secret_prove("", SECRET_CALLED, &exchange, proof);
    cr_assert(secret_proves("", SECRET_CALLED, &exchange, proof, sizeof proof));
    cr_assert_not(secret_proves(secret, SECRET_CALLED, &exchange, proof, sizeof proof));
}

Test(secret, a_proof_cannot_be_sent_back_to_its_maker) {
    uint8_t proof[SECRET_PROOF_SIZE];
    secret_prove(secret, SECRET_CALLER, &exchange, proof);
    cr_assert_not(secret_proves(secret, SECRET_CALLED, &exchange, proof, sizeof proof));
    struct secret_exchange turned = {called_hello, caller_hello, sizeof called_hello, sizeof caller_hello};
    cr_assert_not(secret_proves(secret, SECRET_CALLER, &turned, proof, sizeof proof));
}

Test(secret, every_bit_of_proof_and_exchange_counts) {
    uint8_t proof[SECRET_PROOF_SIZE], caller[sizeof caller_hello], called[sizeof called_hello];
    memcpy(caller, caller_hello, sizeof caller);
    memcpy(called, called_hello, sizeof called);
    struct secret_exchange changed = {caller, called, sizeof caller, sizeof called};
    secret_prove(secret, SECRET_CALLED, &exchange, proof);
    cr_assert(secret_proves(secret, SECRET_CALLED, &changed, proof, sizeof proof));
    struct {
        uint8_t *bytes;
        size_t size;
    } parts[] = {{proof, sizeof proof}, {caller, sizeof caller}, {called, sizeof called}};
    for (size_t part = 0; part < 3; part++)
        for (size_t bit = 0; bit < 8 * parts[part].size; bit++) {
            parts[part].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            cr_assert_not(secret_proves(secret, SECRET_CALLED, &changed, proof, sizeof proof),
                          "part %zu, bit %zu", part, bit);
            parts[part].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    cr_assert(secret_proves(secret, SECRET_CALLED, &changed, proof, sizeof proof));
}

Test(secret, a_proof_of_another_size_is_none) {
    uint8_t proof[SECRET_PROOF_SIZE + 1] = {0};
    secret_prove(secret, SECRET_CALLED, &exchange, proof);
    cr_assert_not(secret_proves(secret, SECRET_CALLED, &exchange, proof, SECRET_PROOF_SIZE + 1));
    cr_assert_not(secret_proves(secret, SECRET_CALLED, &exchange, proof, SECRET_PROOF_SIZE - 1));
    cr_assert_not(secret_proves(secret, SECRET_CALLED, &exchange, NULL, 0));
}

/* Without the sizes between them both would be the same bytes. */
Test(secret, bytes_cannot_move_from_one_hello_to_the_other) {
    const uint8_t bytes[] = "abcdefgh";
    struct secret_exchange three = {bytes, bytes + 3, 3, 5}, four = {bytes, bytes + 4, 4, 4};
    uint8_t proof[SECRET_PROOF_SIZE];
    secret_prove(secret, SECRET_CALLER, &three, proof);
    cr_assert_not(secret_proves(secret, SECRET_CALLER, &four, proof, sizeof proof));
}

Test(secret, the_hash_seed_is_the_same_for_the_same_secret_only) {
    uint8_t one[HASH_SEED_SIZE], again[HASH_SEED_SIZE], other[HASH_SEED_SIZE];
    secret_hash_seed(secret, one);
    secret_hash_seed(secret, again);
    secret_hash_seed("another secret", other);
    cr_assert_arr_eq(one, again, sizeof one);
    cr_assert_arr_neq(one, other, sizeof one);
}
