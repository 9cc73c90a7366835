/* cluster_slots_test.c - CLUSTER SLOTS, SHARDS and NODES say who executes the commands of which slots; and how fast.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "node/cluster_slots.h"

#include "node/cluster_stage.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- Reading a reply of CLUSTER SLOTS ---- */

struct reader {
    const char *at, *end;
};

/* Reads "<type><number>\r\n". */
static long take(struct reader *reader, char type) {
    cr_assert(reader->at < reader->end && *reader->at == type, "expected %c: %.20s", type, reader->at);
    const char *end = memchr(reader->at, '\r', (size_t)(reader->end - reader->at));
    int64_t number;
    cr_assert(end != NULL && end + 1 < reader->end && end[1] == '\n');
    cr_assert(number_parse_int64(reader->at + 1, (size_t)(end - reader->at) - 1, &number));
    reader->at = end + 2;
    return (long)number;
}

static void take_text(struct reader *reader, char text[64]) {
    long size = take(reader, '$');
    cr_assert_lt(size, 64);
    memcpy(text, reader->at, (size_t)size);
    text[size] = '\0';
    reader->at += size + 2;
}

struct range {
    long first, last;
    uint16_t nodes[RING_COPIES_MAX + 1]; /* by membership index: the coordinator, then others */
    uint32_t node_count;
};

static uint16_t take_node(struct reader *reader, const struct cluster_stage *stage, char map) {
    char host[64], id_text[64];
    uint8_t id[NODE_ID_SIZE];
    cr_assert_eq(take(reader, '*'), 4);
    take_text(reader, host);
    long port = take(reader, ':');
    take_text(reader, id_text);
    cr_assert_eq(take(reader, map), 0);
    struct argument argument = {(const uint8_t *)id_text, (uint32_t)strlen(id_text), ARGUMENT_NOT_PLACED, 0};
    cr_assert(cluster_read_id(&argument, id), "%s", id_text);
    uint16_t member = membership_find(stage->cluster->membership, id);
    cr_assert_neq(member, RING_NOBODY);
    const struct member_entry *entry = &cluster_stage_member(stage, member)->entry;
    cr_assert_str_eq(host, entry->host);
    cr_assert_eq(port, entry->cluster_port);
    return member;
}

static struct range take_range(struct reader *reader, const struct cluster_stage *stage, char map) {
    struct range range = {.node_count = (uint32_t)take(reader, '*') - 2};
    cr_assert_leq(range.node_count, RING_COPIES_MAX);
    range.first = take(reader, ':');
    range.last = take(reader, ':');
    for (uint32_t i = 0; i < range.node_count; i++)
        range.nodes[i] = take_node(reader, stage, map);
    return range;
}

static struct reader render(struct cluster_stage *stage, bool with_replicas, uint8_t protocol,
                            struct buffer *out) {
    buffer_clear(out);
    cr_assert(cluster_slots_render(stage->world.node, with_replicas, protocol, out));
    return (struct reader){(const char *)out->data, (const char *)out->data + out->size};
}

#define WITH_STAGE(members)                              \
    struct cluster_stage *stage = malloc(sizeof *stage); \
    cr_assert_not_null(stage);                           \
    cluster_stage_begin(stage, members);                 \
    struct buffer out;                                   \
    buffer_init(&out, &stage->world.mem)
#define END_STAGE             \
    buffer_release(&out);     \
    cluster_stage_end(stage); \
    free(stage)

/* Each slot that has a coordinator is in exactly one range, with it; and ranges that touch differ. */
static void expect_ranges(struct cluster_stage *stage, struct reader reader, char map) {
    long count = take(&reader, '*'), next = 0;
    uint16_t before = ROUTE_NOBODY;
    for (long i = 0; i < count; i++) {
        struct range range = take_range(&reader, stage, map);
        cr_assert(range.first >= next && range.first <= range.last && range.last < SLOT_COUNT);
        for (; next < range.first; next++)
            cr_assert_eq(cluster_route(stage->world.node, (uint32_t)next), ROUTE_NOBODY);
        cr_assert(range.nodes[0] != before || stage->cluster->routes[range.first - 1] == ROUTE_NOBODY);
        for (; next <= range.last; next++)
            cr_assert_eq(cluster_route(stage->world.node, (uint32_t)next), range.nodes[0]);
        before = range.nodes[0];
    }
    for (; next < SLOT_COUNT; next++)
        cr_assert_eq(cluster_route(stage->world.node, (uint32_t)next), ROUTE_NOBODY);
    cr_assert_eq(reader.at, reader.end);
}

/* ---- CLUSTER SLOTS ---- */

Test(cluster_slots, every_slot_is_in_one_range_with_its_coordinator) {
    static const uint32_t sizes[] = {1, 2, 3, 10, 100};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        WITH_STAGE(sizes[i]);
        expect_ranges(stage, render(stage, false, 2, &out), '*');
        expect_ranges(stage, render(stage, false, 3, &out), '%');
        END_STAGE;
    }
}

Test(cluster_slots, a_node_alone_has_them_all) {
    WITH_STAGE(1);
    stage->world.node->routes = NULL;
    struct reader reader = render(stage, false, 2, &out);
    cr_assert_eq(take(&reader, '*'), 1);
    struct range range = take_range(&reader, stage, '*');
    cr_assert(range.first == 0 && range.last == SLOT_COUNT - 1 && range.node_count == 1 &&
              range.nodes[0] == 0);
    cr_assert_eq(reader.at, reader.end);
    END_STAGE;
}

Test(cluster_slots, slots_without_a_coordinator_are_left_out) {
    WITH_STAGE(3);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        if (slot < 100 || slot % 1000 == 7 || slot > 16000)
            stage->cluster->routes[slot] = ROUTE_NOBODY;
    expect_ranges(stage, render(stage, false, 2, &out), '*');
    memset(stage->cluster->routes, 0xff, sizeof stage->cluster->routes);
    expect_ranges(stage, render(stage, false, 2, &out), '*');
    END_STAGE;
}

Test(cluster_slots, replica_lists_name_the_other_holders_that_are_not_down) {
    WITH_STAGE(6);
    cluster_stage_set_state(stage, 4, MEMBER_DOWN);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) /* somebody else has taken over */
        if (stage->cluster->routes[slot] == 4)
            stage->cluster->routes[slot] =
                stage->cluster->ring_indexes[ring_list(stage->cluster->ring, slot)[1]];
    struct reader reader = render(stage, true, 2, &out);
    long count = take(&reader, '*'), next = 0;
    for (long i = 0; i < count; i++) {
        struct range range = take_range(&reader, stage, '*');
        cr_assert_eq(range.first, next);
        for (; next <= range.last; next++) {
            const uint16_t *list = ring_list(stage->cluster->ring, (uint32_t)next);
            uint32_t expected = 0;
            cr_assert_eq(range.nodes[0], stage->cluster->routes[next]);
            for (uint32_t at = 0; at < 3; at++) {
                uint16_t member = stage->cluster->ring_indexes[list[at]];
                bool is_named = false;
                for (uint32_t named = 0; named < range.node_count; named++)
                    is_named |= range.nodes[named] == member;
                cr_assert_eq(is_named, member != 4, "slot %ld, member %u", next, member);
                expected += member != 4;
            }
            cr_assert_eq(range.node_count, expected);
        }
    }
    cr_assert_eq(next, SLOT_COUNT);
    END_STAGE;
}

Test(cluster_slots, what_is_kept_is_of_the_present_epoch_and_of_one_protocol) {
    WITH_STAGE(3);
    struct reply reply = {.out = &out, .protocol = 2};
    cluster_slots_reply(stage->world.node, &reply);
    size_t first_size = out.size;
    stage->cluster->routes[5] = ROUTE_NOBODY;
    buffer_clear(&out);
    cluster_slots_reply(stage->world.node, &reply);
    cr_assert_eq(out.size, first_size, "nobody has said that the routes are others");
    stage->cluster->route_epoch++;
    buffer_clear(&out);
    cluster_slots_reply(stage->world.node, &reply);
    cr_assert_neq(out.size, first_size);
    expect_ranges(stage, (struct reader){(const char *)out.data, (const char *)out.data + out.size}, '*');
    buffer_clear(&out);
    reply.protocol = 3;
    cluster_slots_reply(stage->world.node, &reply);
    expect_ranges(stage, (struct reader){(const char *)out.data, (const char *)out.data + out.size}, '%');
    END_STAGE;
}

Test(cluster_slots, without_memory_nothing_is_kept_and_nothing_lost) {
    static const char *const lines[] = {"CLUSTER SLOTS", "CLUSTER SHARDS",  "CLUSTER NODES",
                                        "CLUSTER INFO",  "KV.RING",         "KV.RING 77",
                                        "INFO cluster",  "INFO replication"};
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        unsigned failures = 0;
        for (uint64_t fuse = 1; fuse < 40; fuse++) {
            WITH_STAGE(3);
            stage->world.mem.fuse = fuse;
            stage->world.mem.fuse_stays_blown = true;
            const char *reply = say(&stage->world, stage->client, lines[i]);
            bool is_blown = stage->world.mem.fuse == 0 || strncmp(reply, "-OOM", 4) == 0;
            stage->world.mem.fuse = 0;
            stage->world.mem.fuse_stays_blown = false;
            failures += strncmp(reply, "-OOM", 4) == 0;
            cr_assert(reply[0] != '\0' || conversation_is_closing(stage->client) || is_blown, "%s", lines[i]);
            if (!conversation_is_closing(stage->client))
                cr_assert(strchr("*$%=", say(&stage->world, stage->client, lines[i])[0]), "%s", lines[i]);
            END_STAGE;
        }
        cr_assert(failures > 0 || strchr(lines[i], '7') != NULL, "%s needs no memory?", lines[i]);
    }
}

/* ---- CLUSTER SHARDS and NODES ---- */

Test(cluster_slots, shards_are_the_nodes_with_all_their_ranges) {
    WITH_STAGE(4);
    cluster_stage_set_state(stage, 2, MEMBER_DOWN);
    cluster_stage_set_state(stage, 3, MEMBER_REMOVED);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        if (stage->cluster->routes[slot] >= 2)
            stage->cluster->routes[slot] = 1;
    struct reply reply = {.out = &out, .protocol = 3};
    cluster_shards_reply(stage->world.node, &reply);
    struct reader reader = {(const char *)out.data, (const char *)out.data + out.size};
    long seen = 0;
    cr_assert_eq(take(&reader, '*'), 3);
    for (uint16_t member = 0; member < 3; member++) {
        char text[64], id[41];
        cr_assert_eq(take(&reader, '%'), 2);
        take_text(&reader, text);
        cr_assert_str_eq(text, "slots");
        long numbers = take(&reader, '*');
        cr_assert_eq(numbers == 0, member == 2);
        for (long i = 0; i < numbers; i += 2) {
            long first = take(&reader, ':'), last = take(&reader, ':');
            for (long slot = first; slot <= last; slot++, seen++)
                cr_assert_eq(stage->cluster->routes[slot], member);
        }
        take_text(&reader, text);
        cr_assert_str_eq(text, "nodes");
        cr_assert_eq(take(&reader, '*'), 1);
        cr_assert_eq(take(&reader, '%'), 7);
        take_text(&reader, text);
        take_text(&reader, text);
        cr_assert_str_eq(text, cluster_stage_id(stage, member, id));
        char rest[256];
        int size = snprintf(
            rest, sizeof rest,
            "$4\r\nport\r\n:%u\r\n$2\r\nip\r\n$8\r\n10.0.0.%u\r\n$8\r\nendpoint\r\n$8\r\n10.0.0.%u\r\n"
            "$4\r\nrole\r\n$6\r\nmaster\r\n$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n%s\r\n",
            12000u + member, member, member, member == 2 ? "$4\r\nfail" : "$6\r\nonline");
        cr_assert_eq(memcmp(reader.at, rest, (size_t)size), 0, "%.*s", size, reader.at);
        reader.at += size;
    }
    cr_assert_eq(seen, SLOT_COUNT);
    cr_assert_eq(reader.at, reader.end);
    END_STAGE;
}

Test(cluster_slots, nodes_are_lines_in_the_form_that_clients_know) {
    WITH_STAGE(5);
    cluster_stage_set_state(stage, 1, MEMBER_SUSPECT);
    cluster_stage_set_state(stage, 2, MEMBER_DOWN);
    cluster_stage_set_state(stage, 4, MEMBER_REMOVED);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        stage->cluster->routes[slot] = slot < 10 ? 0 : slot == 10 ? 3 : slot < 100 ? 1 : 0;
    stage->world.node->monotonic_ms += 250;
    stage->world.node->wall_ms += 250;
    cluster_nodes_append(stage->world.node, &out);
    cr_assert(buffer_append_byte(&out, 0));
    long long heard = (long long)stage->world.node->wall_ms - 250;
    char expected[1024], ids[4][41];
    for (uint16_t i = 0; i < 4; i++)
        cluster_stage_id(stage, i, ids[i]);
    snprintf(expected, sizeof expected,
             "%s 10.0.0.0:12000@17000 myself,master - 0 0 1 connected 0-9 100-16383\n"
             "%s 10.0.0.1:12001@17001 master,fail? - 0 %lld 2 disconnected 11-99\n"
             "%s 10.0.0.2:12002@17002 master,fail - 0 %lld 3 disconnected\n"
             "%s 10.0.0.3:12003@17003 master - 0 %lld 4 disconnected 10\n",
             ids[0], ids[1], heard, ids[2], heard, ids[3], heard);
    cr_assert_str_eq((const char *)out.data, expected);
    END_STAGE;
}

/* ---- Ids ---- */

Test(cluster_slots, ids_are_read_as_they_are_written) {
    uint8_t id[NODE_ID_SIZE], read[NODE_ID_SIZE];
    for (unsigned i = 0; i < NODE_ID_SIZE; i++)
        id[i] = (uint8_t)(i * 13 + 7);
    char text[IDENTITY_ID_SIZE];
    identity_print_id(id, text);
    struct argument argument = {(const uint8_t *)text, 40, ARGUMENT_NOT_PLACED, 0};
    cr_assert(cluster_read_id(&argument, read));
    cr_assert_eq(memcmp(id, read, sizeof id), 0);
    argument.size = 39;
    cr_assert_not(cluster_read_id(&argument, read));
    argument.size = 40;
    for (const char *wrong = "g/:@G` \xff"; *wrong != '\0'; wrong++) {
        identity_print_id(id, text);
        text[17] = *wrong;
        cr_assert_not(cluster_read_id(&argument, read), "%c", *wrong);
    }
}

/* ---- Speed ---- */

static uint64_t cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The machine may be busy with other things: the fastest of several. */
static uint64_t fastest_us(struct cluster_stage *stage, struct buffer *out, bool is_kept) {
    uint64_t fastest = UINT64_MAX;
    for (unsigned i = 0; i < 20; i++) {
        struct reply reply = {.out = out, .protocol = 2};
        if (!is_kept)
            stage->cluster->route_epoch++;
        buffer_clear(out);
        uint64_t started = cpu_us();
        cluster_slots_reply(stage->world.node, &reply);
        uint64_t took = cpu_us() - started;
        fastest = took < fastest ? took : fastest;
    }
    return fastest;
}

Test(cluster_slots, a_hundred_nodes_are_answered_from_what_is_kept_in_less_than_a_millisecond) {
    WITH_STAGE(100);
    uint64_t fresh_us = fastest_us(stage, &out, false), kept_us = fastest_us(stage, &out, true);
    cr_log_info("CLUSTER SLOTS of 100 nodes: %zu bytes, %llu us kept, %llu us made anew", out.size,
                (unsigned long long)kept_us, (unsigned long long)fresh_us);
    cr_assert_lt(kept_us, 1000);
    cr_assert_lt(fresh_us, 50000);
    END_STAGE;
}
