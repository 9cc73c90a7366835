/*
 * groups.h - the groups of tests of the running server; main.c runs them in this order.
 *
 * May touch: nothing.
 * Must never know: what is in a group.
 * Invariants: a group ends with TEST_CASES_END.
 * Tests: these are tests.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_SERVER_GROUPS_H
#define TESTS_SERVER_GROUPS_H

#include "harness.h"

const struct test_case *startup_tests(void);        /* options, files, signals, ends */
const struct test_case *folder_tests(void);         /* what is kept from one start to the next */
const struct test_case *configuration_tests(void);  /* configuration files, CONFIG REWRITE */
const struct test_case *listening_tests(void);      /* addresses, unix socket, idle clients, keepalive */
const struct test_case *cluster_ports_tests(void);  /* ports of a cluster's node, calls to other nodes */
const struct test_case *access_tests(void);         /* passwords, protected mode, limits before login */
const struct test_case *request_tests(void);        /* pipelines, cut and broken requests */
const struct test_case *client_command_tests(void); /* CLIENT, MONITOR, SHUTDOWN, DEBUG */
const struct test_case *limit_tests(void);          /* many clients, few descriptors, much output */
const struct test_case *keyspace_tests(void);       /* expiry, maxmemory */

#endif
